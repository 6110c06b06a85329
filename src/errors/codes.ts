/**
 * Error codes by name. Windows answers them in four forms (an HRESULT, a Win32 code as return value, a Win32 code from
 * `GetLastError`, an NTSTATUS); here all are HRESULTs, a Win32 code `n` being `0x80070000 | n`.
 *
 * @module
 */

/** Win32 codes that this library meets, by their names in winerror.h. */
export const win32 = {
  ERROR_SUCCESS: 0,
  ERROR_INVALID_FUNCTION: 1,
  ERROR_FILE_NOT_FOUND: 2,
  ERROR_PATH_NOT_FOUND: 3,
  ERROR_ACCESS_DENIED: 5,
  ERROR_INVALID_HANDLE: 6,
  ERROR_NOT_ENOUGH_MEMORY: 8,
  ERROR_INVALID_DATA: 13,
  ERROR_NO_MORE_FILES: 18,
  ERROR_WRITE_PROTECT: 19,
  ERROR_NOT_READY: 21,
  ERROR_GEN_FAILURE: 31,
  ERROR_SHARING_VIOLATION: 32,
  ERROR_NOT_SUPPORTED: 50,
  ERROR_DEV_NOT_EXIST: 55,
  ERROR_FILE_EXISTS: 80,
  ERROR_INVALID_PARAMETER: 87,
  ERROR_DISK_FULL: 112,
  ERROR_CALL_NOT_IMPLEMENTED: 120,
  ERROR_INSUFFICIENT_BUFFER: 122,
  ERROR_INVALID_NAME: 123,
  ERROR_MOD_NOT_FOUND: 126,
  ERROR_PROC_NOT_FOUND: 127,
  ERROR_DIR_NOT_EMPTY: 145,
  ERROR_ALREADY_EXISTS: 183,
  ERROR_MORE_DATA: 234,
  ERROR_DEVICE_NOT_CONNECTED: 1167,
  ERROR_NOT_FOUND: 1168,
  ERROR_NOT_ALL_ASSIGNED: 1300,
  ERROR_PRIVILEGE_NOT_HELD: 1314,
  ERROR_TIMEOUT: 1460,
  ERROR_NOT_A_REPARSE_POINT: 4390,
} as const;

/** HRESULTs outside the Win32 facility that this library meets. */
export const hresult = {
  E_INVALIDARG: 0x80070057,
  E_ACCESSDENIED: 0x80070005,
  ERROR_FLT_INSTANCE_NOT_FOUND: 0x801f0015,
  ERROR_VHD_INVALID_TYPE: 0xc03a001b,
  ERROR_VHD_INVALID_FILE_SIZE: 0xc03a001a,
} as const;

// Facility 0x37, the compute service. Most low halves exist as ERROR_VMCOMPUTE_* (0xc037....) and as HCS_E_* (0x8037....).
const COMPUTE: Readonly<Record<number, string>> = {
  0x0100: "TERMINATED_DURING_START",
  0x0101: "IMAGE_MISMATCH",
  0x0102: "HYPERV_NOT_INSTALLED",
  0x0105: "INVALID_STATE",
  0x0106: "UNEXPECTED_EXIT",
  0x0107: "TERMINATED",
  0x0108: "CONNECT_FAILED",
  0x010a: "CONNECTION_CLOSED",
  0x010b: "UNKNOWN_MESSAGE",
  0x010c: "UNSUPPORTED_PROTOCOL_VERSION",
  0x010d: "INVALID_JSON",
  0x010e: "SYSTEM_NOT_FOUND",
  0x010f: "SYSTEM_ALREADY_EXISTS",
  0x0110: "SYSTEM_ALREADY_STOPPED",
  0x0111: "PROTOCOL_ERROR",
  0x0112: "INVALID_LAYER",
  0x0113: "WINDOWS_INSIDER_REQUIRED",
};

const VMCOMPUTE: Readonly<Record<number, string>> = {
  ...COMPUTE,
  0x0103: "OPERATION_PENDING",
  0x0104: "TOO_MANY_NOTIFICATIONS",
  0x0109: "TIMEOUT",
};

const HCS: Readonly<Record<number, string>> = {
  ...COMPUTE,
  0x0109: "CONNECTION_TIMEOUT",
  0x0114: "SERVICE_NOT_AVAILABLE",
  0x0115: "OPERATION_NOT_STARTED",
  0x0116: "OPERATION_ALREADY_STARTED",
  0x0117: "OPERATION_PENDING",
  0x0118: "OPERATION_TIMEOUT",
  0x0119: "OPERATION_SYSTEM_CALLBACK_ALREADY_SET",
  0x011a: "OPERATION_RESULT_ALLOCATION_FAILED",
  0x011b: "ACCESS_DENIED",
  0x011c: "GUEST_CRITICAL_ERROR",
  0x011f: "PROCESS_ALREADY_STOPPED",
};

const WIN32_NAMES = new Map<number, string>(Object.entries(win32).map(([name, code]) => [code, name]));
const OTHER_NAMES = new Map<number, string>(
  Object.entries(hresult).filter(([name]) => !name.startsWith("E_")).map(([name, code]) => [code, name]),
);

/** The HRESULT of a Win32 code. */
export function fromWin32(code: number): number {
  return code === 0 ? 0 : (0x80070000 | (code & 0xffff)) >>> 0;
}

/** The Win32 code in an HRESULT of the Win32 facility, `undefined` for all others. */
export function win32Of(code: number): number | undefined {
  return (code & 0x1fff0000) === 0x00070000 ? code & 0xffff : undefined;
}

/** The low half of an HRESULT of the compute service, of either severity; `undefined` for all others. */
export function computeCodeOf(code: number): number | undefined {
  return (code & 0x1fff0000) === 0x00370000 ? code & 0xffff : undefined;
}

/** `0x` and eight digits. */
export function hex(code: number): string {
  return `0x${(code >>> 0).toString(16).padStart(8, "0")}`;
}

/** The name of an HRESULT in the Windows headers, `undefined` where we don't know it. */
export function nameOf(code: number): string | undefined {
  const win = win32Of(code);
  if (win !== undefined) {
    return WIN32_NAMES.get(win);
  }
  const compute = computeCodeOf(code);
  if (compute !== undefined) {
    const [prefix, names] = (code & 0x40000000) === 0
      ? ["HCS_E", HCS] as const
      : ["ERROR_VMCOMPUTE", VMCOMPUTE] as const;
    return names[compute] && `${prefix}_${names[compute]}`;
  }
  return OTHER_NAMES.get(code >>> 0);
}

const FILTER_DRIVER =
  "a file system filter of another program (cloud drive, antivirus, encryption) refused the new volume: `fltmc` lists them";

// By function, then by HRESULT; "*" is any function. From reports of real hosts.
const HINTS: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  ActivateLayer: {
    0x80070020: "the scratch disk is open elsewhere (another mount, a virtual machine, a GPU driver, antivirus), " +
      "or the image is newer than the host. Unmount the scratch folder first",
  },
  PrepareLayer: {
    0x80070001: FILTER_DRIVER,
    0x80070057: "the same scratch is mounted already, or its disk was expanded and its volume was not",
    0x800705b4: "many layers are being mounted at once: try again with fewer side by side",
    0xc0370112: "the layer was made for a newer Windows than this host's",
    0x80070015: "the host didn't get the disk's volume ready in time; the mount was tried five times",
    0x8007048f: "the host didn't get the disk's volume ready in time; the mount was tried five times",
  },
  SetVolumeMountPointW: {
    0x80070091: "the folder is not empty or has a volume mounted already",
  },
  CimMountImage: {
    0x800700b7: "a volume of this container is mounted already: release it first with releaseCimFSHostLayers",
  },
  DeviceIoControl: {
    0x80070013: "a BitLocker policy may protect fixed drives from writing",
  },
  "*": {
    0x80070005: "run as Administrator or SYSTEM",
    0x80070522: "run as Administrator or SYSTEM",
  },
};

/** What to do about an error, where it is known. */
export function hintFor(fn: string, code: number): string | undefined {
  return HINTS[fn]?.[code >>> 0] ?? HINTS["*"]![code >>> 0];
}
