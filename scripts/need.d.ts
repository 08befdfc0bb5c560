/** The path of a program that tests start, or null. */
export function find(name: string): string | null;
/** What to tell a person who lacks it: one sentence on what is missing, one on how to install it. */
export function explain(name: string): string;
