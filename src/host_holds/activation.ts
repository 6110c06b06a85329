/**
 * The hold on a scratch disk: attached to the host, with its volume reachable.
 *
 * @module
 */

import { InvalidInputError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import { activateLayer, deactivateLayer, getLayerMountPath } from "../ffi/vmcompute.ts";
import type { Hold, HoldKind } from "../holds/hold.ts";
import type { HoldList } from "../holds/hold_list.ts";
import { isInUse } from "../checks/existing.ts";
import { isWithin, pathKey, volumeRoot } from "../checks/windows_path.ts";

/** A scratch disk attached by `ActivateLayer`. */
export interface ActivationHold extends Hold {
  /** What is held. */
  readonly kind: "activation";
  /** Folder of the scratch layer. */
  readonly scratch: string;
}

/** File name of the disk of a scratch layer. */
export const SCRATCH_DISK = "sandbox.vhdx";

/** Path of the disk of a scratch layer. */
export function diskOf(scratch: string): string {
  return `${scratch}\\${SCRATCH_DISK}`;
}

// What this process has activated, with the list of the mount that it belongs to.
const claims = new WeakMap<object, Map<string, HoldList | undefined>>();

function claimsOn(host: Host): Map<string, HoldList | undefined> {
  let claimed = claims.get(host.machine);
  if (claimed === undefined) {
    claims.set(host.machine, claimed = new Map());
  }
  return claimed;
}

/** Notes whose mount a scratch belongs to, until its disk is detached. */
export function setMountOf(host: Host, scratch: string, holds: HoldList): void {
  claimsOn(host).set(pathKey(scratch), holds);
}

/** The mount of this process that a scratch belongs to. */
export function mountOf(host: Host, scratch: string): HoldList | undefined {
  return claimsOn(host).get(pathKey(scratch));
}

/** Attaches the disk, and detaches it. */
export const activation: HoldKind<ActivationHold> = {
  kind: "activation",

  async take(host, hold) {
    await activateScratch(host, hold.scratch, "layerFolders");
    return hold;
  },

  carries: (_, other) => other.kind === "filter" || other.kind === "overlay",

  async give(host, hold) {
    await deactivateLayer(host, hold.scratch);
    claimsOn(host).delete(pathKey(hold.scratch));
    return true;
  },
};

/**
 * A second `ActivateLayer` of the same scratch must never happen: undoing it would take the first one's disk away. Two
 * mounts of this process exclude each other here; a mount of another one shows in the disk being open.
 */
export async function activateScratch(host: Host, scratch: string, argument: string): Promise<void> {
  const claimed = claimsOn(host);
  const key = pathKey(scratch);
  if (claimed.has(key)) {
    throw new InvalidInputError(argument, "names a scratch that is mounted already", scratch);
  }
  claimed.set(key, undefined);
  try {
    requireFreeDisk(host, scratch, argument);
    await activateLayer(host, scratch);
  } catch (error) {
    claimed.delete(key);
    throw error;
  }
}

/** Refuses a scratch whose disk somebody has open. */
export function requireFreeDisk(host: Host, scratch: string, argument: string): void {
  const disk = diskOf(scratch);
  if (isInUse(host, disk)) {
    throw new InvalidInputError(
      argument,
      "names a scratch whose disk is in use: it is mounted, left mounted by a process that died, or attached to a " +
        "virtual machine. Unmount it first",
      disk,
    );
  }
}

/** Whether this process has activated a layer in the folder, or in one in it. */
export function isActivated(host: Host, folder: string): boolean {
  return [...claimsOn(host).keys()].some((scratch) => isWithin(scratch, folder));
}

/**
 * The volume of an activated scratch, in the form `\\?\Volume{guid}\`.
 *
 * @throws {NativeError} if Windows doesn't tell.
 */
export async function scratchVolume(host: Host, scratch: string): Promise<string> {
  return volumeRoot(await getLayerMountPath(host, scratch), "GetLayerMountPath's answer");
}
