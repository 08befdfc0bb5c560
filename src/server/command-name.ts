import { basename, relative, sep } from "node:path";

/** How a person who started this program would start it again, so that printed lines can be pasted: `throughline`, `npx throughline`, `node bin/throughline.js`. */
export function commandName(script: string | undefined, directory: string): string {
  if (script === undefined) return "npx throughline";
  if (basename(script).endsWith(".js")) return `node ${quoted(relative(directory, script))}`;
  return script.includes(`node_modules${sep}.bin${sep}`) || script.includes(`${sep}_npx${sep}`) ? "npx throughline" : "throughline";
}

function quoted(path: string): string {
  return /^[\w./\\-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
