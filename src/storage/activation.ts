/**
 * The hold on a scratch disk: attached to the host, with its volume reachable.
 *
 * @module
 */

import { join } from "jsr:@std/path@^1.1.0/windows";
import { win32 } from "../ffi/codes.ts";
import { InvalidInputError, NativeError } from "../ffi/errors.ts";
import type { Host } from "../ffi/host.ts";
import { access, openFile, share } from "../ffi/kernel32.ts";
import { activateLayer, deactivateLayer, getLayerMountPath } from "../ffi/vmcompute.ts";
import type { Hold, HoldKind } from "../holds/hold.ts";
import { pathKey, volumeRoot } from "./paths.ts";

/** A scratch disk attached by `ActivateLayer`. */
export interface ActivationHold extends Hold {
  /** What is held. */
  readonly kind: "activation";
  /** Folder of the scratch layer. */
  readonly scratch: string;
}

/** File name of the disk of a scratch layer. */
export const SCRATCH_DISK = "sandbox.vhdx";

const claims = new WeakMap<object, Set<string>>();

function claimsOn(host: Host): Set<string> {
  let claimed = claims.get(host.machine);
  if (claimed === undefined) {
    claims.set(host.machine, claimed = new Set());
  }
  return claimed;
}

/**
 * A second `ActivateLayer` of the same scratch must never happen: undoing it would take the first one's disk away. Two
 * mounts of this process exclude each other here; a mount of another one shows in the disk being open.
 */
export const activation: HoldKind<ActivationHold> = {
  kind: "activation",

  async take(host, hold) {
    const claimed = claimsOn(host);
    const key = pathKey(hold.scratch);
    if (claimed.has(key)) {
      throw new InvalidInputError("layerFolders", "ends with a scratch that is mounted already", hold.scratch);
    }
    claimed.add(key);
    try {
      checkDiskIsFree(host, hold.scratch);
      await activateLayer(host, hold.scratch);
      return hold;
    } catch (error) {
      claimed.delete(key);
      throw error;
    }
  },

  async give(host, hold) {
    await deactivateLayer(host, hold.scratch);
    claimsOn(host).delete(pathKey(hold.scratch));
    return true;
  },
};

function checkDiskIsFree(host: Host, scratch: string): void {
  const disk = join(scratch, SCRATCH_DISK);
  try {
    openFile(host, disk, { access: access.GENERIC_READ, share: share.NONE })[Symbol.dispose]();
  } catch (error) {
    if (error instanceof NativeError && error.win32 === win32.ERROR_SHARING_VIOLATION) {
      throw new InvalidInputError(
        "layerFolders",
        "ends with a scratch whose disk is in use: it is mounted, left mounted by a process that died, or attached to " +
          "a virtual machine. Unmount it first",
        disk,
        { cause: error },
      );
    }
    throw error;
  }
}

/**
 * The volume of an activated scratch, in the form `\\?\Volume{guid}\`.
 *
 * @throws {NativeError} if Windows doesn't tell.
 */
export async function scratchVolume(host: Host, scratch: string): Promise<string> {
  return volumeRoot(await getLayerMountPath(host, scratch), "GetLayerMountPath's answer");
}
