import { defineConfig } from "vitest/config";

/** What watches times, or fills the machine by itself, runs alone. */
const ALONE = inFolders("fault", "fuzz", "proxy");
/** Programs of their own, which mostly wait. */
const PROGRAMS = inFolders("browser", "server");

export default defineConfig({
  test: {
    setupFiles: ["test/support/same-seed.ts"],
    // More than what a test waits for a fact (test/support/until.ts), so that it says which one
    testTimeout: 180_000,
    hookTimeout: 180_000,
    projects: [
      {
        extends: true,
        test: {
          name: "together",
          include: ["src/**/*.test.{ts,tsx}", "test/**/*.test.{ts,tsx}"],
          exclude: [...ALONE, ...PROGRAMS, "**/node_modules/**"],
          // They mostly wait too, for what takes its time: three on two cores take a third less than two
          maxWorkers: 3,
          sequence: { groupOrder: 0 },
        },
      },
      { extends: true, test: { name: "programs", include: PROGRAMS, maxWorkers: 2, sequence: { groupOrder: 1 } } },
      { extends: true, test: { name: "alone", include: ALONE, maxWorkers: 1, sequence: { groupOrder: 2 } } },
    ],
  },
});

function inFolders(...folders: string[]): string[] {
  return folders.map((folder) => `test/${folder}/**/*.test.{ts,tsx}`);
}
