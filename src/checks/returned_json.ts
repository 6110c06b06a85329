/**
 * Documents that Windows returned.
 *
 * @module
 */

import { UnexpectedAnswerError } from "../errors/state_errors.ts";

/**
 * Parses the document that a function of Windows returned, and returns what `read` finds in it.
 *
 * @throws {UnexpectedAnswerError} if it isn't JSON, or `read` throws.
 */
export function returnedJson<D, T>(operation: string, text: string, read: (document: D) => T): T {
  try {
    return read(JSON.parse(text));
  } catch (cause) {
    throw new UnexpectedAnswerError(operation, "is not JSON", text, { cause });
  }
}
