/**
 * What docker has written into the folders of its layers.
 *
 * @module
 */

import { UnexpectedAnswerError } from "../errors/state_errors.ts";

/**
 * Returns the folders of the layers that a layer of docker rests on, the nearest first, from its `layerchain.json`. They are
 * absolute, as they were when docker wrote them: where its root was moved since, only their last part holds.
 *
 * @throws {UnexpectedAnswerError} if it is no such file: what the layer rests on is unknown, not nothing.
 */
export function parentsInChain(json: string): string[] {
  let chain: unknown;
  try {
    chain = JSON.parse(json);
  } catch (cause) {
    throw new UnexpectedAnswerError("layerchain.json", "is not JSON", json, { cause });
  }
  // A base layer has the four letters.
  if (chain === null) return [];
  if (!Array.isArray(chain) || !chain.every((folder) => typeof folder === "string")) {
    throw new UnexpectedAnswerError("layerchain.json", "is no list of folders", json);
  }
  return chain;
}
