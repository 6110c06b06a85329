/**
 * Paths in images, as Windows takes them.
 *
 * @module
 */

import { InvalidInputError } from "../errors/input_error.ts";
import { text } from "../files/option_checks.ts";
import { pathProblem } from "../files/layer/layer_path.ts";

/**
 * Checks a path in an image, and returns it.
 *
 * @throws {InvalidInputError} if it isn't relative, or has a part that Windows would take for something else.
 */
export function pathInImage(path: string): string {
  text(path, "path");
  const problem = path.includes("/") ? "has a / in it" : pathProblem(path.replaceAll("\\", "/"));
  if (problem !== undefined) throw new InvalidInputError("path", problem, path);
  return path;
}

const LONGEST_NAME = 255;

/**
 * Checks the name of an alternate data stream, and returns it without `:$DATA`.
 *
 * @throws {InvalidInputError} if it isn't one.
 */
export function streamName(name: string): string {
  const plain = text(name, "name").replace(/:\$DATA$/i, "");
  // deno-lint-ignore no-control-regex
  if (plain === "" || plain.length > LONGEST_NAME || /[\x00:\\/]/.test(plain)) {
    throw new InvalidInputError("name", "is no name of an alternate data stream", name);
  }
  return plain;
}
