// Plays the stories that it is sent, one chunk of seeds after the other, and sends what they came to.
const { play } = await import(process.argv[2]);

process.on("message", async ({ first, count, isKept }) => {
  const outcomes = [];
  for (let seed = first; seed < first + count; seed++) {
    const { events, ...outcome } = await play(seed);
    outcomes.push(isKept || outcome.violations.length > 0 ? { ...outcome, events } : outcome);
  }
  process.send(outcomes);
});
process.on("disconnect", () => process.exit());
process.send([]);
