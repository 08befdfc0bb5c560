import { defineConfig } from "vitest/config";
import "../../scripts/root.js";

export default defineConfig({
  test: {
    include: ["test/fault/**/*.fault.ts"],
    // Two processes, a tracer and a file system at a time are enough for a small machine
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 60_000,
  },
});
