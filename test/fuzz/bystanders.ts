import { demand } from "../support/http.ts";
import { offsetOf } from "../support/inbox.ts";
import { SocketReader } from "../support/raw-socket.ts";
import { PlainReader } from "../support/raw-sse.ts";

const CHANNEL = "quiet/line";

/**
 * Honest clients beside the fuzz: one reads by SSE, one by WebSocket, one publishes, each message after the answer to the one before. What they see is judged whole:
 * every publish acknowledged, offsets 1, 2, 3… on both, once, in order, with what was published.
 */
export async function startBystanders(url: string): Promise<{ stop(): Promise<number> }> {
  const asked = { url, channels: [{ name: CHANNEL, from: "start" }] };
  const readers = [await new PlainReader(asked).open(), await new SocketReader(asked).open()];
  let published = 0;
  let stopping = false;

  async function publish(): Promise<void> {
    while (!stopping) {
      const number = published + 1;
      const { status, json } = await demand(`${url}/channels/${CHANNEL}`, {
        method: "POST",
        body: { number },
        headers: { "idempotency-key": `k${number}` },
      });
      if (status !== 201 || offsetOf(json.position) !== number)
        throw new Error(`Publish ${number} was answered ${status} ${JSON.stringify(json)}.`);
      published = number;
      for (const reader of readers) {
        const [message] = await reader.next(1);
        const { number: got } = message!.data as { number: number };
        if (offsetOf(message!.position) !== number || got !== number)
          throw new Error(`Message ${number} came as ${JSON.stringify(message)}.`);
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  const running = publish();
  running.catch(() => undefined);
  return {
    async stop() {
      stopping = true;
      try {
        await running;
        for (const { inbox } of readers) {
          if (inbox.waiting > 0 || inbox.ending !== null)
            throw new Error(`A reader has ${inbox.waiting} too many, and ended with ${JSON.stringify(inbox.ending)}.`);
        }
      } finally {
        for (const reader of readers) reader.close();
      }
      return published;
    },
  };
}
