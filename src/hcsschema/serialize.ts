/**
 * The only place where documents become text.
 *
 * @module
 */

/** Returns the JSON text of a document. Keys with the value `undefined` are left out, as Windows refuses unknown keys. */
export function serialize(document: object): string {
  return JSON.stringify(document);
}

/**
 * Returns the JSON text of a document, parts of which a caller made.
 *
 * @throws {TypeError} if it has no JSON text, or one that says something else: JSON has no number that isn't finite.
 */
export function serializeStrictly(document: object): string {
  return JSON.stringify(document, (_, value) => {
    if (typeof value === "number" && !Number.isFinite(value)) throw new TypeError(`${value} has no JSON text`);
    return value;
  });
}
