/**
 * Where a layer can be read from, as often as needed, and what may be wrong with it.
 *
 * @module
 */

import type { LayerEntry } from "./entry.ts";

/**
 * What a finding is about: the file as a whole (`format`), the type of an entry, its path, the top folders (`root`),
 * the order of entries, two of one path (`collision`), streams, links, whiteouts, metadata, or what a base layer needs
 * (`base`).
 */
export type LayerRule =
  | "format"
  | "type"
  | "path"
  | "root"
  | "order"
  | "collision"
  | "stream"
  | "link"
  | "whiteout"
  | "metadata"
  | "base";

/** Something that is wrong with a layer. */
export interface LayerFinding {
  /** An error: Windows doesn't take the layer, or makes something else of it. A warning: it does, but somebody may wonder. */
  readonly severity: "error" | "warning";
  /** What it is about. */
  readonly rule: LayerRule;
  /** What is wrong. */
  readonly problem: string;
  /** The entry, as its source has it. Undefined if it is about the layer. */
  readonly path?: string | undefined;
  /** Where the entry is in its file, in bytes from the beginning. */
  readonly offset?: number | undefined;
}

/** Options for reading the entries of a layer. */
export interface EntriesOptions {
  /** Ends reading once it is aborted. */
  readonly signal?: AbortSignal | undefined;
  /** Told of entries that are wrong, which are then left out. Without it, the first ends reading with a FormatError. */
  readonly onFinding?: ((finding: LayerFinding) => void) | undefined;
}

/**
 * What a layer is kept in. Of a folder, nobody tells attributes, access rights, extended attributes, streams and what
 * it removes, and of its times the last write is the one that outlives a copy.
 */
export type LayerForm = "tar" | "folder" | "image";

/** A layer that can be read as often as needed. */
export interface LayerSource {
  /** What errors call it, such as its path. */
  readonly name: string;
  /** What it is kept in. Default: something that tells as much as a tar. */
  readonly form?: LayerForm | undefined;
  /**
   * Its entries, in the order in which they are stored.
   *
   * @throws {FormatError} if it is damaged, or has an entry that can't be one.
   */
  entries(options?: EntriesOptions): AsyncIterable<LayerEntry>;
}
