/**
 * The hold on a scratch disk that is attached to the host.
 *
 * @module
 */

import { hasVolume, isInUse, kindOf } from "../checks/existing.ts";
import { diskOf, returnedVolume } from "../checks/windows_path.ts";
import { InUseError } from "../errors/state_errors.ts";
import { isBusy } from "../errors/outcomes.ts";
import { messageOf } from "../errors/printable.ts";
import type { Host } from "../ffi/host.ts";
import { isNotFound } from "../ffi/kernel32.ts";
import { activateLayer, deactivateLayer, getLayerMountPath, unprepareLayer } from "../ffi/vmcompute.ts";
import type { Held, HoldOf } from "../holds/hold.ts";
import type { Expect } from "../holds/hold_list.ts";
import { log } from "../log.ts";
import { sessionOf } from "../session/session.ts";
import { HALF_MS, isFree, WAITED, waitUntil } from "../session/waiting.ts";

/** Returns the hold on the attached disk of a scratch, no matter which process attached it. */
export function activationOf(host: Host, scratch: string, restsOn: readonly Held[] = []): Held<HoldOf<"activation">> {
  return {
    hold: { kind: "activation", scratch },
    restsOn,
    async release() {
      const wasHeld = await unlessGone(host, scratch, () => detach(host, scratch));
      sessionOf(host).mounts.unclaim(scratch);
      return wasHeld;
    },
  };
}

/** What a function that acquires something gets besides what to acquire. */
export interface Acquisition {
  /** What it depends on. */
  readonly restsOn?: readonly Held[];
  /** Ends waiting. */
  readonly signal?: AbortSignal | undefined;
  /** Records what a failed call may have left behind. */
  readonly expect: Expect;
}

/**
 * Attaches the disk of a scratch. `ActivateLayer` must never be called twice for the same scratch, because undoing the
 * second call would detach the disk of the first. Within this process, the session prevents that. If another process has
 * activated the scratch, its disk is open.
 *
 * @param isOwn Whether a disk that is in use after `ActivateLayer` failed was attached by it; undefined if it can be another
 * process's, which then is left, and told. Default: it was, as a lock keeps other processes from it.
 * @throws {InUseError} if the scratch is already activated, or its disk is open.
 * @throws {NativeError} if Windows refuses.
 */
export async function acquireActivation(
  host: Host,
  scratch: string,
  { restsOn = [], signal, expect }: Acquisition,
  isOwn: (error: unknown) => boolean | undefined = () => true,
): Promise<Held<HoldOf<"activation">>> {
  const { mounts } = sessionOf(host);
  if (!mounts.claim(scratch)) {
    throw new InUseError(scratch, "is already mounted. Unmount it first", "this process");
  }
  const disk = diskOf(scratch);
  const held = activationOf(host, scratch, restsOn);
  let isOurs: boolean | undefined = false;
  expect({
    ...held,
    async release() {
      if (isOurs !== false && isInUse(host, disk)) {
        if (isOurs) return await held.release();
        throw new InUseError(
          disk,
          "is attached by the call that failed, or by another process. Deactivate it if it isn't theirs",
        );
      }
      mounts.unclaim(scratch);
      return false;
    },
  });
  // The look passes by a scanner, and Windows may not. What somebody else attaches meanwhile shows in the next look.
  let busy: unknown;
  const isActivated = async () => {
    busy = undefined;
    if (isInUse(host, disk)) return false;
    isOurs = true;
    try {
      await activateLayer(host, scratch);
      return true;
    } catch (error) {
      isOurs = !isBusy(error) && isOwn(error);
      if (!isBusy(error)) throw error;
      busy = error;
      return false;
    }
  };
  if (!await waitUntil(host, `${disk} is free`, isActivated, signal)) throw busy ?? inUse(disk);
  return held;
}

// Windows was seen to report success for both calls and leave the disk attached, which a second round then detached.
async function detach(host: Host, scratch: string): Promise<boolean> {
  const disk = diskOf(scratch);
  // What has no disk can't be looked at, so nobody knows whether it was activated.
  const wasHeld = isInUse(host, disk);
  await deactivateLayer(host, scratch);
  if (await isFree(host, disk, undefined, HALF_MS)) return wasHeld;
  await unprepareLayer(host, scratch).catch((error) => log("debug", () => messageOf(error)));
  await deactivateLayer(host, scratch);
  if (await isFree(host, disk, undefined, HALF_MS)) return wasHeld;
  const problem =
    `is still in use ${WAITED} after DeactivateLayer reported that it is detached. Somebody has it open, ` +
    "or has attached it in another way: vhd detach, or detachDisk(), detaches that";
  throw new InUseError(disk, problem);
}

/**
 * Runs `release`, which releases something of a scratch. Returns false if it failed because the folder of the scratch is
 * gone, because then nothing of the scratch can be held.
 *
 * @throws {InUseError} if the folder has another path by now.
 */
export async function unlessGone(host: Host, scratch: string, release: () => Promise<unknown>): Promise<boolean> {
  try {
    // Windows reports success for any path.
    if (await release() !== false) return true;
    if (kindOf(host, scratch) !== undefined) return false;
  } catch (error) {
    if (!isNotFound(error) || kindOf(host, scratch) !== undefined) throw error;
  }
  const volume = sessionOf(host).mounts.mountOf(scratch)?.volume;
  if (volume !== undefined) await requireVolumeGone(host, scratch, volume, undefined);
  return false;
}

/**
 * Throws if a scratch that isn't at its path any more is still attached, by its volume. Windows takes that away with the disk, after
 * a while.
 *
 * @throws {InUseError} with what to do.
 */
export async function requireVolumeGone(
  host: Host,
  scratch: string,
  volume: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (await waitUntil(host, `${volume} is gone`, () => hasVolume(host, volume) === false, signal)) return;
  throw new InUseError(
    scratch,
    `isn't there any more, but its volume (${volume}) is, so its drive or folder has another path by now. Unmount the ` +
      "scratch by its new path",
  );
}

/** Throws if the disk of a scratch is open, and stays open. */
export async function requireFreeDisk(host: Host, scratch: string, signal?: AbortSignal): Promise<void> {
  const disk = diskOf(scratch);
  if (!await isFree(host, disk, signal)) throw inUse(disk);
}

function inUse(disk: string): InUseError {
  return new InUseError(
    disk,
    `has been in use for ${WAITED}: its scratch is mounted, was left mounted by a process that died, is ` +
      "attached to a virtual machine, or a scanner has it open. Unmount the scratch first",
  );
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
