/**
 * A layer of plain folders while it is imported.
 *
 * @module
 */

import { FormatError, type FormatProblem } from "../errors/file_errors.ts";
import type { Host } from "../ffi/host.ts";
import { type OpenRoot, openRoot } from "../ffi/nt_files.ts";
import { importLayer, processBaseImage, processUtilityImage } from "../ffi/vmcompute.ts";
import type { LayerEntry } from "../files/layer/entry.ts";
import { caseless } from "../files/layer/layer_path.ts";
import { parentLayers } from "../session/session.ts";
import { entriesIn, kindAt, linkInto, removeRelative } from "./layer_files.ts";
import { RestoredFiles } from "./restored_files.ts";
import { cloneUtilityVM } from "./cloned_vm.ts";

/** Where a layer is made. */
export interface FolderLayerInit {
  /** Its folder, which is empty. */
  readonly layer: string;
  /** The folder from which Windows imports it. Undefined for a base layer. */
  readonly transport: string | undefined;
  /** The folders of the layers below, the topmost first. */
  readonly parents: readonly string[];
  /** What errors call the source of the entries. */
  readonly name: string;
}

/** Makes a layer of entries. */
export class FolderLayer implements Disposable {
  readonly #host: Host;
  readonly #init: FolderLayerInit;
  readonly #opened = new DisposableStack();
  readonly #root: OpenRoot;
  /** Files in the layer itself. */
  readonly #files: RestoredFiles;
  /** Files in the folder from which Windows imports. */
  readonly #transported: RestoredFiles | undefined;
  readonly #added = new Map<
    string,
    { readonly isFolder: boolean; readonly inTransport: boolean; readonly path: string }
  >();
  readonly #removed: LayerEntry[] = [];
  readonly #links: LayerEntry[] = [];
  #last: RestoredFiles;
  #hasUtilityVM = false;

  constructor(host: Host, init: FolderLayerInit) {
    this.#host = host;
    this.#init = init;
    try {
      this.#root = this.#open(init.layer);
      this.#files = this.#opened.use(new RestoredFiles(host, this.#root));
      this.#transported = init.transport === undefined
        ? undefined
        : this.#opened.use(new RestoredFiles(host, this.#open(init.transport)));
      this.#last = this.#files;
    } catch (error) {
      this.#opened.dispose();
      throw error;
    }
  }

  #open(path: string): OpenRoot {
    const root = openRoot(this.#host, path);
    this.#opened.use(root.handle);
    return root;
  }

  /** Adds an entry. */
  async add(entry: LayerEntry): Promise<void> {
    const key = caseless(entry.path);
    if (entry.type === "stream") return await this.#last.addStream(entry);
    if (entry.type === "whiteout") return void this.#removed.push(entry);
    if (entry.sddl !== undefined) this.#refuse(entry, "its security descriptor is a text: it has to be bytes");
    if (entry.type === "link") return this.#link(entry, key);
    const inLayer = this.#transported === undefined || key === "UTILITYVM" || key.startsWith("UTILITYVM/");
    const isFolder = entry.type === "folder";
    this.#added.set(key, { isFolder, inTransport: !inLayer, path: entry.path.replaceAll("/", "\\") });
    if (key === "UTILITYVM/FILES" || key.startsWith("UTILITYVM/FILES/")) this.#hasUtilityVM = true;
    this.#last = inLayer ? this.#files : this.#transported;
    if (this.#transported === undefined) return await this.#files.add(entry, "files");
    if (inLayer) return await this.#addToUtilityVM(entry, key);
    const isHive = key.startsWith("HIVES/");
    await this.#transported.add(entry, isHive ? "contents" : "transport");
  }

  async #addToUtilityVM(entry: LayerEntry, key: string): Promise<void> {
    const path = entry.path.replaceAll("/", "\\");
    const [parent] = this.#init.parents;
    if (key !== "UTILITYVM" && key !== "UTILITYVM/FILES" && !key.startsWith("UTILITYVM/FILES/")) {
      this.#refuse(entry, "only Files of UtilityVM can be in a layer");
    }
    if (key === "UTILITYVM/FILES") {
      using below = openRoot(this.#host, parent!).handle;
      await cloneUtilityVM(this.#host, { handle: below, path: parent! }, this.#root);
    }
    const there = kindAt(this.#host, this.#root, path);
    const isFolder = entry.type === "folder";
    if (there === "folder" && isFolder) return this.#files.addExisting(entry);
    if (there !== undefined) removeRelative(this.#host, this.#root, path);
    await this.#files.add(entry, "files");
  }

  #link(entry: LayerEntry, key: string): void {
    this.#last.close();
    if (this.#transported === undefined) {
      const [path, target] = [entry.path, entry.target!].map((text) => text.replaceAll("/", "\\")) as [string, string];
      linkInto(this.#host, { root: this.#root, path: target }, { root: this.#root, path });
    } else {
      this.#links.push(entry);
    }
    this.#added.set(key, { isFolder: false, inTransport: false, path: entry.path.replaceAll("/", "\\") });
  }

  /** Has Windows make a layer of what was added. */
  async finish(signal: AbortSignal | undefined): Promise<void> {
    const { layer, transport, parents } = this.#init;
    this.#files.close();
    if (transport === undefined) {
      this.#files.finish();
      await processBaseImage(this.#host, prefixed(layer));
    } else {
      this.#transported!.close();
      this.#transported!.makeReparseFolders();
      signal?.throwIfAborted();
      await importLayer(this.#host, prefixed(layer), transport, parentLayers(this.#host, parents));
      signal?.throwIfAborted();
      for (const { path, isOpaque } of this.#removed) this.#remove(path.replaceAll("/", "\\"), isOpaque);
      for (const entry of this.#links) this.#linkBelow(entry);
      this.#files.finish();
    }
    signal?.throwIfAborted();
    if (!this.#hasUtilityVM) return;
    if (kindAt(this.#host, this.#root, "UtilityVM") !== "folder") {
      throw new FormatError(this.#init.name, "UtilityVM isn't a folder", { entry: "UtilityVM" });
    }
    await processUtilityImage(this.#host, `${prefixed(layer)}\\UtilityVM`);
  }

  // What the layers below have at a path, and nothing that this one has added, wherever the removal stood.
  #remove(path: string, isOnlyContent = false): void {
    const added = this.#added.get(caseless(path.replaceAll("\\", "/")));
    if (added === undefined && !isOnlyContent) return removeRelative(this.#host, this.#root, path);
    if (added?.isFolder === false || kindAt(this.#host, this.#root, path) !== "folder") return;
    for (const { name } of entriesIn(this.#host, this.#root, path)) this.#remove(`${path}\\${name}`);
  }

  #linkBelow(entry: LayerEntry): void {
    const path = entry.path.replaceAll("/", "\\");
    const to = entry.target!.replaceAll("/", "\\");
    removeRelative(this.#host, this.#root, path);
    if (this.#added.has(caseless(entry.target!)) && this.#linkFrom(this.#root, to, path, entry)) return;
    for (const parent of this.#init.parents) {
      using handle = openRoot(this.#host, parent).handle;
      if (this.#linkFrom({ handle, path: parent }, to, path, entry)) return;
    }
    this.#refuse(entry, `it links to a file that no layer has: ${entry.target}`, "damaged");
  }

  // Returns false if there is nothing to link to.
  #linkFrom(root: OpenRoot, to: string, path: string, entry: LayerEntry): boolean {
    const kind = kindAt(this.#host, root, to);
    if (kind === "folder") this.#refuse(entry, `it links to a folder: ${entry.target}`, "damaged");
    if (kind === undefined) return false;
    linkInto(this.#host, { root, path: to }, { root: this.#root, path });
    return true;
  }

  #refuse({ path, offset }: LayerEntry, problem: string, reason: FormatProblem = "unsupported"): never {
    throw new FormatError(this.#init.name, problem, { entry: path, offset, reason });
  }

  /** Closes all that is open. */
  [Symbol.dispose](): void {
    this.#opened.dispose();
  }
}

// As the container tools name it to Windows.
function prefixed(path: string): string {
  return path.startsWith("\\\\") ? path : `\\\\?\\${path}`;
}
