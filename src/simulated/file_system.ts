/**
 * The file system of the machine as programs see it that read and write files: a scanner, a builder, a person with a shell.
 *
 * @module
 */

import { nameOf, win32 } from "../errors/codes.ts";
import { type Context, win32Failure } from "./call.ts";
import { bytesOf, fileWith } from "./contents.ts";
import { EVERY_USE, isOpenable, USES } from "./open_files.ts";
import { rootOfPlace } from "./links.ts";
import { foldName, lastName, parentOf } from "./names.ts";
import { Failure, SimulationError, unknown } from "./simulation_error.ts";
import { isDisk, keyOf, type Node, volumeKey, type Windows } from "./windows.ts";

const ERROR_DIRECTORY = 267;

/** Runs `body`, and throws the errors that Deno has for the codes with which it fails. */
export function withDenoErrors<T>(what: string, path: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const code = error.code & 0xffff;
    const message = `${what} ${JSON.stringify(path)}: ${nameOf(error.code) ?? `code ${code}`}`;
    switch (code) {
      case win32.ERROR_FILE_NOT_FOUND:
      case win32.ERROR_PATH_NOT_FOUND:
        throw new Deno.errors.NotFound(message);
      case win32.ERROR_ACCESS_DENIED:
        throw new Deno.errors.PermissionDenied(message);
      case win32.ERROR_ALREADY_EXISTS:
        throw new Deno.errors.AlreadyExists(message);
      case ERROR_DIRECTORY:
        throw new Deno.errors.NotADirectory(message);
      default:
        throw new SimulationError(message);
    }
  }
}

/** Returns what is in the file at a path, unless a program has it. */
export function readFile(context: Context, path: string): Uint8Array<ArrayBuffer> {
  const node = context.windows.existing(path);
  requireAccess(context.windows, node, USES.read, `${path} can't be read`);
  if (node.type === "folder") throw win32Failure(win32.ERROR_ACCESS_DENIED);
  return bytesOf(node);
}

/** Writes a file, which is created if it is missing. */
export function writeFile(context: Context, path: string, content: string | Uint8Array): void {
  const { windows } = context;
  const { path: at, node } = windows.place(path);
  if (node?.type === "folder") throw win32Failure(win32.ERROR_ACCESS_DENIED);
  if (windows.existing(parentOf(at)).type !== "folder") throw win32Failure(win32.ERROR_PATH_NOT_FOUND);
  if (node !== undefined) requireAccess(windows, node, USES.write, `${path} can't be written`);
  requireWritable(windows, at, path);
  const { text: _text, base64: _base64, disk: _disk, ...kept } = node ?? {};
  if (node !== undefined && isDisk(node)) windows.remove(windows.diskVolume(at));
  windows.add({ ...kept, ...fileWith(at, content) });
  windows.changed.add(at);
}

/** Returns the entries of a folder in the order in which NTFS lists them. */
export function listFolder(windows: Windows, path: string): Deno.DirEntry[] {
  if (windows.existing(path).type === "file") throw win32Failure(ERROR_DIRECTORY);
  const order = ({ path }: Node) => foldName(lastName(path)).toUpperCase();
  return windows.children(path)
    .sort((one, other) => order(one) < order(other) ? -1 : 1)
    .map(({ path, type, link, volume }) => {
      const isSymlink = link !== undefined || volume !== undefined;
      const isFile = !isSymlink && type === "file";
      return { name: lastName(path), isFile, isDirectory: !isSymlink && !isFile, isSymlink };
    });
}

/** Makes a folder, and those that it is in. */
export function makeFolders(windows: Windows, path: string): void {
  const { path: at, node } = windows.place(path);
  if (node?.type === "file") throw win32Failure(win32.ERROR_ALREADY_EXISTS);
  if (node !== undefined) return;
  if (parentOf(at) === "") throw win32Failure(win32.ERROR_PATH_NOT_FOUND);
  makeFolders(windows, parentOf(at));
  requireWritable(windows, at, path);
  windows.add({ path: at, type: "folder" });
}

/** Removes a file, or a folder with all that is in it, as another program would. */
export function removeFrom(context: Context, path: string): void {
  const { windows } = context;
  const { path: at } = windows.existing(path, "stay");
  if (parentOf(at) === "") refuse(`${path} can't be removed`, "it is the root of a drive or volume");
  requireWritable(windows, at, path);
  requireUnused(context, at, path);
  windows.remove(at);
}

// What Windows refuses because somebody has it, and what nobody has tried while somebody has it.
function requireUnused({ windows }: Context, at: string, path: string): void {
  const { state } = windows;
  const folder = keyOf(at);
  const isKeyIn = (key: string) => `${key}\\`.startsWith(`${folder}\\`);
  const isIn = (other: string) => isKeyIn(windows.key(other));
  const what = `${path} can't be removed`;
  const disks = [
    ...Object.values(state.disks).map((disk) => disk.path),
    ...Object.values(state.active).flatMap(({ path, volume }) => volume === undefined ? [] : [`${path}\\sandbox.vhdx`]),
  ];
  const attached = disks.find(isIn);
  if (attached !== undefined) refuse(what, `a disk in it is in use: ${attached}`);
  const image = Object.values(state.images).find((mounted) => isIn(mounted.image));
  if (image !== undefined) refuse(what, `an image in it is mounted: ${image.image}`);
  const open = Object.keys(state.open).find(isKeyIn);
  if (open !== undefined) {
    const isOurs = state.open[open]!.some(({ process }) => process === windows.by.process);
    refuse(what, `it is open in ${isOurs ? "this" : "another"} process: ${state.nodes[open]?.path ?? open}`);
  }
  for (const [key, node] of Object.entries(state.nodes)) {
    if (!isKeyIn(key)) continue;
    if (Object.keys(node.vms ?? {}).length > 0) refuse(what, `a virtual machine has it: ${node.path}`);
    if (node.volume !== undefined && windows.hasVolume(node.volume)) {
      unknown(`removing a folder at which a volume is mounted: ${node.path}`);
    }
  }
  const shown = [
    ...Object.values(state.active).flatMap(({ path, parents = [] }) => [path, ...parents]),
    ...Object.values(state.storageFilters).flatMap(({ layers }) => layers),
    ...Object.values(state.systems).flatMap(({ shares }) => Object.values(shares).map((share) => share.path)),
  ];
  const layer = shown.find((other) => isIn(other) || `${folder}\\`.startsWith(`${windows.key(other)}\\`));
  if (layer !== undefined) unknown(`removing what a layer has that is in use: ${layer}`);
}

function requireAccess(windows: Windows, node: Node, access: number, what: string): void {
  if (!isOpenable(windows, node, { access, share: EVERY_USE })) refuse(what, "it, or the disk in it, is in use");
}

function requireWritable(windows: Windows, at: string, path: string): void {
  if (windows.state.images[volumeKey(rootOfPlace(at))] !== undefined) {
    refuse(`${path} can't be changed`, "it is in an image, which nothing can be written to");
  }
}

function refuse(what: string, why: string): never {
  throw new SimulationError(`${what}: ${why}`);
}
