/**
 * The options that Linux and Windows utility VMs have in common.
 *
 * @module
 */

import { boolean, text, wholeNumber } from "../../checks/arguments.ts";
import { InvalidInputError } from "../../errors/input_error.ts";
import { isGuid } from "../../ffi/guid.ts";
import type { Host } from "../../ffi/host.ts";
import type { ComputeSystem, Memory, Processor, StorageQoS, VMSettings } from "../../hcsschema/create.ts";
import { type Check, type Checked, fieldsOf, oneOf, optional, propertyOf } from "../../options.ts";
import { requireBuild } from "../../session/builds.ts";
import type { SCSIOptions } from "../devices/scsi.ts";
import type { VPMemOptions } from "../devices/vpmem.ts";
import type { GuestServices } from "../guest_sockets.ts";
import type { GuestOS } from "../running_vm.ts";

/**
 * Options of both Linux and Windows VMs.
 *
 * @category Layers in a VM
 */
export interface CommonVMOptions {
  /** Id of the VM, unique on the host. Default: a random UUID. */
  id?: string;
  /** Name of the program that creates it, which `hcsdiag list` shows. Default: `hcs-layers`. */
  owner?: string;
  /** Memory in MiB, rounded up to an even number. Default: 1024. */
  memorySizeInMB?: number;
  /** Whether the memory is virtual memory of the host. Default: true, unless `fullyPhysicallyBacked`. */
  allowOvercommit?: boolean;
  /** Whether virtual memory is committed only when the guest uses it. Needs `allowOvercommit`. Default: false. */
  enableDeferredCommit?: boolean;
  /**
   * Whether memory and devices are all physically backed, so that no file of the host is mapped into the VM: no file on
   * vPMem, no direct mapping of shares. Default: false.
   */
  fullyPhysicallyBacked?: boolean;
  /** Space for devices below 4 GiB, in MiB. Default: Windows decides. */
  lowMMIOGapInMB?: number;
  /** Start of the space for devices above 4 GiB, in MiB. Default: Windows decides. */
  highMMIOBaseInMB?: number;
  /** Size of that space, in MiB. Default: Windows decides. */
  highMMIOGapInMB?: number;
  /** Number of processors, at most as many as the host has. Default: 2. */
  processorCount?: number;
  /** The most that the VM may use of its processors, in 1/1000 percent. Default: Windows decides. */
  processorLimit?: number;
  /** Weight relative to other VMs. Default: Windows decides. */
  processorWeight?: number;
  /** GUID of a group of processors to run on. Needs Windows build 19043. */
  cpuGroupId?: string;
  /** Limits of the VM's disks. Default: none. */
  storageQoS?: {
    /** Largest number of operations per second. */
    iopsMaximum?: number;
    /** Largest number of bytes per second. */
    bandwidthMaximum?: number;
  };
  /**
   * The connection to the guest. With `"direct"`, the default, this process talks with the guest, as the container tools
   * do. With `"internal"`, the compute service connects to the guest and forwards the guest's part of each change: that is
   * unproven, as nobody is known to use it with the guests of today. With `"none"`, there is no connection.
   */
  guestConnection?: "direct" | "internal" | "none";
  /**
   * Whether layers are added and removed side by side also where the container tools do that one after another: persistent
   * memory, shares, and the removal of disks. That is faster, but nobody is known to have tried it with a guest. Default: false
   * with the connection `"direct"`, and true with the others.
   */
  concurrentChanges?: boolean;
}

/** A planned VM. Nothing has been changed yet. */
export interface VMPlan {
  /** The operating system in it. */
  readonly os: GuestOS;
  /** Its id. */
  readonly id: string;
  /** Name of the program that creates it. */
  readonly owner: string;
  /** The number of processors in its options. */
  readonly processorCount: number;
  /** Returns its document, for the number of processors that it gets. */
  document(processors: number): ComputeSystem;
  /** The files and folders of the host that it boots from. */
  readonly bootFiles: readonly string[];
  /** Whether no file of the host may be mapped into it. */
  readonly physicallyBacked: boolean;
  /** Whether its shares are never mapped into its memory. */
  readonly noDirectMap: boolean;
  /** Its SCSI controllers, and its own disks on them. */
  readonly scsi: SCSIOptions;
  /** Its persistent memory. */
  readonly vpmem: VPMemOptions;
  /** Whether the guest encrypts scratch disks. */
  readonly encryptScratch: boolean;
  /** The disk that a Windows guest writes to, copied from the template if it is missing; and its folder, if that is missing. */
  readonly scratch?: { readonly path: string; readonly template: string; readonly folder?: string };
  /** Who talks with the guest. */
  readonly guestConnection: NonNullable<CommonVMOptions["guestConnection"]>;
  /** Whether its devices are changed side by side, also where the container tools never do that. */
  readonly concurrentChanges: boolean;
  /** What the guest connects to when it boots. */
  readonly sockets?: GuestServices;
}

const DEFAULT_MEMORY_IN_MB = 1024;
const DEFAULT_PROCESSORS = 2;
const DEFAULT_OWNER = "hcs-layers";

/** The common options, checked. */
export interface CommonVMSettings {
  /** Id of the VM. */
  readonly id: string;
  /** Name of the program that creates it. */
  readonly owner: string;
  /** The number of processors in its options. */
  readonly processorCount: number;
  /** Whether no file of the host may be mapped into it. */
  readonly physicallyBacked: boolean;
  /** Who talks with the guest. */
  readonly guestConnection: NonNullable<CommonVMOptions["guestConnection"]>;
  /** Whether its devices are changed side by side, also where the container tools never do that. */
  readonly concurrentChanges: boolean;
  /** Returns the settings for the document, for the number of processors that the VM gets. */
  settings(processors: number): VMSettings;
}

const number = optional(wholeNumber());
const atLeastOne = optional(wholeNumber(1));
const LIMITS = { iopsMaximum: number, bandwidthMaximum: number };

/** The checks of {@linkcode CommonVMOptions}. */
export const COMMON_OPTIONS = {
  id: optional(text),
  owner: optional(text),
  memorySizeInMB: atLeastOne,
  allowOvercommit: optional(boolean),
  enableDeferredCommit: optional(boolean),
  fullyPhysicallyBacked: optional(boolean),
  lowMMIOGapInMB: number,
  highMMIOBaseInMB: number,
  highMMIOGapInMB: number,
  processorCount: atLeastOne,
  processorLimit: number,
  processorWeight: number,
  cpuGroupId: optional(guid),
  storageQoS: optional((limits: unknown, argument: string) => fieldsOf(limits, LIMITS, argument)),
  guestConnection: optional(oneOf("direct", "internal", "none")),
  concurrentChanges: optional(boolean),
} as const satisfies Record<keyof CommonVMOptions, Check<unknown>>;

function guid(value: unknown, argument: string): string {
  if (!isGuid(value)) throw new InvalidInputError(argument, "is not a GUID", value);
  return value;
}

// With these, the container tools make a VM confidential, which boots and is talked with in other ways.
const CONFIDENTIAL = [
  ...["securityPolicy", "securityPolicyEnabled", "securityPolicyEnforcer", "guestStateFile", "guestStateFilePath"],
  ...["isolationType", "uvmReferenceInfoFile"],
];

/** Refuses the options of confidential VMs by their names. */
export function requireNotConfidential(options: object): void {
  for (const name of CONFIDENTIAL) {
    const value = propertyOf(options, name, "options");
    if (value !== undefined) {
      throw new InvalidInputError(`options.${name}`, "is of confidential VMs, which are not supported", value);
    }
  }
}

/** {@linkcode CommonVMOptions} as the caller gave them, each checked. */
export type CommonVMInput = Checked<typeof COMMON_OPTIONS>;

function backingOf({ fullyPhysicallyBacked = false, allowOvercommit = !fullyPhysicallyBacked }: CommonVMInput) {
  return { physicallyBacked: fullyPhysicallyBacked, allowOvercommit };
}

/** Refuses options of both systems that contradict each other. */
export function requireConsistent(options: CommonVMInput): void {
  const { physicallyBacked, allowOvercommit } = backingOf(options);
  if (physicallyBacked && allowOvercommit) {
    throw new InvalidInputError("options.allowOvercommit", "contradicts fullyPhysicallyBacked", true);
  }
  if (options.enableDeferredCommit && !allowOvercommit) {
    throw new InvalidInputError("options.enableDeferredCommit", "needs allowOvercommit", true);
  }
  if (options.concurrentChanges === false && (options.guestConnection ?? "direct") !== "direct") {
    throw new InvalidInputError(
      "options.concurrentChanges",
      'can only be false with the guestConnection "direct"',
      false,
    );
  }
}

/**
 * Makes the settings of the common options. `hints` returns the hints about memory that the guest may give.
 *
 * @throws {UnsupportedBuildError} if this Windows is too old for an option.
 */
export function commonSettings(
  options: CommonVMInput,
  host: Host,
  hints: (allowOvercommit: boolean) => Pick<Memory, "EnableHotHint" | "EnableColdDiscardHint">,
): CommonVMSettings {
  const { physicallyBacked, allowOvercommit } = backingOf(options);
  const size = options.memorySizeInMB ?? DEFAULT_MEMORY_IN_MB;
  const memory: Memory = {
    SizeInMB: size + size % 2,
    AllowOvercommit: allowOvercommit,
    ...order(hints(allowOvercommit), options.enableDeferredCommit ?? false),
    LowMmioGapInMB: options.lowMMIOGapInMB ?? 0,
    HighMmioBaseInMB: options.highMMIOBaseInMB ?? 0,
    HighMmioGapInMB: options.highMMIOGapInMB ?? 0,
  };
  const processor = processorOf(options, host);
  const storageQoS: StorageQoS = {
    IopsMaximum: options.storageQoS?.iopsMaximum ?? 0,
    BandwidthMaximum: options.storageQoS?.bandwidthMaximum ?? 0,
  };
  const { guestConnection = "direct" } = options;
  const owner = options.owner ?? DEFAULT_OWNER;
  return {
    guestConnection,
    concurrentChanges: options.concurrentChanges ?? guestConnection !== "direct",
    id: options.id ?? crypto.randomUUID(),
    owner,
    processorCount: options.processorCount ?? DEFAULT_PROCESSORS,
    physicallyBacked,
    settings: (processors) => ({
      owner,
      memory,
      processor: { Count: processors, ...processor },
      storageQoS,
      guestConnection: guestConnection === "internal",
    }),
  };
}

function order(hints: Pick<Memory, "EnableHotHint" | "EnableColdDiscardHint">, deferred: boolean): Partial<Memory> {
  const { EnableHotHint = false, EnableColdDiscardHint = false } = hints;
  return { EnableHotHint, EnableDeferredCommit: deferred, EnableColdDiscardHint };
}

function processorOf(options: CommonVMInput, host: Host): Omit<Processor, "Count"> {
  const { cpuGroupId } = options;
  if (cpuGroupId !== undefined) requireBuild(host, "cpuGroup", "A VM in a CPU group from its start");
  return {
    Limit: options.processorLimit ?? 0,
    Weight: options.processorWeight ?? 0,
    ...(cpuGroupId !== undefined && { CpuGroup: { Id: cpuGroupId } }),
  };
}
