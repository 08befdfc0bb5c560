/**
 * Where what is drawn by chance begins: anew with each run, which every failure prints. With CI=true it is the same each time, so that a commit has one verdict, which follows from what it
 * changed; THROUGHLINE_SEED sets it, and `npm run fuzz` and `npm run sim` look for what no seed has shown yet.
 */
export const SEED = Number(process.env["THROUGHLINE_SEED"] ?? (process.env["CI"] === "true" ? 1_127 : Math.floor(Math.random() * 2 ** 31)));
