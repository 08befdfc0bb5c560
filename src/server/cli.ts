import { readFileSync } from "node:fs";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import type { Retention } from "../core/log.ts";
import { backupTo } from "./backup-command.ts";
import { commandName } from "./command-name.ts";
import { DEV_PORT } from "./dev.ts";
import { dev } from "./dev-command.ts";
import { history } from "./history.ts";
import { createOutput } from "./output.ts";
import { pub } from "./pub.ts";
import { DEFAULT_URL } from "./remote.ts";
import { restoreFrom } from "./restore-command.ts";
import { sub } from "./sub.ts";
import { who } from "./who.ts";

/** Exit codes: 0 done, 1 it went wrong, 2 it was not understood. */
const FAILED = 1;
const NOT_UNDERSTOOD = 2;

/** More than any machine has use for; each holds one of the 126 places that LMDB has for readers. */
const WORKERS_MAX = 64;

const DATA = ["-d, --data <directory>", "where messages are stored", "./data"] as const;

/** The command line. Sets the exit code; a process that has nothing left to do then ends. */
export async function run(words: readonly string[]): Promise<void> {
  try {
    process.exitCode = await execute(words);
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : NOT_UNDERSTOOD;
    else {
      tell(error instanceof Error ? error.message : String(error));
      process.exitCode = FAILED;
    }
  }
}

async function execute(words: readonly string[]): Promise<number> {
  let code = 0;
  const program = new Command("throughline")
    .description("Real-time channels: durable, ordered, over Server-Sent Events, WebSocket and long-poll.")
    .version(version())
    .helpCommand(false)
    .exitOverride();

  program
    .command("dev")
    .description("start a server for this machine, with a page that shows it live")
    .option("-p, --port <number>", "port to listen on", wholeNumber(0, 65_535), DEV_PORT)
    .option(...DATA)
    .option("--memory", "store messages in memory only")
    .addOption(
      new Option(
        "--engine <url>",
        "store messages in a broker that other servers use too: redis://host:port or nats://host:port",
      ).conflicts(["memory", "data"]),
    )
    .addOption(
      new Option("--workers <number>", "processes that serve clients, with one port and one log (default: this one serves)")
        .argParser(wholeNumber(1, WORKERS_MAX))
        .conflicts("memory"),
    )
    .option("--retain-count <number>", "messages to keep of a channel", wholeNumber(1))
    .option("--retain-bytes <number>", "bytes to keep of a channel", wholeNumber(1))
    .option("--retain-seconds <number>", "how long to keep messages", wholeNumber(1))
    .addHelpText(
      "after",
      "\nIt takes nobody from outside, and on this machine everyone may do everything. In production mount the library in a server of your own: README.md.\nOf a channel the disk keeps 1,000,000 messages, 256 MiB and 7 days if nothing else is said, memory and brokers less: PROTOCOL.md, section 12.",
    )
    .action(async (options) => {
      const command = commandName(process.argv[1], process.cwd());
      const { port, data, memory, engine, workers } = options;
      code = await dev({ port, data, memory, engine, workers, retain: retentionOf(options), command }, print, tell);
    });

  remote(program.command("pub <channel>"))
    .description("publish each line of standard input, or one message")
    .option("--data <text>", "publish this, instead of standard input")
    .option("--event <name>", "event of the messages (default: message)")
    .option("--json", "data is JSON, instead of text")
    .option("--key <key>", "idempotency key; line 7 of standard input gets <key>:7 (default: random)")
    .addHelpText(
      "after",
      "\nA line is stored once and in order, also if the server goes away and comes back meanwhile.\n\n  $ tail -F app.log | throughline pub logs/app",
    )
    .action(async (channel, options) => {
      if (options.data === undefined && process.stdin.isTTY) tell("Each line becomes a message. Ctrl-D ends.");
      code = await pub(channel, options, { input: process.stdin, tell, signal: interruption() });
    });

  remote(program.command("sub <channel>"))
    .description("print messages as they come")
    .option("--from <place>", "now, start, last:<count>, since:<time> or after:<position>", "now")
    .addOption(new Option("--transport <name>", "how to connect").choices(["auto", "sse", "websocket", "long-poll"]).default("auto"))
    .option("--json", "print position, event, data and time as JSON")
    .action(async (channel, options) => {
      code = await sub(channel, options, { output: createOutput(process.stdout), tell, signal: interruption() });
    });

  remote(program.command("history <channel>"))
    .description("print messages that are stored")
    .option("--from <place>", "start, last:<count>, since:<time> or after:<position>", "start")
    .option("--limit <number>", "messages at most", wholeNumber(1), 100)
    .option("--json", "print position, event, data and time as JSON")
    .action(async (channel, options) => {
      code = await history(channel, options, { output: createOutput(process.stdout), tell });
    });

  program
    .command("backup <file>")
    .description("copy all that is stored to a file, also while a server runs")
    .option(...DATA)
    .addHelpText(
      "after",
      "\nThe file takes the place of an earlier backup of that name once it is whole.\n\n  $ throughline backup /backups/throughline-$(date +%F) --data /var/lib/throughline",
    )
    .action(async (file, options) => {
      code = await backupTo(file, options, { print, signal: interruption() });
    });

  program
    .command("restore <file>")
    .description("make a log of a backup, in a directory that has none")
    .option(...DATA)
    .option("--force", "put it in the place of a log that is there; what that stored after the backup is lost")
    .addHelpText("after", "\nReaders go on where they were; those who had read beyond the backup are told so by a gap.")
    .action(async (file, options) => {
      code = await restoreFrom(file, options, print);
    });

  remote(program.command("presence <channel>"))
    .description("print who is on a channel")
    .option("--watch", "go on with each join, update and leave")
    .action(async (channel, options) => {
      code = await who(channel, options, { output: createOutput(process.stdout), tell, signal: interruption() });
    });

  await program.parseAsync(words, { from: "user" });
  return code;
}

/** What every command has that talks to a server. */
function remote(command: Command): Command {
  return command
    .option("--url <url>", "the server", DEFAULT_URL)
    .addOption(new Option("--token <token>", "sent as Authorization: Bearer").env("THROUGHLINE_TOKEN"));
}

function wholeNumber(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(
      max === Number.MAX_SAFE_INTEGER ? `A whole number from ${min} on.` : `A whole number from ${min} to ${max}.`,
    );
  };
}

function retentionOf(options: { retainCount?: number; retainBytes?: number; retainSeconds?: number }): Partial<Retention> {
  const { retainCount: countMax, retainBytes: bytesMax, retainSeconds: secondsMax } = options;
  return {
    ...(countMax === undefined ? {} : { countMax }),
    ...(bytesMax === undefined ? {} : { bytesMax }),
    ...(secondsMax === undefined ? {} : { secondsMax }),
  };
}

/** Fires at the first signal, which so has time to end well. The second is the system's. */
function interruption(): AbortSignal {
  const abort = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => abort.abort());
  return abort.signal;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function tell(sentence: string): void {
  process.stderr.write(`throughline: ${sentence}\n`);
}

function version(): string {
  return JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version;
}
