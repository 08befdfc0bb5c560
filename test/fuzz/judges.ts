import { readAnswers } from "./answers.ts";
import type { Attack, Judge } from "./hunt.ts";
import { asLine } from "./mutate.ts";
import { shoot } from "./shoot.ts";

/** A whole request, which must be answered. */
const judgeHttp: Judge = async ({ port }, input) => {
  const { received, closed, late } = await shoot(port, [input], (so) => faultOf(so, input) !== null || isAnswered(so, input));
  if (late) return "No answer came.";
  return faultOf(received, input) ?? (closed && !isAnswered(received, input) ? "The connection was closed without an answer." : null);
};

/** Bytes that need not be a request: whatever comes must be an answer of ours. */
const judgeMutantHttp: Judge = async ({ port }, input) => {
  const { received } = await shoot(port, [input.slice(0, input.length >> 1), input.slice(input.length >> 1)]);
  return faultOf(received, input);
};

function faultOf(received: string, input: string): string | null {
  try {
    readAnswers(received, input);
    return null;
  } catch (error) {
    return `${(error as Error).message}\nIt came as ${asLine(received.slice(0, 4_000))}`;
  }
}

function isAnswered(received: string, input: string): boolean {
  return readAnswers(received, input).some(
    ({ whole, headers }) => whole && (headers.get("content-type") !== "text/event-stream" || received.endsWith("\n\n")),
  );
}

export const REQUESTS: Attack = { judge: judgeHttp, judgePart: judgeMutantHttp };
export const MUTANT_REQUESTS: Attack = { judge: judgeMutantHttp };
