/**
 * Rewriting of what was recorded.
 *
 * @module
 */

/** A text in a recording: its key, and which element of the innermost list it belongs to. */
export interface TextPlace {
  readonly key?: string;
  readonly index?: number;
}

/** A copy of a value with other texts in it. Documents are rewritten inside. */
export function mapTexts<T>(value: T, map: (text: string, place: TextPlace) => string): T {
  const copy = (value: unknown, place: TextPlace): unknown => {
    if (typeof value === "string") {
      return isDocument(value) ? JSON.stringify(copy(JSON.parse(value), place)) : map(value, place);
    }
    if (Array.isArray(value)) return value.map((one, index) => copy(one, { ...place, index }));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, copy(one, { ...place, key })]));
  };
  return copy(value, {}) as T;
}

/** Whether a text is an HCS document. */
export function isDocument(text: string): boolean {
  if (!/^\s*[{[]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
