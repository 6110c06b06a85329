/**
 * Entries of a layer that become files below an open folder, by backup streams.
 *
 * @module
 */

import { BackupWriting } from "../ffi/backup.ts";
import { writeOpen } from "../ffi/file_contents.ts";
import type { Host } from "../ffi/host.ts";
import type { Handle } from "../ffi/kernel32.ts";
import { type BasicInfo, openRelative, type OpenRoot, restoreAccess, setBasicInfo } from "../ffi/nt_files.ts";
import { alternateHeader, dataStream, metadataStreams } from "../files/backup/write_backup.ts";
import { ATTRIBUTE_FOLDER, ATTRIBUTE_REPARSE, type LayerEntry } from "../files/layer/entry.ts";
import { piecesOf } from "./pieces.ts";

/** How a file that Windows takes in beside a folder is named, which tells of the folder. */
export const FOLDER_FILE = ".$wcidirs$";

/**
 * What becomes of entries: the files that they are (`files`); the form in which Windows takes files of layers in (`transport`); or
 * files of nothing but contents (`contents`).
 */
export type RestoredForm = "files" | "transport" | "contents";

interface CurrentFile {
  readonly path: string;
  readonly handle: Handle;
  readonly info: BasicInfo;
  readonly writing: BackupWriting | undefined;
  readonly write: (bytes: Uint8Array<ArrayBuffer>) => void;
}

/** Makes entries files. The last one stays open, as its streams follow it. */
export class RestoredFiles implements Disposable {
  readonly #host: Host;
  readonly #root: OpenRoot;
  readonly #folders: { readonly path: string; readonly info: BasicInfo }[] = [];
  readonly #reparseFolders: string[] = [];
  #current: CurrentFile | undefined;

  /** Makes them below `root`. */
  constructor(host: Host, root: OpenRoot) {
    this.#host = host;
    this.#root = root;
  }

  /** Makes a file, folder or reparse point. There must be none at its path. */
  async add(entry: LayerEntry, form: RestoredForm): Promise<void> {
    this.close();
    const path = entry.path.replaceAll("/", "\\");
    const isFolder = entry.type === "folder" || ((entry.attributes ?? 0) & ATTRIBUTE_FOLDER) !== 0;
    if (form === "transport" && isFolder) {
      if (entry.type === "folder") this.#create(path, "folder")[Symbol.dispose]();
      else this.#reparseFolders.push(path);
      this.#open(path + FOLDER_FILE, entry, form, "file");
    } else {
      this.#open(path, entry, form, isFolder ? "folder" : "file");
    }
    const { write } = this.#current!;
    if (form === "transport") write(new Uint8Array(Uint32Array.of(attributesOf(entry)).buffer));
    if (form !== "contents") { for (const bytes of metadataStreams(entry)) write(bytes); }
    if (entry.type === "file") {
      const pieces = piecesOf(entry.contents(), entry.size, entry.path);
      for await (const bytes of dataStream(entry, pieces)) write(bytes);
    }
    if (entry.type === "folder" && form === "files") this.#folders.push({ path, info: infoOf(entry) });
  }

  /** Gives a folder that is there the metadata of an entry. */
  addExisting(entry: LayerEntry): void {
    this.close();
    const path = entry.path.replaceAll("/", "\\");
    const full = `${this.#root.path}\\${path}`;
    const handle = openRelative(this.#host, this.#root, path, { access: restoreAccess.ALL, kind: "folder" });
    const writing = new BackupWriting(this.#host, handle, full);
    this.#current = { path: full, handle, info: infoOf(entry), writing, write: (bytes) => writing.write(bytes) };
    for (const bytes of metadataStreams(entry)) this.#current.write(bytes);
    this.#folders.push({ path, info: infoOf(entry) });
  }

  /** Adds a stream to the file before. */
  async addStream(entry: LayerEntry): Promise<void> {
    const { write } = this.#current!;
    write(alternateHeader(entry.path.slice(entry.path.lastIndexOf(":") + 1), entry.size));
    for await (const bytes of piecesOf(entry.contents(), entry.size, entry.path)) write(bytes);
  }

  #create(path: string, kind: "folder" | "file", access: number = restoreAccess.ALL): Handle {
    return openRelative(this.#host, this.#root, path, { access, create: true, kind });
  }

  #open(path: string, entry: LayerEntry, form: RestoredForm, kind: "folder" | "file"): void {
    const full = `${this.#root.path}\\${path}`;
    const handle = this.#create(path, kind);
    const info = form === "files" ? infoOf(entry) : { ...infoOf(entry), attributes: 0 };
    if (form === "transport") {
      const write = (bytes: Uint8Array<ArrayBuffer>) => writeOpen(this.#host, handle, bytes, full);
      this.#current = { path: full, handle, info, write, writing: undefined };
    } else {
      const writing = new BackupWriting(this.#host, handle, full, { security: form === "files" });
      this.#current = { path: full, handle, info, writing, write: (bytes) => writing.write(bytes) };
    }
  }

  /** Closes the last file, with its times. */
  close(): void {
    const current = this.#current;
    if (current === undefined) return;
    this.#current = undefined;
    try {
      current.writing?.[Symbol.dispose]();
      setBasicInfo(this.#host, current.handle, current.info, current.path);
    } finally {
      current.handle[Symbol.dispose]();
    }
  }

  /** Makes the folders of reparse points, in which nothing may be before. */
  makeReparseFolders(): void {
    for (const path of this.#reparseFolders) this.#create(path, "folder")[Symbol.dispose]();
  }

  /** Sets the times of all folders again, which changed with what was put into them. */
  finish(): void {
    this.close();
    for (const { path, info } of this.#folders.toReversed()) {
      const access = restoreAccess.WRITE_ATTRIBUTES;
      using folder = openRelative(this.#host, this.#root, path, { access, kind: "folder" });
      setBasicInfo(this.#host, folder, info, `${this.#root.path}\\${path}`);
    }
  }

  /** Closes the last file as it is. */
  [Symbol.dispose](): void {
    const current = this.#current;
    this.#current = undefined;
    try {
      current?.writing?.[Symbol.dispose]();
    } finally {
      current?.handle[Symbol.dispose]();
    }
  }
}

/** The attributes of an entry, as Windows has them. */
export function attributesOf({ type, attributes }: LayerEntry): number {
  const bits = attributes ?? (type === "folder" ? ATTRIBUTE_FOLDER : 0);
  return type === "reparse" ? bits | ATTRIBUTE_REPARSE : bits;
}

// Those that can be set. The others come with what a file is, and Windows refuses some of them.
const SETTABLE = 0x31a7;
const NORMAL = 0x80;

function infoOf(entry: LayerEntry): BasicInfo {
  const { creation = 0n, access = 0n, write = 0n, change = 0n } = entry.times ?? {};
  const all = attributesOf(entry);
  const settable = all & SETTABLE;
  // A new file is one to archive, unless it is said to be none.
  const attributes = settable === 0 && (all & ~ATTRIBUTE_FOLDER) !== 0 ? NORMAL : settable;
  return { creation, access, write, change, attributes };
}
