import { ThroughlineError } from "./error.ts";
import { LIMITS, type Limits } from "./limits.ts";

const SEGMENT = /^[A-Za-z0-9_.@~+=,-][A-Za-z0-9_.:@~+=,-]*$/;

/**
 * Checks the name of a channel: a path of one or more segments, `chat/lobby`. Throws `bad_channel`.
 *
 * The alphabet leaves out what means something to a broker, a shell or a URL (`* > ? # % { }`, spaces, control characters);
 * `.` and `..` are refused because proxies rewrite them; `$` is reserved for the system; `:` may not begin a segment, since patterns use it.
 */
export function checkChannelName(name: unknown, limits: Pick<Limits, "channelNameCharsMax"> = LIMITS): string {
  if (typeof name !== "string" || name.length === 0) {
    throw new ThroughlineError("bad_channel", "A channel needs a name, such as chat/lobby.");
  }
  const shown = JSON.stringify(name.slice(0, 64));
  if (name.length > limits.channelNameCharsMax) {
    throw new ThroughlineError(
      "bad_channel",
      `The channel name ${shown}… is longer than ${limits.channelNameCharsMax} characters. Shorten it.`,
    );
  }
  for (const segment of name.split("/")) {
    if (!SEGMENT.test(segment) || segment === "." || segment === "..") {
      throw new ThroughlineError(
        "bad_channel",
        `${shown} is not a channel name. Use segments of letters, digits and _ . : @ ~ + = , - joined by single slashes, such as chat/lobby.`,
      );
    }
  }
  return name;
}

/** The values that a name gives to a pattern's `:parts`, or null if it does not match. `chat/:room` with `chat/lobby` gives `{ room: "lobby" }`. */
export function matchPattern(pattern: string, name: string): Record<string, string> | null {
  const parts = pattern.split("/");
  const segments = name.split("/");
  if (parts.length !== segments.length) return null;
  const params: Record<string, string> = {};
  for (const [index, part] of parts.entries()) {
    const segment = segments[index] as string;
    if (part.startsWith(":")) params[part.slice(1)] = segment;
    else if (part !== segment) return null;
  }
  return params;
}
