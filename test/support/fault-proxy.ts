import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

/** What is done to the bytes of one direction. What is left out is not done. */
export interface Faults {
  /** Milliseconds that every byte is late, and up to so many more by chance. Order is kept, as TCP does. */
  readonly delayMs?: number;
  readonly jitterMs?: number;
  readonly bytesPerSecond?: number;
  /** Arrives in pieces of 1 to so many bytes, each in its own turn of the event loop. */
  readonly sliceBytesMax?: number;
  /** The link is cut when so many bytes have passed in this direction. */
  readonly cutAfterBytes?: number;
  /** `held`: nothing passes until it is `open` again, and nothing is lost. `hole`: nothing passes ever again, not even that an end has closed. */
  readonly flow?: "open" | "held" | "hole";
}

/** `reset`: RST, as by a router that forgot. `end`: FIN, as by a proxy that stops. */
export type Cut = "reset" | "end";

/** More than this waits in the proxy in no direction: the sender is not read, and so feels it. */
const QUEUE_BYTES_MAX = 65_536;

/**
 * A TCP proxy on loopback that does what networks do. `up` is from the client to the server, `down` the other way. Faults of the proxy are
 * those of every link to come, and by `set` also of those that stand; a link may have its own.
 */
export class FaultProxy {
  readonly links = new Set<Link>();
  readonly counts = { links: 0, refused: 0, cuts: 0, bytesUp: 0, bytesDown: 0 };
  readonly port: number;
  /** How links are cut that reach `cutAfterBytes`. */
  how: Cut = "reset";
  /** Answers new connections by a reset. */
  refusing = false;
  /** Told of each new link before a byte has passed, to give it faults of its own. */
  onLink: (link: Link) => void = () => undefined;
  readonly #server: Server;
  readonly #random: () => number;
  #faults: { up: Faults; down: Faults } = { up: {}, down: {} };

  private constructor(server: Server, targetPort: number, random: () => number) {
    this.#server = server;
    this.#random = random;
    this.port = (server.address() as { port: number }).port;
    server.on("connection", (client: Socket) => this.#accept(client, targetPort));
  }

  static async open(targetPort: number, random: () => number = Math.random): Promise<FaultProxy> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }).listen(0, "127.0.0.1");
    await once(server, "listening");
    return new FaultProxy(server, targetPort, random);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  set({ up, down }: { readonly up?: Faults; readonly down?: Faults }): void {
    this.#faults = { up: { ...this.#faults.up, ...up }, down: { ...this.#faults.down, ...down } };
    for (const link of this.links) link.set({ ...(up && { up }), ...(down && { down }) });
  }

  /** No faults any more, for links to come; and for those that stand, but for holes. */
  heal(): void {
    this.refusing = false;
    this.#faults = { up: {}, down: {} };
    for (const link of this.links) link.heal();
  }

  /** Cuts every link that stands, and says how many there were. */
  cut(how: Cut = "reset"): number {
    const { size } = this.links;
    for (const link of this.links) link.cut(how);
    return size;
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #accept(client: Socket, targetPort: number): void {
    if (this.refusing) {
      this.counts.refused++;
      reset(client.on("error", () => undefined));
      return;
    }
    this.counts.links++;
    const server = connect({ port: targetPort, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    const link = new Link(this, client, server, this.#random);
    this.links.add(link);
    link.set(this.#faults);
    this.onLink(link);
  }
}

/** One connection through the proxy. */
export class Link {
  readonly up: Way;
  readonly down: Way;
  readonly #proxy: FaultProxy;
  readonly #ends: readonly [Socket, Socket];

  constructor(proxy: FaultProxy, client: Socket, server: Socket, random: () => number) {
    this.#proxy = proxy;
    this.#ends = [client, server];
    const cut = (): void => this.cut(proxy.how);
    this.up = new Way(client, server, random, cut, (bytes) => {
      proxy.counts.bytesUp += bytes;
    });
    this.down = new Way(server, client, random, cut, (bytes) => {
      proxy.counts.bytesDown += bytes;
    });
    const gone = (): void => {
      if (client.destroyed && server.destroyed) proxy.links.delete(this);
    };
    for (const end of this.#ends) end.on("close", gone);
  }

  set({ up, down }: { readonly up?: Faults; readonly down?: Faults }): void {
    if (up) this.up.set(up);
    if (down) this.down.set(down);
  }

  heal(): void {
    for (const way of [this.up, this.down]) way.set(way.faults.flow === "hole" ? { flow: "hole" } : {}, true);
  }

  cut(how: Cut = "reset"): void {
    if (!this.#proxy.links.delete(this)) return;
    this.#proxy.counts.cuts++;
    for (const end of this.#ends) {
      if (how === "reset") reset(end);
      // What was passed on still arrives; nothing is read any more
      else end.end(() => end.destroy());
    }
  }
}

/** One direction of a link. */
class Way {
  faults: Faults = {};
  /** Bytes that have passed. */
  passed = 0;
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #random: () => number;
  readonly #cut: () => void;
  readonly #count: (bytes: number) => void;
  readonly #queue: { bytes: Buffer; readonly dueMs: number }[] = [];
  #queuedBytes = 0;
  /** When the line has carried what was given to it, and when the last byte is due. */
  #carriedMs = 0;
  #dueMs = 0;
  #ended = false;
  /** Something will pump again by itself: a timer, a drain. */
  #waiting = false;

  constructor(from: Socket, to: Socket, random: () => number, cut: () => void, count: (bytes: number) => void) {
    this.#from = from;
    this.#to = to;
    this.#random = random;
    this.#cut = cut;
    this.#count = count;
    from.on("data", (bytes: Buffer) => this.#take(bytes));
    from.on("end", () => {
      this.#ended = true;
      this.#pump();
    });
    from.on("error", () => undefined);
    // An end that was reset takes the other with it, unless nobody may hear of it
    from.on("close", () => {
      if (this.faults.flow !== "hole" && !this.#ended) to.destroy();
    });
    to.on("drain", () => this.#go());
  }

  set(faults: Faults, anew = false): void {
    this.faults = anew ? faults : { ...this.faults, ...faults };
    const { flow = "open" } = this.faults;
    if (flow === "hole") this.#queue.length = 0;
    if (flow === "open") this.#from.resume();
    else this.#from.pause();
    this.#pump();
  }

  #take(bytes: Buffer): void {
    const { delayMs = 0, jitterMs = 0, bytesPerSecond = Number.POSITIVE_INFINITY } = this.faults;
    this.#carriedMs = Math.max(this.#carriedMs, performance.now()) + (bytes.length * 1_000) / bytesPerSecond;
    this.#dueMs = Math.max(this.#dueMs, this.#carriedMs + delayMs + this.#random() * jitterMs);
    this.#queue.push({ bytes, dueMs: this.#dueMs });
    this.#queuedBytes += bytes.length;
    if (this.#queuedBytes > QUEUE_BYTES_MAX) this.#from.pause();
    this.#pump();
  }

  #pump(): void {
    while (!this.#waiting && (this.faults.flow ?? "open") === "open" && !this.#to.destroyed) {
      const [first] = this.#queue;
      if (first === undefined) {
        if (this.#ended) this.#to.end();
        return;
      }
      const lateMs = first.dueMs - performance.now();
      if (lateMs > 0) {
        this.#waiting = true;
        setTimeout(() => this.#go(), lateMs);
      } else this.#pass(first);
    }
  }

  #pass(first: { bytes: Buffer }): void {
    const { sliceBytesMax, cutAfterBytes = Number.POSITIVE_INFINITY } = this.faults;
    const sliceBytes = sliceBytesMax === undefined ? first.bytes.length : 1 + Math.floor(this.#random() * sliceBytesMax);
    const piece = first.bytes.subarray(0, Math.max(0, Math.min(sliceBytes, cutAfterBytes - this.passed)));
    first.bytes = first.bytes.subarray(piece.length);
    if (first.bytes.length === 0) this.#queue.shift();
    this.passed += piece.length;
    this.#queuedBytes -= piece.length;
    this.#count(piece.length);
    const taken = this.#to.write(piece);
    if (this.passed >= cutAfterBytes) {
      this.#cut();
      return;
    }
    if (this.#queuedBytes <= QUEUE_BYTES_MAX) this.#from.resume();
    this.#waiting = !taken || sliceBytesMax !== undefined;
    if (taken && sliceBytesMax !== undefined) setImmediate(() => this.#go());
  }

  #go(): void {
    this.#waiting = false;
    this.#pump();
  }
}

/** RST and nothing else: `resetAndDestroy` sends a FIN first wherever the socket could still be written. */
function reset(socket: Socket): void {
  Object.assign(socket, { resetAndClosing: true }).destroy();
}
