import type { WebSocketClass, WebSocketLike } from "../../client/system.ts";

/** This page's way to the network, which can be cut for real: what is open is torn down, and what is tried fails. */
export interface Network {
  readonly fetch: typeof fetch;
  readonly WebSocket: WebSocketClass;
  /** 0 while it is whole. */
  readonly cutUntilMs: number;
  cut(ms: number): void;
}

const CLOSED = 3;

export function createNetwork(): Network {
  const open = new Set<() => void>();
  let cutUntilMs = 0;
  const isCut = (): boolean => performance.now() < cutUntilMs;

  async function cuttableFetch(input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
    if (isCut()) throw new TypeError("The network was cut by this page.");
    const abort = new AbortController();
    const tear = (): void => abort.abort(new TypeError("The network was cut by this page."));
    const follow = (): void => {
      open.delete(tear);
      abort.abort(init.signal?.reason);
    };
    init.signal?.addEventListener("abort", follow, { once: true });
    if (init.signal?.aborted) follow();
    open.add(tear);
    try {
      const response = await fetch(input, { ...init, signal: abort.signal });
      // What is not a stream is there at once, and over
      if (!response.headers.get("content-type")?.startsWith("text/event-stream")) open.delete(tear);
      return response;
    } catch (error) {
      open.delete(tear);
      throw error;
    }
  }

  /** A WebSocket that hears no more when the network is cut, as on a train that enters a tunnel; the real one is closed behind its back. */
  class CuttableWebSocket implements WebSocketLike {
    onopen: WebSocketLike["onopen"] = null;
    onmessage: WebSocketLike["onmessage"] = null;
    onclose: WebSocketLike["onclose"] = null;
    onerror: WebSocketLike["onerror"] = null;
    readonly #real: WebSocket | null = null;
    #torn = false;

    constructor(url: string, protocols: string[]) {
      if (isCut()) {
        setTimeout(() => this.#tear());
        return;
      }
      const real = new WebSocket(url, protocols);
      const tear = (): void => this.#tear();
      real.onopen = (event) => this.onopen?.(event as never);
      real.onmessage = (event) => this.onmessage?.(event as never);
      real.onerror = (event) => this.onerror?.(event as never);
      real.onclose = (event) => {
        open.delete(tear);
        this.onclose?.(event as never);
      };
      open.add(tear);
      this.#real = real;
    }

    get binaryType(): string {
      return this.#real?.binaryType ?? "arraybuffer";
    }

    set binaryType(type: string) {
      if (this.#real) this.#real.binaryType = type as BinaryType;
    }

    get readyState(): number {
      return this.#torn || !this.#real ? CLOSED : this.#real.readyState;
    }

    send(data: string | Uint8Array<ArrayBuffer>): void {
      if (!this.#torn) this.#real?.send(data);
    }

    close(code?: number, reason?: string): void {
      this.#real?.close(code, reason);
    }

    #tear(): void {
      if (this.#torn) return;
      this.#torn = true;
      const real = this.#real;
      if (real) {
        real.onopen = real.onmessage = real.onerror = real.onclose = null;
        real.close();
      }
      this.onerror?.(new Event("error") as never);
      this.onclose?.(new CloseEvent("close", { code: 1006 }) as never);
    }
  }

  return {
    fetch: cuttableFetch,
    WebSocket: CuttableWebSocket,
    get cutUntilMs() {
      return isCut() ? cutUntilMs : 0;
    },
    cut(ms) {
      cutUntilMs = performance.now() + ms;
      for (const tear of [...open]) tear();
      open.clear();
    },
  };
}
