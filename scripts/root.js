// Whatever begins with this line stops at once where it is not run by root.
if (process.getuid?.() !== 0) {
  console.error(
    "The faults need root: they make network namespaces, drop packets in them, mount small file systems, trace system calls and limit processes.\n" +
      "Everything they touch is their own, and is taken down again. Run them as root: sudo npm run fault",
  );
  process.exit(1);
}
