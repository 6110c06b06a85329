/**
 * Who has which file open, of all processes on the machine, and what that keeps others from.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import { printable } from "../errors/printable.ts";
import { win32Failure } from "./call.ts";
import { SimulationError } from "./simulation_error.ts";
import { keyOf, type Node, type Windows } from "./windows.ts";

/**
 * What somebody does with an open file, or lets others do.
 *
 * @category Simulation
 */
export type FileUse = "read" | "write" | "delete";

/** A file, folder or alternate data stream that somebody has open. */
export interface OpenFile {
  /** Number of the process. Undefined for the system, and for programs that the test plays. */
  readonly process?: number;
  /** Its handle, or another thing by which it is found again. */
  readonly handle?: string;
  /** The alternate data stream, if it is one. */
  readonly stream?: string;
  /** What it is open for, a sum of the bits of {@linkcode USES}. 0 is enough to ask for attributes. */
  readonly access: number;
  /** What others may open it for at the same time, a sum of the same bits. */
  readonly share: number;
  /** The offsets of the bytes that it locks against all others. */
  readonly locks?: readonly string[];
  /** Whether virtdisk.dll has opened it, which itself lets several handles have one disk. */
  readonly isDisk?: true;
  /** The time at which it is closed. Undefined if somebody closes it. */
  readonly until?: number;
}

/** How a file is opened. */
export type Opening = Pick<OpenFile, "access" | "share" | "stream" | "isDisk">;

/** The bits of accesses, which are also those of share modes. */
export const USES: Readonly<Record<FileUse, number>> = { read: 1, write: 2, delete: 4 };

const ERROR_NOT_LOCKED = 158;

/** All of {@linkcode USES}. */
export const EVERY_USE = 7;

/** How Windows opens the file of a disk that it attaches: nobody can copy or delete it meanwhile. */
export const ATTACHED = { access: USES.read | USES.write, share: 0 } as const;
/** How it opens that of a disk that is attached read-only, which several VMs can be. */
export const ATTACHED_READ_ONLY = { access: USES.read, share: USES.read } as const;

/** Returns the bits of {@linkcode USES}. */
export function bitsOf(uses: readonly FileUse[]): number {
  if (!(uses instanceof Array)) throw new SimulationError(`what a file is open for is a list, not ${printable(uses)}`);
  const unknown = uses.find((use) => !Object.hasOwn(USES, use));
  if (unknown !== undefined) {
    throw new SimulationError(`a file is open for ${Object.keys(USES).join(", ")}, not ${printable(unknown)}`);
  }
  return uses.reduce((bits, use) => bits | USES[use], 0);
}

// FILE_READ_DATA and FILE_EXECUTE; FILE_WRITE_DATA and FILE_APPEND_DATA; DELETE; and the generic rights that have them.
// Other rights, such as to attributes or the access list, are no part of sharing (MS-FSA 2.1.5.1.2.2).
const READ = 0x80000000 | 0x10000000 | 0x20000000 | 0x1 | 0x20;
const WRITE = 0x40000000 | 0x10000000 | 0x2 | 0x4;
const DELETE = 0x10000000 | 0x10000;

/** Returns what an access mask of CreateFileW opens a file for. */
export function usesOf(mask: number): number {
  return ((mask & READ) !== 0 ? USES.read : 0) | ((mask & WRITE) !== 0 ? USES.write : 0) |
    ((mask & DELETE) !== 0 ? USES.delete : 0);
}

/**
 * Fails with ERROR_SHARING_VIOLATION unless a file can be opened. Each opening must share what the other is for, in both
 * directions (documentation of CreateFile, dwShareMode: "if the file or device has been opened for … access, the function
 * fails", and MS-FSA 2.1.5.1.2.2). Streams share by themselves, but deleting concerns the file and all its streams.
 */
export function requireOpenable(
  windows: Windows,
  node: Node,
  wanted: Opening,
  situation?: string,
): void {
  if (!isOpenable(windows, node, wanted)) throw win32Failure(win32.ERROR_SHARING_VIOLATION, situation);
}

/** Returns whether a file can be opened. */
export function isOpenable(windows: Windows, node: Node, wanted: Opening): boolean {
  return [...attachments(windows, node), ...openings(windows, node)].every((other) => {
    if (wanted.isDisk && other.isDisk) return true;
    const both = wanted.stream === other.stream ? EVERY_USE : USES.delete;
    // An opening for attributes alone neither meets nor makes obstacles.
    if (wanted.access === 0 || other.access === 0) return true;
    return (wanted.access & both & ~other.share) === 0 && (other.access & both & ~wanted.share) === 0;
  });
}

// Whoever attaches a disk has its file open: the system for the host, and the worker process of a VM for that.
function* attachments(windows: Windows, node: Node): Generator<Opening> {
  const attached = windows.state.disks[keyOf(node.path)];
  if (attached !== undefined) yield { ...(attached.readOnly ? ATTACHED_READ_ONLY : ATTACHED), isDisk: true };
  if (windows.activationOf(node.path) !== undefined) yield { ...ATTACHED, isDisk: true };
  for (const mode of Object.values(node.vms ?? {})) yield mode === "write" ? ATTACHED : ATTACHED_READ_ONLY;
}

function openings({ state }: Windows, node: Node): OpenFile[] {
  return state.open[keyOf(node.path)] ?? [];
}

/** Returns whether virtdisk.dll has a file open. */
export function isOpenDisk(windows: Windows, node: Node): boolean {
  return openings(windows, node).some(({ isDisk }) => isDisk);
}

/** Returns whether somebody has a file or folder open, or one of those in it. */
export function isOpenWithin({ state }: Windows, folder: string): boolean {
  const key = keyOf(folder);
  return Object.keys(state.open).some((other) => other === key || other.startsWith(`${key}\\`));
}

/** Locks a byte of a file for the handle that it is open by. */
export function lockByte(windows: Windows, path: string, handle: string, offset: string): void {
  const opened = windows.state.open[keyOf(path)] ?? [];
  if (opened.some(({ locks }) => locks?.includes(offset))) throw win32Failure(win32.ERROR_LOCK_VIOLATION);
  changeLocks(windows, path, handle, (locks) => [...locks, offset]);
}

/** Unlocks a byte that {@linkcode lockByte} has locked for a handle. */
export function unlockByte(windows: Windows, path: string, handle: string, offset: string): void {
  changeLocks(windows, path, handle, (locks) => {
    if (!locks.includes(offset)) throw win32Failure(ERROR_NOT_LOCKED);
    return locks.filter((other) => other !== offset);
  });
}

function changeLocks(
  { state, by }: Windows,
  path: string,
  handle: string,
  change: (locks: readonly string[]) => readonly string[],
): void {
  const key = keyOf(path);
  state.open[key] = (state.open[key] ?? []).map((opening) =>
    opening.process === by.process && opening.handle === handle
      ? { ...opening, locks: change(opening.locks ?? []) }
      : opening
  );
}

/** Notes that a file is open. */
export function addOpening({ state }: Windows, node: Node, opening: OpenFile): void {
  const key = keyOf(node.path);
  state.open[key] = [...state.open[key] ?? [], opening];
  const { until } = opening;
  if (until !== undefined && until < state.nextClose) state.nextClose = until;
}

/**
 * Deletes a file or an empty folder. As long as somebody has it open and shares that, it is "delete pending": its name is
 * still taken, and whoever opens it is refused with ERROR_ACCESS_DENIED (documentation of DeleteFile: "marks a file for
 * deletion on close … Subsequent calls to CreateFile to open the file fail with ERROR_ACCESS_DENIED"; STATUS_DELETE_PENDING
 * below that). Newer builds were seen to free the name at once on NTFS; it isn't documented for which.
 */
export function removeOrMark(windows: Windows, node: Node, situation?: string): void {
  requireOpenable(windows, node, { access: USES.delete, share: EVERY_USE }, situation);
  const { deletePendingFor } = windows.state.company;
  if (openings(windows, node).length === 0 && deletePendingFor !== undefined) {
    addOpening(windows, node, { access: 0, share: EVERY_USE, until: windows.now + deletePendingFor });
  }
  if (openings(windows, node).length === 0) windows.remove(node.path);
  else windows.state.nodes[keyOf(node.path)]!.isDeletePending = true;
}
