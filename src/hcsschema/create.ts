/**
 * The documents that create a utility VM: the argument of `HcsCreateComputeSystem`. Keys are in the order in which the
 * container tools write them. An absent key means the default of Windows, so no key is written with an empty value.
 *
 * @module
 */

import {
  type Attachment,
  type ModifySettingRequest,
  present,
  SCSI_CONTROLLERS,
  type VirtualPMemDevice,
  type VirtualSmbShare,
} from "./requests.ts";
import type { Version } from "./storage.ts";

/** A compute system that is a VM. */
export interface ComputeSystem {
  /** Name of the program that creates it. `hcsdiag list` shows it. */
  readonly Owner?: string;
  /** Version of the schema. */
  readonly SchemaVersion: Version;
  /** The VM. */
  readonly VirtualMachine: VirtualMachine;
  /** Whether the VM ends when its last handle is closed. */
  readonly ShouldTerminateOnLastHandleClosed?: boolean;
}

/** A VM. */
export interface VirtualMachine {
  /** Whether it ends when the guest resets it. */
  readonly StopOnReset?: boolean;
  /** How it boots. */
  readonly Chipset: Chipset;
  /** Memory and processors. */
  readonly ComputeTopology: Topology;
  /** Its devices. */
  readonly Devices: Devices;
  /** Changes of the guest's registry before it boots. */
  readonly RegistryChanges?: RegistryChanges;
  /** Limits of its disks. */
  readonly StorageQoS?: StorageQoS;
  /** Present if the compute service talks to the guest; absent if this program does. */
  readonly GuestConnection?: GuestConnection;
  /** Where the state of a crashed guest is saved. */
  readonly DebugOptions?: DebugOptions;
}

/** How a VM boots. Exactly one of the two is present. */
export interface Chipset {
  /** By the firmware. */
  readonly Uefi?: { readonly BootThis: UefiBootEntry };
  /** Directly into a kernel. */
  readonly LinuxKernelDirect?: LinuxKernelDirect;
}

/** What the firmware boots. */
export interface UefiBootEntry {
  /** `VmbFs`: a folder of the host. */
  readonly DeviceType: "VmbFs";
  /** The file in it. */
  readonly DevicePath: string;
  /** The arguments for the file. */
  readonly OptionalData?: string;
  /** The folder, if it isn't the share `os`. */
  readonly VmbFsRootPath?: string;
}

/** The kernel to boot. */
export interface LinuxKernelDirect {
  /** Its file. */
  readonly KernelFilePath: string;
  /** File of the initial RAM disk. */
  readonly InitRdPath?: string;
  /** Its command line. */
  readonly KernelCmdLine: string;
}

/** Memory and processors. */
export interface Topology {
  /** Memory. */
  readonly Memory: Memory;
  /** Processors. */
  readonly Processor: Processor;
}

/** The memory of a VM. */
export interface Memory {
  /** Size in MiB, an even number. */
  readonly SizeInMB: number;
  /** Whether it is virtual memory of the host, rather than physical. */
  readonly AllowOvercommit?: boolean;
  /** Whether the guest may report the pages that it uses much. */
  readonly EnableHotHint?: boolean;
  /** Whether virtual memory is allocated only when it is first used. */
  readonly EnableDeferredCommit?: boolean;
  /** Whether the guest may report the pages that it doesn't use. */
  readonly EnableColdDiscardHint?: boolean;
  /** Space for devices below 4 GiB, in MiB. */
  readonly LowMmioGapInMB?: number;
  /** Start of the space for devices above 4 GiB, in MiB. */
  readonly HighMmioBaseInMB?: number;
  /** Size of that space, in MiB. */
  readonly HighMmioGapInMB?: number;
}

/** The processors of a VM. */
export interface Processor {
  /** Number of processors. */
  readonly Count: number;
  /** The most that the VM may use of them, in 1/1000 percent. */
  readonly Limit?: number;
  /** Its weight relative to other VMs. */
  readonly Weight?: number;
  /** The group of processors that it runs on. */
  readonly CpuGroup?: { readonly Id: string };
}

/** The devices of a VM. */
export interface Devices {
  /** Serial ports by number. */
  readonly ComPorts?: Readonly<Record<string, { readonly NamedPipe: string }>>;
  /** SCSI controllers by GUID. */
  readonly Scsi?: Readonly<Record<string, ScsiController>>;
  /** Persistent memory. */
  readonly VirtualPMem?: VirtualPMemController;
  /** A screen. */
  readonly VideoMonitor?: EmptyDevice;
  /** A keyboard. */
  readonly Keyboard?: EmptyDevice;
  /** Sockets between host and guest. */
  readonly HvSocket: HvSocket;
  /** A screen for remote desktops. */
  readonly EnhancedModeVideo?: EmptyDevice;
  /** Folders of the host for a Windows guest. */
  readonly VirtualSmb?: VirtualSmb;
  /** Folders of the host for a Linux guest. */
  readonly Plan9?: EmptyDevice;
}

/** A device without settings. */
export type EmptyDevice = Readonly<Record<string, never>>;

/** A SCSI controller. */
export interface ScsiController {
  /** Its disks by LUN. */
  readonly Attachments?: Readonly<Record<string, Attachment>>;
}

/** The persistent memory of a VM. */
export interface VirtualPMemController {
  /** Devices by number. */
  readonly Devices?: Readonly<Record<string, VirtualPMemDevice>>;
  /** The largest number of devices. */
  readonly MaximumCount?: number;
  /** The largest size of one device, in bytes. */
  readonly MaximumSizeBytes?: number;
}

/** Sockets between host and guest. */
export interface HvSocket {
  /** Their settings. */
  readonly HvSocketConfig: {
    /** The accounts that may bind one, as a security descriptor. */
    readonly DefaultBindSecurityDescriptor: string;
  };
}

/** Folders of the host for a Windows guest. */
export interface VirtualSmb {
  /** The folders. */
  readonly Shares: readonly VirtualSmbShare[];
  /** How much of them may be mapped into the guest's memory, in MiB. */
  readonly DirectFileMappingInMB: number;
}

/** Changes of a Windows guest's registry before it boots. */
export interface RegistryChanges {
  /** The values to set. */
  readonly AddValues?: readonly RegistryValue[];
}

/** A value of a guest's registry. {@linkcode RegistryValue.Type} says which of the value keys is present. */
export interface RegistryValue {
  /** The key that it is in. */
  readonly Key: RegistryKey;
  /** Its name. */
  readonly Name: string;
  /** Its type. */
  readonly Type: "None" | "String" | "ExpandedString" | "MultiString" | "Binary" | "DWord" | "QWord" | "CustomType";
  /** A text. */
  readonly StringValue?: string;
  /** Bytes in base64. */
  readonly BinaryValue?: string;
  /** A number of 32 bits. */
  readonly DWordValue?: number;
  /** A number of 64 bits. */
  readonly QWordValue?: number;
  /** A custom type. */
  readonly CustomType?: number;
}

/** A key of a guest's registry. */
export interface RegistryKey {
  /** The hive. */
  readonly Hive: "System" | "Software" | "Security" | "Sam";
  /** Its path in the hive. */
  readonly Name: string;
  /** Whether it is lost on a restart. */
  readonly Volatile?: boolean;
}

/** Limits of a VM's disks. */
export interface StorageQoS {
  /** Largest number of operations per second. */
  readonly IopsMaximum?: number;
  /** Largest number of bytes per second. */
  readonly BandwidthMaximum?: number;
}

/** How the compute service talks to the guest. */
export interface GuestConnection {
  /** Whether it uses vsock, as Linux guests need. */
  readonly UseVsock?: boolean;
  /** Whether the connection survives a suspension of the VM. */
  readonly UseConnectedSuspend?: boolean;
}

/** Where the state of a crashed guest is saved. */
export interface DebugOptions {
  /** File for the state of a guest that wrote a crash dump. */
  readonly BugcheckSavedStateFileName?: string;
  /** File for the state of a guest that couldn't write one. */
  readonly BugcheckNoCrashdumpSavedStateFileName?: string;
}

/** The settings of all VMs. */
export interface VMSettings {
  /** Name of the program that creates it. */
  readonly owner: string;
  /** Its memory. Empty values are left out. */
  readonly memory: Memory;
  /** Its processors. Empty values are left out. */
  readonly processor: Processor;
  /** Limits of its disks. */
  readonly storageQoS: StorageQoS;
  /** Whether the compute service talks to the guest. */
  readonly guestConnection: boolean;
}

/** The settings of a Windows VM. */
export interface WindowsVMSettings extends VMSettings {
  /** The share with the guest's system. */
  readonly osShare: VirtualSmbShare;
  /** The disk that the guest writes to, at controller 0, LUN 0. */
  readonly scratchPath: string;
  /** Values of the guest's registry. */
  readonly registryValues: readonly RegistryValue[];
  /** Where the state of a crashed guest is saved. */
  readonly debug: DebugOptions;
}

/** The settings of a Linux VM. */
export interface LinuxVMSettings extends VMSettings {
  /** How it boots. */
  readonly chipset: Chipset;
  /** How many SCSI controllers it has. */
  readonly scsiControllers: number;
  /** The read-only disk at controller 0, LUN 0 that it boots from; `""` for none. */
  readonly bootDisk: string;
  /** Its persistent memory; `undefined` for none. */
  readonly pmem: VirtualPMemController | undefined;
  /** The pipe of the host that is connected to its first serial port; `""` for none. */
  readonly consolePipe: string;
  /** Whether it has a screen and a keyboard. */
  readonly graphicsConsole: boolean;
}

const SCHEMA_VERSION: Version = { Major: 2, Minor: 1 };
// Administrators and SYSTEM may bind sockets for the guest. This program does that.
const HV_SOCKET: HvSocket = { HvSocketConfig: { DefaultBindSecurityDescriptor: "D:P(A;;FA;;;SY)(A;;FA;;;BA)" } };
const DIRECT_FILE_MAPPING_IN_MB = 1024;

/** Returns the document of a Windows VM. */
export function windowsVM(settings: WindowsVMSettings): ComputeSystem {
  return system(settings, {
    StopOnReset: true,
    Chipset: { Uefi: { BootThis: { DeviceType: "VmbFs", DevicePath: "\\EFI\\Microsoft\\Boot\\bootmgfw.efi" } } },
    ComputeTopology: topology(settings),
    Devices: {
      Scsi: controllers(1, { Type: "VirtualDisk", Path: settings.scratchPath }),
      HvSocket: HV_SOCKET,
      VirtualSmb: { Shares: [settings.osShare], DirectFileMappingInMB: DIRECT_FILE_MAPPING_IN_MB },
    },
    RegistryChanges: present({ AddValues: settings.registryValues }),
    ...qos(settings),
    ...(settings.guestConnection && { GuestConnection: {} }),
    ...(hasKeys(settings.debug) && { DebugOptions: settings.debug }),
  });
}

/** Returns the document of a Linux VM. */
export function linuxVM(settings: LinuxVMSettings): ComputeSystem {
  const { scsiControllers, bootDisk, pmem, consolePipe, graphicsConsole } = settings;
  return system(settings, {
    StopOnReset: true,
    Chipset: settings.chipset,
    ComputeTopology: topology(settings),
    Devices: {
      ...(consolePipe !== "" && { ComPorts: { 0: { NamedPipe: consolePipe } } }),
      ...(scsiControllers > 0 && {
        Scsi: controllers(
          scsiControllers,
          bootDisk === "" ? undefined : { Type: "VirtualDisk", Path: bootDisk, ReadOnly: true },
        ),
      }),
      ...(pmem && { VirtualPMem: pmem }),
      ...(graphicsConsole && { VideoMonitor: {}, Keyboard: {} }),
      HvSocket: HV_SOCKET,
      ...(graphicsConsole && { EnhancedModeVideo: {} }),
      Plan9: {},
    },
    ...qos(settings),
    ...(settings.guestConnection && { GuestConnection: { UseVsock: true, UseConnectedSuspend: true } }),
  });
}

/** Makes a Linux guest accept all containers. Without a policy, it accepts none. */
export const openSecurityPolicy: ModifySettingRequest = {
  RequestType: "Add",
  GuestRequest: { RequestType: "Add", ResourceType: "SecurityPolicy", Settings: {} },
};

function system({ owner }: VMSettings, machine: VirtualMachine): ComputeSystem {
  return {
    Owner: owner,
    SchemaVersion: SCHEMA_VERSION,
    VirtualMachine: machine,
    ShouldTerminateOnLastHandleClosed: true,
  };
}

function topology({ memory, processor }: VMSettings): Topology {
  return { Memory: present(memory), Processor: present(processor) };
}

// By GUID and in the order of the GUIDs, as the container tools write them. The disk is at controller 0, LUN 0.
function controllers(count: number, disk?: Attachment): Record<string, ScsiController> {
  return Object.fromEntries(
    SCSI_CONTROLLERS.slice(0, count)
      .map((guid, i): [string, ScsiController] => [guid, i === 0 && disk ? { Attachments: { 0: disk } } : {}])
      .toSorted(([a], [b]) => a < b ? -1 : 1),
  );
}

function qos({ storageQoS }: VMSettings): { StorageQoS?: StorageQoS } {
  const limits = present(storageQoS);
  return hasKeys(limits) ? { StorageQoS: limits } : {};
}

function hasKeys(document: object): boolean {
  return Object.keys(document).length > 0;
}
