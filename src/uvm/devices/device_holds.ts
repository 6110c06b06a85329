/**
 * The holds on devices of a VM.
 *
 * A record says what is held and where. What it takes to give it back is the use of the device, which lives in the
 * process that has the VM: a VM ends with it, and so do its devices.
 *
 * @module
 */

import type { Hold, HoldKind } from "../../holds/hold.ts";
import type { LayerTree } from "./combined_layers.ts";
import type { Device, DeviceUse } from "./device.ts";
import type { Modifier } from "../running_vm.ts";
import type { SCSIAccess, SCSIAttachment, SCSIMount } from "./scsi.ts";
import type { VPMemFile } from "./vpmem.ts";
import type { VSMBShare } from "./vsmb.ts";

/** A device of a VM. */
export interface DeviceHold extends Hold {
  /** Id of the VM. */
  readonly vm: string;
}

/** A folder that a VM sees. */
export interface VSMBShareHold extends DeviceHold {
  /** What is held. */
  readonly kind: "vsmbShare";
  /** The folder. */
  readonly hostPath: string;
  /** Name of the share. */
  readonly name: string;
}

/** The right of a VM to open a file. */
export interface VMAccessHold extends DeviceHold {
  /** What is held. */
  readonly kind: "vmAccess";
  /** The file. */
  readonly hostPath: string;
}

/** A disk attached to a VM. */
export interface SCSIAttachmentHold extends DeviceHold {
  /** What is held. */
  readonly kind: "scsiAttachment";
  /** File of the disk. */
  readonly hostPath: string;
  /** Its controller. */
  readonly controller: number;
  /** Its LUN. */
  readonly lun: number;
}

/** A disk mounted in the guest. */
export interface SCSIMountHold extends DeviceHold {
  /** What is held. */
  readonly kind: "scsiMount";
  /** Where the guest has it. */
  readonly guestPath: string;
  /** Its controller. */
  readonly controller: number;
  /** Its LUN. */
  readonly lun: number;
}

/** A file that a VM sees as persistent memory. */
export interface VPMemFileHold extends DeviceHold {
  /** What is held. */
  readonly kind: "vpmemFile";
  /** The file. */
  readonly hostPath: string;
  /** Where the guest has it. */
  readonly guestPath: string;
  /** Number of the device. */
  readonly device: number;
}

/** Layers that the guest shows as one tree. */
export interface LayerTreeHold extends DeviceHold {
  /** What is held. */
  readonly kind: "layerTree";
  /** Where the guest has it. */
  readonly guestPath: string;
}

const uses = new WeakMap<Hold, DeviceUse<Device>>();

/** A kind of device as a kind of hold. */
class DeviceHoldKind<H extends DeviceHold, D extends Device> implements HoldKind<H> {
  readonly kind: H["kind"];
  readonly carries: (hold: H, other: Hold) => boolean;
  readonly #describe: (device: D) => Omit<H, "kind" | "vm">;

  constructor(
    kind: H["kind"],
    describe: (device: D) => Omit<H, "kind" | "vm">,
    carries: (hold: H, other: Hold) => boolean = () => false,
  ) {
    this.kind = kind;
    this.carries = carries;
    this.#describe = describe;
  }

  /** What to take for a use of a device that has its place. */
  of(vm: Modifier, use: DeviceUse<D>): H {
    return this.#record(vm.id, use);
  }

  async take(_host: unknown, hold: H, signal?: AbortSignal): Promise<H> {
    const use = uses.get(hold) as DeviceUse<D>;
    await use.ready(signal);
    // Anew, as some of it is known only now.
    return this.#record(hold.vm, use);
  }

  give(_host: unknown, hold: H): Promise<boolean> {
    return uses.get(hold)!.release();
  }

  #record(vm: string, use: DeviceUse<D>): H {
    const record = { kind: this.kind, ...this.#describe(use.device), vm } as H;
    uses.set(record, use);
    return record;
  }
}

// A list of holds has one tree at most, made of all layers in the list.
const carriesTree = (_: unknown, other: Hold) => other.kind === "layerTree";

const carriesMount = (hold: SCSIAttachmentHold, other: Hold) =>
  other.kind === "scsiMount" && (other as SCSIMountHold).controller === hold.controller &&
  (other as SCSIMountHold).lun === hold.lun;

const carriesAttachment = (hold: VMAccessHold, other: Hold) =>
  other.kind === "scsiAttachment" && (other as SCSIAttachmentHold).hostPath === hold.hostPath;

/** Holds of {@linkcode VSMBShare}s. */
export const vsmbShare: DeviceHoldKind<VSMBShareHold, VSMBShare> = new DeviceHoldKind<VSMBShareHold, VSMBShare>(
  "vsmbShare",
  ({ hostPath, name }) => ({ hostPath, name }),
  carriesTree,
);

/** Holds of {@linkcode SCSIAccess}es. */
export const vmAccess: DeviceHoldKind<VMAccessHold, SCSIAccess> = new DeviceHoldKind<VMAccessHold, SCSIAccess>(
  "vmAccess",
  ({ hostPath }) => ({ hostPath }),
  carriesAttachment,
);

/** Holds of {@linkcode SCSIAttachment}s. */
export const scsiAttachment: DeviceHoldKind<SCSIAttachmentHold, SCSIAttachment> = new DeviceHoldKind<
  SCSIAttachmentHold,
  SCSIAttachment
>(
  "scsiAttachment",
  ({ hostPath, controller, lun }) => ({ hostPath, controller, lun }),
  carriesMount,
);

/** Holds of {@linkcode SCSIMount}s. */
export const scsiMount: DeviceHoldKind<SCSIMountHold, SCSIMount> = new DeviceHoldKind<SCSIMountHold, SCSIMount>(
  "scsiMount",
  ({ guestPath, controller, lun }) => ({ guestPath, controller, lun }),
  carriesTree,
);

/** Holds of {@linkcode VPMemFile}s. */
export const vpmemFile: DeviceHoldKind<VPMemFileHold, VPMemFile> = new DeviceHoldKind<VPMemFileHold, VPMemFile>(
  "vpmemFile",
  ({ hostPath, guestPath, device }) => ({ hostPath, guestPath, device }),
  carriesTree,
);

/** Holds of {@linkcode LayerTree}s. */
export const layerTree: DeviceHoldKind<LayerTreeHold, LayerTree> = new DeviceHoldKind<LayerTreeHold, LayerTree>(
  "layerTree",
  ({ guestPath }) => ({ guestPath }),
);
