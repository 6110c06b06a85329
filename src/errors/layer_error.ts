/**
 * The base class of all errors of the library.
 *
 * @module
 */

/**
 * Base class of all errors of this library. `error instanceof LayerError` distinguishes them from other errors.
 *
 * @category Errors
 */
export abstract class LayerError extends Error {
  /** The class name, even in minified code. */
  abstract override readonly name: string;
}
