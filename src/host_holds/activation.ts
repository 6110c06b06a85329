/**
 * The hold on a scratch disk that is attached to the host.
 *
 * @module
 */

import { isInUse, kindOf } from "../checks/existing.ts";
import { diskOf, returnedVolume } from "../checks/windows_path.ts";
import { InUseError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import { isNotFound } from "../ffi/kernel32.ts";
import { activateLayer, deactivateLayer, getLayerMountPath } from "../ffi/vmcompute.ts";
import type { Held, HoldOf } from "../holds/hold.ts";
import { sessionOf } from "../session/session.ts";

/** Returns the hold on the attached disk of a scratch, no matter which process attached it. */
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
 * Attaches the disk of a scratch. `ActivateLayer` must never be called twice for the same scratch, because undoing the
 * second call would detach the disk of the first. Within this process, the session prevents that. If another process has
 * activated the scratch, its disk is open.
 *
 * @throws {InUseError} if the scratch is already activated, or its disk is open.
 * @throws {NativeError} if Windows refuses.
 */
export async function acquireActivation(
  host: Host,
  scratch: string,
  restsOn: readonly Held[] = [],
): Promise<Held<HoldOf<"activation">>> {
  const { mounts } = sessionOf(host);
  if (!mounts.claim(scratch)) {
    throw new InUseError(scratch, "is already mounted. Unmount it first", "this process");
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
 * Runs `release`, which releases something of a scratch. Returns false if it failed because the folder of the scratch is
 * gone, because then nothing of the scratch can be held.
 */
export async function unlessGone(host: Host, scratch: string, release: () => Promise<unknown>): Promise<boolean> {
  try {
    return await release() !== false;
  } catch (error) {
    if (isNotFound(error) && kindOf(host, scratch) === undefined) return false;
    throw error;
  }
}

/** Throws if the disk of a scratch is open. */
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
 * Returns the volume of an activated scratch, `\\?\Volume{guid}\`.
 *
 * @throws {NativeError} if Windows refuses.
 * @throws {UnexpectedAnswerError} if Windows returns something that isn't a volume.
 */
export async function scratchVolume(host: Host, scratch: string): Promise<string> {
  return returnedVolume("GetLayerMountPath", await getLayerMountPath(host, scratch));
}
