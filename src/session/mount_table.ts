/**
 * Which scratches and layers this process uses.
 *
 * @module
 */

import { isWithin, pathKey } from "../checks/windows_path.ts";
import type { HoldList } from "../holds/hold_list.ts";

/** What this process knows of a scratch. */
export interface ScratchUse {
  /** Folder of the scratch layer. */
  readonly scratch: string;
  /** Whether this process attached its disk. */
  readonly activated: boolean;
  /** Folders of the read-only layers that this process shows through it, topmost first. */
  readonly layers: readonly string[];
  /** The mount that it belongs to; undefined while it is being mounted, and outside of mounts. */
  readonly mount: HoldList | undefined;
}

/** The scratches that this process has activated or put a filter on, by folder. */
export class MountTable {
  readonly #uses = new Map<string, ScratchUse>();

  /** All of them. */
  list(): ScratchUse[] {
    return [...this.#uses.values()];
  }

  /** Notes that a scratch is being activated. Returns false if this process has it activated already. */
  claim(scratch: string): boolean {
    if (this.#find(scratch)?.activated) return false;
    this.#change(scratch, { activated: true });
    return true;
  }

  /** Forgets that a scratch is activated, and the mount that it belonged to. */
  unclaim(scratch: string): void {
    this.#change(scratch, { activated: false, mount: undefined });
  }

  /** Notes the mount that a scratch belongs to, until it is unclaimed. */
  setMount(scratch: string, mount: HoldList): void {
    this.#change(scratch, { mount });
  }

  /** The mount that a scratch belongs to. */
  mountOf(scratch: string): HoldList | undefined {
    return this.#find(scratch)?.mount;
  }

  /** Notes the layers that are shown through a scratch; none once its filter is gone. */
  setLayers(scratch: string, layers: readonly string[]): void {
    this.#change(scratch, { layers });
  }

  /** Whether the folder is, or holds, a scratch that is activated. */
  isActivated(folder: string): boolean {
    return this.list().some(({ activated, scratch }) => activated && isWithin(scratch, folder));
  }

  /** Whether the folder is, or holds, a layer that is shown through a scratch. */
  isShown(folder: string): boolean {
    return this.list().some(({ layers }) => layers.some((layer) => isWithin(layer, folder)));
  }

  #find(scratch: string): ScratchUse | undefined {
    return this.#uses.get(pathKey(scratch));
  }

  #change(scratch: string, change: Partial<ScratchUse>): void {
    const before = this.#find(scratch) ?? { scratch, activated: false, layers: [], mount: undefined };
    const use = { ...before, ...change };
    if (use.activated || use.layers.length > 0) {
      this.#uses.set(pathKey(scratch), use);
    } else {
      this.#uses.delete(pathKey(scratch));
    }
  }
}
