import { readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { type BuildOptions, build, type Plugin } from "esbuild";

/** One place in the product's source, and what stands there instead. */
export interface Edit {
  readonly file: string;
  /** Occurs in the file exactly once. */
  readonly find: string;
  readonly replace: string;
}

/** A fault of the product, as someone might make it. The source is not touched: the text is changed while it is bundled. */
export interface Mutant {
  readonly name: string;
  readonly what: string;
  readonly edits: readonly Edit[];
}

export const ROOT = join(import.meta.dirname, "../..");

/** The text with the mutant's edits of this file. Throws where one does not fit, so that mutants do not rot when the source moves on. */
export function mutate(mutant: Mutant, file: string, text: string): string {
  let mutated = text;
  for (const edit of mutant.edits) {
    if (edit.file !== file) continue;
    const count = mutated.split(edit.find).length - 1;
    if (count !== 1) {
      throw new Error(
        `The mutant ${mutant.name} no longer fits ${file}: what it looks for is there ${count} times, not once:\n${edit.find}`,
      );
    }
    mutated = mutated.replace(edit.find, () => edit.replace);
  }
  return mutated;
}

/** Bundles an entry for Node with the mutant in it. Throws if one of the files that it changes is no part of the bundle. */
export async function bundleMutant(mutant: Mutant | null, options: BuildOptions): Promise<void> {
  const missing = new Set(mutant?.edits.map(({ file }) => file));
  const plugin: Plugin = {
    name: "mutant",
    setup({ onLoad }) {
      if (mutant === null) return;
      onLoad({ filter: /[/\\]src[/\\].*\.ts$/ }, ({ path }) => {
        const file = relative(ROOT, path).split(sep).join("/");
        if (!mutant.edits.some((edit) => edit.file === file)) return null;
        missing.delete(file);
        return { contents: mutate(mutant, file, readFileSync(path, "utf8")), loader: "ts" };
      });
    },
  };
  await build({
    bundle: true,
    platform: "node",
    format: "esm",
    logLevel: "silent",
    external: ["lmdb", "vitest"],
    ...options,
    plugins: [plugin],
  });
  if (missing.size > 0) throw new Error(`The mutant ${mutant?.name} changes what is not used: ${[...missing].join(", ")}`);
}
