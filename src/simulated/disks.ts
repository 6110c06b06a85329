/**
 * Virtual disks that are open and attached, as all DLLs see them.
 *
 * @module
 */

import type { Context, OpenHandle, Process } from "./call.ts";
import { unknown } from "./simulation_error.ts";
import { keyOf, type Windows } from "./windows.ts";

/** A virtual disk that is open. */
export interface DiskHandle extends OpenHandle {
  /** Its type. */
  readonly type: "disk";
}

/** Whether the disk file at a path is attached, or open in this process. */
export function isDiskInUse({ windows, process }: Context, path: string): boolean {
  return windows.isAttached(path) || hasHandle(process, path);
}

function hasHandle(process: Process, path: string): boolean {
  return process.handles.list().some(({ type, target }) => type === "disk" && keyOf(target) === keyOf(path));
}

/** Attaches the disk file at a path. */
export function attach(windows: Windows, path: string, permanent: boolean): void {
  const used = Object.values(windows.state.disks).map(({ number }) => number);
  let number = 1;
  while (used.includes(number)) number++;
  windows.state.disks[keyOf(path)] = { path, number, permanent, by: windows.by };
  if (windows.disk(path).volume !== undefined) windows.addVolume(windows.diskVolume(path));
}

/** Detaches the disk file at a path, whoever attached it. */
export function detach(windows: Windows, path: string): void {
  const layer = windows.activationOf(path);
  if (layer?.preparedBy !== undefined) unknown(`detaching the disk of a scratch that has its filter on: ${path}`);
  if (layer !== undefined) delete windows.state.active[keyOf(layer.path)];
  delete windows.state.disks[keyOf(path)];
  windows.removeVolume(windows.diskVolume(path));
}

/** After a handle to the disk file at a path was closed: a disk goes with its last handle, unless attached for good. */
export function lastHandleGone({ windows, process }: Context, path: string): void {
  const attached = windows.state.disks[keyOf(path)];
  if (attached?.permanent === false && attached.by.process === windows.by.process && !hasHandle(process, path)) {
    detach(windows, path);
  }
}

/** The disk file whose device this is. */
export function diskOfDevice(windows: Windows, device: string): string | undefined {
  const number = /^\\\\\.\\PhysicalDrive(\d+)$/i.exec(device)?.[1];
  return Object.values(windows.state.disks).find((disk) => `${disk.number}` === number)?.path;
}

/** A volume as this Windows names it. */
export function shownVolume(process: Process, volume: string): string {
  return process.mountPathSeparator ? volume : volume.slice(0, -1);
}
