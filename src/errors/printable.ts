/**
 * Values as text for messages and log lines. Whatever the value is, there is a text and nothing is thrown: a message that
 * can't be made would hide the failure that it tells of.
 *
 * @module
 */

/** Longer texts are cut. */
const LONGEST = 4000;
/** Deeper objects are left out. */
const DEEPEST = 5;
const UNPRINTABLE = "[unprintable]";

/**
 * A value as JSON where it has one, in which nothing is missing: `5n`, `Symbol(a)`, `undefined`, errors by their message,
 * `[circular]`, and `[unprintable]` for what throws when it is looked at.
 */
export function printable(value: unknown): string {
  return cut(textOf(() => value, []));
}

/** What an error says, or anything else that was thrown. */
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

// Each value is fetched in here, as that can throw as well.
function textOf(get: () => unknown, around: readonly unknown[]): string {
  try {
    const value = get();
    switch (typeof value) {
      case "string":
        return JSON.stringify(cut(value));
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

// Stops as soon as it is long enough, so that a huge value costs no more than its first part.
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
