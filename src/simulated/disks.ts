/**
 * Open and attached virtual disks, which all DLLs see.
 *
 * @module
 */

import type { Context, OpenHandle, Process } from "./call.ts";
import { unknown } from "./simulation_error.ts";
import type { Windows } from "./windows.ts";

/** An open virtual disk. */
export interface DiskHandle extends OpenHandle {
  /** Its type. */
  readonly type: "disk";
}

/** Returns whether the disk file at a path is attached, or open in this process. */
export function isDiskInUse({ windows, process }: Context, path: string): boolean {
  return windows.isAttached(path) || hasHandle(windows, process, path);
}

function hasHandle(windows: Windows, process: Process, path: string): boolean {
  const key = windows.key(path);
  return process.handles.list().some(({ type, target }) => type === "disk" && windows.key(target) === key);
}

/** Attaches the disk file at a path. */
export function attach(windows: Windows, path: string, permanent: boolean, driveLetter = true): void {
  windows.requireAttachable(path);
  const used = new Set(Object.values(windows.state.disks).map(({ number }) => number));
  let number = 1;
  while (used.has(number)) number++;
  windows.state.disks[windows.key(path)] = { path, number, permanent, by: windows.by };
  if (windows.disk(path).volume !== undefined) windows.addDiskVolume(windows.diskVolume(path), { driveLetter });
}

/** Detaches the disk file at a path, no matter which process attached it. */
export function detach(windows: Windows, path: string): void {
  const layer = windows.activationOf(path);
  if (layer?.preparedBy !== undefined) unknown(`detaching the disk of a scratch that has a filter: ${path}`);
  if (layer !== undefined) delete windows.state.active[windows.key(layer.path)];
  delete windows.state.disks[windows.key(path)];
  windows.removeVolume(windows.diskVolume(path));
}

/** Detaches a disk after its last handle was closed, unless it is attached permanently. */
export function lastHandleGone({ windows, process }: Context, path: string): void {
  const attached = windows.state.disks[windows.key(path)];
  if (
    attached?.permanent === false && attached.by.process === windows.by.process && !hasHandle(windows, process, path)
  ) {
    detach(windows, path);
  }
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
