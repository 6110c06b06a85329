/**
 * A layer, in the form in which documents name it.
 *
 * @module
 */

/**
 * A layer of a container.
 *
 * @category Layers by documents
 */
export interface Layer {
  /** Id of the layer: `nameToGuid` of its folder's name. Linux layers have none. */
  Id?: string;
  /** Its path: a folder of the host, of a mounted image, or of the guest. */
  Path?: string;
  /** How to interpret {@linkcode Layer.Path}. */
  PathType?: string;
  /** How it is cached. */
  Cache?: string;
}
