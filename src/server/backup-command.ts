import { resolve } from "node:path";
import { backup } from "../engines/disk/backup.ts";
import { amountOf } from "./amount.ts";

export interface BackupCommandOptions {
  readonly data: string;
}

/** Copies a log to a file, whether or not a server runs on it. Gives the exit code. Throws what keeps it from that, with what to do. */
export async function backupTo(
  file: string,
  { data }: BackupCommandOptions,
  { print, signal }: { readonly print: (text: string) => void; readonly signal: AbortSignal },
): Promise<number> {
  const { messages, channels, bytes, at } = await backup(resolve(data), resolve(file), signal);
  print(`Backed up ${amountOf(messages, channels)} as of ${at.toISOString()} to ${file} (${bytes.toLocaleString("en-US")} bytes).`);
  return 0;
}
