/**
 * The one place where documents become text.
 *
 * @module
 */

/** The JSON text of a document. A key whose value is `undefined` is absent: Windows and guests refuse keys unknown to them. */
export function serialise(document: object): string {
  return JSON.stringify(document);
}
