/**
 * The root of all errors that the library throws on purpose.
 *
 * @module
 */

/**
 * Base of all errors of this library: `error instanceof LayerError` tells them from everybody else's.
 *
 * @category Errors
 */
export abstract class LayerError extends Error {
  /** The class name, also in minified code. */
  abstract override readonly name: string;
}
