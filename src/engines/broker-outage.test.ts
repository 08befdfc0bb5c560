import { describe, expect, test } from "vitest";
import { Outage } from "./broker-outage.ts";

const gone = new Error("connect ECONNREFUSED");

function begin() {
  const said: string[] = [];
  const outage = new Outage("NATS", (sentence) => said.push(sentence.replace(/:.*/, "")));
  const ups: string[] = [];
  const [writing, reading] = [outage.needs(() => ups.push("writing")), outage.needs(() => ups.push("reading"))];
  return { said, ups, writing, reading, hearing: outage.hears(() => ups.push("hearing")) };
}

describe("A broker that is away", () => {
  test("is told of once, whichever line notices first and however often it is tried, and once when all are back", () => {
    const { said, ups, writing, reading } = begin();
    for (const line of [reading, writing, reading, reading]) line.onDown(gone);
    writing.onUp();
    expect(said).toEqual(["NATS cannot be reached"]);
    reading.onUp();
    expect([said, ups]).toEqual([
      ["NATS cannot be reached", "NATS is back."],
      ["writing", "reading"],
    ]);
  });

  test("is not told of by the line that hears: that is told as what it is, if it cannot be opened anew", () => {
    const { said, hearing, writing } = begin();
    hearing.onDown(gone);
    hearing.onUp();
    expect(said).toEqual([]);
    for (const _ of [1, 2, 3]) hearing.onDown(gone);
    expect(said).toEqual(["NATS cannot be listened to"]);
    writing.onDown(gone);
    writing.onUp();
    hearing.onUp();
    expect(said.slice(1)).toEqual(["NATS cannot be reached", "NATS is back.", "NATS can be listened to again."]);
  });

  test("takes the line that hears along, which says nothing of its own", () => {
    const { said, hearing, writing } = begin();
    hearing.onDown(gone);
    writing.onDown(gone);
    for (const _ of [1, 2, 3]) hearing.onDown(gone);
    writing.onUp();
    hearing.onDown(gone);
    hearing.onUp();
    expect(said).toEqual(["NATS cannot be reached", "NATS is back."]);
  });
});
