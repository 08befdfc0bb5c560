import { describe, expect, test } from "vitest";
import { handClock, seededRandom } from "../../test/support/clock.ts";
import type { LogContext } from "../core/log.ts";
import { BrokerFollows, type Followed, newlyFollowed } from "./broker-follows.ts";

/** A node that hears what it is given, of a broker that has nothing stored. */
class Node extends BrokerFollows<Followed> {
  readonly heard: string[] = [];

  constructor(node: string) {
    const log = { clock: handClock(), random: seededRandom(1), warn: () => {} } as unknown as LogContext;
    super({ log, engine: "broker", node, read: async () => ({ head: null, entries: [] }) });
    this.listen(({ channel, body }) => this.heard.push(`${channel} ${body}`));
    for (const channel of ["a", "b"]) this.follow(channel, () => {});
  }

  say = (body: string) => this.numbered(body);

  hear(channel: string, text: string): void {
    this.hearNotice(this.channels.get(channel)!, text);
  }

  protected make = (channel: string) => newlyFollowed(channel);
  protected isHearing = () => true;
  protected canAsk = () => false;
  protected asker = () => async () => true;
  protected began(): void {}
  protected ended(): void {}
  protected async subscribe(): Promise<void> {}
}

describe("Of what other nodes tell, a node", () => {
  test("hears nothing twice, and nothing behind what the same one told later of the same channel", () => {
    const [ada, eve, node] = [new Node("ada"), new Node("eve"), new Node("me")];
    const [one, two, three] = [ada.say('{"n": 1}'), ada.say('{"n": 2}'), ada.say('{"n": 3}')];
    for (const text of [one, one, three, two, three]) node.hear("a", text);
    node.hear("b", two);
    node.hear("a", eve.say("hers"));
    node.hear("a", node.say("its own"));
    node.hear("a", "no number");
    expect(node.heard).toEqual(['a {"n": 1}', 'a {"n": 3}', 'b {"n": 2}', "a hers"]);
  });

  test("[D7] remembers a thousand nodes for each channel, and forgets the one that it heard longest ago", () => {
    const node = new Node("me");
    const tell = (count: number, n: number) => {
      for (let teller = 1; teller <= count; teller++) node.hear("a", `node-${teller} ${n} x`);
    };
    tell(1_000, 2);
    node.hear("a", "node-1 3 x");
    node.hear("a", "node-1001 1 x");
    node.heard.length = 0;
    for (const teller of [1, 3, 1_000, 1_001]) node.hear("a", `node-${teller} 1 late`);
    expect(node.heard).toEqual([]);
    node.hear("a", "node-2 1 late");
    expect(node.heard).toEqual(["a late"]);
  });
});
