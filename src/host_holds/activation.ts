/**
 * The hold on a scratch disk: attached to the host, with its volume reachable.
 *
 * @module
 */

import { isInUse, kindOf } from "../checks/existing.ts";
import { returnedVolume } from "../checks/windows_path.ts";
import { InUseError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import { isNotFound } from "../ffi/kernel32.ts";
import { activateLayer, deactivateLayer, getLayerMountPath } from "../ffi/vmcompute.ts";
import type { Held, HoldOf } from "../holds/hold.ts";
import { sessionOf } from "../session/session.ts";

/** File name of the disk of a scratch layer. */
export const SCRATCH_DISK = "sandbox.vhdx";

/** Path of the disk of a scratch layer. */
export function diskOf(scratch: string): string {
  return `${scratch}\\${SCRATCH_DISK}`;
}

/** The attached disk of a scratch, no matter which process attached it. */
export function activationOf(host: Host, scratch: string, restsOn: readonly Held[] = []): Held<HoldOf<"activation">> {
  return {
    hold: { kind: "activation", scratch },
    restsOn,
    async release() {
      const wasHeld = await unlessGone(host, scratch, () => deactivateLayer(host, scratch));
      sessionOf(host).mounts.unclaim(scratch);
      return wasHeld;
    },
  };
}

/**
 * Attaches the disk of a scratch. A second `ActivateLayer` of the same scratch must never happen: undoing it would take
 * the first one's disk away. Two mounts of this process exclude each other here; a mount of another one shows in the disk
 * being open.
 *
 * @throws {InUseError} if it is activated already, or somebody has its disk open.
 * @throws {NativeError} if Windows refuses.
 */
export async function acquireActivation(
  host: Host,
  scratch: string,
  restsOn: readonly Held[] = [],
): Promise<Held<HoldOf<"activation">>> {
  const { mounts } = sessionOf(host);
  if (!mounts.claim(scratch)) {
    throw new InUseError(scratch, "is mounted already. Unmount it first", "this process");
  }
  try {
    requireFreeDisk(host, scratch);
    await activateLayer(host, scratch);
  } catch (error) {
    mounts.unclaim(scratch);
    throw error;
  }
  return activationOf(host, scratch, restsOn);
}

/**
 * Has Windows release something of a scratch. Returns false if the folder of the scratch is gone: then nothing of it can be
 * held.
 */
export async function unlessGone(host: Host, scratch: string, release: () => Promise<unknown>): Promise<boolean> {
  try {
    return await release() !== false;
  } catch (error) {
    if (isNotFound(error) && kindOf(host, scratch) === undefined) return false;
    throw error;
  }
}

/** Refuses a scratch whose disk somebody has open. */
export function requireFreeDisk(host: Host, scratch: string): void {
  const disk = diskOf(scratch);
  if (isInUse(host, disk)) {
    throw new InUseError(
      disk,
      "is in use: its scratch is mounted, was left mounted by a process that died, or is attached to a virtual machine. " +
        "Unmount the scratch first",
    );
  }
}

/**
 * The volume of an activated scratch, in the form `\\?\Volume{guid}\`.
 *
 * @throws {NativeError} if Windows doesn't tell.
 * @throws {UnexpectedAnswerError} if what it tells is no volume.
 */
export async function scratchVolume(host: Host, scratch: string): Promise<string> {
  return returnedVolume("GetLayerMountPath", await getLayerMountPath(host, scratch));
}
