import { CLIENT_MUTANTS } from "./mutants-client.ts";
import { SERVER_MUTANTS } from "./mutants-server.ts";
import type { Mutant } from "./mutate.ts";

export const MUTANTS: readonly Mutant[] = [...SERVER_MUTANTS, ...CLIENT_MUTANTS];
