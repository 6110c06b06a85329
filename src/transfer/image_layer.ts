/**
 * The layer of a container in a CIM image: its entries, and the registry hives that belong into it and beside it.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import { FormatError } from "../errors/file_errors.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { CimMetadata } from "../ffi/cim_writer.ts";
import { readPieces, writeNewFile } from "../ffi/file_contents.ts";
import type { Host } from "../ffi/host.ts";
import { createDirectory, fileSize, isNotFound } from "../ffi/kernel32.ts";
import { createHardLink } from "../ffi/naming.ts";
import { mergeHives } from "../ffi/offreg.ts";
import { formatAttributes } from "../files/backup/extended_attributes.ts";
import { reparseDataOf } from "../files/backup/write_backup.ts";
import { ATTRIBUTE_FOLDER, ATTRIBUTE_REPARSE, type LayerEntry } from "../files/layer/entry.ts";
import { caseless } from "../files/layer/layer_path.ts";
import { kindOf } from "../checks/existing.ts";
import { log } from "../log.ts";
import type { CimWriter } from "./image_writer.ts";
import { piecesOf } from "./pieces.ts";

/** Where a layer of an image is made. */
export interface ImageLayerInit {
  /** The image. */
  readonly image: CimWriter;
  /** The folder of the layer, for its hives. */
  readonly layer: string;
  /** The folders of the layers below, the topmost first. */
  readonly parents: readonly string[];
  /** Whether the image shows nothing of those below until it is merged with them. */
  readonly isBlock: boolean;
  /** What errors call the source of the entries. */
  readonly name: string;
}

const CONFIG = "Files\\Windows\\System32\\config";
const HIVES: readonly (readonly [file: string, hive: string])[] = [
  ["SYSTEM", "SYSTEM"],
  ["SOFTWARE", "SOFTWARE"],
  ["SAM", "SAM"],
  ["SECURITY", "SECURITY"],
  ["DEFAULT", "DEFAULTUSER"],
];

// Files that layers above need as plain files.
const KEPT = new RegExp(
  "^(FILES/WINDOWS/SYSTEM32/CONFIG/(SYSTEM|SOFTWARE|SAM|SECURITY|DEFAULT)|HIVES/(SYSTEM|SOFTWARE|SAM|SECURITY|DEFAULTUSER)_DELTA|" +
    "UTILITYVM/FILES/WINDOWS/SYSTEM32/CONFIG/(SYSTEM|SOFTWARE)|UTILITYVM/FILES/EFI/MICROSOFT/BOOT/(BCD|BOOTMGFW\\.EFI))$",
);

// What is made of them.
const MADE = /^HIVES\/(SYSTEM|SOFTWARE|SAM|SECURITY|DEFAULTUSER)_BASE$/;

const NO_TIMES = { creationTime: 0n, lastWriteTime: 0n, changeTime: 0n, lastAccessTime: 0n };
const NORMAL = 0x80;
const LAYOUT = new TextEncoder().encode("vhd-with-hives\n");

/** Writes the entries of a layer into an image. */
export class ImageLayer {
  readonly #host: Host;
  readonly #init: ImageLayerInit;
  /** What was added, without case. */
  readonly #added = new Map<string, "folder" | "other">();
  /** What is written into the image once all entries are there, in this order. */
  readonly #pending: (() => Promise<void>)[] = [];
  /** The files that come into the image only then, and their other names, without case. */
  readonly #late = new Set<string>();
  readonly #links: LayerEntry[] = [];
  #deltas = new Map<string, string>();
  #hasUtilityVM = false;
  /** The folder that nothing has come after but removals. */
  #last: { readonly key: string; readonly metadata: CimMetadata } | undefined;

  constructor(host: Host, init: ImageLayerInit) {
    this.#host = host;
    this.#init = init;
  }

  /**
   * Adds an entry.
   *
   * @throws {FormatError} if an image can't have it.
   */
  async add(entry: LayerEntry): Promise<void> {
    const path = entry.path.replaceAll("/", "\\");
    const key = caseless(entry.path);
    if (entry.type === "whiteout") return await this.#remove(entry, path, key);
    if (entry.type === "stream") return await this.#stream(entry, path, key);
    if (MADE.test(key)) this.#refuse(entry, "it has the name of a registry hive that is made of those of the layers");
    if (entry.type !== "file" && KEPT.test(key)) this.#refuse(entry, "what Windows boots from can only be a file");
    this.#last = undefined;
    this.#added.set(key, entry.type === "folder" ? "folder" : "other");
    if (entry.type === "link") return await this.#link(entry, key);
    const metadata = metadataOf(entry);
    if (entry.sddl !== undefined) this.#refuse(entry, "an image can't have a security descriptor that is a text");
    if (entry.type === "file" && KEPT.test(key)) return await this.#keep(entry, path, key);
    if (entry.type !== "folder") return await this.#init.image.addFile(path, metadata, entry.size, entry.contents());
    if (key.startsWith("UTILITYVM/")) this.#warnOfUtilityVM();
    this.#last = { key, metadata };
    await this.#init.image.addFolder(path, metadata);
  }

  #warnOfUtilityVM(): void {
    if (!this.#init.isBlock || this.#hasUtilityVM) return;
    this.#hasUtilityVM = true;
    log(
      "warn",
      () => `${this.#init.layer} has files of a utility VM, which isn't merged with those of the layers below`,
    );
  }

  async #remove(entry: LayerEntry, path: string, key: string): Promise<void> {
    const { image, isBlock } = this.#init;
    if (entry.isOpaque) {
      // The folder goes with all that the layers below have in it, and comes again.
      if (isBlock || this.#last?.key !== key) {
        const where = isBlock ? "" : ", unless that follows the folder";
        this.#refuse(entry, `all that the layers below have in a folder can't be removed at once${where}`);
      }
      await image.remove(path);
      return await image.addFolder(path, this.#last.metadata);
    }
    // Hides what is below, and nothing of this image.
    if (isBlock) return await image.addTombstone(path);
    // A removal is about the layers below, wherever it stands. A file that was added has replaced theirs.
    if (this.#added.get(key) === "other") return;
    if (this.#added.has(key)) this.#refuse(entry, "it removes a folder that comes before it: it has to come first");
    await image.remove(path);
  }

  async #stream(entry: LayerEntry, path: string, key: string): Promise<void> {
    this.#last = undefined;
    const [colon, { image, layer }] = [path.lastIndexOf(":"), this.#init];
    const [file, name] = [path.slice(0, colon), path.slice(colon + 1)];
    if (!this.#late.has(key.slice(0, key.lastIndexOf(":")))) {
      return await image.addStream(file, name, entry.size, entry.contents());
    }
    const kept = `${layer}\\${file}:${name}`;
    await writeNewFile(this.#host, kept, piecesOf(entry.contents(), entry.size, entry.path));
    const { size } = entry;
    this.#pending.push(() => image.addStream(file, name, size, readPieces(this.#host, kept)));
  }

  async #link(entry: LayerEntry, key: string): Promise<void> {
    if (this.#late.has(caseless(entry.target!))) {
      this.#late.add(key);
      this.#pending.push(() => this.#addLink(entry));
    } else if (this.#init.isBlock) {
      // Only at the end it is known whether it leads to a file of this image.
      this.#links.push(entry);
    } else {
      await this.#addLink(entry);
    }
  }

  async #addLink(entry: LayerEntry): Promise<void> {
    const { path, target, offset } = entry;
    const [from, to] = [path, target!].map((text) => text.replaceAll("/", "\\")) as [string, string];
    const { image, isBlock, name } = this.#init;
    if (isBlock && !this.#added.has(caseless(target!))) return await image.addMergeLink(from, to);
    try {
      await image.addLink(from, to);
    } catch (cause) {
      const problem = isNotFound(cause)
        ? `neither what comes before it nor a layer below has the file that it links to: ${target}`
        : cause instanceof NativeError && cause.win32 === win32.ERROR_ACCESS_DENIED
        ? `Windows refuses it as a link to ${target}, as it does where that is a folder`
        : undefined;
      throw problem === undefined ? cause : new FormatError(name, problem, { entry: path, offset, cause });
    }
  }

  // Into the folder of the layer now, and into the image at the end.
  async #keep(entry: LayerEntry, path: string, key: string): Promise<void> {
    const { layer } = this.#init;
    const file = `${layer}\\${path}`;
    this.#late.add(key);
    this.#makeFolders(path);
    await writeNewFile(this.#host, file, piecesOf(entry.contents(), entry.size, entry.path));
    if (key.startsWith("HIVES/")) this.#deltas.set(key.slice("HIVES/".length, -"_DELTA".length), file);
    this.#addFrom(file, path, metadataOf(entry), entry.size);
  }

  #addFrom(file: string, path: string, metadata: CimMetadata, size: number): void {
    this.#pending.push(() => this.#init.image.addFile(path, metadata, size, readPieces(this.#host, file)));
  }

  #makeFolders(path: string): void {
    const names = path.split("\\").slice(0, -1);
    names.forEach((_, i) => createDirectory(this.#host, [this.#init.layer, ...names.slice(0, i + 1)].join("\\")));
  }

  /** Adds what comes after the entries. The image isn't complete yet. */
  async finish(signal: AbortSignal | undefined): Promise<void> {
    if (this.#init.parents.length === 0) this.#baseHives();
    else await this.#mergedHives(signal);
    for (const entry of this.#links) await this.#addLink(entry);
    for (const add of this.#pending) {
      signal?.throwIfAborted();
      await add();
    }
  }

  // Of a base layer: its hives have one more name each, in the folder and in the image.
  #baseHives(): void {
    const { layer, image } = this.#init;
    createDirectory(this.#host, `${layer}\\Hives`);
    this.#pending.push(() => image.addFolder("Hives", { attributes: ATTRIBUTE_FOLDER, ...NO_TIMES }));
    for (const [file, hive] of HIVES) {
      const name = `Hives\\${hive}_BASE`;
      createHardLink(this.#host, `${layer}\\${name}`, `${layer}\\${CONFIG}\\${file}`);
      this.#pending.push(() => image.addLink(name, `${CONFIG}\\${file}`));
    }
    this.#pending.push(async () => {
      await writeNewFile(this.#host, `${layer}\\layout`, [LAYOUT]);
      await image.addFile("layout", { attributes: NORMAL, ...NO_TIMES }, LAYOUT.byteLength, LAYOUT);
    });
  }

  // Of another one: what the layers below have, and what it changes.
  async #mergedHives(signal: AbortSignal | undefined): Promise<void> {
    const { layer } = this.#init;
    for (const [, hive] of HIVES) {
      const delta = this.#deltas.get(hive);
      if (delta === undefined) continue;
      signal?.throwIfAborted();
      const name = `Hives\\${hive}_BASE`;
      const merged = `${layer}\\${name}`;
      await mergeHives(this.#host, this.#hiveBelow(name), delta, merged);
      const size = Number(fileSize(this.#host, merged));
      this.#addFrom(merged, name, { attributes: NORMAL, ...NO_TIMES }, size);
    }
  }

  // That of the topmost layer which has changed it.
  #hiveBelow(name: string): string {
    const { parents, name: source } = this.#init;
    const found = parents.map((parent) => `${parent}\\${name}`).find((path) => kindOf(this.#host, path) === "file");
    if (found !== undefined) return found;
    throw new FormatError(source, `it changes a registry hive that no layer below has: ${name}`);
  }

  #refuse({ path, offset }: LayerEntry, problem: string): never {
    throw new FormatError(this.#init.name, problem, { entry: path, offset, reason: "unsupported" });
  }
}

/** What an entry is, as images have it. */
export function metadataOf(entry: LayerEntry): CimMetadata {
  const { attributes, securityDescriptor, extendedAttributes = [], type } = entry;
  const { creation = 0n, write = 0n, access = 0n, change = 0n } = entry.times ?? {};
  const bits = (attributes ?? (type === "folder" ? ATTRIBUTE_FOLDER : 0)) & ~ATTRIBUTE_REPARSE;
  return {
    attributes: type === "reparse" ? bits | ATTRIBUTE_REPARSE : bits,
    creationTime: creation,
    lastWriteTime: write,
    changeTime: change,
    lastAccessTime: access,
    ...securityDescriptor !== undefined && { securityDescriptor: securityDescriptor.slice() },
    ...extendedAttributes.length > 0 && { extendedAttributes: formatAttributes(extendedAttributes) },
    ...type === "reparse" && { reparse: reparseDataOf(entry) },
  };
}
