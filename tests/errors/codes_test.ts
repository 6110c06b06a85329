import { assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { computeCodeOf, fromWin32, hex, hresult, nameOf, win32, win32Of } from "../../src/errors/codes.ts";
import { hintFor } from "../../src/errors/hints.ts";
import { NativeError } from "../../src/errors/windows_errors.ts";

// As in winerror.h of the Windows SDK, taken from public copies of it: golang/sys, windows/zerrors_windows.go at commit
// e8c1c3274309, and for 0x8037011d and above, which that one doesn't have yet, the HCS constants of TerraFX.Interop.Windows
// (SDK 10.0.22621). The Win32 codes were compared with mingw-w64's as well. All codes are in here that bug reports about
// mounting layers, hcsshim and our own facts name.
const WINERROR: Readonly<Record<string, number>> = {
  ERROR_SUCCESS: 0,
  ERROR_INVALID_FUNCTION: 1,
  ERROR_FILE_NOT_FOUND: 2,
  ERROR_PATH_NOT_FOUND: 3,
  ERROR_ACCESS_DENIED: 5,
  ERROR_INVALID_HANDLE: 6,
  ERROR_NOT_ENOUGH_MEMORY: 8,
  ERROR_INVALID_DATA: 13,
  ERROR_OUTOFMEMORY: 14,
  ERROR_NO_MORE_FILES: 18,
  ERROR_WRITE_PROTECT: 19,
  ERROR_NOT_READY: 21,
  ERROR_BAD_LENGTH: 24,
  ERROR_GEN_FAILURE: 31,
  ERROR_SHARING_VIOLATION: 32,
  ERROR_LOCK_VIOLATION: 33,
  ERROR_NOT_SUPPORTED: 50,
  ERROR_DEV_NOT_EXIST: 55,
  ERROR_BAD_NET_RESP: 58,
  ERROR_FILE_EXISTS: 80,
  ERROR_INVALID_PARAMETER: 87,
  ERROR_BUFFER_OVERFLOW: 111,
  ERROR_DISK_FULL: 112,
  ERROR_CALL_NOT_IMPLEMENTED: 120,
  ERROR_INSUFFICIENT_BUFFER: 122,
  ERROR_INVALID_NAME: 123,
  ERROR_MOD_NOT_FOUND: 126,
  ERROR_PROC_NOT_FOUND: 127,
  ERROR_DIR_NOT_EMPTY: 145,
  ERROR_BUSY: 170,
  ERROR_ALREADY_EXISTS: 183,
  ERROR_FILENAME_EXCED_RANGE: 206,
  ERROR_VIRUS_INFECTED: 225,
  ERROR_MORE_DATA: 234,
  ERROR_NO_MORE_ITEMS: 259,
  ERROR_DELETE_PENDING: 303,
  ERROR_CLOUD_FILE_PROVIDER_NOT_RUNNING: 362,
  ERROR_CLOUD_FILE_INVALID_REQUEST: 380,
  ERROR_CLOUD_FILE_NETWORK_UNAVAILABLE: 388,
  ERROR_CLOUD_FILE_UNSUCCESSFUL: 389,
  ERROR_CLOUD_FILE_IN_USE: 391,
  ERROR_CLOUD_FILE_ACCESS_DENIED: 395,
  ERROR_CLOUD_FILE_PROVIDER_TERMINATED: 404,
  ERROR_NO_SUCH_DEVICE: 433,
  ERROR_CIMFS_IMAGE_CORRUPT: 470,
  ERROR_CIMFS_IMAGE_VERSION_NOT_SUPPORTED: 471,
  ERROR_ELEVATION_REQUIRED: 740,
  ERROR_IO_PENDING: 997,
  ERROR_UNRECOGNIZED_VOLUME: 1005,
  ERROR_NOT_REGISTRY_FILE: 1017,
  ERROR_SERVICE_DISABLED: 1058,
  ERROR_SERVICE_DOES_NOT_EXIST: 1060,
  ERROR_SERVICE_NOT_ACTIVE: 1062,
  ERROR_DEVICE_NOT_CONNECTED: 1167,
  ERROR_NOT_FOUND: 1168,
  ERROR_NOT_ALL_ASSIGNED: 1300,
  ERROR_INVALID_OWNER: 1307,
  ERROR_NO_SUCH_PRIVILEGE: 1313,
  ERROR_PRIVILEGE_NOT_HELD: 1314,
  ERROR_LOGON_TYPE_NOT_GRANTED: 1385,
  ERROR_FILE_CORRUPT: 1392,
  ERROR_NO_SYSTEM_RESOURCES: 1450,
  ERROR_COMMITMENT_LIMIT: 1455,
  ERROR_TIMEOUT: 1460,
  RPC_S_SERVER_UNAVAILABLE: 1722,
  RPC_S_CALL_FAILED: 1726,
  RPC_S_CALL_FAILED_DNE: 1727,
  EPT_S_NOT_REGISTERED: 1753,
  ERROR_INVALID_USER_BUFFER: 1784,
  ERROR_DUPLICATE_TAG: 2014,
  ERROR_NOT_A_REPARSE_POINT: 4390,
  ERROR_REPARSE_ATTRIBUTE_CONFLICT: 4391,
  ERROR_INVALID_REPARSE_DATA: 4392,
  ERROR_REPARSE_TAG_INVALID: 4393,
  ERROR_REPARSE_TAG_MISMATCH: 4394,
  WSAEINTR: 10004,
  WSAEWOULDBLOCK: 10035,
  WSAENOTSOCK: 10038,
  WSAECONNABORTED: 10053,
  WSAECONNRESET: 10054,
  E_NOTIMPL: 0x80004001,
  E_FAIL: 0x80004005,
  ERROR_FLT_DO_NOT_ATTACH: 0x801f000f,
  ERROR_FLT_DO_NOT_DETACH: 0x801f0010,
  ERROR_FLT_INSTANCE_ALTITUDE_COLLISION: 0x801f0011,
  ERROR_FLT_INSTANCE_NAME_COLLISION: 0x801f0012,
  ERROR_FLT_FILTER_NOT_FOUND: 0x801f0013,
  ERROR_FLT_VOLUME_NOT_FOUND: 0x801f0014,
  ERROR_FLT_INSTANCE_NOT_FOUND: 0x801f0015,
  FVE_E_LOCKED_VOLUME: 0x80310000,
  HCS_E_TERMINATED_DURING_START: 0x80370100,
  HCS_E_IMAGE_MISMATCH: 0x80370101,
  HCS_E_HYPERV_NOT_INSTALLED: 0x80370102,
  HCS_E_INVALID_STATE: 0x80370105,
  HCS_E_UNEXPECTED_EXIT: 0x80370106,
  HCS_E_TERMINATED: 0x80370107,
  HCS_E_CONNECT_FAILED: 0x80370108,
  HCS_E_CONNECTION_TIMEOUT: 0x80370109,
  HCS_E_CONNECTION_CLOSED: 0x8037010a,
  HCS_E_UNKNOWN_MESSAGE: 0x8037010b,
  HCS_E_UNSUPPORTED_PROTOCOL_VERSION: 0x8037010c,
  HCS_E_INVALID_JSON: 0x8037010d,
  HCS_E_SYSTEM_NOT_FOUND: 0x8037010e,
  HCS_E_SYSTEM_ALREADY_EXISTS: 0x8037010f,
  HCS_E_SYSTEM_ALREADY_STOPPED: 0x80370110,
  HCS_E_PROTOCOL_ERROR: 0x80370111,
  HCS_E_INVALID_LAYER: 0x80370112,
  HCS_E_WINDOWS_INSIDER_REQUIRED: 0x80370113,
  HCS_E_SERVICE_NOT_AVAILABLE: 0x80370114,
  HCS_E_OPERATION_NOT_STARTED: 0x80370115,
  HCS_E_OPERATION_ALREADY_STARTED: 0x80370116,
  HCS_E_OPERATION_PENDING: 0x80370117,
  HCS_E_OPERATION_TIMEOUT: 0x80370118,
  HCS_E_OPERATION_SYSTEM_CALLBACK_ALREADY_SET: 0x80370119,
  HCS_E_OPERATION_RESULT_ALLOCATION_FAILED: 0x8037011a,
  HCS_E_ACCESS_DENIED: 0x8037011b,
  HCS_E_GUEST_CRITICAL_ERROR: 0x8037011c,
  HCS_E_PROCESS_INFO_NOT_AVAILABLE: 0x8037011d,
  HCS_E_SERVICE_DISCONNECT: 0x8037011e,
  HCS_E_PROCESS_ALREADY_STOPPED: 0x8037011f,
  HCS_E_SYSTEM_NOT_CONFIGURED_FOR_OPERATION: 0x80370120,
  HCS_E_OPERATION_ALREADY_CANCELLED: 0x80370121,
  ERROR_VMCOMPUTE_TERMINATED_DURING_START: 0xc0370100,
  ERROR_VMCOMPUTE_IMAGE_MISMATCH: 0xc0370101,
  ERROR_VMCOMPUTE_HYPERV_NOT_INSTALLED: 0xc0370102,
  ERROR_VMCOMPUTE_OPERATION_PENDING: 0xc0370103,
  ERROR_VMCOMPUTE_TOO_MANY_NOTIFICATIONS: 0xc0370104,
  ERROR_VMCOMPUTE_INVALID_STATE: 0xc0370105,
  ERROR_VMCOMPUTE_UNEXPECTED_EXIT: 0xc0370106,
  ERROR_VMCOMPUTE_TERMINATED: 0xc0370107,
  ERROR_VMCOMPUTE_CONNECT_FAILED: 0xc0370108,
  ERROR_VMCOMPUTE_TIMEOUT: 0xc0370109,
  ERROR_VMCOMPUTE_CONNECTION_CLOSED: 0xc037010a,
  ERROR_VMCOMPUTE_UNKNOWN_MESSAGE: 0xc037010b,
  ERROR_VMCOMPUTE_UNSUPPORTED_PROTOCOL_VERSION: 0xc037010c,
  ERROR_VMCOMPUTE_INVALID_JSON: 0xc037010d,
  ERROR_VMCOMPUTE_SYSTEM_NOT_FOUND: 0xc037010e,
  ERROR_VMCOMPUTE_SYSTEM_ALREADY_EXISTS: 0xc037010f,
  ERROR_VMCOMPUTE_SYSTEM_ALREADY_STOPPED: 0xc0370110,
  ERROR_VMCOMPUTE_PROTOCOL_ERROR: 0xc0370111,
  ERROR_VMCOMPUTE_INVALID_LAYER: 0xc0370112,
  ERROR_VMCOMPUTE_WINDOWS_INSIDER_REQUIRED: 0xc0370113,
  ERROR_VHD_DRIVE_FOOTER_MISSING: 0xc03a0001,
  ERROR_VHD_DRIVE_FOOTER_CHECKSUM_MISMATCH: 0xc03a0002,
  ERROR_VHD_DRIVE_FOOTER_CORRUPT: 0xc03a0003,
  ERROR_VHD_FORMAT_UNKNOWN: 0xc03a0004,
  ERROR_VHD_FORMAT_UNSUPPORTED_VERSION: 0xc03a0005,
  ERROR_VHD_SPARSE_HEADER_CHECKSUM_MISMATCH: 0xc03a0006,
  ERROR_VHD_SPARSE_HEADER_UNSUPPORTED_VERSION: 0xc03a0007,
  ERROR_VHD_SPARSE_HEADER_CORRUPT: 0xc03a0008,
  ERROR_VHD_BLOCK_ALLOCATION_FAILURE: 0xc03a0009,
  ERROR_VHD_BLOCK_ALLOCATION_TABLE_CORRUPT: 0xc03a000a,
  ERROR_VHD_INVALID_BLOCK_SIZE: 0xc03a000b,
  ERROR_VHD_BITMAP_MISMATCH: 0xc03a000c,
  ERROR_VHD_PARENT_VHD_NOT_FOUND: 0xc03a000d,
  ERROR_VHD_CHILD_PARENT_ID_MISMATCH: 0xc03a000e,
  ERROR_VHD_CHILD_PARENT_TIMESTAMP_MISMATCH: 0xc03a000f,
  ERROR_VHD_METADATA_READ_FAILURE: 0xc03a0010,
  ERROR_VHD_METADATA_WRITE_FAILURE: 0xc03a0011,
  ERROR_VHD_INVALID_SIZE: 0xc03a0012,
  ERROR_VHD_INVALID_FILE_SIZE: 0xc03a0013,
  ERROR_VIRTDISK_PROVIDER_NOT_FOUND: 0xc03a0014,
  ERROR_VIRTDISK_NOT_VIRTUAL_DISK: 0xc03a0015,
  ERROR_VHD_PARENT_VHD_ACCESS_DENIED: 0xc03a0016,
  ERROR_VHD_CHILD_PARENT_SIZE_MISMATCH: 0xc03a0017,
  ERROR_VHD_DIFFERENCING_CHAIN_CYCLE_DETECTED: 0xc03a0018,
  ERROR_VHD_DIFFERENCING_CHAIN_ERROR_IN_PARENT: 0xc03a0019,
  ERROR_VIRTUAL_DISK_LIMITATION: 0xc03a001a,
  ERROR_VHD_INVALID_TYPE: 0xc03a001b,
  ERROR_VHD_INVALID_STATE: 0xc03a001c,
  ERROR_VIRTDISK_UNSUPPORTED_DISK_SECTOR_SIZE: 0xc03a001d,
  ERROR_VIRTDISK_DISK_ALREADY_OWNED: 0xc03a001e,
  ERROR_VIRTDISK_DISK_ONLINE_AND_WRITABLE: 0xc03a001f,
  ERROR_VHD_RESIZE_WOULD_TRUNCATE_DATA: 0xc03a0025,
  ERROR_VHD_COULD_NOT_COMPUTE_MINIMUM_VIRTUAL_SIZE: 0xc03a0026,
  ERROR_VHD_ALREADY_AT_OR_BELOW_MINIMUM_VIRTUAL_SIZE: 0xc03a0027,
  ERROR_VHD_METADATA_FULL: 0xc03a0028,
};

// Further values: what is no code, or one of another header.
const NAMES: [code: number, name: string | undefined][] = [
  [0x80070005 | 0, "ERROR_ACCESS_DENIED"],
  [0x801f0015 | 0, "ERROR_FLT_INSTANCE_NOT_FOUND"],
  [0x8037010e | 0, "HCS_E_SYSTEM_NOT_FOUND"],
  [0x80370103, undefined],
  [0x80370104, undefined],
  [0xc0370117, undefined],
  [0x8037ffff, undefined],
  [0x80041008, undefined],
  [0x8007ffff, undefined],
];

Deno.test("nameOf() knows codes by their names in winerror.h", () => {
  for (const [name, code] of Object.entries(WINERROR)) {
    assertEquals(nameOf(code > 0xffff ? code : fromWin32(code)), name);
  }
  for (const [code, name] of NAMES) assertEquals(nameOf(code), name, hex(code));
});

Deno.test("no code has a name that isn't compared with winerror.h, and none has two", () => {
  assertEquals({ ...win32, ...hresult }, WINERROR);
  assertEquals(new Set(Object.values(WINERROR)).size, Object.keys(WINERROR).length);
});

Deno.test("fromWin32(), win32Of(), computeCodeOf() and hex() read and write HRESULTs", () => {
  assertEquals([fromWin32(0), fromWin32(21), fromWin32(1167)], [0, 0x80070015, 0x8007048f]);
  assertEquals([0x80070015, 0x80070015 | 0, 0xc0370112, 0x801f0015, 0x80041008].map(win32Of), [
    21,
    21,
    undefined,
    undefined,
    undefined,
  ]);
  assertEquals([0xc0370112, 0x80370112 | 0, 0x80070112].map(computeCodeOf), [0x112, 0x112, undefined]);
  assertEquals([0x15, 0x80070015 | 0].map(hex), ["0x00000015", "0x80070015"]);
});

Deno.test("hintFor() says what to do for a function's codes, and for all functions where it's the same", () => {
  assertEquals(hintFor("SetVolumeMountPointW", 0x80070091), "the folder is not empty or already has a volume mounted");
  assertEquals(hintFor("ActivateLayer", 0x80070091), undefined);
  for (const fn of ["ActivateLayer", "SetVolumeMountPointW"]) {
    assertEquals(hintFor(fn, 0x80070005 | 0), "run as Administrator or SYSTEM");
  }
});

// What people report of real hosts, and what must be in the hint. The reports are in the repositories of hcsshim, moby,
// docker/for-win, WSL and Windows-Containers.
const REPORTED: [fn: string, code: number, name: string, remedy: string, path?: string][] = [
  // The feature Containers is absent, or the service vmcompute is off.
  ["NameToGuid", 0x8007007e, "ERROR_MOD_NOT_FOUND", "feature Containers"],
  ["NameToGuid", 0x80070424, "ERROR_SERVICE_DOES_NOT_EXIST", "feature Containers"],
  ["HcsCreateComputeSystem", 0x80370114, "HCS_E_SERVICE_NOT_AVAILABLE", "feature Containers"],
  ["HcsCreateComputeSystem", 0x80070422, "ERROR_SERVICE_DISABLED", "sc.exe config vmcompute"],
  ["HcsCreateComputeSystem", 0x80070426, "ERROR_SERVICE_NOT_ACTIVE", "sc.exe start vmcompute"],
  ["ActivateLayer", 0x800706ba, "RPC_S_SERVER_UNAVAILABLE", "sc.exe start vmcompute"],
  ["ActivateLayer", 0x800706d9, "EPT_S_NOT_REGISTERED", "sc.exe start vmcompute"],
  ["HcsModifyComputeSystem", 0x800706be, "RPC_S_CALL_FAILED", "event log"],
  ["HcsCreateComputeSystem", 0x80370102, "HCS_E_HYPERV_NOT_INSTALLED", "feature Hyper-V"],
  ["HcsCreateComputeSystem", 0xc0370102, "ERROR_VMCOMPUTE_HYPERV_NOT_INSTALLED", "feature Hyper-V"],
  // The process isn't elevated.
  ["ActivateLayer", 0x80070005, "ERROR_ACCESS_DENIED", "Administrator"],
  ["ActivateLayer", 0x800702e4, "ERROR_ELEVATION_REQUIRED", "Administrator"],
  ["ImportLayer", 0x80070522, "ERROR_PRIVILEGE_NOT_HELD", "Administrator"],
  ["HcsCreateComputeSystem", 0x8037011b, "HCS_E_ACCESS_DENIED", "Hyper-V Administrators"],
  // The volume isn't NTFS.
  ["ActivateLayer", 0x80070001, "ERROR_INVALID_FUNCTION", "NTFS"],
  ["PrepareLayer", 0x80070001, "ERROR_INVALID_FUNCTION", "NTFS"],
  ["ImportLayer", 0x80070001, "ERROR_INVALID_FUNCTION", "NTFS"],
  ["CreateSandboxLayer", 0x80070001, "ERROR_INVALID_FUNCTION", "NTFS"],
  ["SetVolumeMountPointW", 0x80070001, "ERROR_INVALID_FUNCTION", "NTFS"],
  // A filter driver refuses, or a cloud drive has the path.
  ["PrepareLayer", 0x80070001, "ERROR_INVALID_FUNCTION", "fltmc"],
  ["HcsAttachLayerStorageFilter", 0x801f000f, "ERROR_FLT_DO_NOT_ATTACH", "fltmc"],
  ["PrepareLayer", 0x801f000f, "ERROR_FLT_DO_NOT_ATTACH", "OneDrive", "C:\\Users\\a\\OneDrive\\web"],
  ["PrepareLayer", 0x80070001, "ERROR_INVALID_FUNCTION", "OneDrive", "C:\\Users\\a\\onedrive - Contoso\\web"],
  ["CreateFileW", 0x80070020, "ERROR_SHARING_VIOLATION", "OneDrive", "D:\\OneDrive\\web\\sandbox.vhdx"],
  ["AttachVirtualDisk", 0xc03a001a, "ERROR_VIRTUAL_DISK_LIMITATION", "OneDrive", "D:\\OneDrive\\data.vhdx"],
  ["CreateFileW", 0x8007016a, "ERROR_CLOUD_FILE_PROVIDER_NOT_RUNNING", "OneDrive", "D:\\synchronized"],
  ["CreateFileW", 0x8007018b, "ERROR_CLOUD_FILE_ACCESS_DENIED", "OneDrive"],
  // The disk file, its drive, or the policy for disks.
  ["ActivateLayer", 0xc03a001a, "ERROR_VIRTUAL_DISK_LIMITATION", "compressed, encrypted or sparse"],
  ["AttachVirtualDisk", 0xc03a001a, "ERROR_VIRTUAL_DISK_LIMITATION", "fsutil sparse setflag"],
  ["HcsStartComputeSystem", 0xc03a001a, "ERROR_VIRTUAL_DISK_LIMITATION", "cipher /d"],
  ["ActivateLayer", 0x80070013, "ERROR_WRITE_PROTECT", "san policy=OnlineAll"],
  ["PrepareLayer", 0x80070015, "ERROR_NOT_READY", "san policy=OnlineAll"],
  ["ActivateLayer", 0x8007048f, "ERROR_DEVICE_NOT_CONNECTED", "fewer mounts at once"],
  ["DeviceIoControl", 0x80070013, "ERROR_WRITE_PROTECT", "BitLocker"],
  ["CreateFileW", 0x80310000, "FVE_E_LOCKED_VOLUME", "unlock it"],
  ["HcsModifyComputeSystem", 0x80070020, "ERROR_SHARING_VIOLATION", "attached or mounted"],
  ["HcsModifyComputeSystem", 0x80070570, "ERROR_FILE_CORRUPT", "damaged"],
  ["HcsStartComputeSystem", 0x800705af, "ERROR_COMMITMENT_LIMIT", "memory"],
  ["HcsCreateComputeSystem", 0x800705aa, "ERROR_NO_SYSTEM_RESOURCES", "memory"],
  // Paths: too long, or being deleted.
  ["ImportLayer", 0x8007006f, "ERROR_BUFFER_OVERFLOW", "shorter folder names"],
  ["CreateSandboxLayer", 0x800700ce, "ERROR_FILENAME_EXCED_RANGE", "shorter folder names"],
  ["GetFileAttributesW", 0x80070005, "ERROR_ACCESS_DENIED", "being deleted"],
  ["CreateDirectoryW", 0x80070005, "ERROR_ACCESS_DENIED", "Administrator"],
  ["CreateFileW", 0x8007012f, "ERROR_DELETE_PENDING", "being deleted"],
  // The layer.
  ["PrepareLayer", 0xc0370112, "ERROR_VMCOMPUTE_INVALID_LAYER", "newer Windows than this host's"],
  ["HcsCreateComputeSystem", 0x80370101, "HCS_E_IMAGE_MISMATCH", "newer Windows than this host's"],
  ["CimMountImage", 0x800701d7, "ERROR_CIMFS_IMAGE_VERSION_NOT_SUPPORTED", "newer Windows than this host's"],
  ["CimMountImage", 0x800701d6, "ERROR_CIMFS_IMAGE_CORRUPT", "import it again"],
  ["PrepareLayer", 0x80070003, "ERROR_PATH_NOT_FOUND", "import its image again"],
  ["ImportLayer", 0x80070003, "ERROR_PATH_NOT_FOUND", "the drive is full"],
  ["PrepareLayer", 0x80070057, "ERROR_INVALID_PARAMETER", "already mounted"],
  ["PrepareLayer", 0x800705b4, "ERROR_TIMEOUT", "fewer concurrent mounts"],
];

Deno.test("hintFor() knows the remedies of what is reported of real hosts", () => {
  for (const [fn, code, name, remedy, path] of REPORTED) {
    assertEquals(nameOf(code), name, `${fn} ${hex(code)}`);
    assertStringIncludes(hintFor(fn, code, path) ?? "", remedy, `${fn} ${hex(code)}`);
  }
});

Deno.test("a NativeError takes the path into account for its hint", () => {
  const hint = (path?: string) => new NativeError({ function: "PrepareLayer", code: 0x80070001, path }).hint;
  assertStringIncludes(hint("C:\\Users\\a\\OneDrive\\web") ?? "", "OneDrive");
  assertEquals(hint("C:\\OneDriveTools\\web"), hint());
});
