/**
 * Simulated hosts for tests: one builder, and hosts in front of others.
 *
 * @module
 */

import { assertRejects } from "jsr:@std/assert@^1.0.0";
import type { Host } from "../../src/ffi/host.ts";
import type { NativeFunction } from "../../src/ffi/table.ts";
import { SimulatedHost, type SimulatedHostOptions } from "../../src/simulated/mod.ts";

/** Read-only layers, topmost first. */
export const LAYERS = [
  "C:\\layers\\ro05",
  "C:\\layers\\ro04",
  "C:\\layers\\ro03",
  "C:\\layers\\ro02",
  "C:\\layers\\ro01",
];
export const SCRATCH = "C:\\scratch\\c1";
export const STACK = [...LAYERS, SCRATCH];
export const MOUNT = "C:\\mnt\\c1";
export const INFO = { Flavour: 1, HomeDir: "" };
export const GIB = 2 ** 30;

/** What there is on the disk of a host. */
export interface Contents {
  /** Folders of plain layers. */
  layers?: readonly string[];
  /** Folders of layers with a CIM image. */
  cimLayers?: readonly string[];
  /** Folders of scratches, with their disks. */
  scratches?: readonly string[];
  /** Empty folders. */
  folders?: readonly string[];
  /** Files by path, with their sizes. */
  files?: Readonly<Record<string, number>>;
  /** Disks without a file system by path, with their sizes. */
  disks?: Readonly<Record<string, number>>;
  /** Folders that a Linux VM boots from, with the name of the root file system. */
  linuxBoot?: Readonly<Record<string, "initrd.img" | "rootfs.vhd">>;
  /** Folders of layers that a Windows VM boots from. */
  windowsBoot?: readonly string[];
}

/** A host with contents. */
export function hostWith(contents: Contents, options?: SimulatedHostOptions): SimulatedHost {
  const host = new SimulatedHost(options);
  contents.layers?.forEach((path) => host.addLayer(path));
  contents.cimLayers?.forEach((path) => host.addCimLayer(path));
  contents.scratches?.forEach((path) => host.addScratch(path));
  contents.folders?.forEach((path) => host.addFolder(path));
  Object.entries(contents.files ?? {}).forEach(([path, size]) => host.addFile(path, size));
  Object.entries(contents.disks ?? {}).forEach(([path, size]) => host.addDisk(path, size));
  Object.entries(contents.linuxBoot ?? {}).forEach(([path, root]) => host.addLinuxBootFolder(path, root));
  contents.windowsBoot?.forEach((path) => host.addWindowsBootLayer(path));
  return host;
}

/** A host with the folders of {@linkcode STACK}, or of another stack. */
export function stackHost(options?: SimulatedHostOptions, stack: readonly string[] = STACK): SimulatedHost {
  return hostWith({ layers: stack.slice(0, -1), scratches: stack.slice(-1) }, options);
}

/** A host in front of another, with some of its methods replaced. */
export function hostInFront<H extends Host>(host: H, replaced: Partial<Host>): H {
  return new Proxy(host, {
    get(target, key) {
      const value = Reflect.get(Object.hasOwn(replaced, key) ? replaced : target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** A host on which a function of a DLL is replaced. */
export function withFunction<H extends Host>(host: H, name: string, replacement: unknown): H {
  const symbols: Host["symbols"] = (dll) =>
    name in dll.symbols ? { ...host.symbols(dll), [name]: replacement } : host.symbols(dll);
  return hostInFront(host, { symbols });
}

/** A host in front of another that is, to the library, in another process on the same machine. */
export function inAnotherProcess<H extends Host>(host: H): H {
  return hostInFront(host, { machine: {} });
}

/** A function of a DLL. */
export type Call = (...args: unknown[]) => unknown;

/** A host on which each function is replaced by what `wrap` makes of it. */
export function withWrapped<H extends Host>(
  host: H,
  wrap: (name: string, call: Call, type: NativeFunction) => Call,
): H {
  const wrapped = new Map<unknown, unknown>();
  const symbols: Host["symbols"] = (dll) => {
    if (!wrapped.has(dll)) {
      const calls = Object.entries(host.symbols(dll)).map(([name, call]) => [
        name,
        wrap(name, call as Call, dll.symbols[name]!),
      ]);
      wrapped.set(dll, Object.fromEntries(calls));
    }
    return wrapped.get(dll) as never;
  };
  return hostInFront(host, { symbols });
}

/** A host on which the first call of a slow function has its effect, and returns `code` all the same. */
export function failsAfterEffect<H extends Host>(host: H, name: string, code: number): H {
  let isFirst = true;
  return withWrapped(host, (other, call) =>
    other !== name ? call : async (...args) => {
      const result = await call(...args);
      if (!isFirst) return result;
      isFirst = false;
      return code | 0;
    });
}

/** Runs `mount` in another process, which dies at the first call of a function. */
export async function dieAt(
  host: SimulatedHost,
  fn: string,
  mount: (on: SimulatedHost) => Promise<unknown>,
): Promise<void> {
  const process = host.otherProcess();
  process.before(fn, () => {
    process.endProcess();
    throw new Error("killed");
  }, { nth: 1 });
  await assertRejects(() => mount(process));
}
