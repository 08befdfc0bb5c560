import { describe, expect, test } from "vitest";
import { ERRORS } from "../../src/protocol/error.ts";
import { LIMITS } from "../../src/protocol/limits.ts";
import { clientOnlyCodes, findErrorFaults, findLimitFaults, findUntestedPromises, promisesOf } from "./protocol-doc.ts";
import { readTests, readText, stringsOf } from "./source.ts";

const protocol = readText("PROTOCOL.md");

describe("PROTOCOL.md", () => {
  test("§11 lists every error code as it is, and none more", () => {
    expect(findErrorFaults(protocol, ERRORS, clientOnlyCodes(readText("src/protocol/error.ts")))).toEqual([]);
  });

  test("§12 lists every limit with its default and its words, and none more", () => {
    expect(findLimitFaults(protocol, LIMITS, readText("src/protocol/limits.ts"))).toEqual([]);
  });

  test("§2 lists the promises D1 to D10", () => {
    expect([...promisesOf(protocol).keys()]).toEqual(["D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8", "D9", "D10"]);
  });

  test("every promise stands in the title of some test", () => {
    const titles = [...readTests()].flatMap(([path, text]) => stringsOf(path, text));
    expect(findUntestedPromises(promisesOf(protocol), titles)).toEqual([]);
  });
});

describe("The checks themselves", () => {
  const document = [
    "## 2. The promises\n| | promise |\n| --- | --- |\n| D1 | **Order.** One order. |\n| D2 | **No gap.** None. |\n| D9 | **Presence.** (It is not in this version.) |",
    "## 11. Errors\n| code | HTTP | close | retry | what happened |\n| --- | --- | --- | --- | --- |",
    "| `right` | 400 | 4400 | no | wrong |\n| `wrong` | 400 | 4400 | yes | wrong |\n| `mine` | - | - | no | client only: mine |\n| `stale` | 400 | 4400 | no | old |",
    "## 12. Limits\n| limit | default | what |\n| --- | --- | --- |",
    "| `rightMax` | 1,000 | Right: `a`. |\n| `valueMax` | 9 | Value. |\n| `wordsMax` | 1 | Other words. |\n| `staleMax` | 1 | Old. |",
  ].join("\n");

  test("find a code that is missing, differs or is too many", () => {
    const meaning = { status: 400, close: 4400, retry: false };
    const errors = { right: meaning, wrong: meaning, mine: { status: 499, close: 1000, retry: false }, added: meaning };
    expect(findErrorFaults(document, errors, ["mine"])).toEqual([
      "§11 says 400 4400 yes of wrong, src/protocol/error.ts says 400 4400 no",
      "§11 has no row for added",
      "§11 has stale, which is not in src/protocol/error.ts",
    ]);
    expect(findErrorFaults(document, { mine: errors.mine }, [])[0]).toBe("§11 says - - no of mine, src/protocol/error.ts says 499 1000 no");
    expect(clientOnlyCodes("  a: {},\n  // said by the client library only, ever\n  b: { status: 1 },\n  c: {},\n} as const")).toEqual([
      "b",
      "c",
    ]);
  });

  test("find a limit that is missing, differs in value or words, or is too many", () => {
    const source = "/** Right:\n   * `a`. */\nrightMax: 1_000,\n/** Value. */\nvalueMax: 8,\n/** Words. */\nwordsMax: 1,\nsilentMax: 1,";
    expect(findLimitFaults(document, { rightMax: 1000, valueMax: 8, wordsMax: 1, silentMax: 1 }, source)).toEqual([
      "§12 says that valueMax is 9, src/protocol/limits.ts says 8",
      "§12 says of wordsMax: Other words. - but src/protocol/limits.ts: Words.",
      "src/protocol/limits.ts does not say what silentMax bounds",
      "§12 has no row for silentMax",
      "§12 has staleMax, which is not in src/protocol/limits.ts",
    ]);
  });

  test("find a promise without a test and a test without a promise", () => {
    expect(findUntestedPromises(promisesOf(document), ["[D1] in order", "[D11] for ever"])).toEqual([
      "no test's title carries [D2]: No gap.",
      "a title carries [D11], which is no promise",
    ]);
  });
});
