/**
 * Formatting values for messages and log lines. This works for every value and never throws, because an error here would
 * hide the failure that the message describes.
 *
 * @module
 */

/** Length at which texts are cut. */
const LONGEST = 4000;
/** Depth at which nested objects are left out. */
const DEEPEST = 5;
const UNPRINTABLE = "[unprintable]";

/**
 * Formats a value as JSON, and values that have no JSON as `5n`, `Symbol(a)`, `undefined`, the message of an error,
 * `[circular]`, or `[unprintable]` if reading them throws.
 */
export function printable(value: unknown): string {
  return cut(textOf(() => value, []));
}

/**
 * Writes characters that control a terminal or a log, or that turn around the order of text, as `\u001b`: the name of a
 * file must not change how a message looks.
 */
export function visible(text: string): string {
  return text.replace(
    /[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Returns the message of an error, or of anything else that was thrown. */
export function messageOf(error: unknown): string {
  try {
    if (typeof error === "string") return cut(error);
    if (!(error instanceof Error)) return printable(error);
    const { message, name } = error;
    return cut(message === "" ? name : message);
  } catch {
    return UNPRINTABLE;
  }
}

// Each value is read in here, because that can throw too.
function textOf(get: () => unknown, around: readonly unknown[]): string {
  try {
    const value = get();
    switch (typeof value) {
      case "string":
        return visible(JSON.stringify(cut(value)));
      case "bigint":
        return `${value}n`;
      case "function":
        return "[function]";
      case "object":
        return value === null ? "null" : objectText(value, around);
      default:
        return String(value);
    }
  } catch {
    return UNPRINTABLE;
  }
}

function objectText(value: object, around: readonly unknown[]): string {
  if (value instanceof Error) return messageOf(value);
  if (around.includes(value)) return "[circular]";
  if (around.length === DEEPEST) return "[…]";
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  const inside = [...around, value];
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === "function") return textOf(() => toJSON.call(value), inside);
  if (Array.isArray(value)) return `[${joined(value.keys(), (index) => textOf(() => value[index], inside))}]`;
  const fields = value as Record<string, unknown>;
  return `{${
    joined(Object.keys(fields), (key) => `${JSON.stringify(cut(key))}:${textOf(() => fields[key], inside)}`)
  }}`;
}

// Stops when the text is long enough, so that a huge value costs no more than its first part.
function joined<T>(parts: Iterable<T>, text: (part: T) => string): string {
  let all = "";
  for (const part of parts) {
    if (all.length > LONGEST) return `${all},…`;
    all += `${all === "" ? "" : ","}${text(part)}`;
  }
  return all;
}

function cut(text: string): string {
  return text.length <= LONGEST ? text : `${text.slice(0, LONGEST)}…`;
}
