/**
 * The simulated host: a {@linkcode Host} that needs no Windows, no permission and no disk.
 *
 * @module
 */

import { advapi32 } from "../ffi/advapi32.ts";
import { cimfs } from "../ffi/cimfs.ts";
import { computestorage } from "../ffi/computestorage.ts";
import { fromWin32, hex } from "../ffi/codes.ts";
import { MissingDllError, MissingExportError, MissingPermissionError } from "../ffi/errors.ts";
import type { Host } from "../ffi/host.ts";
import { kernel32 } from "../ffi/kernel32.ts";
import { ntdll } from "../ffi/ntdll.ts";
import { ole32 } from "../ffi/ole32.ts";
import type { Dll, NativeSymbols, SymbolTable } from "../ffi/table.ts";
import { vmcompute } from "../ffi/vmcompute.ts";
import { HandleTable, type Process, type SimulatedDll, type SimulatedFunction } from "./call.ts";
import { cimfsFunctions } from "./cimfs.ts";
import { Failure, SimulationError } from "./errors.ts";
import { kernel32Functions } from "./kernel32.ts";
import { AddressSpace } from "./memory.ts";
import { overlayFunctions } from "./overlay.ts";
import { advapi32Functions, ntdllFunctions, ole32Functions } from "./system.ts";
import { vmcomputeFunctions } from "./vmcompute.ts";
import { type Acquirer, newMachine, Windows, type WindowsState } from "./windows.ts";

/** A call of a function of Windows. */
export interface NativeCall {
  /** File name of the DLL without `.dll`. */
  readonly dll: string;
  /** The function. */
  readonly function: string;
  /** Its arguments by name, decoded; buffers for answers are `"buffer"`, NULL is `null`. */
  readonly args: Readonly<Record<string, unknown>>;
}

/** A call that was made, with its answer. */
export interface AnsweredCall extends NativeCall {
  /** The HRESULT of the answer as `0x` and eight digits; what answers otherwise is converted. */
  readonly result: string;
}

/** A failure to inject. */
export interface InjectedFailure {
  /** The function that is to fail. */
  function: string;
  /** The HRESULT, or a Win32 code. */
  code: number;
  /** Which call of the function, counted from 1 since the host was made. Default: every call. */
  nth?: number;
  /** Further condition. */
  when?: (call: NativeCall) => boolean;
}

/** Options of {@linkcode SimulatedHost}. */
export interface SimulatedHostOptions {
  /** Build of Windows of a new machine. Default: 20348, Windows Server 2022. */
  build?: number;
  /** Revision of that build. Default: 2031. */
  revision?: number;
  /**
   * A file that holds the machine, made where it is missing. Each call reads it and commits to it, so that processes can
   * share the machine. Needs `--allow-read` and `--allow-write` for it. Default: the machine lives in memory.
   */
  file?: string;
  /**
   * How long a slow function takes, in milliseconds of real time, or a promise of when it is done. Default: they answer
   * at once. Fast functions always do.
   */
  latency?: (call: NativeCall) => number | Promise<unknown> | undefined;
  /** Whether `GetLayerMountPath` closes the path with `\`. Windows doesn't, so the default is false. */
  mountPathSeparator?: boolean;
}

/** Something that is held of the simulated machine. */
export interface HeldResource {
  /** What it is: `activation`, `filter`, `cimVolume`, `overlay`, `mountPoint`, `folder` (created by a program), `handle` (of this process). */
  readonly kind: string;
  /** Where it is. */
  readonly target: string;
  /** Who took it; handles don't tell. */
  readonly by?: Acquirer;
}

const DLLS = new Map<Dll, SimulatedDll>([
  [advapi32, advapi32Functions],
  [kernel32, kernel32Functions],
  [ntdll, ntdllFunctions],
  [ole32, ole32Functions],
  [vmcompute, vmcomputeFunctions],
  [cimfs, cimfsFunctions],
  [computestorage, { ...overlayFunctions }],
] as [Dll, SimulatedDll][]);

/**
 * A machine with Windows on it, simulated. Pass it as the option `host`.
 *
 * It is strict: it keeps the state that Windows keeps, and answers wrong orders with the errors that Windows gives. Where
 * nobody knows what Windows answers it throws a {@linkcode SimulationError}.
 *
 * ```ts
 * import { SimulatedHost } from "./src/simulated/mod.ts";
 * import { mountWCOWLayers } from "./mod.ts";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * host.addScratch("C:\\scratch");
 * host.fail({ function: "PrepareLayer", code: 0x80070005 });
 * await mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratch"], { host }).catch(() => {});
 * console.log(host.held()); // []
 * ```
 */
export class SimulatedHost implements Host {
  /** Identity of the machine. */
  readonly machine: object = {};
  readonly #options: SimulatedHostOptions;
  readonly #process: Process;
  readonly #symbols = new Map<Dll, unknown>();
  readonly #counts = new Map<string, number>();
  readonly #failures: InjectedFailure[] = [];
  readonly #calls: AnsweredCall[] = [];
  #state: WindowsState;

  /** A new machine, or the one in `options.file`. */
  constructor(options: SimulatedHostOptions = {}) {
    this.#options = options;
    this.#process = {
      memory: new AddressSpace(),
      handles: new HandleTable(),
      lastError: 0,
      mountPathSeparator: options.mountPathSeparator ?? false,
    };
    this.#state = newMachine(options.build ?? 20348, options.revision ?? 2031);
    this.#commit(() => {});
  }

  /** The simulated functions of a DLL. */
  symbols<T extends SymbolTable>(dll: Dll<T>): NativeSymbols<T> {
    let symbols = this.#symbols.get(dll);
    if (symbols === undefined) {
      symbols = this.#load(dll);
      this.#symbols.set(dll, symbols);
    }
    return symbols as NativeSymbols<T>;
  }

  /** Resolves at once: waiting takes no time on a simulated machine. */
  sleep(_ms: number, signal?: AbortSignal): Promise<void> {
    return signal?.aborted ? Promise.reject(signal.reason) : Promise.resolve();
  }

  /** Makes a function fail, until {@linkcode SimulatedHost.failNothing}. */
  fail(failure: InjectedFailure): void {
    this.#failures.push(failure);
  }

  /** Takes back all injected failures. */
  failNothing(): void {
    this.#failures.length = 0;
  }

  /** The calls made through this host so far, in order. */
  get calls(): readonly AnsweredCall[] {
    return this.#calls;
  }

  /** Blocks of native memory that are allocated. One is kept for the life of the process. */
  get allocations(): number {
    return this.#process.memory.size;
  }

  /** What is held of the machine, and who took it. Empty where everything was given back. */
  held(): HeldResource[] {
    return this.#commit(({ state }) => {
      const held: HeldResource[] = [];
      for (const { path, activatedBy, preparedBy } of Object.values(state.active)) {
        held.push({ kind: "activation", target: path, by: activatedBy });
        if (preparedBy !== undefined) held.push({ kind: "filter", target: path, by: preparedBy });
      }
      for (const { image, by } of Object.values(state.images)) {
        held.push({ kind: "cimVolume", target: image, by });
      }
      for (const { volume, by } of Object.values(state.overlays)) {
        held.push({ kind: "overlay", target: volume, by });
      }
      for (const { path, createdBy, mountedBy } of Object.values(state.nodes)) {
        if (createdBy !== undefined) held.push({ kind: "folder", target: path, by: createdBy });
        if (mountedBy !== undefined) held.push({ kind: "mountPoint", target: path, by: mountedBy });
      }
      for (const { target } of this.#process.handles.list()) {
        held.push({ kind: "handle", target });
      }
      return held;
    });
  }

  /** Adds a folder, with its parents. */
  addFolder(path: string): void {
    this.#commit((windows) => windows.addFolders(path));
  }

  /** Adds a file of `size` bytes, with its parents. */
  addFile(path: string, size = 0): void {
    this.#commit((windows) => {
      windows.addFolders(path.slice(0, path.lastIndexOf("\\")));
      windows.add({ path, type: "file", size });
    });
  }

  /** Adds the folder of a read-only layer. */
  addLayer(folder: string): void {
    this.addFolder(`${folder}\\Files`);
  }

  /** Adds the folder of a read-only layer whose files are in a CIM image, `cim-layers\\<name>.cim` beside the folder. */
  addCimLayer(folder: string): void {
    const at = folder.lastIndexOf("\\");
    this.addFolder(folder);
    this.addFile(`${folder.slice(0, at)}\\cim-layers${folder.slice(at)}.cim`, 4096);
  }

  /** Adds the folder of a scratch layer with its disk. */
  addScratch(folder: string): void {
    this.addFile(`${folder}\\sandbox.vhdx`, 20 * 2 ** 30);
  }

  /** Adds a volume, and answers its name. */
  addVolume(guid: string): string {
    const name = `\\\\?\\Volume{${guid}}\\`;
    this.#commit((windows) => windows.addVolume(name));
    return name;
  }

  /** Whether there is a file, folder or volume at a path. */
  exists(path: string): boolean {
    return this.#commit((windows) => windows.node(path) !== undefined);
  }

  /** Paths of all files and folders. */
  paths(): string[] {
    return this.#commit(({ state }) => Object.values(state.nodes).map((node) => node.path));
  }

  #load(dll: Dll): unknown {
    const functions = DLLS.get(dll);
    if (functions === undefined) {
      throw new MissingDllError(dll.file, "It isn't simulated");
    }
    const name = dll.file.replace(/\.dll$/, "");
    return Object.fromEntries(
      Object.entries(dll.symbols).map(([key, { nonblocking }]) => {
        const fn = functions[key];
        if (fn === undefined) {
          return [key, () => {
            throw new MissingExportError(dll.file, key, dll.remedy);
          }];
        }
        return [key, (...raw: unknown[]) => this.#dispatch(name, key, fn, raw, nonblocking === true)];
      }),
    );
  }

  #dispatch(dll: string, name: string, fn: SimulatedFunction, raw: unknown[], slow: boolean): unknown {
    const args = fn.decode(raw, this.#process.memory);
    const call: NativeCall = { dll, function: name, args: shown(args) };
    const nth = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, nth);
    const failure = this.#failures.find((failure) =>
      failure.function === name && (failure.nth ?? nth) === nth && (failure.when?.(call) ?? true)
    );
    const index = this.#calls.push({ ...call, result: "pending" }) - 1;
    const run = () => {
      const [answer, result] = this.#run(fn, args, name, failure);
      this.#calls[index] = { ...call, result };
      return answer;
    };
    const latency = slow ? this.#options.latency?.(call) : undefined;
    if (!latency) return run();
    const done = typeof latency === "number" ? new Promise((resolve) => setTimeout(resolve, latency)) : latency;
    return done.then(run);
  }

  #run(
    fn: SimulatedFunction,
    args: Record<string, unknown>,
    name: string,
    failure: InjectedFailure | undefined,
  ): [answer: unknown, result: string] {
    try {
      if (failure !== undefined) {
        throw new Failure(failure.code > 0xffff ? failure.code : fromWin32(failure.code));
      }
      const answer = this.#commit(
        (windows) => fn.run({ windows, process: this.#process }, args),
        name,
      );
      return [answer ?? fn.style.done, hex(0)];
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return [fn.style.fail(error.code, this.#process), hex(error.code)];
    }
  }

  // Runs `body` on the machine; where it lives in a file, as one step that other processes see done or not done.
  #commit<T>(body: (windows: Windows) => T, fn = ""): T {
    const by: Acquirer = { process: Deno.pid, function: fn, call: this.#calls.length };
    const { file } = this.#options;
    if (file === undefined) return body(new Windows(this.#state, by));
    using handle = openState(file);
    handle.lockSync(true);
    const text = readAll(handle);
    if (text.trim() !== "") this.#state = JSON.parse(text);
    try {
      return body(new Windows(this.#state, by));
    } finally {
      writeAll(handle, JSON.stringify(this.#state).padEnd(text.length));
    }
  }
}

// As JSON takes it: sizes and addresses as numbers, buffers by their name.
function shown(args: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(args).map(([name, value]) => [
      name,
      value instanceof Uint8Array ? "buffer" : typeof value === "bigint" ? Number(value) : value,
    ]),
  );
}

function openState(file: string): Deno.FsFile {
  try {
    return Deno.openSync(file, { read: true, write: true, create: true });
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) {
      throw new MissingPermissionError(`--allow-read=${file} --allow-write=${file}`, { cause });
    }
    throw new SimulationError(`the machine's file can't be opened: ${file}`);
  }
}

function readAll(file: Deno.FsFile): string {
  const bytes = new Uint8Array(file.statSync().size);
  let at = 0;
  for (let read; at < bytes.length && (read = file.readSync(bytes.subarray(at))) !== null;) at += read;
  return new TextDecoder().decode(bytes.subarray(0, at));
}

// One write and no truncation (the text is padded), so that a process killed here leaves the old state or the new one.
function writeAll(file: Deno.FsFile, text: string): void {
  file.seekSync(0, Deno.SeekMode.Start);
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
}
