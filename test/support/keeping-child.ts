import { appendFileSync, existsSync, readFileSync, truncateSync } from "node:fs";
import { connect, type Transport } from "../../src/client.ts";
import { hashOf } from "../check/history.ts";

/*
 * A client process that keeps its position together with the effect of each message: one line of a file, `position hash`, written in one act.
 * Started again it goes on after the last whole line; a `forgetful` one goes on from now, as if it had kept none. Run as:
 * node keeping-child.js <url> <channel> <file> <transport> <start position> [forgetful]
 */
const [, , url = "", channel = "", file = "", transport = "", start = "", forgetful = ""] = process.argv;

if (url !== "") {
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  const whole = text.lastIndexOf("\n") + 1;
  // What a kill has torn is no effect yet
  if (whole < text.length) truncateSync(file, whole);
  const kept = text.slice(0, whole).trimEnd().split("\n").at(-1)?.split(" ")[0];
  const from = forgetful !== "" && kept !== "" ? "now" : { after: kept === undefined || kept === "" ? start : kept };
  const client = connect(url, { transport: transport as Transport });
  client.channel(channel).subscribe(({ position, data }) => appendFileSync(file, `${position} ${hashOf(data)}\n`), { from });
}
