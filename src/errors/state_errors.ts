/**
 * States in which something can't be done: in use, closed, not mounted, a result of Windows that can't be right.
 *
 * @module
 */

import { LayerError } from "./layer_error.ts";
import { printable } from "./printable.ts";

/**
 * Something is in use by somebody else. Nothing was changed.
 *
 * @category Errors
 */
export class InUseError extends LayerError {
  /** The class name. */
  override readonly name = "InUseError";
  /** What is in use. */
  readonly path: string;
  /** Who uses it, if it is known: `this process`, or a virtual machine by its id. */
  readonly by: string | undefined;

  /** An error that reads `<path> <problem>`. */
  constructor(path: string, problem: string, by?: string) {
    super(`${path} ${problem}`);
    this.path = path;
    this.by = by;
  }
}

/**
 * An object is used after it was closed.
 *
 * @category Errors
 */
export class ClosedError extends LayerError {
  /** The class name. */
  override readonly name = "ClosedError";
  /** The file or folder that the object stands for. */
  readonly path: string;

  /** An error that names what was closed. */
  constructor(path: string) {
    super(`${path} was closed`);
    this.path = path;
  }
}

/**
 * Windows reported success with a result that can't be right. What had been changed until then is undone.
 *
 * @category Errors
 */
export class UnexpectedAnswerError extends LayerError {
  /** The class name. */
  override readonly name = "UnexpectedAnswerError";
  /** The function of Windows. */
  readonly operation: string;
  /** What it returned. */
  readonly answer: unknown;

  /** An error that reads `<operation> returned something that <problem>: <answer>`. */
  constructor(operation: string, problem: string, answer: unknown, options?: ErrorOptions) {
    super(`${operation} returned something that ${problem}: ${printable(answer)}`, options);
    this.operation = operation;
    this.answer = answer;
  }
}

/**
 * The image of a container's layers has to be mounted, and isn't.
 *
 * @category Errors
 */
export class NotMountedError extends LayerError {
  /** The class name. */
  override readonly name = "NotMountedError";
  /** Path of the image. */
  readonly path: string;

  /** An error that names the image and the volume that is missing. */
  constructor(image: string, volume: string) {
    super(`${image} is not mounted as ${volume}. Mount the container's layers first with mountWCOWLayers`);
    this.path = image;
  }
}
