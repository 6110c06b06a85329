/**
 * The calls that rules consist of. What they acquire is noted in the bench before the call is made.
 *
 * @module
 */

import { NativeError } from "../../mod.ts";
import { win32 } from "../../src/errors/codes.ts";
import * as hcs from "../../src/ffi/computestorage.ts";
import type { Host } from "../../src/ffi/host.ts";
import * as k32 from "../../src/ffi/kernel32.ts";
import type { NativeSymbols } from "../../src/ffi/table.ts";
import * as vd from "../../src/ffi/virtdisk.ts";
import * as vm from "../../src/ffi/vmcompute.ts";
import { wide } from "../../src/ffi/wide.ts";
import type { Bench } from "./bench.ts";
import type { Comparable, Step } from "./rule.ts";

export const GIB = 2 ** 30;

/** The scratch of a rule, and its disk. */
export const SCRATCH = "s";
export const DISK = "s\\sandbox.vhdx";

/** A layer that nobody has. */
export const OTHER_ID = "00000000-0000-5000-8000-00000000000f";

const withoutSeparator = (volume: string) => volume.replace(/\\$/, "");

/** The forms of a volume's path that functions return. */
export function formOf(path: string): Comparable {
  const [, end] = /^\\\\\?\\Volume\{[0-9a-f-]{36}\}(.*)$/i.exec(path) ?? [];
  return end === "" ? "a volume" : end === "\\" ? "a volume and a separator" : "something else";
}

// Layers

/** Creates the scratch of the layers. */
export const scratch = (name = SCRATCH): Step => (bench) =>
  vm.createSandboxLayer(bench.host, bench.path(name), bench.parents);
/** Creates a read-only layer without files. */
export const ownLayer = (name = "l"): Step => (bench) => vm.createLayer(bench.host, bench.path(name), "");
export const activate = (name = SCRATCH, spelled = (path: string) => path): Step => (bench) => {
  const path = spelled(bench.path(name));
  bench.expectLayer(path, "active");
  return vm.activateLayer(bench.host, path);
};
export const deactivate = (name = SCRATCH): Step => (bench) => vm.deactivateLayer(bench.host, bench.path(name));
export const prepare = (
  name = SCRATCH,
  parents: (bench: Bench) => vm.ParentLayer[] = (bench) => bench.parents,
): Step =>
(bench) => {
  bench.expectLayer(bench.path(name), "filter");
  return vm.prepareLayer(bench.host, bench.path(name), parents(bench));
};
export const unprepare = (name = SCRATCH): Step => (bench) => vm.unprepareLayer(bench.host, bench.path(name));
export const expand = (size: number): Step => (bench) =>
  vm.expandSandboxSize(bench.host, bench.path(SCRATCH), BigInt(size));
export const destroy = (name: string): Step => (bench) => vm.destroyLayer(bench.host, bench.path(name));
/** The volume of a scratch becomes that of the bench. */
export const findVolume = (name = SCRATCH): Step => async (bench) => {
  bench.volume = withoutSeparator(await vm.getLayerMountPath(bench.host, bench.path(name)));
};

// Files, folders and volumes

export const folder = (name: string): Step => (bench) => void k32.createDirectory(bench.host, bench.path(name));
export const removeFolder = (name: string): Step => (bench) => k32.removeDirectory(bench.host, bench.path(name));
/** A file that isn't a disk. */
export const plainFile = (name: string): Step => (bench) =>
  k32.copyFile(bench.host, bench.windows("win.ini"), bench.path(name));
export const deleteFile = (name: string): Step => (bench) => k32.deleteFile(bench.host, bench.path(name));
export const openFile = (name: string, options: k32.OpenFileOptions, as?: string): Step => (bench) => {
  const handle = k32.openFile(bench.host, bench.path(name), options);
  if (as === undefined) handle.close();
  else bench.keep(as, handle);
};
/** Opens a file for reading, as anybody may do who shares it with everybody. */
export const readFile = (name: string): Step => openFile(name, { access: k32.access.GENERIC_READ });
export const exists = (name: string): Step => (bench) => k32.fileAttributes(bench.host, bench.path(name)) !== undefined;
export const close = (name: string): Step => (bench) => bench.close(name);

/** Mounts the bench's volume, or another one, at a folder. */
export const mountAt = (name: string, volume?: string): Step => (bench) =>
  k32.setVolumeMountPoint(bench.host, bench.expect("mountFolders", bench.path(name)), volume ?? bench.volume);
export const unmountAt = (name: string): Step => (bench) => k32.deleteVolumeMountPoint(bench.host, bench.path(name));

/** Whether the bench's volume is there. Volumes come and go a while after the call, which is waited for. */
export const volumeComes: Step = (bench) => bench.until("until the volume is there", () => hasVolume(bench));
export const volumeGoes: Step = (bench) => bench.until("until the volume is gone", () => !hasVolume(bench));

function hasVolume({ host, volume }: Bench): boolean {
  return k32.fileAttributes(host, `${volume}\\`) !== undefined;
}

// Virtual disks

export const openDisk = (name: string, as = name): Step => async (bench) =>
  bench.keep(as, await vd.openVirtualDisk(bench.host, bench.path(name)));
export const createDisk = (name: string, init: vd.CreateVirtualDiskInit): Step => async (bench) =>
  bench.keep(name, await vd.createVirtualDisk(bench.host, bench.path(name), init));
/** Creates a disk of 1 GiB without a volume. */
export const disk = (name = "d.vhdx"): readonly Step[] => [createDisk(name, { size: BigInt(GIB) }), close(name)];
export const attach = (name: string, flags: number = vd.attachFlag.NO_DRIVE_LETTER): Step => (bench) => {
  if ((flags & vd.attachFlag.PERMANENT_LIFETIME) !== 0) bench.expect("disks", bench.path(name));
  return vd.attachVirtualDisk(bench.host, bench.handle(name), flags);
};
export const detach = (name: string): Step => (bench) => vd.detachVirtualDisk(bench.host, bench.handle(name));
/** The device of an attached disk is opened as `device`. */
export const openDevice = (name: string): Step => (bench) => {
  const path = vd.physicalPath(bench.host, bench.handle(name));
  bench.keep("device", k32.openFile(bench.host, path, { access: k32.access.GENERIC_WRITE }));
};
export const format = (name: string): Step => (bench) => hcs.formatWritableLayerVhd(bench.host, bench.handle(name));

/** A scratch whose disk is open as its path. */
export const openScratch: readonly Step[] = [scratch(), openDisk(DISK)];
/** The volume of the attached scratch becomes that of the bench. It comes a while after the call that attaches. */
export const findAttached: Step = async (bench) => {
  let last: unknown;
  const found = await bench.until("until the disk has a volume", async () => {
    try {
      bench.volume = withoutSeparator(await hcs.layerVhdMountPath(bench.host, bench.handle(DISK)));
      return true;
    } catch (error) {
      if (!(error instanceof NativeError)) throw error;
      last = error;
      return false;
    }
  });
  if (!found) throw last;
};
/** A scratch that is attached by this process. */
export const attached: readonly Step[] = [...openScratch, attach(DISK), findAttached];

// Calls without the help of src/ffi

/** Calls a function of kernel32.dll that returns a BOOL. */
export const bool =
  (name: string, call: (symbols: NativeSymbols<typeof k32.kernel32Symbols>, bench: Bench) => number): Step =>
  (
    bench,
  ) => {
    if (call(bench.host.symbols(k32.kernel32), bench) === 0) throw k32.lastError(bench.host, name);
  };

/** Calls a function that returns a Win32 code, or an HRESULT. */
export const code = (name: string, call: (bench: Bench) => number | Promise<number>): Step => async (bench) => {
  const result = (await call(bench)) >>> 0;
  if (result !== 0) throw k32.errorOf(bench.host, name, result > 0xffff ? result : (0x80070000 | result) >>> 0);
};

/** A text for a native call. */
export { wide };

/** Returns whether a call fails because the file is in use. */
function isRefused(call: () => unknown): boolean {
  try {
    call();
    return false;
  } catch (error) {
    if (error instanceof NativeError && error.win32 === win32.ERROR_SHARING_VIOLATION) return true;
    throw error;
  }
}

/** Whether the disk of the scratch can be opened as a file by one who shares it in a way. */
export function isFree(host: Host, path: string, options: k32.OpenFileOptions): boolean {
  return !isRefused(() => k32.openFile(host, path, options)[Symbol.dispose]());
}
