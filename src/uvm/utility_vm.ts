/**
 * Utility VMs: virtual machines that hold the layers of containers.
 *
 * @module
 */

import { documentOf, hostOptions as checkedHost, jsonObject, text } from "../checks/arguments.ts";
import { kindOf } from "../checks/existing.ts";
import { returnedJson } from "../checks/returned_json.ts";
import { messageOf } from "../errors/printable.ts";
import { HungCallError, InUseError, UnexpectedAnswerError } from "../errors/state_errors.ts";
import { type DeviceCapacity, GuestConnectionError, VMStateError } from "../errors/vm_errors.ts";
import { NativeError } from "../errors/windows_errors.ts";
import { isGuid } from "../ffi/guid.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { createDirectory, deleteFile, isNotFound, removeDirectory } from "../ffi/kernel32.ts";
import { deadline, operationOf, perform } from "../ffi/operation.ts";
import { serviceProperties } from "../ffi/vmcompute_hcs.ts";
import { openSecurityPolicy } from "../hcsschema/create.ts";
import {
  type GuestConnectionInfo,
  guestConnectionProperties,
  processorTopology,
  type ServiceProperties,
  type SystemProperties,
} from "../hcsschema/queries.ts";
import type { GuestModificationRequest, ModifySettingRequest } from "../hcsschema/requests.ts";
import type { Held, HoldOf } from "../holds/hold.ts";
import { type Expect, type HoldList, type ReleaseOptions, withHolds } from "../holds/hold_list.ts";
import { log } from "../log.ts";
import { limitsOf, oneOf, optional, propertyOf, requireObject } from "../options.ts";
import { requireBuild } from "../session/builds.ts";
import { claim, createHeld, requireUnclaimed } from "../session/creations.ts";
import { copyOnceFree, onceFree, removeOnceFree, settlesWithin } from "../session/waiting.ts";
import { sessionOf } from "../session/session.ts";
import { noteBootFile } from "../session/vm_files.ts";
import { type OwnVMRecord, withVMRecord } from "../session/vm_records.ts";
import { ComputeSystem, isInvalidState } from "./compute_system.ts";
import { BlockImages } from "./devices/block_images.ts";
import { CombinedLayers } from "./devices/combined_layers.ts";
import { SCSIDisks } from "./devices/scsi.ts";
import { isUnclearInVM } from "./removal.ts";
import { setDevices } from "./devices/vm_devices.ts";
import { VPMemDevices } from "./devices/vpmem.ts";
import { VSMBShares } from "./devices/vsmb.ts";
import { FileAccess } from "./file_access.ts";
import { DirectGuest } from "./direct_guest.ts";
import { type GuestSockets, serveGuest } from "./guest_sockets.ts";
import { linuxVMInput, type LinuxVMOptions, planLinuxVM } from "./plans/linux_vm.ts";
import { requireNotConfidential, type VMPlan } from "./plans/vm_plan.ts";
import { planWindowsVM, windowsVMInput, type WindowsVMOptions } from "./plans/windows_vm.ts";

/**
 * Options of a VM, depending on the operating system in it.
 *
 * @category Layers in a VM
 */
export type UtilityVMOptions = LinuxVMOptions | WindowsVMOptions;

/** Creates the folder of the disk that a VM writes to. Releasing it removes the folder. */
async function acquireDiskFolder(host: Host, folder: string, expect: Expect): Promise<Held<HoldOf<"folder">>> {
  // False if somebody else has created it.
  let isOurs = true;
  const held: Held<HoldOf<"folder">> = {
    hold: { kind: "folder", folder, created: [folder] },
    restsOn: [],
    async release() {
      if (!isOurs) return false;
      try {
        await removeOnceFree(host, folder, () => removeDirectory(host, folder));
        return true;
      } catch (error) {
        if (isNotFound(error)) return false;
        throw error;
      }
    },
  };
  await createHeld(host, { held, paths: [folder] }, () => void (isOurs = createDirectory(host, folder)), expect);
  return held;
}

/** Copies the template to the disk that a VM writes to. Releasing it deletes the copy, also one that failed half-way. */
async function acquireScratch(
  host: Host,
  { path, template }: { readonly path: string; readonly template: string },
  restsOn: readonly Held[],
  expect: Expect,
  signal: AbortSignal | undefined,
): Promise<Held<HoldOf<"vmScratch">>> {
  const held: Held<HoldOf<"vmScratch">> = {
    hold: { kind: "vmScratch", path, template },
    restsOn,
    async release() {
      try {
        // Whoever has the file open, such as a scanner, may close it soon.
        await removeOnceFree(host, path, () => deleteFile(host, path));
        return true;
      } catch (error) {
        if (isNotFound(error)) return false;
        throw error;
      }
    },
  };
  const create = () => copyOnceFree(host, template, path, signal);
  await createHeld(host, { held, paths: [path], by: "CopyFileW" }, create, expect);
  return held;
}

/** Grants a VM the right to open a file that it is created with. */
async function acquireAccess(
  host: Host,
  vm: string,
  path: string,
  record: OwnVMRecord | undefined,
  expect: Expect,
): Promise<Held<HoldOf<"vmAccess">>> {
  const access = new FileAccess(host, vm, path, record);
  await access.look();
  const held = {
    hold: { kind: "vmAccess", vm, hostPath: path },
    restsOn: [],
    release: () => access.revoke(),
  } as const;
  expect(held);
  await access.grant();
  return held;
}

/** A VM that is held through its handle. */
interface HeldSystem extends Held<HoldOf<"computeSystem">> {
  readonly system: ComputeSystem;
}

const LATE_LIMIT_MS = 10_000;

// What is under way of a log when its VM ends is there at once.
const LOG_LIMIT_MS = 2_000;

// As long as the container tools wait for the start, the sockets and the first requests together.
const START_LIMIT_MS = 120_000;

/** Creates the VM. Releasing it ends the VM. */
async function acquireSystem(
  host: Host,
  id: string,
  document: object,
  signal: AbortSignal | undefined,
  expect: Expect,
): Promise<HeldSystem> {
  const system = await ComputeSystem.create(host, id, document, {
    signal,
    onLate: (late) =>
      expect({
        hold: { kind: "computeSystem", id },
        restsOn: [],
        async release() {
          if (await settlesWithin(host, late, LATE_LIMIT_MS)) return true;
          throw new HungCallError("HcsCreateComputeSystem", id, LATE_LIMIT_MS / 1000, ". The VM is ended once it has");
        },
      }),
  });
  return {
    system,
    hold: { kind: "computeSystem", id },
    restsOn: [],
    async release() {
      try {
        await system.terminate();
      } catch (error) {
        // It ends when its handle is closed.
        log("warn", () => `ending the VM ${id}: ${messageOf(error)}`);
      }
      await system.close();
      return true;
    },
  };
}

/** `createUtilityVM` of `mod.ts`. */
export async function createUtilityVM(
  options: UtilityVMOptions,
  hostOptions: HostOptions = {},
): Promise<UtilityVM> {
  const planOn = planVM(options);
  const { host, signal, timeout } = checkedHost(hostOptions, {}, "hostOptions");
  return await perform(host, { signal, timeout }, [], (signal) => create(host, planOn, signal));
}

async function create(
  host: Host,
  planOn: (host: Host) => VMPlan,
  signal: AbortSignal | undefined,
): Promise<UtilityVM> {
  signal?.throwIfAborted();
  requireBuild(host, "library", "A utility VM");
  const plan = planOn(host);
  [plan.id, plan.scratch?.path].forEach((what) => operationOf(signal)?.concerns(what));
  const document = plan.document(Math.min(plan.processorCount, await hostProcessors(host)));
  signal?.throwIfAborted();
  const { scratch } = plan;
  if (scratch !== undefined) requireUnclaimed(host, scratch.path, "options.layerFolders");
  const newScratch = scratch && kindOf(host, scratch.path) === undefined ? scratch : undefined;
  using _claim = newScratch && claim(host, newScratch.path, "options.layerFolders");
  const planned = { vm: plan.id, owner: plan.owner, newScratch: newScratch?.path };
  // The scratch stays after the VM has ended, and is deleted only if the VM can't be created.
  return await withVMRecord(host, planned, signal, (record) =>
    withHolds(async (made) => {
      record?.coversHolds(made);
      if (newScratch !== undefined) {
        const { folder } = newScratch;
        const restsOn = folder === undefined
          ? []
          : [await made.acquire((expect) => acquireDiskFolder(host, folder, expect), signal)];
        await made.acquire((expect) => acquireScratch(host, newScratch, restsOn, expect, signal), signal);
        await record?.isCopied();
      }
      const vm = await withHolds((holds) => createPlanned(holds, plan, document, { host, record, signal }));
      made.disown(made.held);
      return vm;
    }));
}

// All options are checked before the host is looked at.
function planVM(options: unknown): (host: Host) => VMPlan {
  requireObject(options, "options");
  requireNotConfidential(options);
  const os = oneOf("linux", "windows")(propertyOf(options, "os", "options"), "options.os");
  if (os === "linux") {
    const input = linuxVMInput(options);
    return (host) => planLinuxVM(host, input);
  }
  const input = windowsVMInput(options);
  return (host) => planWindowsVM(host, input);
}

async function createPlanned(
  holds: HoldList,
  { scratch, ...plan }: VMPlan,
  document: object,
  { host, record, signal }: { host: Host; record: OwnVMRecord | undefined; signal: AbortSignal | undefined },
): Promise<UtilityVM> {
  record?.coversHolds(holds);
  if (scratch !== undefined) {
    await holds.acquire((expect) => acquireAccess(host, plan.id, scratch.path, record, expect), signal);
  }
  const { system } = await holds.acquire(
    (expect) => acquireSystem(host, plan.id, document, signal, expect),
    signal,
  );
  const { RuntimeId } = await system.properties(undefined, { signal });
  // Who listens for the VM without a number listens for all.
  if (!isGuid(RuntimeId) || /^[0-]*$/.test(RuntimeId)) {
    throw new UnexpectedAnswerError("HcsGetComputeSystemProperties", "has no RuntimeId", RuntimeId);
  }
  return newVM({ holds, record, system, plan, runtimeId: RuntimeId });
}

async function hostProcessors(host: Host): Promise<number> {
  const text = await serviceProperties(host, processorTopology);
  const count = returnedJson(
    "HcsGetServiceProperties",
    text,
    ({ Properties }: ServiceProperties): unknown => Properties?.[0]?.LogicalProcessorCount,
  );
  if (!Number.isSafeInteger(count) || (count as number) < 1) {
    throw new UnexpectedAnswerError("HcsGetServiceProperties", "has no LogicalProcessorCount", text);
  }
  return count as number;
}

interface UtilityVMInit {
  readonly holds: HoldList;
  readonly record: OwnVMRecord | undefined;
  readonly system: ComputeSystem;
  readonly plan: Omit<VMPlan, "scratch">;
  readonly runtimeId: string;
}

let newVM: (init: UtilityVMInit) => UtilityVM;

/**
 * A utility VM of this process, created by {@linkcode createUtilityVM}. It ends when it is closed (`await using`), or when
 * the process ends.
 *
 * | state | becomes | by |
 * | --- | --- | --- |
 * | `created` | `running` | `start()` |
 * | `created` | `ended` | `close()`, `terminate()`, a `start()` that failed after the VM began to boot |
 * | `running` | `ended` | `close()`, `terminate()`, the exit or a crash of the guest, a lost connection |
 *
 * A VM that has ended refuses every call except `close()`, with a {@linkcode VMStateError}. Calls that wait when it ends
 * reject at once.
 *
 * @category Layers in a VM
 */
export class UtilityVM implements AsyncDisposable {
  /** Id of the VM. */
  readonly id: string;
  /** Its GUID in Hyper-V. */
  readonly runtimeId: string;
  /** The machine that it runs on. */
  readonly host: Host;
  /** The operating system in it. */
  readonly os: "windows" | "linux";
  readonly #holds: HoldList;
  readonly #system: ComputeSystem;
  readonly #plan: Omit<VMPlan, "scratch">;
  readonly #scsi: SCSIDisks;
  readonly #vpmem: VPMemDevices;
  #progress: "created" | "starting" | "running" = "created";
  #sockets: GuestSockets | undefined;
  #guest: DirectGuest | undefined;
  #capabilities: GuestConnectionInfo = {};

  static {
    newVM = (init) => new UtilityVM(init);
  }

  private constructor(init: UtilityVMInit) {
    const { holds, record, system, plan, runtimeId } = init;
    this.#holds = holds;
    this.#system = system;
    this.#plan = plan;
    this.id = system.id;
    this.runtimeId = runtimeId;
    this.host = system.host;
    this.os = plan.os;
    plan.bootFiles.forEach((path) => noteBootFile(this.host, path, this));
    this.#scsi = new SCSIDisks(this, plan.scsi, record);
    this.#vpmem = new VPMemDevices(this, { ...plan.vpmem, removesInParts: plan.guestConnection === "direct" });
    setDevices(this, {
      vsmb: new VSMBShares(this, { noDirectMap: plan.noDirectMap }),
      scsi: this.#scsi,
      images: new BlockImages(this),
      vpmem: this.#vpmem,
      combined: new CombinedLayers(this),
      physicallyBacked: plan.physicallyBacked,
      concurrentRemovals: plan.concurrentChanges,
      encryptScratch: plan.encryptScratch,
    });
  }

  /** Its state. */
  get state(): "created" | "running" | "ended" {
    if (this.end !== undefined) return "ended";
    return this.#progress === "running" ? "running" : "created";
  }

  /** Why it has ended; undefined if it has not. */
  get end(): VMStateError | undefined {
    return this.#system.end ?? this.#guest?.end;
  }

  /** How many slots it has for disks and persistent memory, and how many are used. */
  get capacity(): readonly DeviceCapacity[] {
    return [this.#scsi.capacity, this.#vpmem.capacity];
  }

  /** What the guest can do. Known once the VM is started. */
  get capabilities(): GuestConnectionInfo {
    return this.#capabilities;
  }

  /**
   * Boots it, and waits until its guest responds. A Linux guest receives entropy, and its log is written to that of the
   * library.
   *
   * With the direct connection, a guest has two minutes for this unless `timeout` says otherwise. Nothing limits the time with
   * another connection: pass a time limit, such as `{ timeout: 120_000 }`.
   *
   * @throws {GuestConnectionError} if the guest isn't ready within two minutes. The VM is ended.
   * @throws {GuestError} if the guest refuses what it is told. The VM is ended.
   * @throws {NativeError} if Windows refuses, with the events that it reports.
   * @throws {VMStateError} if the VM was started before, or ends meanwhile.
   * @throws the reason of `signal`. The VM is ended.
   */
  async start(options: Pick<HostOptions, "signal" | "timeout"> = {}): Promise<void> {
    const { signal, timeout } = limitsOf(options);
    const isOurs = timeout === undefined && this.#plan.guestConnection === "direct";
    const limits = { signal, timeout: isOurs ? START_LIMIT_MS : timeout };
    try {
      await perform(this.host, limits, [this.id], (signal) => this.#start(signal));
    } catch (cause) {
      const isLate = isOurs && !signal?.aborted && cause instanceof DOMException && cause.name === "TimeoutError";
      throw isLate ? new GuestConnectionError("late", { cause }) : cause;
    }
  }

  async #start(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.end !== undefined) throw this.end;
    if (this.#progress !== "created") throw new VMStateError(this.id, "starting");
    this.#progress = "starting";
    try {
      await this.#boot(signal);
      this.#progress = "running";
    } catch (error) {
      await this.#closeSockets().catch((failure) => {
        // close() tries again.
        log("warn", () => `closing the sockets of the VM ${this.id}: ${messageOf(failure)}`);
      });
      this.#progress = "created";
      if (!isNotStarted(error)) await this.#abandon();
      throw error;
    }
  }

  async #boot(signal: AbortSignal | undefined): Promise<void> {
    const { sockets: services, guestConnection, concurrentChanges } = this.#plan;
    if (services !== undefined) {
      // Those of a start that failed.
      await this.#closeSockets();
      this.#sockets = await serveGuest(this.host, this, services);
    }
    const sockets = this.#sockets;
    // A scanner can have a disk of the VM open that was just made.
    const start = () => onceFree(this.host, `each disk of ${this.id}`, () => this.#system.start({ signal }), signal);
    if (guestConnection === "direct" && sockets !== undefined) {
      // Windows doesn't wait for the guest. One without entropy never connects.
      await Promise.all([start(), this.#system.during(sockets.served, signal)]);
      const { runtimeId, os } = this;
      const guest = await DirectGuest.connect(
        { system: this.#system, os, runtimeId, sockets, concurrentChanges },
        signal,
      );
      this.#capabilities = guest.capabilities;
      this.#guest = guest;
      return;
    }
    const started = sockets === undefined ? start() : sessionOf(this.host).linuxStarts.run(start, signal);
    // A guest without entropy never starts, so a failure to send it ends the wait.
    await Promise.race([started, sockets?.served.then(() => started) ?? started]);
    const { GuestConnectionInfo } = await this.#system.properties(guestConnectionProperties, { signal });
    this.#capabilities = guestOf(GuestConnectionInfo ?? {});
    if (this.os === "linux") await this.#system.modify(openSecurityPolicy, { signal });
  }

  // Ends a VM whose start failed in an unknown state.
  async #abandon(): Promise<void> {
    try {
      await this.terminate();
    } catch (error) {
      log("warn", () => `ending the VM ${this.id}, which failed to start: ${messageOf(error)}`);
    }
  }

  /**
   * Changes it: the host's part and the guest's part. With the direct connection these are two requests, and the wait for them
   * ends when `signal` is aborted, but not the change; if the guest refuses to add something, the host's part is taken back.
   * Of a VM whose guest is lost, something can still be removed from the host.
   *
   * @throws {GuestError} if the guest refuses, with what it says.
   * @throws {UnexpectedAnswerError} if the answer of the guest can't be read: it may have made the change.
   * @throws {NativeError} if the host or the guest refuses, with the events that it reports.
   * @throws {VMStateError} if the VM isn't running, or ends meanwhile.
   */
  async modify(
    request: ModifySettingRequest,
    options: Pick<HostOptions, "signal" | "timeout"> = {},
  ): Promise<void> {
    const document = modifyRequest(request, "request");
    await this.#perform(options, async (signal) => {
      if (this.state === "created") throw new VMStateError(this.id, "notStarted");
      await (this.#guest ?? this.#system).modify(document, { signal });
    });
  }

  /** Returns its properties in the compute service. */
  async properties(options: Pick<HostOptions, "signal" | "timeout"> = {}): Promise<SystemProperties> {
    return await this.#perform(options, async (signal) => {
      signal?.throwIfAborted();
      if (this.end !== undefined) throw this.end;
      return await this.#system.properties(undefined, { signal });
    });
  }

  /**
   * Ends it by force, without a shutdown of the guest, and waits up to 10 seconds until it has ended. Close it afterwards.
   *
   * @throws {NativeError} if Windows refuses.
   * @throws {VMStateError} if the VM was closed.
   */
  async terminate(options: Pick<HostOptions, "signal" | "timeout"> = {}): Promise<void> {
    await this.#perform(options, async (signal) => {
      signal?.throwIfAborted();
      await this.#system.terminate({ signal });
    });
  }

  /**
   * Ends it if it hasn't ended, and releases all that it holds: its sockets, its handles, its access to files. Its devices
   * end with it. After a failure, another call continues with what is left. After a success, another call does nothing.
   *
   * @throws {ReleaseError} if something is still held.
   * @throws {NativeError} if only sockets to its guest are still open.
   * @throws {HungCallError} if only a call on a socket that was closed doesn't return for a minute; or if this was cancelled, and a
   * call of Windows doesn't return.
   */
  async close(options: ReleaseOptions = {}): Promise<void> {
    await this.#perform(options, async (signal) => {
      signal?.throwIfAborted();
      const hasGuest = this.#guest !== undefined || this.#progress === "starting";
      try {
        if (hasGuest) await this.#endGuest();
        await this.#closeSockets();
      } finally {
        // What has begun with the end of the guest is done to its end.
        await this.#holds.release({ signal: hasGuest ? undefined : signal });
      }
    });
  }

  #perform<T>(options: ReleaseOptions, body: (signal: AbortSignal | undefined) => Promise<T>): Promise<T> {
    const about = this.#holds.holds.flatMap((hold) => Object.values(hold));
    return perform(this.host, limitsOf(options), [this.id, ...about], body);
  }

  /** {@linkcode UtilityVM.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // A guest ends with its VM, rather than with its connection, and what it says last is heard.
  async #endGuest(): Promise<void> {
    try {
      const isGone = ["exited", "closed"].includes(this.#system.end?.reason ?? "");
      if (!isGone) await this.#system.terminate();
    } catch (error) {
      // It ends when its handle is closed.
      log("warn", () => `ending the VM ${this.id}: ${messageOf(error)}`);
      return;
    }
    const over = new AbortController();
    const limit = deadline(this.host, LOG_LIMIT_MS, over.signal).catch(() => {});
    await Promise.race([this.#sockets?.logged, limit]);
    over.abort();
  }

  async #closeSockets(): Promise<void> {
    await this.#sockets?.[Symbol.asyncDispose]();
    this.#sockets = undefined;
  }
}

const requestType = optional(oneOf("Add", "Remove", "Update", "PreAdd"));
const modifyRequest = documentOf<ModifySettingRequest>({
  ResourcePath: optional(text),
  RequestType: requestType,
  Settings: optional(jsonObject),
  GuestRequest: optional(
    documentOf<GuestModificationRequest>({
      RequestType: requestType,
      ResourceType: optional(text),
      Settings: optional(jsonObject),
    }),
  ),
});

function guestOf(info: unknown): GuestConnectionInfo {
  if (typeof info === "object" && info !== null && !Array.isArray(info)) return info;
  throw new UnexpectedAnswerError("HcsGetComputeSystemProperties", "has no GuestConnectionInfo", info);
}

// Not if the call may have gone on, or the VM runs already.
function isNotStarted(error: unknown): boolean {
  return error instanceof InUseError ||
    error instanceof NativeError && error.operation === "HcsStartComputeSystem" && !isInvalidState(error) &&
      !isUnclearInVM(error);
}
