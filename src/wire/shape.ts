import { ThroughlineError } from "../protocol/error.ts";
import { parseJson } from "./json.ts";

/** What a field must be. `?` marks one that may be left out, `|null` one that may be null; `any` is whatever JSON holds, but must be there. */
export type FieldKind = "any" | "object" | "boolean?" | "integer" | "integer?" | `${"string" | "number"}${"" | "?" | "|null"}`;

/** The kinds of all fields of a frame but `type`: one left out does not compile. */
export type Shape<Frame> = { readonly [Field in Exclude<keyof Frame, "type">]-?: FieldKind };

/** The JSON object that a frame is. Throws `bad_json`, or `bad_frame` for JSON that is no object. */
export function readObject(text: string): object {
  const value = parseJson(text);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new ThroughlineError("bad_frame", "A frame is a JSON object.");
}

/** An own field: what `__proto__` and its like inherit does not count. */
export function ownField(source: object, field: string): unknown {
  return Object.hasOwn(source, field) ? (source as Record<string, unknown>)[field] : undefined;
}

/**
 * The fields that `shape` names, checked, in an object of our own making, and nothing else of `source`. Throws `bad_frame` with the name
 * of the first field that is missing or of another kind.
 */
export function readShape(source: object, type: string | undefined, shape: Readonly<Record<string, FieldKind>>): object {
  const frame: Record<string, unknown> = type === undefined ? {} : { type };
  for (const field in shape) {
    const kind = shape[field] as FieldKind;
    const value = ownField(source, field);
    if (!fits(kind, value)) {
      throw new ThroughlineError("bad_frame", `The field "${field}" of a ${type ?? "message"} frame must be of the kind ${kind}.`);
    }
    if (value !== undefined) frame[field] = value;
  }
  return frame;
}

function fits(kind: FieldKind, value: unknown): boolean {
  if (value === undefined) return kind.endsWith("?");
  if (kind === "any") return true;
  if (value === null) return kind.endsWith("|null");
  return kind.startsWith("integer") ? Number.isSafeInteger(value) : kind.startsWith(typeof value);
}
