import { defineConfig } from "vitest/config";

if (process.getuid?.() !== 0) {
  console.error(
    "The faults need root: they make network namespaces, drop packets in them, mount small file systems, trace system calls and limit processes.\n" +
      "Everything they touch is their own, and is taken down again. Run them as root: sudo npm run fault",
  );
  process.exit(1);
}

export default defineConfig({
  test: {
    include: ["test/fault/**/*.fault.ts"],
    // Two processes, a tracer and a file system at a time are enough for a small machine
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
