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
const DISK_LATE = "Windows didn't get the disk's volume ready in time: try again with fewer mounts at once";
const WRITE_PROTECTED =
  "a BitLocker policy may protect fixed drives from writing, or a SAN policy keeps new disks read-only (`san` in diskpart)";
const DISK_IN_USE = "the disk file is already attached or mounted, or its last detach isn't finished yet";
const HYPER_V = "turn on the Windows feature Hyper-V";
const CONTAINERS = "turn on the Windows feature Containers";
const PATH_TOO_LONG = "the path is too long for this function: use shorter folder names";

// By the function that failed, then by code.
const OF_FUNCTION: Readonly<Record<string, Hints>> = {
  ActivateLayer: {
    ERROR_SHARING_VIOLATION:
      "the scratch disk is already open (another mount, a virtual machine, a GPU driver, antivirus), " +
      "or the image is newer than the host. Unmount the scratch folder first",
    ERROR_NOT_READY: DISK_LATE,
    ERROR_DEVICE_NOT_CONNECTED: DISK_LATE,
    ERROR_WRITE_PROTECT: WRITE_PROTECTED,
  },
  PrepareLayer: {
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
    ERROR_NOT_REGISTRY_FILE: "a registry hive of the layer is damaged",
  },
  DestroyLayer: {
    ERROR_SHARING_VIOLATION: "a mount or a virtual machine uses the layer. Part of it may be deleted already",
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
  SetVolumeMountPointW: { ERROR_DIR_NOT_EMPTY: "the folder is not empty or already has a volume mounted" },
  GetFileAttributesW: {
    ERROR_ACCESS_DENIED: `the file or folder is being deleted while it is open; otherwise ${ELEVATE}`,
  },
  DeviceIoControl: { ERROR_WRITE_PROTECT: "a BitLocker policy may protect fixed drives from writing" },
  CimMountImage: { ERROR_ALREADY_EXISTS: "a volume of this container is already mounted: release it first" },
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
  RPC_S_SERVER_UNAVAILABLE: "the service vmcompute may not run: `sc.exe start vmcompute` starts it",
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

/** Returns what to do about an error of a function of Windows, or `undefined` if that isn't known. */
export function hintFor(fn: string, code: number): string | undefined {
  const name = nameOf(code);
  return name && (OF_FUNCTION[fn]?.[name] ?? OF_CODE[name]);
}
