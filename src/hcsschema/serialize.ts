/**
 * The only place where documents become text.
 *
 * @module
 */

/** Returns the JSON text of a document. Keys with the value `undefined` are left out, as Windows refuses unknown keys. */
export function serialize(document: object): string {
  return JSON.stringify(document);
}
