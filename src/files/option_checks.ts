/**
 * Checks of arguments for functions on files.
 *
 * @module
 */

import { InvalidInputError } from "../errors/input_error.ts";
import { type Check, itemsOf, requireObject } from "../options.ts";
import type { LayerSource } from "./layer/layer_source.ts";

/** A check of a whole number. */
export const count: Check<number> = (value, argument) => {
  if (!Number.isSafeInteger(value) || (value as number) < 0) {
    throw new InvalidInputError(argument, "is not a whole number from 0", value);
  }
  return value as number;
};

/** A check of a text. */
export const text: Check<string> = (value, argument) => {
  if (typeof value !== "string") throw new InvalidInputError(argument, "is not a string", value);
  return value;
};

/** A check of what is true or false. */
export const flag: Check<boolean> = (value, argument) => {
  if (typeof value !== "boolean") throw new InvalidInputError(argument, "is not a boolean", value);
  return value;
};

/** A check of a layer that can be read. */
export const layerSource: Check<LayerSource> = (value, argument) => {
  requireObject(value, argument);
  if (typeof value.entries !== "function") {
    throw new InvalidInputError(argument, "is no layer: it has no entries()", value);
  }
  return value as unknown as LayerSource;
};

/** A check of layers, topmost first. */
export function layerSources(value: unknown, argument = "layers"): LayerSource[] {
  return itemsOf(value, argument, layerSource);
}
