/**
 * What an entry of a layer is, whether it comes from a tar, a folder or an image.
 *
 * @module
 */

/**
 * What an entry is: a file, a folder, a reparse point (a symbolic link, a junction, or one of another tag), a further name of
 * a file (`link`), a stream of the file or folder before it, or the removal of something in the layers below (`whiteout`).
 */
export type LayerEntryType = "file" | "folder" | "reparse" | "link" | "stream" | "whiteout";

/** The times of a file, in units of 100 ns since 1601 (a FILETIME). 0 is no time. */
export interface FileTimes {
  /** When it was created. */
  readonly creation: bigint;
  /** When its contents were written. */
  readonly write: bigint;
  /** When it was read. */
  readonly access: bigint;
  /** When anything about it was changed. */
  readonly change: bigint;
}

/** A reparse point. */
export interface ReparsePoint {
  /** Its tag, such as {@linkcode SYMLINK_TAG}. */
  readonly tag: number;
  /** Where a symbolic link or junction leads, as its print name or the tar has it. Undefined with other tags. */
  readonly target?: string | undefined;
  /** The whole REPARSE_DATA_BUFFER, from its tag on, if the source has it: a tar hasn't. */
  readonly data?: Uint8Array | undefined;
}

/** An extended attribute. */
export interface ExtendedAttribute {
  /** Its name, as it is stored. */
  readonly name: string;
  /** 0x80 if programs that don't understand it may not open the file. A tar loses it. */
  readonly flags: number;
  /** Its value. */
  readonly value: Uint8Array;
}

/** An entry of a layer. */
export interface LayerEntry {
  /**
   * Its path in the layer, with `/` and without one at the end, such as `Files/Windows/notepad.exe`. That of a stream ends
   * in `:NAME`, without `:$DATA`. That of a whiteout is the path that is removed.
   */
  readonly path: string;
  /** What it is. */
  readonly type: LayerEntryType;
  /** Length of its contents in bytes: 0 unless it is a file or a stream. */
  readonly size: number;
  /** FILE_ATTRIBUTE bits. Undefined if the source doesn't say. */
  readonly attributes?: number | undefined;
  /** Undefined if the source has none at all. */
  readonly times?: FileTimes | undefined;
  /** Self-relative security descriptor. */
  readonly securityDescriptor?: Uint8Array | undefined;
  /** The security descriptor as SDDL text, in old tars that have no other. */
  readonly sddl?: string | undefined;
  /** Undefined or empty if it has none. */
  readonly extendedAttributes?: readonly ExtendedAttribute[] | undefined;
  /** Only with the type `reparse`. */
  readonly reparse?: ReparsePoint | undefined;
  /** The path of the first name of a file, only with the type `link`. */
  readonly target?: string | undefined;
  /** Whether a whiteout removes all that is in the folder in the layers below, but not the folder. */
  readonly isOpaque?: boolean | undefined;
  /** Where it is in its file, in bytes from the beginning, if it is in one. */
  readonly offset?: number | undefined;
  /**
   * Its contents. Those of a tar can be read once, and only until the next entry is asked for.
   */
  contents(): ReadableStream<Uint8Array>;
}

/** The tag of symbolic links (IO_REPARSE_TAG_SYMLINK). */
export const SYMLINK_TAG = 0xa000000c;
/** The tag of junctions (IO_REPARSE_TAG_MOUNT_POINT). */
export const MOUNT_POINT_TAG = 0xa0000003;

/** The FILE_ATTRIBUTE bit of folders. */
export const ATTRIBUTE_FOLDER = 0x10;
/** The FILE_ATTRIBUTE bit of files that were changed since the last backup, which new files have. */
export const ATTRIBUTE_ARCHIVE = 0x20;
/** The FILE_ATTRIBUTE bit of reparse points. */
export const ATTRIBUTE_REPARSE = 0x400;
