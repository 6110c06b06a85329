/**
 * Recovery: releasing what processes left mounted that have ended.
 *
 * @module
 */

import { boolean, hostOptions } from "../checks/arguments.ts";
import { kindOf, requireKind } from "../checks/existing.ts";
import { requireGrantsFor } from "../checks/grants.ts";
import { realPathIfTold } from "../checks/real_path.ts";
import { diskOf, namedFolder } from "../checks/windows_path.ts";
import { InUseError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { operationOf, perform } from "../ffi/operation.ts";
import type { Hold } from "../holds/hold.ts";
import { HoldList, type ReleasedHold } from "../holds/hold_list.ts";
import { cimMountOf } from "../host_holds/cim_mount.ts";
import { leftOfTransfer } from "../host_holds/transfer.ts";
import { optional } from "../options.ts";
import { isTransfer, type PlaceRecord } from "../records/place.ts";
import type { MountRecord } from "../records/record.ts";
import type { Records } from "../records/records.ts";
import { subjectOfVM, type VMRecord } from "../records/vm_record.ts";
import { allRecords } from "../session/all_records.ts";
import { requireBuild } from "../session/builds.ts";
import { releaseRecordedPlace } from "../session/place_records.ts";
import { changeScratch } from "../session/scratch_changes.ts";
import { sessionOf } from "../session/session.ts";
import { lockVM } from "../session/vm_records.ts";
import { hasAccess, isVMThere, leftAccessOf, leftVMOf } from "../uvm/left_vm.ts";
import { adoptable, adoptedHolds, allAdoptable, releaseAdopted } from "./adopt.ts";
import { halfScratchOf, leftOf } from "./left_over.ts";
import { infoOf, infoOfPlace, infoOfVM, type MountInfo } from "./list_mounts.ts";
import { formerRecordOf, isOfEarlierBoot, isOwnerGone, recordOf } from "./mount_records.ts";
import { adoptMountPoint } from "./sandbox_volume.ts";
import { recordedHolds, releaseRecorded } from "./unmount.ts";

/**
 * Options of {@linkcode recover}.
 *
 * @category Mounts on the host
 */
export interface RecoverOptions extends HostOptions {
  /** Whether only to tell what would be done. Default: false. */
  dryRun?: boolean | undefined;
  /**
   * What is unmounted, as {@linkcode unmountWCOWLayers} does it, although it has no record, as after records were lost: the scratch in a
   * folder, be it that of another tool; or, with `true`, all scratches that Windows has attached to the host, except for those in the
   * folders of docker, containerd and Windows. Windows doesn't tell whether a process needs them yet: name only what nobody needs. `true`
   * needs the grant for virtdisk.dll. Default: nothing.
   */
  adopt?: string | boolean | undefined;
}

/**
 * What {@linkcode recover} did about one mount.
 *
 * @category Mounts on the host
 */
export interface RecoveredMount {
  /** The mount, as it was before. */
  readonly mount: MountInfo;
  /**
   * What was done, or would be: `released`; `left` alone, because its process lives or it is meant to outlive that, or because
   * somebody else has released it meanwhile; or `failed`. Of a VM, half a copy of its disk can be left, which `error` tells once.
   */
  readonly outcome: "released" | "left" | "failed";
  /** With `dryRun`, what would be released, in the order of the releases; what is gone already is passed over. Empty otherwise. */
  readonly planned: readonly Hold[];
  /** What was released, in the order of the releases. Empty with `dryRun`, and mostly if it failed. */
  readonly released: readonly ReleasedHold[];
  /** Why it failed, such as a {@linkcode ReleaseError}. */
  readonly error: unknown;
}

/**
 * Releases what processes left mounted that have ended: the mounts of {@linkcode mountWCOWLayers} that are incomplete, or not
 * `permanent`, with their mount points, folders, images and disks, and scratches that were half created. VMs of theirs that are
 * still there are ended, and the rights of their VMs to files are revoked. Mounts that something else
 * took apart are released as well, as far as something is left. Mounts of living processes are left alone, so it is safe while
 * others mount and unmount, twice, and in two processes at once.
 *
 * ```ts
 * import { mountWCOWLayers, recover } from "@hcs-layers/hcs-layers";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * host.addScratch("C:\\scratch");
 * const other = host.otherProcess();
 * await mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratch"], { host: other });
 * other.endProcess();
 * for (const { mount, outcome } of await recover({ host })) console.log(mount.containerId, outcome); // c1 released
 * ```
 *
 * @returns What was done about each mount on the host. It goes on where one fails.
 * @throws {InvalidInputError} if `adopt` names a folder without the disk of a scratch. Nothing was changed.
 * @throws {UntrustedFolderError} if others could have written records.
 * @throws {UnsupportedBuildError} if Windows is older than build 17763.
 * @category Mounts on the host
 */
export async function recover(options: RecoverOptions = {}): Promise<RecoveredMount[]> {
  const { host, signal, timeout, dryRun, adopt } = hostOptions(options, {
    dryRun: optional(boolean),
    adopt: optional((value, argument) => typeof value === "boolean" ? value : namedFolder(value, argument)),
  });
  const how = { dryRun: dryRun === true, adopt: adopt ?? false };
  return await perform(host, { signal, timeout }, [adopt], (signal) => recoverAll(host, how, signal));
}

async function recoverAll(
  host: Host,
  { dryRun, adopt }: { readonly dryRun: boolean; readonly adopt: string | boolean },
  signal: AbortSignal | undefined,
): Promise<RecoveredMount[]> {
  signal?.throwIfAborted();
  requireGrantsFor(host, "unmount");
  if (adopt === true) requireGrantsFor(host, "list");
  requireBuild(host, "library", "Mounting layers");
  // Nothing else tells a name that is mistyped.
  if (typeof adopt === "string") requireKind(host, diskOf(realPathIfTold(host, adopt)), "adopt", "file");
  const recovered: RecoveredMount[] = [];
  const decide = async (
    mount: MountInfo,
    isLeft: boolean,
    look: () => Promise<readonly Hold[] | undefined>,
    release: () => Promise<RecoveredMount>,
  ) => {
    if (!isLeft) recovered.push({ mount, ...LEFT });
    else recovered.push(dryRun ? await planned(mount, look, signal) : await release());
  };
  const { records, places, vms } = await allRecords(host, signal);
  const concerns = (...about: readonly unknown[]) => about.forEach((what) => operationOf(signal)?.concerns(what));
  for (const record of records) {
    signal?.throwIfAborted();
    concerns(record.scratch);
    const mount = await infoOf(host, record);
    const release = () => recoverOne(host, record, mount, signal);
    await decide(mount, isLeftBehind(mount), () => plannedHolds(host, record, signal), release);
  }
  for (const place of places) {
    signal?.throwIfAborted();
    concerns(...Object.values(place));
    const mount = infoOfPlace(host, place);
    const release = () => recoverPlace(host, place, mount, signal);
    await decide(mount, isLeftBehind(mount), () => Promise.resolve(placeHolds(host, place).holds), release);
  }
  for (const vm of vms) {
    signal?.throwIfAborted();
    concerns(vm.vm, ...vm.files);
    const mount = await infoOfVM(host, vm);
    const release = () => recoverVM(host, vm, mount, signal);
    await decide(mount, isLeftBehind(mount), () => plannedOfVM(host, vm, signal), release);
  }
  for (const mount of await toAdopt(host, adopt, signal)) {
    signal?.throwIfAborted();
    const { scratch } = mount;
    const release = () => outcomeOf(mount, () => releaseAdopted(host, scratch, signal), signal);
    await decide(mount, true, () => adoptedHolds(host, scratch, signal), release);
  }
  if (!dryRun) await sessionOf(host).records(host)?.removeEmpty(host);
  return recovered;
}

const LEFT = { outcome: "left", planned: [], released: [], error: undefined } as const;

function isLeftBehind({ owner, permanent, state }: MountInfo): boolean {
  return owner.state === "ended" && !(permanent && state === "mounted");
}

async function toAdopt(host: Host, adopt: string | boolean, signal: AbortSignal | undefined): Promise<MountInfo[]> {
  if (adopt === false) return [];
  return adopt === true ? await allAdoptable(host, signal) : await adoptable(host, adopt, signal);
}

// Nothing would be released of what nobody finds any more, or is somebody else's by now.
async function planned(
  mount: MountInfo,
  look: () => Promise<readonly Hold[] | undefined>,
  signal: AbortSignal | undefined,
): Promise<RecoveredMount> {
  try {
    const holds = await look();
    if (holds === undefined) return { mount, ...LEFT };
    return { mount, outcome: "released", planned: holds.toReversed(), released: [], error: undefined };
  } catch (error) {
    signal?.throwIfAborted();
    return { mount, outcome: "failed", planned: [], released: [], error };
  }
}

// In the order in which they were acquired.
async function plannedHolds(
  host: Host,
  { scratch }: MountRecord,
  signal: AbortSignal | undefined,
): Promise<readonly Hold[] | undefined> {
  const { record, isDiskGone } = await recordToRelease(host, sessionOf(host).records(host), scratch, signal);
  if (record === undefined) return undefined;
  const holds = isDiskGone
    ? (await leftOf(host, record, signal)).holds
    : await recordedHolds(host, { record, scratch, signal });
  return [...halfScratchOf(host, record).holds, ...holds];
}

// Without its disk, only what else it names can be left.
async function recordToRelease(
  host: Host,
  records: Records | undefined,
  scratch: string,
  signal: AbortSignal | undefined,
): Promise<{ readonly record: MountRecord | undefined; readonly isDiskGone: boolean }> {
  const record = await recordOf(host, records, scratch);
  if (record !== undefined) return { record, isDiskGone: isOfEarlierBoot(host, record) };
  return { record: await formerRecordOf(host, records, scratch, signal), isDiskGone: true };
}

async function recoverOne(
  host: Host,
  found: MountRecord,
  mount: MountInfo,
  signal: AbortSignal | undefined,
): Promise<RecoveredMount> {
  const { scratch } = found;
  return await outcomeOf(mount, () =>
    changeScratch(host, scratch, signal, async (records) => {
      const { record, isDiskGone } = await recordToRelease(host, records, scratch, signal);
      // Somebody else was faster; or what was found is no record of the scratch but a changed copy of one.
      if (record === undefined || JSON.stringify(record) !== JSON.stringify(found)) return undefined;
      if (!isOwnerGone(host, record)) return undefined;
      if (isDiskGone) {
        const released = await (await leftOf(host, record, signal)).release({ signal });
        released.push(...await halfScratchOf(host, record).release());
        await records!.close(host, scratch);
        return released;
      }
      return await releaseRecorded(host, records, {
        scratch,
        record,
        signal,
        finish: () => halfScratchOf(host, record).release(),
      });
    }), signal);
}

// Nothing was released if somebody else was faster.
async function outcomeOf(
  mount: MountInfo,
  release: () => Promise<ReleasedHold[] | undefined>,
  signal: AbortSignal | undefined,
): Promise<RecoveredMount> {
  try {
    const released = await release();
    if (released === undefined) return { mount, ...LEFT };
    return { mount, outcome: "released", planned: [], released, error: undefined };
  } catch (error) {
    signal?.throwIfAborted();
    return { mount, outcome: "failed", planned: [], released: [], error };
  }
}

function placeHolds(host: Host, place: PlaceRecord): HoldList {
  const holds = new HoldList();
  if (isTransfer(place)) {
    leftOfTransfer(host, place).forEach((held) => holds.adopt(held));
  } else if (place.kind === "volume") {
    adoptMountPoint(host, holds, place);
  } else if (!isOfEarlierBoot(host, place)) {
    requireGrantsFor(host, "image");
    holds.adopt(cimMountOf(host, place));
  }
  return holds;
}

async function recoverPlace(
  host: Host,
  place: PlaceRecord,
  mount: MountInfo,
  signal: AbortSignal | undefined,
): Promise<RecoveredMount> {
  const release = () => placeHolds(host, place).release({ signal });
  return await outcomeOf(mount, () => releaseRecordedPlace(host, place, signal, release), signal);
}

// By a VM with the same id, which has its rights with it.
async function isUsedAgain(host: Host, { id, vm }: VMRecord, signal: AbortSignal | undefined): Promise<boolean> {
  const { vms, unreadable } = await allRecords(host, signal);
  const isSame = (other: VMRecord) => other.id !== id && other.vm.toUpperCase() === vm.toUpperCase();
  if (vms.some((other) => isSame(other) && !isOwnerGone(host, other))) return true;
  // It can be that of such a VM.
  if (unreadable.length > 0) throw unreadable[0]!.error;
  return false;
}

// While the VM is there, its rights stay.
function vmHolds(host: Host, record: VMRecord): HoldList {
  requireGrantsFor(host, "vm");
  const { vm, owner, files } = record;
  const holds = new HoldList();
  const rights = files.map((file) => leftAccessOf(host, vm, file));
  rights.forEach((right) => holds.adopt(right));
  holds.adopt(leftVMOf(host, { vm, owner, isGone: isOfEarlierBoot(host, record) }, rights));
  return holds;
}

async function plannedOfVM(
  host: Host,
  record: VMRecord,
  signal: AbortSignal | undefined,
): Promise<readonly Hold[] | undefined> {
  if (await isUsedAgain(host, record, signal)) return undefined;
  const { holds } = vmHolds(host, record);
  const isHeld = (hold: Hold) =>
    hold.kind === "vmAccess" ? hasAccess(host, hold.vm, hold.hostPath) : isVMThere(host, record.vm);
  const held = await Promise.all(holds.map(isHeld));
  return holds.filter((_, i) => held[i]);
}

async function recoverVM(
  host: Host,
  found: VMRecord,
  mount: MountInfo,
  signal: AbortSignal | undefined,
): Promise<RecoveredMount> {
  const recovered = await outcomeOf(mount, () =>
    changeScratch(host, subjectOfVM(found), signal, async (records) => {
      using _lock = records && await lockVM(host, records, found, signal);
      if (JSON.stringify(await records?.readVM(host, found)) !== JSON.stringify(found)) return undefined;
      if (await isUsedAgain(host, found, signal)) return undefined;
      const released = await vmHolds(host, found).release({ signal });
      await records?.closeVM(host, found);
      return released;
    }), signal);
  const error = recovered.outcome === "released" ? halfCopyOf(host, found) : undefined;
  return error === undefined ? recovered : { ...recovered, outcome: "failed", error };
}

// Something else can have made the file since. Nothing tells its copy from that.
function halfCopyOf(host: Host, { newScratch, isCopied, process: { pid } }: VMRecord): InUseError | undefined {
  if (newScratch === undefined || isCopied || kindOf(host, newScratch) === undefined) return undefined;
  const advice = "Delete it unless something else has made it since";
  return new InUseError(newScratch, `may be half a copy, as process ${pid} ended before it was complete. ${advice}`);
}
