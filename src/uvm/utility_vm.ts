/**
 * Utility VMs: virtual machines that carry the layers of containers.
 *
 * @module
 */

import { fromWin32, win32 } from "../errors/codes.ts";
import { InvalidInputError, MissingExportError, NativeError } from "../errors/windows_errors.ts";
import { defaultHost, type Host } from "../ffi/host.ts";
import { copyFile, deleteFile, errorOf, isNotFound } from "../ffi/kernel32.ts";
import { buildNumber } from "../ffi/ntdll.ts";
import { grantVmAccess, revokeVmAccess } from "../ffi/vmcompute.ts";
import { serviceProperties } from "../ffi/vmcompute_hcs.ts";
import { openSecurityPolicy } from "../hcsschema/create.ts";
import {
  type GuestConnectionInfo,
  guestConnectionProperties,
  processorTopology,
  type ServiceProperties,
  type SystemProperties,
} from "../hcsschema/queries.ts";
import type { ModifySettingRequest } from "../hcsschema/requests.ts";
import type { Hold, HoldKind } from "../holds/hold.ts";
import { acquire, type HoldList } from "../holds/hold_list.ts";
import { log } from "../log.ts";
import { messageOf } from "../printable.ts";
import { kindOf } from "../checks/arguments.ts";
import { ComputeSystem, type WaitOptions } from "./compute_system.ts";
import { VMStateError } from "../errors/vm_errors.ts";
import type { GuestSockets } from "./guest_sockets.ts";
import type { LayerVM } from "./devices/vm_devices.ts";
import { type LinuxVMOptions, planLinuxVM } from "./plans/linux_vm.ts";
import type { GuestOS, VMState } from "./running_vm.ts";
import { SCSIDisks } from "./devices/scsi.ts";
import { requireBuild, type VMPlan } from "./plans/vm_plan.ts";
import { VPMemDevices } from "./devices/vpmem.ts";
import { VSMBShares } from "./devices/vsmb.ts";
import { planWindowsVM, type WindowsVMOptions } from "./plans/windows_vm.ts";

/** Options of a VM, by the system in it. */
export type UtilityVMOptions = LinuxVMOptions | WindowsVMOptions;

/** Where a VM is created. */
export interface CreateUtilityVMOptions {
  /** The machine to create it on. Default: this one. */
  host?: Host | undefined;
  /** Stops the work: what was begun is undone before the call rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

const MINIMUM_BUILD = 17763;

/** A file that was made of a template. */
interface FileHold extends Hold {
  readonly kind: "vmScratch";
  readonly path: string;
  readonly template: string;
}

const scratchFile: HoldKind<FileHold> = {
  kind: "vmScratch",
  take(host, hold) {
    copyFile(host, hold.template, hold.path);
    return Promise.resolve(hold);
  },
  give(host, hold) {
    deleteFile(host, hold.path);
    return Promise.resolve(true);
  },
};

/** The right of a VM to open a file that it was created with. */
interface AccessHold extends Hold {
  readonly kind: "vmAccess";
  readonly vm: string;
  readonly hostPath: string;
}

const scratchAccess: HoldKind<AccessHold> = {
  kind: "vmAccess",
  async take(host, hold) {
    await grantVmAccess(host, hold.vm, hold.hostPath);
    return hold;
  },
  async give(host, hold) {
    try {
      await revokeVmAccess(host, hold.vm, hold.hostPath);
      return true;
    } catch (error) {
      // A Windows that can't take it back, or a file that is gone. A grant to a VM that is gone is of no use to
      // anybody.
      if (error instanceof MissingExportError || isNotFound(error)) return false;
      throw error;
    }
  },
};

/** A VM of this process. */
interface SystemHold extends Hold {
  readonly kind: "computeSystem";
  readonly id: string;
}

class SystemHoldKind implements HoldKind<SystemHold> {
  readonly kind = "computeSystem";
  readonly #document: object;
  #system: ComputeSystem | undefined;

  constructor(document: object) {
    this.#document = document;
  }

  get system(): ComputeSystem {
    return this.#system!;
  }

  async take(host: Host, hold: SystemHold, signal?: AbortSignal): Promise<SystemHold> {
    this.#system = await ComputeSystem.create(host, hold.id, this.#document, { signal });
    return hold;
  }

  async give(): Promise<boolean> {
    const { system } = this;
    try {
      await system.terminate();
    } catch (error) {
      // It ends with its handle.
      log("warn", () => `ending the VM ${system.id}: ${messageOf(error)}`);
    }
    await system.close();
    return true;
  }
}

/**
 * Creates a utility VM; {@linkcode UtilityVM.start} boots it.
 *
 * Needs `--allow-ffi` without a path, as Windows reports on a VM by calling back. Changing the VM afterwards, and
 * mounting layers in it, takes no more than the paths of the DLLs.
 *
 * ```ts
 * import { createUtilityVM } from "@hcs-layers/hcs-layers";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLinuxBootFolder("C:\\Program Files\\Linux Containers");
 * await using vm = await createUtilityVM({ os: "linux" }, { host });
 * await vm.start({ signal: AbortSignal.timeout(120_000) });
 * console.log(vm.id, vm.capabilities);
 * ```
 *
 * @throws {InvalidInputError} if an option is refused, or two contradict each other; nothing was changed then.
 * @throws {UnsupportedBuildError} if this Windows can't do what is asked for.
 * @throws {MissingPermissionError} if Deno may not take notifications.
 * @throws {NativeError} if Windows refuses, with the events that it reports.
 * @throws {UnwindError} if Windows refuses and what was done before couldn't be undone.
 */
export async function createUtilityVM(
  options: UtilityVMOptions,
  { host = defaultHost(), signal }: CreateUtilityVMOptions = {},
): Promise<UtilityVM> {
  signal?.throwIfAborted();
  const build = buildNumber(host);
  requireBuild(build, MINIMUM_BUILD, "A utility VM");
  const plan = planVM(host, options, build);
  const document = plan.document(Math.min(plan.processorCount, await hostProcessors(host)));
  signal?.throwIfAborted();
  // The scratch outlives the VM, and goes only where the VM doesn't come to be.
  return await acquire(host, async (made) => {
    if (plan.scratch !== undefined && kindOf(host, plan.scratch.path) === undefined) {
      await made.take(scratchFile, { kind: "vmScratch", ...plan.scratch }, signal);
    }
    return await acquire(host, (holds) => createPlanned(holds, plan, document, { host, signal }));
  });
}

function planVM(host: Host, options: UtilityVMOptions, build: number): VMPlan {
  switch (options?.os) {
    case "linux":
      return planLinuxVM(host, options, build);
    case "windows":
      return planWindowsVM(host, options, build);
    default:
      throw new InvalidInputError("options.os", 'is neither "linux" nor "windows"', (options as { os?: unknown })?.os);
  }
}

async function createPlanned(
  holds: HoldList,
  plan: VMPlan,
  document: object,
  { host, signal }: { host: Host; signal: AbortSignal | undefined },
): Promise<UtilityVM> {
  if (plan.scratch !== undefined) {
    await holds.take(scratchAccess, { kind: "vmAccess", vm: plan.id, hostPath: plan.scratch.path }, signal);
  }
  const systems = new SystemHoldKind(document);
  await holds.take(systems, { kind: "computeSystem", id: plan.id }, signal);
  const { system } = systems;
  const { RuntimeId } = await system.properties(undefined, { signal });
  if (RuntimeId === undefined) throw noAnswer(host, "HcsGetComputeSystemProperties", plan.id);
  return newVM({ holds, system, plan, runtimeId: RuntimeId });
}

async function hostProcessors(host: Host): Promise<number> {
  const { Properties }: ServiceProperties = JSON.parse(await serviceProperties(host, processorTopology));
  const count = Properties?.[0]?.LogicalProcessorCount;
  if (!count) throw noAnswer(host, "HcsGetServiceProperties");
  return count;
}

function noAnswer(host: Host, fn: string, path?: string): NativeError {
  return errorOf(host, fn, fromWin32(win32.ERROR_INVALID_DATA), path);
}

interface UtilityVMInit {
  readonly holds: HoldList;
  readonly system: ComputeSystem;
  readonly plan: VMPlan;
  readonly runtimeId: string;
}

let newVM: (init: UtilityVMInit) => UtilityVM;

/**
 * A utility VM of this process, made by {@linkcode createUtilityVM}. It ends when it is closed (`await using`), and
 * with the process.
 *
 * | state | becomes | by |
 * | --- | --- | --- |
 * | `created` | `running` | `start()` |
 * | `created` | `ended` | `close()`, `terminate()`, a `start()` that failed once the VM was on its way |
 * | `running` | `ended` | `close()`, `terminate()`, the exit or a crash of the guest, a lost connection |
 *
 * A VM that has ended refuses everything but `close()`, with a {@linkcode VMStateError}. What waits when it ends is
 * refused at once.
 */
export class UtilityVM implements LayerVM, AsyncDisposable {
  /** Id of the VM. */
  readonly id: string;
  /** The GUID under which Hyper-V knows it. */
  readonly runtimeId: string;
  /** The machine that it runs on. */
  readonly host: Host;
  /** The system in it. */
  readonly os: GuestOS;
  /** The folders of the host that it sees; of use with a Windows guest. */
  readonly vsmb: VSMBShares;
  /** Its disks. */
  readonly scsi: SCSIDisks;
  /** Its persistent memory; of use with a Linux guest. */
  readonly vpmem: VPMemDevices;
  /** Whether no file of the host is mapped into it. */
  readonly physicallyBacked: boolean;
  /** Whether the guest encrypts scratch disks. */
  readonly encryptScratch: boolean;
  readonly #holds: HoldList;
  readonly #system: ComputeSystem;
  readonly #plan: VMPlan;
  #progress: "created" | "starting" | "running" = "created";
  #sockets: GuestSockets | undefined;
  #guest: GuestConnectionInfo = {};

  static {
    newVM = (init) => new UtilityVM(init);
  }

  private constructor(init: UtilityVMInit) {
    const { holds, system, plan, runtimeId } = init;
    this.#holds = holds;
    this.#system = system;
    this.#plan = plan;
    this.id = system.id;
    this.runtimeId = runtimeId;
    this.host = system.host;
    this.os = plan.os;
    this.physicallyBacked = plan.physicallyBacked;
    this.encryptScratch = plan.encryptScratch;
    this.vsmb = new VSMBShares(this, { noDirectMap: plan.noDirectMap });
    this.scsi = new SCSIDisks(this, plan.scsi);
    this.vpmem = new VPMemDevices(this, plan.vpmem);
  }

  /** How far it is. */
  get state(): VMState {
    if (this.#system.end !== undefined) return "ended";
    return this.#progress === "running" ? "running" : "created";
  }

  /** What the guest can do. Known once the VM is started. */
  get capabilities(): GuestConnectionInfo {
    return this.#guest;
  }

  /**
   * Boots it, and waits until its guest answers. A Linux guest is given its entropy, and its log goes to the library's.
   *
   * Windows sets no limit to the time that this takes: pass `AbortSignal.timeout(120_000)`, or what fits.
   *
   * @throws {NativeError} if Windows refuses, with the events that it reports.
   * @throws {VMStateError} if the VM was started before, or ends meanwhile.
   * @throws the reason of `signal`; the VM is ended then.
   */
  async start(options: WaitOptions = {}): Promise<void> {
    const { signal } = options;
    signal?.throwIfAborted();
    if (this.#system.end !== undefined) throw this.#system.end;
    if (this.#progress !== "created") throw new VMStateError(this.id, "starting");
    this.#progress = "starting";
    try {
      await this.#boot(signal);
      this.#progress = "running";
    } catch (error) {
      await this.#closeSockets();
      this.#progress = "created";
      if (!isNotStarted(error)) await this.#abandon();
      throw error;
    }
  }

  async #boot(signal: AbortSignal | undefined): Promise<void> {
    const { sockets } = this.#plan;
    if (sockets !== undefined) {
      const { serveGuest } = await import("./guest_sockets.ts");
      this.#sockets = serveGuest(this.host, this, sockets);
    }
    const started = this.#system.start({ signal });
    // A guest without entropy never starts, so that its failure ends the wait.
    await Promise.race([started, this.#sockets?.served.then(() => started) ?? started]);
    const { GuestConnectionInfo } = await this.#system.properties(guestConnectionProperties, { signal });
    this.#guest = GuestConnectionInfo ?? {};
    if (this.os === "linux") await this.#system.modify(openSecurityPolicy, { signal });
  }

  // It may be anywhere on its way.
  async #abandon(): Promise<void> {
    try {
      await this.terminate();
    } catch (error) {
      log("warn", () => `ending the VM ${this.id}, which failed to start: ${messageOf(error)}`);
    }
  }

  /**
   * Changes it: the host's part and the guest's in one request.
   *
   * @throws {NativeError} if the host or the guest refuses, with the events that it reports.
   * @throws {VMStateError} if the VM isn't running, or ends meanwhile.
   */
  async modify(request: ModifySettingRequest, options: WaitOptions = {}): Promise<void> {
    if (this.state === "created") throw new VMStateError(this.id, "notStarted");
    await this.#system.modify(request, options);
  }

  /** What the compute service knows about it. */
  properties(options: WaitOptions = {}): Promise<SystemProperties> {
    return this.#system.properties(undefined, options);
  }

  /**
   * Ends it without asking the guest, and waits until it has ended, up to 10 seconds. It still has to be closed.
   *
   * @throws {NativeError} if Windows refuses.
   * @throws {VMStateError} if the VM was closed.
   */
  async terminate(options: WaitOptions = {}): Promise<void> {
    await this.#system.terminate(options);
  }

  /**
   * Ends it, if it hasn't ended, and gives back all that it took: its sockets, its handles, its access to files. All
   * its devices are gone with it. After a failure, another call goes on with what is left; a second call does nothing.
   *
   * @throws {ReleaseError} if something is held still.
   */
  async close(): Promise<void> {
    await this.#closeSockets();
    await this.#holds.release();
  }

  /** {@linkcode UtilityVM.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #closeSockets(): Promise<void> {
    const sockets = this.#sockets;
    this.#sockets = undefined;
    await sockets?.[Symbol.asyncDispose]();
  }
}

function isNotStarted(error: unknown): boolean {
  return error instanceof NativeError && error.operation === "HcsStartComputeSystem";
}
