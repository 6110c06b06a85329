/**
 * What happens when files and handles are closed, by their owners, with their processes, or by themselves.
 *
 * @module
 */

import { detach } from "./disks.ts";
import { isOpenDisk, type OpenFile } from "./open_files.ts";
import { stopVM } from "./vm.ts";
import { keyOf, type RunningProcess, type Windows } from "./windows.ts";

/**
 * Closes those openings of files that `isMeant` names; with a path, only of that file. A disk whose last handle is closed is
 * detached unless it is attached permanently, no matter which process attached it (documentation of AttachVirtualDisk,
 * ATTACH_VIRTUAL_DISK_FLAG_PERMANENT_LIFETIME). What was deleted meanwhile disappears with its last opening.
 */
export function closeFiles(windows: Windows, isMeant: (opening: OpenFile) => boolean, path?: string): void {
  const { open, nodes } = windows.state;
  for (const key of path === undefined ? Object.keys(open) : [keyOf(path)]) {
    const closed = (open[key] ?? []).filter(isMeant);
    if (closed.length === 0) continue;
    const left = open[key]!.filter((opening) => !closed.includes(opening));
    if (left.length > 0) open[key] = left;
    else delete open[key];
    const node = nodes[key];
    if (node === undefined) continue;
    const isLastOfDisk = closed.some(({ isDisk }) => isDisk) && !isOpenDisk(windows, node);
    if (isLastOfDisk && windows.state.disks[key]?.permanent === false) detach(windows, node.path);
    if (node.isDeletePending && open[key] === undefined) windows.remove(node.path);
    else if (node.isUnscanned) windows.changed.add(node.path);
  }
}

/** Closes the files whose time has come. */
export function closeTimely(windows: Windows): void {
  const { state } = windows;
  while (state.nextClose <= state.time) {
    const { nextClose } = state;
    closeFiles(windows, ({ until = Infinity }) => until <= nextClose);
    const times = Object.values(state.open).flatMap((openings) => openings.map(({ until = Infinity }) => until));
    const next = times.reduce((least, time) => Math.min(least, time), Number.MAX_VALUE);
    state.nextClose = next;
  }
}

/** Notes that a process has closed a handle of a VM, or, without a number, one of them. The last one can end the VM. */
export function closeSystem(windows: Windows, id: string, process: number): void {
  const vm = windows.state.systems[id];
  if (vm === undefined) return;
  vm.handles.splice(vm.handles.indexOf(process), 1);
  if (vm.handles.length > 0 || !vm.endsWithHandle && vm.state !== "Stopped") return;
  stopVM(windows, vm);
  delete windows.state.systems[id];
}

/** Starts a process, and returns its number. If the machine is in a file, with the number that it has on the real machine. */
export function startProcess(windows: Windows, realPid?: number): number {
  const { state } = windows;
  const realStart = realPid === undefined ? undefined : startOf(realPid) ?? undefined;
  state.running[++state.processes] = {
    startedAt: state.time,
    ...(realPid !== undefined && { realPid }),
    ...(realStart !== undefined && { realStart }),
  };
  return state.processes;
}

/** Ends the processes that were killed on the real machine. Returns whether there were any. */
export function endKilled(windows: Windows): boolean {
  const killed = Object.entries(windows.state.running).filter(([, process]) => isGone(process));
  killed.forEach(([process]) => closeAll(windows, Number(process)));
  return killed.length > 0;
}

// Another process can have its number by now.
function isGone({ realPid, realStart }: RunningProcess): boolean {
  if (realPid === undefined) return false;
  const start = startOf(realPid);
  return start === null || start !== undefined && realStart !== undefined && start !== realStart;
}

// Null if there is no such process. Undefined if that can't be known: on other systems, and without the permission to look.
function startOf(realPid: number): string | null | undefined {
  if (Deno.build.os !== "linux") return undefined;
  try {
    const text = Deno.readTextFileSync(`/proc/${realPid}/stat`);
    // The name of the program before can have spaces and brackets.
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19];
  } catch (error) {
    return error instanceof Deno.errors.NotFound ? null : undefined;
  }
}

/**
 * Ends a process: closes its handles, which detaches its disks and ends its VMs as closing them one by one would. Layers
 * stay activated, filters attached, images and volumes mounted: these are of the system.
 */
export function closeAll(windows: Windows, process: number): void {
  delete windows.state.running[process];
  closeFiles(windows, (opening) => opening.process === process);
  for (const vm of Object.values(windows.state.systems)) {
    while (vm.handles.includes(process)) closeSystem(windows, vm.id, process);
  }
}

const RESTART_MS = 30_000;

/**
 * Restarts the machine. What is attached, mounted, filtered or open is gone, and so are VMs. Files, their streams and who
 * may open them, folders that are mount points, permanent disks' files stay; a disk isn't attached again by itself
 * (documentation of AttachVirtualDisk: only with ATTACH_VIRTUAL_DISK_FLAG_AT_BOOT). It takes half a minute.
 */
export function restart(windows: Windows): void {
  const { state } = windows;
  const ofDisks = [
    ...Object.values(state.disks).map(({ path }) => windows.diskVolume(path)),
    ...Object.values(state.active).flatMap(({ volume }) => volume ?? []),
  ];
  [...ofDisks, ...Object.keys(state.images)].forEach((volume) => windows.removeVolume(volume));
  Object.assign(state, {
    active: {},
    images: {},
    overlays: {},
    disks: {},
    storageFilters: {},
    systems: {},
    running: {},
  });
  closeFiles(windows, () => true);
  state.bootedAt = state.time += RESTART_MS;
  state.nextClose = Number.MAX_VALUE;
  for (const node of Object.values(state.nodes)) {
    if (node.vms !== undefined) delete node.vms;
    if (node.isUnscanned) delete node.isUnscanned;
  }
}
