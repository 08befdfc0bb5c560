import { lstatSync, mkdirSync, mkdtempSync, readlinkSync, rmdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The address of a unix socket has room for 103 bytes on macOS, 107 on Linux (sun_path). */
const PATH_BYTES_MAX = 103;
const FOLDER = "workers";
const SOCKET = "socket";

/**
 * Makes the place of the socket on which the owner of a directory hears its workers, and takes away what one before has left. It is a folder that nobody else
 * may enter, so that the socket is safe from its first moment. Where the path would be too long, the folder in the directory is a link to one among the system's temporary files.
 */
export function makePlace(directory: string): string {
  clearPlace(directory);
  const folder = join(directory, FOLDER);
  if (Buffer.byteLength(join(folder, SOCKET)) <= PATH_BYTES_MAX) mkdirSync(folder, { mode: 0o700 });
  else symlinkSync(mkdtempSync(join(tmpdir(), "throughline-")), folder);
  return placeOf(directory);
}

/** Where it is. Throws if there is none. */
export function placeOf(directory: string): string {
  const folder = join(directory, FOLDER);
  const found = lstatSync(folder);
  if (!found.isSymbolicLink()) return join(folder, SOCKET);
  const linked = readlinkSync(folder);
  const { uid } = lstatSync(linked);
  // A cleaner may have taken it away, and anybody may then make another of its name
  if (uid !== found.uid) throw new Error(`${linked} belongs to user ${uid}, and not to the one who made ${folder}`);
  return join(linked, SOCKET);
}

export function clearPlace(directory: string): void {
  const folder = join(directory, FOLDER);
  const found = lstatSync(folder, { throwIfNoEntry: false });
  if (found === undefined) return;
  const linked = found.isSymbolicLink() ? readlinkSync(folder) : null;
  rmSync(join(linked ?? folder, SOCKET), { force: true });
  try {
    rmdirSync(linked ?? folder);
  } catch {
    // It is gone, or holds what is not ours
  }
  if (linked !== null) rmSync(folder);
}
