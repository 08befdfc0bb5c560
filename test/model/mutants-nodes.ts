import type { Mutant } from "./mutate.ts";

const REQUESTS = "src/core/requests.ts";
const REVOCATIONS = "src/core/revocations.ts";

/** Faults of what nodes tell each other. */
export const NODE_MUTANTS: readonly Mutant[] = [
  // Requests
  {
    name: "put-twice",
    what: "A request that comes twice by way of another node is done twice.",
    edits: [
      {
        file: REQUESTS,
        find: "if (node !== this.#context.node() || this.#taken.has(print)) return;",
        replace: "if (node !== this.#context.node()) return;",
      },
    ],
  },
  {
    name: "second-offer-taken",
    what: "A request is put to each node that would answer.",
    edits: [
      {
        file: REQUESTS,
        find: "if (forwarded === undefined || !forwarded.isSeeking) return;",
        replace: "if (forwarded === undefined) return;",
      },
    ],
  },
  {
    name: "put-to-all",
    what: "Each node that has the handler does what was put to one of them.",
    edits: [
      {
        file: REQUESTS,
        find: "if (node !== this.#context.node() || this.#taken.has(print)) return;",
        replace: "if (node === null || this.#taken.has(print)) return;",
      },
    ],
  },
  {
    name: "answer-of-another",
    what: "Whatever answer comes is that to the request that has waited longest.",
    edits: [
      {
        file: REQUESTS,
        find: "const forwarded = this.#end(notice.id);",
        replace: "const forwarded = this.#end(this.#forwarded.keys().next().value ?? notice.id);",
      },
    ],
  },
  {
    name: "answer-awaited-for-ever",
    what: "A request whose answer is lost is never ended.",
    edits: [
      {
        file: REQUESTS,
        find: "forwarded.cancel = clock.after(limits.requestSecondsMax * 1_000, () => {",
        replace: "forwarded.cancel = clock.after(1e9, () => {",
      },
    ],
  },
  {
    name: "seeks-on",
    what: "A request that was put to a node is refused all the same when the time for offers is over.",
    edits: [
      {
        file: REQUESTS,
        find: "    forwarded.isSeeking = false;\n    forwarded.cancel();\n",
        replace: "    forwarded.isSeeking = false;\n",
      },
    ],
  },
  {
    name: "asked-once",
    what: "Who would answer is asked once, and where the offer comes before this node listens for it nobody would.",
    edits: [{ file: REQUESTS, find: "const ROUNDS = [0.05, 0.15, 0.8];", replace: "const ROUNDS = [1];" }],
  },
  {
    name: "offers-whatever",
    what: "A node offers to answer what it has no handler for.",
    edits: [{ file: REQUESTS, find: " || !this.#handlers.has(channel, name)) return;", replace: ") return;" }],
  },
  {
    name: "stops-without-a-word",
    what: "A node that stops leaves those waiting whose requests it answers, and says so by a log that is closed.",
    edits: [{ file: REQUESTS, find: "for (const put of this.#answering.values()) this.#refuse(put, stopping(put));", replace: "" }],
  },
  // Revocations
  {
    name: "revocation-not-told",
    what: "A revocation is told to nobody but the node that is called.",
    edits: [{ file: REVOCATIONS, find: '    this.#tell("revoke", id);\n', replace: "" }],
  },
  {
    name: "revocation-told-once",
    what: "A revocation is told to the other nodes once, be it lost or not.",
    edits: [{ file: REVOCATIONS, find: "    if (ms === undefined) {", replace: "    if (ms !== null) {" }],
  },
  {
    name: "revocation-not-heard",
    what: "A node that hears of a revocation lets the pipes be.",
    edits: [{ file: REVOCATIONS, find: "else if (id !== null) this.#revoke(id, agoMs);", replace: "" }],
  },
  {
    name: "revocation-counts-twice",
    what: "A revocation that is told again refuses whoever is on the way in by then, be he permitted again or not.",
    edits: [{ file: REVOCATIONS, find: "    if (this.#heard.has(print)) return true;\n", replace: "" }],
  },
  {
    name: "revocation-has-no-age",
    what: "A revocation that is heard late, or again, ends whoever was let in since.",
    edits: [
      { file: REVOCATIONS, find: "    if (this.#heard.has(print)) return true;\n", replace: "" },
      {
        file: REVOCATIONS,
        find: "connections.revoke(id, Math.max(0, agoMs - SLACK_MS))",
        replace: "connections.revoke(id, 0 * (agoMs - SLACK_MS))",
      },
    ],
  },
  {
    name: "revocation-late-has-no-age",
    what: "A revocation that is heard late ends whoever was let in since.",
    edits: [
      {
        file: REVOCATIONS,
        find: "connections.revoke(id, Math.max(0, agoMs - SLACK_MS))",
        replace: "connections.revoke(id, 0 * (agoMs - SLACK_MS))",
      },
    ],
  },
  {
    name: "revocation-spares-the-way",
    what: "A revocation that is heard late ends who came in before it, and not who had only asked before it.",
    edits: [
      {
        file: "src/core/connection.ts",
        find: "    this.#size++;\n",
        replace: "    this.#size++;\n    Object.assign(connection, { asked: this.#clock.elapsed() });\n",
      },
    ],
  },
];
