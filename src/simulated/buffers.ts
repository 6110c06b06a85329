/**
 * The sizes that buffers of a caller must have. Windows doesn't know how long a buffer is: it believes what it is told, and
 * writes into whatever follows.
 *
 * @module
 */

import { SimulationError } from "./simulation_error.ts";

type Args = Readonly<Record<string, unknown>>;
type Needs = (args: Args) => Readonly<Record<string, unknown>>;

/** Returns the number at the start of a buffer that says how long another one is. */
function numberIn(size: unknown, bits: 32 | 64): number {
  const bytes = size as Uint8Array;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return bits === 32 ? view.getUint32(0, true) : Number(view.getBigUint64(0, true));
}

const units = (count: unknown) => 2 * (count as number);
const FIND_DATA: Needs = () => ({ data: 592 });
const SYSTEM: Needs = () => ({ result: 8 });

const NEEDS: Readonly<Record<string, Needs>> = {
  // advapi32.dll
  AdjustTokenPrivileges: ({ size }) => ({ state: 16, previous: size, needed: 4 }),
  ConvertStringSidToSidW: () => ({ sid: 8 }),
  GetSecurityInfo: () => ({ list: 8, descriptor: 8 }),
  LookupPrivilegeValueW: () => ({ luid: 8 }),
  OpenProcessToken: () => ({ token: 8 }),
  RegGetValueW: ({ size }) => ({ size: 4, data: numberIn(size, 32) }),
  SetEntriesInAclW: () => ({ newList: 8 }),
  // cimfs.dll
  CimCreateAlternateStream: () => ({ stream: 8 }),
  CimCreateFile: () => ({ stream: 8 }),
  CimCreateImage: () => ({ image: 8 }),
  CimCreateImage2: () => ({ image: 8 }),
  CimGetVerificationInformation: () => ({ isSealed: 4, hashSize: 8, signatureSize: 8, headerSize: 8, hash: 32 }),
  CimSealImage: () => ({ hashSize: 8, headerSize: 8, hash: 32 }),
  CimWriteStream: ({ size }) => ({ data: size }),
  // computestorage.dll
  HcsGetLayerVhdMountPath: () => ({ mountPath: 8 }),
  // kernel32.dll
  DeviceIoControl: ({ inputSize, outputSize }) => ({ input: inputSize, output: outputSize, returned: 4 }),
  FindFirstFileW: FIND_DATA,
  FindNextFileW: FIND_DATA,
  FindFirstVolumeW: ({ units: count }) => ({ volumeName: units(count) }),
  FindNextVolumeW: ({ units: count }) => ({ volumeName: units(count) }),
  FormatMessageW: ({ units: count }) => ({ text: units(count) }),
  GetDiskFreeSpaceExW: () => ({ free: 8, total: 8, totalFree: 8 }),
  GetFileInformationByHandleEx: ({ size }) => ({ information: size }),
  GetFileSizeEx: () => ({ size: 8 }),
  GetFinalPathNameByHandleW: ({ units: count }) => ({ path: units(count) }),
  GetTimeZoneInformation: () => ({ zone: 172 }),
  GetVolumeInformationW: ({ units: count }) => ({ fileSystem: units(count) }),
  GetVolumeNameForVolumeMountPointW: ({ units: count }) => ({ volumeName: units(count) }),
  GetVolumePathNamesForVolumeNameW: ({ units: count }) => ({ names: units(count), needed: 4 }),
  ReadFile: ({ bytes }) => ({ data: bytes, read: 4 }),
  WriteFile: ({ bytes }) => ({ data: bytes, written: 4 }),
  copyIn: ({ bytes }) => ({ from: bytes }),
  copyOut: ({ bytes }) => ({ to: bytes }),
  // ntdll.dll: RTL_OSVERSIONINFOW says how long it is.
  RtlGetVersion: ({ info }) => ({ info: Math.max(276, numberIn(info, 32)) }),
  NtQuerySystemInformation: ({ size }) => ({ information: size, needed: 4 }),
  // offreg.dll
  ORMergeHives: ({ count }) => ({ hives: 8 * Number(count), merged: 8 }),
  OROpenHive: () => ({ hive: 8 }),
  // virtdisk.dll
  CreateVirtualDisk: () => ({ type: 20, handle: 8 }),
  GetAllAttachedVirtualDiskPhysicalPaths: ({ size }) => ({ size: 4, paths: numberIn(size, 32) }),
  GetStorageDependencyInformation: () => ({ used: 4 }),
  GetVirtualDiskInformation: ({ size }) => ({ size: 4, information: numberIn(size, 32), used: 4 }),
  GetVirtualDiskPhysicalPath: ({ size }) => ({ size: 4, path: numberIn(size, 32) }),
  OpenVirtualDisk: () => ({ type: 20, handle: 8 }),
  // vmcompute.dll
  GetBaseImages: () => ({ images: 8 }),
  GetLayerMountPath: ({ length, buffer }) => ({
    length: 8,
    ...(buffer !== null && { buffer: units(numberIn(length, 64)) }),
  }),
  LayerExists: () => ({ exists: 4 }),
  NameToGuid: () => ({ guid: 16 }),
  HcsCreateComputeSystem: () => ({ computeSystem: 8, result: 8 }),
  HcsEnumerateComputeSystems: () => ({ computeSystems: 8, result: 8 }),
  HcsGetComputeSystemProperties: () => ({ properties: 8, result: 8 }),
  HcsGetServiceProperties: () => ({ properties: 8, result: 8 }),
  HcsModifyComputeSystem: SYSTEM,
  HcsModifyServiceSettings: SYSTEM,
  HcsOpenComputeSystem: () => ({ computeSystem: 8, result: 8 }),
  HcsPauseComputeSystem: SYSTEM,
  HcsRegisterComputeSystemCallback: () => ({ callbackHandle: 8 }),
  HcsResumeComputeSystem: SYSTEM,
  HcsSaveComputeSystem: SYSTEM,
  HcsShutdownComputeSystem: SYSTEM,
  HcsStartComputeSystem: SYSTEM,
  HcsTerminateComputeSystem: SYSTEM,
  // ws2_32.dll
  WSAStartup: () => ({ data: 408 }),
  bind: ({ size }) => ({ address: size }),
  recv: ({ size }) => ({ data: size }),
  send: ({ size }) => ({ data: size }),
};

/** Refuses a call with a buffer that is shorter than the function believes. */
export function requireBuffers(fn: string, args: Args): void {
  for (const [name, bytes] of Object.entries(NEEDS[fn]?.(args) ?? {})) {
    const buffer = args[name];
    if (buffer === null && Number(bytes) > 0 && /^(input|output)$/.test(name)) beyond(fn, name, bytes, 0);
    if (buffer instanceof Uint8Array && buffer.byteLength < Number(bytes)) beyond(fn, name, bytes, buffer.byteLength);
  }
}

function beyond(fn: string, name: string, bytes: unknown, length: number): never {
  throw new SimulationError(`${fn} takes ${name} for ${bytes} bytes, and it has ${length}: Windows would go beyond it`);
}
