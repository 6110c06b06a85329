/**
 * What to do about errors of Windows, according to reports from real hosts and the documentation of Windows.
 *
 * @module
 */

import { type CodeName, nameOf } from "./codes.ts";

type Hints = Readonly<Partial<Record<CodeName, string>>>;

const ELEVATE = "run as Administrator or SYSTEM";
const FILTER_DRIVER =
  "a file system filter of another program (cloud drive, antivirus, encryption) refused the new volume: `fltmc` lists them";
const NEEDS_NTFS = "layers need an NTFS volume: ReFS and exFAT don't work";
const NEWER_IMAGE = "the layer was made for a newer Windows than this host's";
const DISK_LATE = "Windows didn't get the disk's volume ready in time: try again with fewer mounts at once. " +
  "If it never gets ready, a SAN policy keeps new disks offline: `san policy=OnlineAll` in diskpart";
const WRITE_PROTECTED =
  "a BitLocker policy may protect fixed drives from writing, or a SAN policy keeps new disks read-only: " +
  "`san policy=OnlineAll` in diskpart";
const DISK_IN_USE = "the disk file is already attached or mounted, or its last detach isn't finished yet";
const NO_SERVICE = "the service vmcompute may not run: `sc.exe start vmcompute` starts it";
const SERVICE_ENDED = "the service vmcompute ended during the call: the event log Hyper-V-Compute says why";
const NO_MEMORY = "the host lacks memory for this: stop virtual machines or other programs";
const BEING_DELETED = "a program still has open what is being deleted: close it, or try again shortly";
const CLOUD_DRIVE = "a cloud drive, such as OneDrive, manages this path: move it to a folder that isn't synchronized";
const HYPER_V = "turn on the Windows feature Hyper-V";
const CONTAINERS = "turn on the Windows feature Containers";
const PATH_TOO_LONG = "the path is too long for this function: use shorter folder names";

// Windows reports the same error for what is being deleted as for what this user may not do.
const DELETED_OR_DENIED: Hints = { ERROR_ACCESS_DENIED: `${BEING_DELETED}. Otherwise ${ELEVATE}` };

// By the function that failed, then by code.
const OF_FUNCTION: Readonly<Record<string, Hints>> = {
  ActivateLayer: {
    ERROR_INVALID_FUNCTION: NEEDS_NTFS,
    ERROR_SHARING_VIOLATION:
      "the scratch disk is already open (another mount, a virtual machine, a GPU driver, antivirus), " +
      "or the image is newer than the host. Unmount the scratch folder first",
    ERROR_NOT_READY: DISK_LATE,
    ERROR_DEVICE_NOT_CONNECTED: DISK_LATE,
    ERROR_WRITE_PROTECT: WRITE_PROTECTED,
  },
  PrepareLayer: {
    ERROR_PATH_NOT_FOUND: "a read-only layer is missing or incomplete: import its image again",
    ERROR_INVALID_FUNCTION: `${FILTER_DRIVER}. Or the layers are not on NTFS`,
    ERROR_INVALID_PARAMETER: "the scratch is already mounted, or its disk was expanded and its volume was not",
    ERROR_TIMEOUT: "many layers are being mounted at once: try again with fewer concurrent mounts",
    ERROR_NOT_READY: DISK_LATE,
    ERROR_DEVICE_NOT_CONNECTED: DISK_LATE,
    ERROR_WRITE_PROTECT: WRITE_PROTECTED,
    ERROR_VMCOMPUTE_INVALID_LAYER: NEWER_IMAGE,
    HCS_E_INVALID_LAYER: NEWER_IMAGE,
  },
  CreateSandboxLayer: {
    ERROR_INVALID_FUNCTION: NEEDS_NTFS,
    ERROR_PATH_NOT_FOUND: "the parent layers are in another order than topmost first, or the base layer is incomplete",
  },
  ImportLayer: {
    ERROR_INVALID_FUNCTION: NEEDS_NTFS,
    ERROR_FILE_NOT_FOUND: "a parent layer is incomplete, or its base layer was never processed",
    ERROR_PATH_NOT_FOUND: "the drive is full, or a parent layer is incomplete",
    ERROR_NOT_REGISTRY_FILE: "a registry hive of the layer is damaged",
  },
  DestroyLayer: {
    ERROR_SHARING_VIOLATION:
      "a mount, a virtual machine or a scanner uses the layer. Part of it may be deleted already",
    ERROR_ACCESS_DENIED: `a mount or a virtual machine may use the layer: unmount it. Otherwise ${ELEVATE}`,
  },
  HcsSetupBaseOSLayer: {
    ERROR_SHARING_VIOLATION: "containers use the registry hives of this layer: stop them first",
  },
  HcsFormatWritableLayerVhd: { ERROR_WRITE_PROTECT: WRITE_PROTECTED },
  GrantVmAccess: {
    ERROR_ACCESS_DENIED: "this needs the right to change the file's permissions (WRITE_DAC)",
    ERROR_INVALID_PARAMETER: "the file's list of permissions may be full, after grants to very many VMs",
  },
  OpenVirtualDisk: { ERROR_SHARING_VIOLATION: DISK_IN_USE },
  AttachVirtualDisk: { ERROR_SHARING_VIOLATION: DISK_IN_USE },
  HcsStartComputeSystem: { ERROR_ACCESS_DENIED: "the VM may have no right to one of its files" },
  HcsModifyComputeSystem: {
    ERROR_SHARING_VIOLATION: DISK_IN_USE,
    ERROR_ACCESS_DENIED: "the VM may have no right to the file",
    ERROR_WRITE_PROTECT: "the disk file, or the medium that it is on, is read-only",
    ERROR_FILE_CORRUPT: "the disk file is damaged",
  },
  SetVolumeMountPointW: {
    ERROR_DIR_NOT_EMPTY: "the folder is not empty or already has a volume mounted",
    ERROR_INVALID_FUNCTION: "a volume can be mounted only at a folder on an NTFS volume, not on ReFS or exFAT",
  },
  CreateDirectoryW: DELETED_OR_DENIED,
  CreateFileW: DELETED_OR_DENIED,
  DeleteFileW: DELETED_OR_DENIED,
  GetFileAttributesW: DELETED_OR_DENIED,
  RemoveDirectoryW: DELETED_OR_DENIED,
  DeviceIoControl: { ERROR_WRITE_PROTECT: "a BitLocker policy may protect fixed drives from writing" },
  CimCreateImage: {
    ERROR_SHARING_VIOLATION: "another image is being written in this folder, and Windows writes one at a time there",
  },
  CimMountImage: {
    ERROR_ALREADY_EXISTS: "a volume of this container is already mounted: release it first",
    ERROR_CIMFS_IMAGE_CORRUPT: "the image is damaged or incomplete: import it again",
    ERROR_CIMFS_IMAGE_VERSION_NOT_SUPPORTED: NEWER_IMAGE,
  },
};

// By code, for functions without an entry for that code.
const OF_CODE: Hints = {
  ERROR_ACCESS_DENIED: ELEVATE,
  ERROR_PRIVILEGE_NOT_HELD: ELEVATE,
  ERROR_ELEVATION_REQUIRED: ELEVATE,
  HCS_E_ACCESS_DENIED: "run as Administrator, as SYSTEM, or as a member of the group Hyper-V Administrators",
  ERROR_MOD_NOT_FOUND: CONTAINERS,
  HCS_E_SERVICE_NOT_AVAILABLE: `${CONTAINERS}, or start the service vmcompute`,
  ERROR_SERVICE_DISABLED: "the service vmcompute may be off: `sc.exe config vmcompute start= demand` turns it on",
  ERROR_SERVICE_DOES_NOT_EXIST: CONTAINERS,
  ERROR_SERVICE_NOT_ACTIVE: NO_SERVICE,
  RPC_S_SERVER_UNAVAILABLE: NO_SERVICE,
  EPT_S_NOT_REGISTERED: NO_SERVICE,
  RPC_S_CALL_FAILED: SERVICE_ENDED,
  RPC_S_CALL_FAILED_DNE: SERVICE_ENDED,
  ERROR_NOT_ENOUGH_MEMORY: NO_MEMORY,
  ERROR_OUTOFMEMORY: NO_MEMORY,
  ERROR_NO_SYSTEM_RESOURCES: NO_MEMORY,
  ERROR_COMMITMENT_LIMIT: NO_MEMORY,
  ERROR_DELETE_PENDING: BEING_DELETED,
  ERROR_VIRUS_INFECTED: "an antivirus program refused the file",
  HCS_E_HYPERV_NOT_INSTALLED: HYPER_V,
  ERROR_VMCOMPUTE_HYPERV_NOT_INSTALLED: HYPER_V,
  HCS_E_IMAGE_MISMATCH: NEWER_IMAGE,
  ERROR_VMCOMPUTE_IMAGE_MISMATCH: NEWER_IMAGE,
  ERROR_FLT_DO_NOT_ATTACH: FILTER_DRIVER,
  ERROR_VIRTUAL_DISK_LIMITATION: "the disk file is compressed, encrypted or sparse, maybe because its folder is: " +
    "undo that with `compact /u`, `cipher /d` or `fsutil sparse setflag FILE 0`",
  FVE_E_LOCKED_VOLUME: "the drive is locked by BitLocker: unlock it first",
  ERROR_FILENAME_EXCED_RANGE: PATH_TOO_LONG,
  ERROR_BUFFER_OVERFLOW: PATH_TOO_LONG,
};

// The folder of OneDrive, and of OneDrive for work: `OneDrive - Contoso`.
const ONE_DRIVE = /\\OneDrive( - [^\\]*)?(\\|$)/i;

// What OneDrive's filter and its handling of files lead to: placeholders are sparse, and it opens files to upload them.
const OF_ONE_DRIVE: readonly CodeName[] = [
  "ERROR_INVALID_FUNCTION",
  "ERROR_SHARING_VIOLATION",
  "ERROR_FLT_DO_NOT_ATTACH",
  "ERROR_VIRTUAL_DISK_LIMITATION",
];

/** Returns what to do about an error of a function of Windows for a path, or `undefined` if that isn't known. */
export function hintFor(fn: string, code: number, path = ""): string | undefined {
  const name = nameOf(code);
  if (name === undefined) return undefined;
  if (name.startsWith("ERROR_CLOUD_FILE_")) return CLOUD_DRIVE;
  if (OF_ONE_DRIVE.includes(name) && ONE_DRIVE.test(path)) return CLOUD_DRIVE;
  return OF_FUNCTION[fn]?.[name] ?? OF_CODE[name];
}
