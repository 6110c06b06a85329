/**
 * ntdll.dll and kernel32.dll, simulated: files relative to open folders, and what is told and changed by their handles.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import type { AddressSpace } from "./address_space.ts";
import {
  big,
  BOOL,
  buffer,
  type Context,
  type Decoder,
  define,
  INFALLIBLE,
  number,
  type OpenHandle,
  optionalBuffer,
  put64,
  type SimulatedDll,
  viewOf,
  win32Failure,
} from "./call.ts";
import { fileWith } from "./contents.ts";
import { attributesOf, type FileHandle, fileTime } from "./kernel32.ts";
import { foldName, lastName, parentOf } from "./names.ts";
import { addOpening, requireOpenable, usesOf } from "./open_files.ts";
import { linkTag } from "./reparse_points.ts";
import { unknown } from "./simulation_error.ts";
import type { FileMetadata, Node, Windows } from "./windows.ts";

const ERROR_REPARSE_POINT_ENCOUNTERED = 4395;
const OBJ_DONT_REPARSE = 0x1000;
const CREATE = 2;
const OPEN = 1;
const DIRECTORY_FILE = 0x1;
const NON_DIRECTORY_FILE = 0x40;
const OPEN_REPARSE_POINT = 0x200000;
const DIRECTORY = 0x10;
// An NTSTATUS that stands for a Win32 code (facility 7).
const STATUS_OF_WIN32 = 0xc0070000;

interface ObjectAttributes {
  readonly root: bigint;
  readonly name: string;
  readonly flags: number;
}

const objectAttributes: Decoder<ObjectAttributes> = (raw, memory: AddressSpace) => {
  const view = viewOf(raw as Uint8Array<ArrayBuffer>, 48);
  const text = viewOf(memory.view(view.getBigUint64(16, true), 16).slice());
  const units = memory.view(text.getBigUint64(8, true), text.getUint16(0, true));
  let name = "";
  for (let i = 0; i < units.byteLength; i += 2) name += String.fromCharCode(units[i]! | units[i + 1]! << 8);
  return { root: view.getBigUint64(8, true), name, flags: view.getUint32(24, true) };
};

const NTSTATUS_OF_WIN32 = { done: 0, fail: (code: number) => (STATUS_OF_WIN32 | code & 0xffff) | 0 };

/** The functions of ntdll.dll for files. */
export const ntFilesFunctions: SimulatedDll = {
  NtCreateFile: define(
    NTSTATUS_OF_WIN32,
    {
      handle: buffer,
      access: number,
      object: objectAttributes,
      block: buffer,
      size: optionalBuffer,
      attributes: number,
      share: number,
      disposition: number,
      options: number,
      ea: optionalBuffer,
      eaBytes: number,
    },
    ({ windows, process }, { handle, access, object, share, disposition, options }) => {
      if (object.root === 0n || (object.flags & OBJ_DONT_REPARSE) === 0 || (options & OPEN_REPARSE_POINT) === 0) {
        unknown("opening a file by ntdll.dll that isn't relative to a folder, or through links");
      }
      const { target } = process.handles.get<FileHandle>(object.root, "file");
      const path = pathBelow(windows, target, object.name);
      const node = windows.node(path, "stay");
      if (disposition === CREATE) {
        if (node !== undefined) throw win32Failure(win32.ERROR_ALREADY_EXISTS);
        if (windows.node(parentOf(path), "stay")?.type !== "folder") throw win32Failure(win32.ERROR_PATH_NOT_FOUND);
        const isFolder = (options & DIRECTORY_FILE) !== 0;
        windows.add({ ...isFolder ? { path, type: "folder" } : fileWith(path, ""), createdBy: windows.by });
      } else if (disposition !== OPEN) {
        unknown(`opening a file with the disposition ${disposition}`);
      }
      const opened = windows.existing(path, "stay");
      if ((options & DIRECTORY_FILE) !== 0 && opened.type !== "folder") throw win32Failure(267);
      if ((options & NON_DIRECTORY_FILE) !== 0 && opened.type === "folder") {
        throw win32Failure(win32.ERROR_ACCESS_DENIED);
      }
      const opening = { access: usesOf(access), share };
      requireOpenable(windows, opened, opening);
      const file: FileHandle = { type: "file", target: opened.path, access, position: 0, file: opened.path };
      const value = process.handles.open(file);
      addOpening(windows, opened, { ...opening, process: windows.by.process, handle: `${value}` });
      put64(handle, value);
    },
  ),

  NtSetInformationFile: define(
    NTSTATUS_OF_WIN32,
    { handle: big, block: buffer, information: buffer, bytes: number, class: number },
    ({ windows, process }, { handle, information, class: kind }) => {
      if (kind !== 11) unknown(`setting information ${kind} of a file by ntdll.dll`);
      const { target } = process.handles.get<FileHandle>(handle, "file");
      const view = viewOf(information, 20);
      const folder = process.handles.get<FileHandle>(view.getBigUint64(8, true), "file").target;
      let name = "";
      for (let i = 0; i < view.getUint32(16, true); i += 2) name += String.fromCharCode(view.getUint16(20 + i, true));
      linkFile(windows, target, pathBelow(windows, folder, name));
    },
  ),

  RtlNtStatusToDosError: define(
    { ...INFALLIBLE, done: undefined },
    { status: number },
    (_, { status }) => status & 0xffff,
  ),
};

/** The functions of kernel32.dll that change files by their handles. */
export const fileChangeFunctions: SimulatedDll = {
  SetFileInformationByHandle: define(
    BOOL,
    { handle: big, class: number, information: buffer, bytes: number },
    ({ windows, process }, { handle, class: kind, information }) => {
      const { target } = process.handles.get<FileHandle>(handle, "file");
      const node = windows.own(target, "stay");
      const view = viewOf(information);
      if (kind === 21) {
        if (node.type === "folder" && linkTag(node) === undefined && !windows.isEmpty(node.path)) {
          throw win32Failure(win32.ERROR_DIR_NOT_EMPTY);
        }
        // As POSIX has it, the name is gone at once.
        windows.remove(node.path);
      } else if (kind === 0) {
        const before = metadataOf(node);
        const time = (at: number, old: string) =>
          view.getBigInt64(at, true) === 0n ? old : `${view.getBigInt64(at, true)}`;
        node.metadata = {
          ...before,
          creationTime: time(0, before.creationTime),
          lastAccessTime: time(8, before.lastAccessTime),
          lastWriteTime: time(16, before.lastWriteTime),
          changeTime: time(24, before.changeTime),
          attributes: settled(before.attributes, view.getUint32(32, true)),
        };
      } else {
        unknown(`setting information ${kind} of a file`);
      }
    },
  ),
};

// What a file is, such as a folder or sparse, can't be set. A normal one has nothing else.
const SETTABLE = 0x31a7;
const NORMAL = 0x80;
const VALID = 0x7fb7;

function settled(before: number, given: number): number {
  if ((given & ~VALID) !== 0) throw win32Failure(win32.ERROR_INVALID_PARAMETER);
  if (given === 0) return before;
  const all = before & ~SETTABLE | given & SETTABLE;
  return (all & ~NORMAL) === 0 ? NORMAL : all & ~NORMAL;
}

// A path below an open folder, on which there may be no link.
function pathBelow(windows: Windows, folder: string, name: string): string {
  if (name === "" || /^\\|\\$|\\\\|\//.test(name)) throw win32Failure(win32.ERROR_INVALID_NAME);
  const parts = name.split("\\");
  if (parts.some((part) => part === "." || part === "..")) throw win32Failure(win32.ERROR_INVALID_NAME);
  let path = folder;
  for (const part of parts.slice(0, -1)) {
    path = `${path}\\${part}`;
    const node = windows.node(path, "stay");
    if (node !== undefined && (node.link !== undefined || node.volume !== undefined)) {
      throw win32Failure(ERROR_REPARSE_POINT_ENCOUNTERED);
    }
  }
  return `${path}\\${parts.at(-1)}`;
}

/** Gives a file one more name. What is told of both is the same; who changes one afterwards sees the difference. */
export function linkFile(windows: Windows, file: string, path: string): void {
  const node = windows.own(file, "stay");
  if (node.type === "folder") throw win32Failure(win32.ERROR_ACCESS_DENIED);
  const place = windows.place(path, "stay");
  if (place.node !== undefined) throw win32Failure(win32.ERROR_ALREADY_EXISTS);
  if (windows.node(parentOf(place.path), "stay")?.type !== "folder") throw win32Failure(win32.ERROR_PATH_NOT_FOUND);
  node.links ??= ++windows.state.fileIds;
  const { isPlaceholder: _, id: _id, ...copy } = JSON.parse(JSON.stringify(node));
  windows.add({ ...copy, path: place.path, createdBy: windows.by });
}

/** Returns what is set of a file, with defaults. */
export function metadataOf(node: Node): FileMetadata {
  const start = `${fileTime(0)}`;
  return node.metadata ?? {
    attributes: attributesOf(node),
    creationTime: start,
    lastWriteTime: start,
    changeTime: start,
    lastAccessTime: start,
  };
}

const listings = new WeakMap<OpenHandle, Iterator<Node, undefined>>();

/** Writes what GetFileInformationByHandleEx tells of a file or folder. Returns false if it is asked for something else. */
export function putInformation(
  { windows, process }: Context,
  handle: bigint,
  kind: number,
  out: Uint8Array<ArrayBuffer>,
): boolean {
  const opened = process.handles.get<FileHandle>(handle, "file");
  if (kind === 1) {
    const node = windows.existing(opened.target, "stay");
    const view = viewOf(out, 24);
    view.setBigInt64(8, BigInt(node.type === "folder" ? 0 : node.size ?? 0), true);
    view.setUint32(16, linksOf(windows, node).length, true);
    view.setUint8(21, node.type === "folder" ? 1 : 0);
    return true;
  }
  if (kind === 9) {
    const node = windows.existing(opened.target, "stay");
    const view = viewOf(out, 8);
    view.setUint32(0, attributesOf(node) | (node.type === "folder" ? DIRECTORY : 0), true);
    view.setUint32(4, linkTag(node) ?? 0, true);
    return true;
  }
  if (kind !== 10 && kind !== 11) return false;
  let listing = listings.get(opened);
  if (listing === undefined || kind === 11) {
    const order = ({ path }: Node) => foldName(lastName(path)).toUpperCase();
    const nodes = windows.children(opened.target).sort((one, other) => order(one) < order(other) ? -1 : 1);
    listings.set(opened, listing = nodes.values() as Iterator<Node, undefined>);
  }
  const { value: node } = listing.next();
  if (node === undefined) throw win32Failure(win32.ERROR_NO_MORE_FILES);
  const { creationTime, lastAccessTime, lastWriteTime, changeTime, attributes } = metadataOf(node);
  const view = viewOf(out, 104 + 2 * lastName(node.path).length);
  view.setUint32(0, 0, true);
  [creationTime, lastAccessTime, lastWriteTime, changeTime].forEach((time, i) =>
    view.setBigInt64(8 + 8 * i, BigInt(time), true)
  );
  view.setBigInt64(40, BigInt(node.size ?? 0), true);
  view.setUint32(56, attributes | (node.type === "folder" ? DIRECTORY : 0), true);
  const name = lastName(node.path);
  view.setUint32(60, 2 * name.length, true);
  view.setBigUint64(96, BigInt(node.links ?? windows.idOf(node.path)), true);
  for (let i = 0; i < name.length; i++) view.setUint16(104 + 2 * i, name.charCodeAt(i), true);
  return true;
}

function linksOf({ state }: Windows, node: Node): Node[] {
  return node.links === undefined ? [node] : Object.values(state.nodes).filter(({ links }) => links === node.links);
}
