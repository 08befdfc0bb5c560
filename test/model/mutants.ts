import { CLIENT_MUTANTS } from "./mutants-client.ts";
import { NODE_MUTANTS } from "./mutants-nodes.ts";
import { SERVER_MUTANTS } from "./mutants-server.ts";
import type { Mutant } from "./mutate.ts";

export const MUTANTS: readonly Mutant[] = [...SERVER_MUTANTS, ...NODE_MUTANTS, ...CLIENT_MUTANTS];
