/**
 * A utility VM on a simulated host, with what was requested of it and what is held in it; and a fake one, for the devices
 * alone.
 *
 * @module
 */

import type { ModifySettingRequest } from "../../src/hcsschema/requests.ts";
import { type NativeCall, SimulatedHost, type SimulatedHostOptions } from "../../src/simulated/mod.ts";
import type { LinuxVMOptions } from "../../src/uvm/plans/linux_vm.ts";
import type { WindowsVMOptions } from "../../src/uvm/plans/windows_vm.ts";
import { createUtilityVM, type UtilityVM } from "../../mod.ts";
import { NativeError } from "../../src/errors/windows_errors.ts";
import { BlockImages } from "../../src/uvm/devices/block_images.ts";
import { CombinedLayers } from "../../src/uvm/devices/combined_layers.ts";
import { SCSIDisks, type SCSIOptions } from "../../src/uvm/devices/scsi.ts";
import { setDevices } from "../../src/uvm/devices/vm_devices.ts";
import { VPMemDevices, type VPMemOptions } from "../../src/uvm/devices/vpmem.ts";
import { VSMBShares } from "../../src/uvm/devices/vsmb.ts";
import type { GuestOS, RunningVM, VMState } from "../../src/uvm/running_vm.ts";

/** Access denied. */
export const DENIED = 0x80070005;

const ACCESS = ["GrantVmAccess", "RevokeVmAccess"];

/**
 * A VM that is started, unless it is asked not to be. By default the compute service talks with its guest, so that one call
 * changes both sides.
 */
export class TestVM implements AsyncDisposable {
  readonly vm: UtilityVM;
  readonly host: SimulatedHost;
  readonly #empty: readonly string[];
  #from = 0;

  private constructor(vm: UtilityVM, host: SimulatedHost) {
    this.vm = vm;
    this.host = host;
    this.#empty = list(host);
    this.forget();
  }

  static async open(
    options: Omit<LinuxVMOptions, "bootFolder"> | Omit<WindowsVMOptions, "layerFolders">,
    { start = true, ...simulated }: SimulatedHostOptions & { start?: boolean } = {},
  ): Promise<TestVM> {
    const host = new SimulatedHost(simulated);
    const root = options.os === "linux" && options.rootFile === "rootfs.vhd" ? "rootfs.vhd" : "initrd.img";
    host.addLinuxBootFolder("C:\\boot", root);
    host.addWindowsBootLayer("C:\\image");
    host.addScratch("C:\\image\\scratch");
    const vm = await createUtilityVM(
      options.os === "linux" ? { id: "vm1", bootFolder: "C:\\boot", guestConnection: "internal", ...options } : {
        id: "vm1",
        layerFolders: ["C:\\image", "C:\\image\\scratch"],
        guestConnection: "internal",
        ...options,
      },
      { host },
    );
    if (start) await vm.start();
    return new TestVM(vm, host);
  }

  /** What the VM was asked since it was opened, or {@linkcode TestVM.forget} was called. */
  get requests(): ModifySettingRequest[] {
    return this.host.calls.slice(this.#from).filter((call) => call.function === "HcsModifyComputeSystem")
      .map(requestOf);
  }

  /** What was granted to the VM and taken back, but for its own disk. */
  get accesses(): string[] {
    return this.host.calls.filter((call) => ACCESS.includes(call.function) && call.result === "0x00000000")
      .map((call) => `${call.function} ${call.args.filepath}`).filter((access) => !access.includes("C:\\image"));
  }

  /** Forgets the calls so far. */
  forget(): void {
    this.#from = this.host.calls.length;
  }

  /** Has requests refused for which `when` is true; `nth` counts the requests from now, from 1. */
  refuse(when: (request: ModifySettingRequest, nth: number) => boolean): void {
    let nth = 0;
    this.host.fail({
      function: "HcsModifyComputeSystem",
      code: DENIED,
      when: (call) => when(requestOf(call), ++nth),
    });
  }

  /** Fails the n-th requests and grants, counting both from now, from 1. Answers how many there were so far. */
  refuseNth(numbers: readonly number[]): () => number {
    let nth = 0;
    for (const fn of ["HcsModifyComputeSystem", ...ACCESS]) {
      this.host.fail({ function: fn, code: DENIED, when: () => numbers.includes(++nth) });
    }
    return () => nth;
  }

  /** Has nothing refused any more. */
  failNothing(): void {
    this.host.failNothing();
  }

  /** What is held besides the VM itself. */
  held(): string[] {
    return list(this.host).filter((held) => !this.#empty.includes(held));
  }

  /** What is held besides the VM itself and the shares that stay until it ends. */
  left(): string[] {
    return this.held().filter((held) => !held.startsWith("vsmbShare "));
  }

  /** As {@linkcode TestVM.held}, with the number of the call that took each. */
  taken(): string[] {
    return this.host.held().map(({ kind, target, by }) => `${kind} ${target} (call ${by?.call})`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.vm.close();
  }
}

function list(host: SimulatedHost): string[] {
  return host.held().map(({ kind, target }) => `${kind} ${target}`);
}

function requestOf(call: NativeCall): ModifySettingRequest {
  return JSON.parse(String(call.args.configuration));
}

/** A request in few words, for lists of them. */
export function short({ RequestType, ResourcePath, GuestRequest }: ModifySettingRequest): string {
  const parts: string[] = [];
  if (ResourcePath !== undefined) {
    const path = ResourcePath.replace("VirtualMachine/Devices/", "").replace(
      /[0-9a-f]{8}-[^/]*/,
      (id) => id.slice(0, 4),
    );
    parts.push(`${RequestType} ${path}`);
  }
  if (GuestRequest !== undefined) {
    const s = GuestRequest.Settings as Record<string, unknown>;
    const where = s.ContainerRootPath ?? s.ContainerPath ?? s.VolumeGUID ?? s.MountPath ??
      `${s.Controller ?? 0}:${s.Lun ?? 0}`;
    parts.push(`${GuestRequest.RequestType} ${GuestRequest.ResourceType} ${where}`);
  }
  return parts.join(" + ");
}

export interface FakeVMOptions {
  readonly scsi?: SCSIOptions;
  readonly vpmem?: Partial<VPMemOptions>;
  readonly noDirectMap?: boolean;
  readonly physicallyBacked?: boolean;
  readonly encryptScratch?: boolean;
  readonly host?: SimulatedHost;
  readonly simulated?: SimulatedHostOptions;
}

/** A VM that does nothing but write down what is requested of it. */
export class FakeVM implements RunningVM {
  readonly id = "vm1";
  readonly host: SimulatedHost;
  readonly os: GuestOS;
  readonly vsmb: VSMBShares;
  readonly scsi: SCSIDisks;
  readonly vpmem: VPMemDevices;
  state: VMState = "running";
  /** Every request, in the order in which it was made. */
  readonly requests: ModifySettingRequest[] = [];
  /** Asked before each request: an error to answer, or when to answer. */
  before: (request: ModifySettingRequest, nth: number) => Promise<unknown> | unknown = () => {};

  constructor(os: GuestOS, options: FakeVMOptions = {}) {
    this.os = os;
    this.host = options.host ?? new SimulatedHost(options.simulated);
    this.vsmb = new VSMBShares(this, { noDirectMap: options.noDirectMap ?? false });
    this.scsi = new SCSIDisks(
      this,
      options.scsi ?? { controllers: 1, own: [] },
    );
    this.vpmem = new VPMemDevices(this, {
      deviceCount: os === "linux" ? 64 : 0,
      deviceSizeBytes: 2 ** 32,
      multiMapping: true,
      ...options.vpmem,
    });
    setDevices(this, {
      vsmb: this.vsmb,
      scsi: this.scsi,
      images: new BlockImages(this),
      vpmem: this.vpmem,
      combined: new CombinedLayers(this),
      physicallyBacked: options.physicallyBacked ?? false,
      encryptScratch: options.encryptScratch ?? false,
    });
  }

  async modify(request: ModifySettingRequest): Promise<void> {
    this.requests.push(request);
    await this.before(request, this.requests.length);
    if (this.state === "ended") throw refused(0x80370110);
  }
}

export function refused(code: number): NativeError {
  return new NativeError({ function: "HcsModifyComputeSystem", code });
}
