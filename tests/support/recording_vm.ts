/**
 * A VM that records what is asked of it, and is strict: what is taken can't be added, what isn't there can't be removed,
 * what is in use can't go.
 *
 * @module
 */

import { NativeError } from "../../src/errors/windows_errors.ts";
import type { ModifySettingRequest } from "../../src/hcsschema/requests.ts";
import { SimulatedHost, type SimulatedHostOptions } from "../../src/simulated/mod.ts";
import { CombinedLayers } from "../../src/uvm/devices/combined_layers.ts";
import { SCSIDisks, type SCSIOptions } from "../../src/uvm/devices/scsi.ts";
import { setDevices } from "../../src/uvm/devices/vm_devices.ts";
import { VPMemDevices, type VPMemOptions } from "../../src/uvm/devices/vpmem.ts";
import { VSMBShares } from "../../src/uvm/devices/vsmb.ts";
import type { GuestOS, RunningVM, VMState } from "../../src/uvm/running_vm.ts";

export interface RecordingVMOptions {
  readonly scsi?: SCSIOptions;
  readonly vpmem?: Partial<VPMemOptions>;
  readonly noDirectMap?: boolean;
  readonly physicallyBacked?: boolean;
  readonly encryptScratch?: boolean;
  readonly host?: SimulatedHost;
  readonly simulated?: SimulatedHostOptions;
}

export class RecordingVM implements RunningVM {
  readonly id = "vm1";
  readonly host: SimulatedHost;
  readonly os: GuestOS;
  readonly vsmb: VSMBShares;
  readonly scsi: SCSIDisks;
  readonly vpmem: VPMemDevices;
  state: VMState = "running";
  /** Every request, in the order in which it was made. */
  readonly requests: ModifySettingRequest[] = [];
  /** All that was removed, in that order. */
  readonly removed: string[] = [];
  /** Asked before each request: an error to answer, or when to answer. */
  before: (request: ModifySettingRequest, nth: number) => Promise<unknown> | unknown = () => {};
  readonly #held = new Map<string, object>();

  constructor(os: GuestOS, options: RecordingVMOptions = {}) {
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
      vpmem: this.vpmem,
      combined: new CombinedLayers(this),
      physicallyBacked: options.physicallyBacked ?? false,
      encryptScratch: options.encryptScratch ?? false,
    });
  }

  /** What is held in the VM. */
  held(): string[] {
    return [...this.#held.keys()];
  }

  async modify(request: ModifySettingRequest): Promise<void> {
    this.requests.push(request);
    await this.before(request, this.requests.length);
    if (this.state === "ended") throw refused(0x80370110);
    const { RequestType, ResourcePath, Settings, GuestRequest } = request;
    const keys: string[] = [];
    if (ResourcePath !== undefined) {
      const name = (Settings as { Name?: string } | undefined)?.Name;
      keys.push(`host ${ResourcePath.replace("VirtualMachine/Devices/", "")}${name === undefined ? "" : `/${name}`}`);
    }
    if (GuestRequest !== undefined) {
      const settings = GuestRequest.Settings as Record<string, unknown>;
      const { ResourceType } = GuestRequest;
      if (ResourceType === "SCSIDevice") return this.#unplug(settings);
      keys.push(`guest ${ResourceType} ${settings.ContainerRootPath ?? settings.ContainerPath ?? settings.MountPath}`);
    }
    const adds = (RequestType ?? GuestRequest?.RequestType) === "Add";
    for (const key of keys) {
      if (this.#held.has(key) === adds) throw refused(adds ? 0x800700b7 : 0x80070490);
      if (!adds && this.#inUse(key)) throw refused(0x800700aa);
    }
    for (const key of keys) {
      if (adds) {
        this.#held.set(key, request);
      } else {
        this.#held.delete(key);
        this.removed.push(key);
      }
    }
  }

  #unplug(settings: Record<string, unknown>): void {
    if (this.#mountsOf(Number(settings.Controller ?? 0), Number(settings.Lun ?? 0))) throw refused(0x800700aa);
  }

  #inUse(key: string): boolean {
    const slot = /Scsi\/(.*)\/Attachments\/(\d+)$/.exec(key);
    if (slot) return this.#mountsOf(slot[1]!.startsWith("df6d0690") ? 0 : 1, Number(slot[2]));
    const path = /^guest (?:MappedVirtualDisk|VPMemDevice) (.*)$/.exec(key)?.[1];
    return path !== undefined && [...this.#held].some(([other, request]) => {
      const text = JSON.stringify(request);
      const quoted = JSON.stringify(path).slice(0, -1);
      return other.startsWith("guest CombinedLayers") &&
        (text.includes(`${quoted}"`) || text.includes(`${quoted}/scratch`));
    });
  }

  #mountsOf(controller: number, lun: number): boolean {
    return [...this.#held].some(([key, request]) => {
      const { GuestRequest } = request as ModifySettingRequest;
      const settings = GuestRequest?.Settings as { Controller?: number; Lun?: number } | undefined;
      return key.startsWith("guest MappedVirtualDisk") && Number((settings?.Controller ?? 0) > 0) === controller &&
        (settings?.Lun ?? 0) === lun;
    });
  }
}

export function refused(code: number): NativeError {
  return new NativeError({ function: "HcsModifyComputeSystem", code });
}

/** A request in few words, for lists of them. */
export function short({ RequestType, ResourcePath, GuestRequest }: ModifySettingRequest): string {
  const parts: string[] = [];
  if (ResourcePath !== undefined) {
    parts.push(
      `${RequestType} ${
        ResourcePath.replace("VirtualMachine/Devices/", "").replace(/[0-9a-f]{8}-[^/]*/, (id) => id.slice(0, 4))
      }`,
    );
  }
  if (GuestRequest !== undefined) {
    const s = GuestRequest.Settings as Record<string, unknown>;
    const where = s.ContainerRootPath ?? s.ContainerPath ?? s.MountPath ?? `${s.Controller ?? 0}:${s.Lun ?? 0}`;
    parts.push(`${GuestRequest.RequestType} ${GuestRequest.ResourceType} ${where}`);
  }
  return parts.join(" + ");
}
