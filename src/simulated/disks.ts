/**
 * Open and attached virtual disks, which all DLLs see.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import { type OpenHandle, type Process, win32Failure } from "./call.ts";
import { driveOf } from "./links.ts";
import { addOpening, ATTACHED } from "./open_files.ts";
import { unknown } from "./simulation_error.ts";
import { guidOf, type Windows } from "./windows.ts";

/** An open virtual disk. */
export interface DiskHandle extends OpenHandle {
  /** Its type. */
  readonly type: "disk";
}

/** Attaches the disk file at a path. */
export function attach(
  windows: Windows,
  path: string,
  { driveLetter = true, ...how }: {
    readonly permanent: boolean;
    readonly readOnly: boolean;
    readonly driveLetter?: boolean;
  },
): void {
  windows.requireAttachable(path);
  windows.state.disks[windows.key(path)] = { path, number: freeNumber(windows), ...how, by: windows.by };
  if (windows.disk(path).volume !== undefined) windows.addDiskVolume(windows.diskVolume(path), { driveLetter });
}

/** Returns a number for the device of a disk. */
export function freeNumber({ state: { active, disks } }: Windows): number {
  const used = new Set([...Object.values(disks), ...Object.values(active)].map(({ number }) => number));
  let number = 1;
  while (used.has(number)) number++;
  return number;
}

/**
 * Returns the number of the disk that a volume is on. Until build 17763, the disk of an activated scratch has one (disks 3 to 13 in
 * kubernetes-sigs/azuredisk-csi-driver#3038); later it was seen without (`\\Device\\VhdHardDisk{guid}` in winfsp/winfsp#498).
 */
export function numberOfVolume(windows: Windows, volume: string): number {
  if (driveOf(windows.state, guidOf(volume)) !== undefined) return 0;
  const none = (what: string) => win32Failure(win32.ERROR_INVALID_FUNCTION, `asking for the disk of ${what}`);
  const path = windows.diskOfVolume(volume);
  if (path === undefined) throw none("a volume that is on no disk");
  const { number } = windows.state.disks[windows.key(path)] ?? windows.activationOf(path) ?? {};
  if (number === undefined) throw none("an activated scratch");
  return number;
}

/** Detaches the disk file at a path, no matter which process attached it. */
export function detach(windows: Windows, path: string): void {
  const layer = windows.activationOf(path);
  if (layer?.preparedBy !== undefined) unknown(`detaching the disk of a scratch that has a filter: ${path}`);
  if (layer !== undefined) delete windows.state.active[windows.key(layer.path)];
  delete windows.state.disks[windows.key(path)];
  windows.removeVolume(windows.diskVolume(path));
  letGo(windows, path);
}

/** Lets go of the file of a disk that was detached; the system does that when it gets around to it. */
export function letGo(windows: Windows, path: string): void {
  const node = windows.node(path);
  if (node === undefined) return;
  const { diskReleaseDelay } = windows.state.company;
  if (diskReleaseDelay !== undefined) addOpening(windows, node, { ...ATTACHED, until: windows.now + diskReleaseDelay });
  windows.changed.add(node.path);
}

/** Returns the disk file of a device. */
export function diskOfDevice(windows: Windows, device: string): string | undefined {
  const number = /^\\\\\.\\PhysicalDrive(\d+)$/i.exec(device)?.[1];
  return Object.values(windows.state.disks).find((disk) => `${disk.number}` === number)?.path;
}

/** Returns the name of a volume in the form that this Windows returns. */
export function volumeText(process: Process, volume: string): string {
  return process.mountPathSeparator ? volume : volume.slice(0, -1);
}
