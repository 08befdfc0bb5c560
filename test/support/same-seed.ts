import fc from "fast-check";
import { SEED } from "./seed.ts";

/* What every test file begins with: fast-check draws from the seed of the run. */
fc.configureGlobal({ seed: SEED });
