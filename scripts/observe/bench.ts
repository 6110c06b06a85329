/**
 * A folder of our own on a host in which one rule is played, and what the rule has acquired there.
 *
 * @module
 */

import { NativeError, ReleaseError, type UtilityVM } from "../../mod.ts";
import { isLink } from "../../src/checks/existing.ts";
import { fromWin32, hresult, win32 } from "../../src/errors/codes.ts";
import { messageOf } from "../../src/errors/printable.ts";
import { dismountImage } from "../../src/ffi/cimfs.ts";
import { detachLayerStorageFilter, detachOverlayFilter } from "../../src/ffi/computestorage.ts";
import type { Host } from "../../src/ffi/host.ts";
import {
  attribute,
  deleteFile,
  directoryEntries,
  fileAttributes,
  type Handle,
  isNotFound,
  removeDirectory,
} from "../../src/ffi/kernel32.ts";
import { detachVirtualDisk, openVirtualDisk } from "../../src/ffi/virtdisk.ts";
import { deactivateLayer, nameToGuid, type ParentLayer, unprepareLayer } from "../../src/ffi/vmcompute.ts";
import { layerData } from "../../src/hcsschema/storage.ts";
import { mountPointOf } from "../../src/host_holds/mount_point.ts";
import { removeOnceFree } from "../../src/session/waiting.ts";
import type { HeldRecord } from "../support/holds.ts";
import { CantBeAsked } from "./rule.ts";

/** What the rules work with, besides a folder. */
export interface Surroundings {
  /** The host. */
  readonly host: Host;
  /** Folders of read-only layers, the topmost first. They are shown through scratches, and read. */
  readonly layers: readonly string[];
  /** The folder of Windows. */
  readonly systemRoot: string;
  /** The folder of a base layer that VMs boot from. */
  readonly vmBase?: string | undefined;
  /** Aborted if the rule is to stop at its next call. */
  readonly signal?: AbortSignal | undefined;
  /** Called between what brings about a situation and the calls in question. */
  readonly asking?: () => void | Promise<void>;
}

/** What couldn't be cleaned up. */
export interface Leftover {
  /** What it is. */
  readonly hold: HeldRecord;
  /** Why it is still there. */
  readonly because: string;
}

// A layer that isn't activated, or that has no filter.
const NO_FILTER: readonly number[] = [fromWin32(win32.ERROR_DEV_NOT_EXIST), hresult.ERROR_FLT_INSTANCE_NOT_FOUND];

/** Where one rule is played. */
export class Bench {
  readonly host: Host;
  /** The folder, which is empty at first. */
  readonly folder: string;
  /** Milliseconds that something took. They are told, and never compared. */
  readonly times: Record<string, number> = {};
  readonly #around: Surroundings;
  readonly #handles = new Map<string, Handle>();
  /** What may be held of Windows. Each is noted before the call that acquires it. */
  readonly #maybe = {
    mountFolders: new Set<string>(),
    storageFilters: new Set<string>(),
    overlays: new Set<string>(),
    /** Layers, with how often they were activated and got the filter, as Windows might count. */
    layers: new Map<string, { active: number; filter: number }>(),
    disks: new Set<string>(),
    /** Ids of the volumes of images, with the paths of these. */
    images: new Map<string, string>(),
    /** VMs, by their ids. */
    vms: new Map<string, UtilityVM>(),
  };
  /** A volume that the rule works with, without a closing separator. */
  volume = "";

  constructor(around: Surroundings, folder: string) {
    this.#around = around;
    this.host = around.host;
    this.folder = folder;
  }

  /** A path in the folder. */
  path(name: string): string {
    return `${this.folder}\\${name}`;
  }

  /** A path in the folder of Windows. */
  windows(name: string): string {
    return `${this.#around.systemRoot}\\${name}`;
  }

  /** The layers that the operator named, as parents of a scratch. */
  get parents(): ParentLayer[] {
    return this.#around.layers.map((path) => this.parent(path));
  }

  /** A layer as the parent of a scratch. */
  parent(path: string): ParentLayer {
    return { id: nameToGuid(this.host, path.slice(path.lastIndexOf("\\") + 1)), path };
  }

  /** The image of the topmost layer that has one. */
  get image(): { folder: string; name: string } {
    for (const layer of this.#around.layers) {
      const at = layer.lastIndexOf("\\");
      const image = { folder: `${layer.slice(0, at)}\\cim-layers`, name: `${layer.slice(at + 1)}.cim` };
      if (fileAttributes(this.host, `${image.folder}\\${image.name}`) !== undefined) return image;
    }
    throw new CantBeAsked("none of the layers has a CIM image");
  }

  /** The base layer that VMs boot from. */
  get vmBase(): string {
    const { vmBase } = this.#around;
    if (vmBase === undefined) throw new CantBeAsked("--vm-base names no layer that a VM boots from");
    return vmBase;
  }

  /** The VM of the rule. */
  get vm(): UtilityVM {
    return [...this.#maybe.vms.values()].at(-1)!;
  }

  /** Aborted if the rule is to stop. */
  get signal(): AbortSignal | undefined {
    return this.#around.signal;
  }

  /** Tells that the calls in question follow. */
  async asking(): Promise<void> {
    await this.#around.asking?.();
  }

  /** Notes what may be held from now on. */
  expect(kind: "mountFolders" | "storageFilters" | "overlays" | "disks", what: string): string {
    this.#maybe[kind].add(what);
    return what;
  }

  /** Notes that a layer may be activated, or have the filter, from now on, once more. */
  expectLayer(layer: string, what: "active" | "filter"): void {
    const times = this.#maybe.layers.get(layer) ?? { active: 0, filter: 0 };
    times[what]++;
    this.#maybe.layers.set(layer, times);
  }

  /** Notes that an image may be mounted from now on, as the volume with an id. */
  expectImage(id: string, path: string): void {
    this.#maybe.images.set(id, path);
  }

  /** Notes that there is a VM. */
  expectVM(id: string, vm: UtilityVM): void {
    this.#maybe.vms.set(id, vm);
  }

  /** Keeps a handle open until {@linkcode Bench.close}, or the end of the rule. */
  keep(name: string, handle: Handle): void {
    if (this.#handles.has(name)) throw new Error(`two handles are called ${name}`);
    this.#handles.set(name, handle);
  }

  /** A handle that is open. */
  handle(name: string): bigint {
    return this.#handles.get(name)!.value;
  }

  /** Closes a handle. */
  close(name: string): void {
    this.#handles.get(name)!.close();
    this.#handles.delete(name);
  }

  /** Notes how long something took. */
  took(what: string, milliseconds: number): void {
    this.times[what] = Math.round(10 * milliseconds) / 10;
  }

  /**
   * Waits until a condition holds, for 10 seconds at most. Returns whether it did.
   *
   * @param what What the time is called in the report.
   */
  async until(what: string, condition: () => unknown): Promise<boolean> {
    const start = performance.now();
    const PAUSE_MS = 20;
    for (let waited = 0; !await condition(); waited += PAUSE_MS) {
      if (waited >= 10_000) return false;
      await this.host.sleep(PAUSE_MS, this.signal);
    }
    this.took(what, performance.now() - start);
    return true;
  }

  /**
   * Gives everything back, and removes all in the folder and the folder, and tries once more if that fails. Returns what
   * couldn't be.
   */
  async cleanUp(): Promise<Leftover[]> {
    const left = await this.#giveBack();
    return left.length === 0 ? left : await this.#giveBack();
  }

  async #giveBack(): Promise<Leftover[]> {
    const { mountFolders, storageFilters, overlays, layers, disks, images, vms } = this.#maybe;
    const problems = new Map<string, unknown>();
    const attempt = async (path: string, call: () => unknown) => {
      try {
        await call();
      } catch (error) {
        // Whatever it is, all else is given back.
        if (!(error instanceof NativeError && NO_FILTER.includes(error.code))) problems.set(path, error);
      }
    };
    const { host } = this;
    for (const [id, vm] of vms) await attempt(id, () => vm.close());
    // Before the volumes go that they are on.
    for (const folder of mountFolders) await attempt(folder, () => mountPointOf(host, { folder }).release());
    for (const volume of overlays) {
      await attempt(volume, () => detachOverlayFilter(host, volume, layerData({ filterType: "UnionFS" })));
    }
    for (const volume of storageFilters) await attempt(volume, () => detachLayerStorageFilter(host, volume));
    for (const name of [...this.#handles.keys()].reverse()) await attempt(name, () => this.close(name));
    for (const [layer, times] of layers) {
      for (let i = 0; i < Math.max(1, times.filter); i++) await attempt(layer, () => unprepareLayer(host, layer));
      for (let i = 0; i < Math.max(1, times.active); i++) await attempt(layer, () => deactivateLayer(host, layer));
    }
    for (const disk of disks) await attempt(disk, () => this.#detach(disk));
    for (const id of images.keys()) await attempt(id, () => dismountImage(host, id));

    const left = Array.from(this.#handles.keys(), (name): Leftover => ({
      hold: { kind: "openDisk", path: this.path(name) },
      because: messageOf(problems.get(name)),
    }));
    for (const id of vms.keys()) {
      const error = problems.get(id);
      const holds = error instanceof ReleaseError ? error.holds : [{ kind: "computeSystem", id } as const];
      if (error !== undefined) left.push(...holds.map((hold) => ({ hold, because: messageOf(error) })));
    }
    const because = (path: string, error?: unknown) =>
      messageOf(problems.get(path) ?? error ?? "Windows doesn't tell why");
    for (const [id, image] of images) {
      const volume = `\\\\?\\Volume{${id}}\\`;
      const dismounted = !problems.has(id) || isNotFound(problems.get(id));
      if (this.#exists(volume) ?? !dismounted) {
        left.push({ hold: { kind: "cimImage", volume, image }, because: because(id) });
      }
    }
    await this.#remove(this.folder, (path, error) => {
      const scratch = path.replace(/\\sandbox\.vhdx$/, "");
      const hold: HeldRecord = scratch !== path && layers.has(scratch)
        ? { kind: "activation", scratch }
        : mountFolders.has(path) && isLink(this.host, path)
        ? { kind: "mountPoint", folder: path, volume: this.volume }
        : path.endsWith(".vhdx")
        ? { kind: "attachedDisk", path }
        : { kind: "folder", folder: path };
      left.push({ hold, because: because(hold.kind === "activation" ? scratch : path, error) });
    });
    return left;
  }

  async #detach(disk: string): Promise<void> {
    if (this.#exists(disk) === false) return;
    using handle = await openVirtualDisk(this.host, disk);
    await detachVirtualDisk(this.host, handle.value, disk);
  }

  // Undefined if Windows doesn't tell.
  #exists(path: string): boolean | undefined {
    try {
      return fileAttributes(this.host, path) !== undefined;
    } catch (error) {
      if (error instanceof NativeError) return undefined;
      throw error;
    }
  }

  // Removes a folder of ours with all in it, and follows no links.
  async #remove(folder: string, failed: (path: string, error: unknown) => void): Promise<boolean> {
    const { host } = this;
    try {
      if (fileAttributes(host, folder) === undefined) return true;
      let empty = true;
      for (const { name, attributes } of [...directoryEntries(host, folder)]) {
        const path = `${folder}\\${name}`;
        const isFolder = (attributes & attribute.DIRECTORY) !== 0 && (attributes & attribute.REPARSE_POINT) === 0;
        empty = await (isFolder ? this.#remove(path, failed) : this.#removeOne(path, attributes, failed)) && empty;
      }
      if (empty) await removeOnceFree(host, folder, () => removeDirectory(host, folder));
      return empty;
    } catch (error) {
      failed(folder, error);
      return false;
    }
  }

  async #removeOne(path: string, attributes: number, failed: (path: string, error: unknown) => void): Promise<boolean> {
    try {
      // What still links to a volume is removed as a link, or not at all.
      const remove = (attributes & attribute.DIRECTORY) !== 0 ? removeDirectory : deleteFile;
      await removeOnceFree(this.host, path, () => remove(this.host, path));
      return true;
    } catch (error) {
      failed(path, error);
      return false;
    }
  }
}
