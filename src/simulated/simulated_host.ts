/**
 * The simulated host: a {@linkcode Host} that needs no Windows, no permission and no disk.
 *
 * @module
 */

import { fromWin32, hex } from "../errors/codes.ts";
import { MissingDllError, MissingExportError } from "../errors/windows_errors.ts";
import { advapi32 } from "../ffi/advapi32.ts";
import { cimfs } from "../ffi/cimfs.ts";
import { computestorage } from "../ffi/computestorage.ts";
import type { Host, NativeCallback, NotificationListener } from "../ffi/host.ts";
import { kernel32 } from "../ffi/kernel32.ts";
import { ntdll } from "../ffi/ntdll.ts";
import { ole32 } from "../ffi/ole32.ts";
import type { Dll, NativeSymbols, SymbolTable } from "../ffi/table.ts";
import { virtdisk } from "../ffi/virtdisk.ts";
import { vmcompute } from "../ffi/vmcompute.ts";
import { vmcomputeHcs } from "../ffi/vmcompute_hcs.ts";
import { ws2 } from "../ffi/ws2_32.ts";
import { AddressSpace } from "./address_space.ts";
import { advapi32Functions, enabledPrivileges } from "./advapi32.ts";
import {
  type Context,
  HandleTable,
  type Process,
  put64,
  type RawResult,
  type SimulatedDll,
  type SimulatedFunction,
  since,
} from "./call.ts";
import { cimfsFunctions } from "./cimfs.ts";
import { type Completion, ComputeService, type NotificationName } from "./compute_service.ts";
import { computestorageFunctions } from "./computestorage.ts";
import { GuestNetwork } from "./guest_network.ts";
import { hcsFunctions } from "./hcs.ts";
import { kernel32Functions } from "./kernel32.ts";
import { overlayFunctions } from "./overlay.ts";
import { Failure } from "./simulation_error.ts";
import { StateFile } from "./state_file.ts";
import { ntdllFunctions, ole32Functions } from "./system.ts";
import { virtdiskFunctions } from "./virtdisk.ts";
import { stopVM, VIRTUAL_MACHINES, type VirtualMachine } from "./vm.ts";
import { vmcomputeFunctions } from "./vmcompute.ts";
import { type Acquirer, newMachine, Windows, type WindowsState } from "./windows.ts";
import { ws2Functions } from "./ws2_32.ts";

/**
 * A call of a function of Windows.
 *
 * @category Simulation
 */
export interface NativeCall {
  /** File name of the DLL without `.dll`. */
  readonly dll: string;
  /** Name of the function. */
  readonly function: string;
  /** Its decoded arguments by name. Buffers for results are `"buffer"`, and NULL is `null`. */
  readonly args: Readonly<Record<string, unknown>>;
}

/**
 * A call with its result.
 *
 * @category Simulation
 */
export interface CompletedCall extends NativeCall {
  /** Its HRESULT as `0x` and eight digits, or `pending`. Results of other types are converted. */
  readonly result: string;
}

/**
 * A failure to inject.
 *
 * @category Simulation
 */
export interface InjectedFailure {
  /** The function that fails, or the notification that reports a failure, such as `SystemStartCompleted`. */
  function: string;
  /** The HRESULT, or a Win32 code. */
  code: number;
  /** The number of the call that fails, counted from 1 since the host was created. Default: every call. */
  nth?: number;
  /** An additional condition. */
  when?: (call: NativeCall) => boolean;
  /** The result document, for functions that return one. */
  result?: object;
}

/**
 * Options of {@linkcode SimulatedHost}.
 *
 * @category Simulation
 */
export interface SimulatedHostOptions {
  /** Build of Windows of a new machine. Default: 20348, Windows Server 2022. */
  build?: number;
  /** Revision of that build. Default: 2031. */
  revision?: number;
  /**
   * Path of a file that contains the machine, and is created if it is missing. Each call reads and updates it, so that
   * several processes can share the machine. Needs `--allow-read` and `--allow-write` for the file. Default: the machine
   * is in memory.
   */
  file?: string;
  /**
   * Returns the duration of a slow function in milliseconds of real time, or a promise that resolves when it is done.
   * Default: slow functions return immediately. Fast functions always do.
   */
  latency?: (call: NativeCall) => number | Promise<unknown> | undefined;
  /** How operations on compute systems end. Default: `"synchronous"`. */
  completion?: Completion | ((fn: string) => Completion);
  /** Whether the result of `GetLayerMountPath` ends with `\`. Default: false, as on Windows. */
  mountPathSeparator?: boolean;
}

/**
 * Something that is held of the simulated machine.
 *
 * @category Simulation
 */
export interface HeldResource {
  /**
   * The kind of resource:
   *
   * - `activation`, `filter`, `cimVolume`, `overlay`, `attachedDisk`, `storageFilter`, `mountPoint`;
   * - `folder` and `file`, if a program created them;
   * - `computeSystem`, and in it `vsmbShare`, `scsiAttachment`, `vpmem`, `guestMount`, `layerTree`;
   * - `handle`, `callback`, and `privilege` (one that was enabled later) of this process.
   */
  readonly kind: string;
  /** Its path or name. */
  readonly target: string;
  /** The call that acquired it. Undefined for what only this process holds. */
  readonly by?: Acquirer;
}

const DLLS = new Map<Dll, SimulatedDll>([
  [advapi32, advapi32Functions],
  [kernel32, kernel32Functions],
  [ntdll, ntdllFunctions],
  [ole32, ole32Functions],
  [vmcompute, vmcomputeFunctions],
  [vmcomputeHcs, hcsFunctions],
  [ws2, ws2Functions],
  [cimfs, cimfsFunctions],
  [computestorage, { ...computestorageFunctions, ...since(20348, overlayFunctions) }],
  [virtdisk, virtdiskFunctions],
] as [Dll, SimulatedDll][]);

/**
 * A simulated machine with Windows. Pass it as the option `host`.
 *
 * It is strict: it keeps the state that Windows keeps, and for wrong calls it returns the errors that Windows was seen to
 * return. If nobody has seen what Windows does, it throws a {@linkcode SimulationError}.
 *
 * ```ts
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 * import { mountWCOWLayers } from "@hcs-layers/hcs-layers";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * host.addScratch("C:\\scratch");
 * host.fail({ function: "PrepareLayer", code: 0x80070005 });
 * await mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratch"], { host }).catch(() => {});
 * console.log(host.held()); // []
 * ```
 *
 * @category Simulation
 */
export class SimulatedHost implements Host {
  /** Identity of the machine. */
  readonly machine: object = {};
  readonly #options: SimulatedHostOptions;
  readonly #process: Process;
  readonly #symbols = new Map<Dll, unknown>();
  readonly #counts = new Map<string, number>();
  readonly #failures: InjectedFailure[] = [];
  readonly #calls: CompletedCall[] = [];
  #state: WindowsState;

  /** Creates a machine, or opens the one in `options.file`. */
  constructor(options: SimulatedHostOptions = {}) {
    this.#options = options;
    const { completion = "synchronous" } = options;
    const memory = new AddressSpace();
    this.#process = {
      memory,
      service: new ComputeService(
        memory,
        typeof completion === "function" ? completion : () => completion,
        (name) => hresultOf(this.#injected({ dll: "vmcompute", function: name, args: {} })),
      ),
      sockets: new GuestNetwork(),
      fault: undefined,
      handles: new HandleTable(),
      lastError: 0,
      mountPathSeparator: options.mountPathSeparator ?? false,
    };
    this.#state = newMachine(options.build ?? 20348, options.revision ?? 2031);
    this.#commit(() => {});
  }

  /** Returns the simulated functions of a DLL. */
  symbols<T extends SymbolTable>(dll: Dll<T>): NativeSymbols<T> {
    let symbols = this.#symbols.get(dll);
    if (symbols === undefined) {
      symbols = this.#load(dll);
      this.#symbols.set(dll, symbols);
    }
    return symbols as NativeSymbols<T>;
  }

  /** Resolves once all delayed notifications have come, and doesn't wait for `_ms` milliseconds of real time. */
  async sleep(_ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await this.#process.service.settled();
  }

  /** Makes a function callable by the simulated Windows. Needs no permission. */
  callback(listener: NotificationListener): Promise<NativeCallback> {
    return Promise.resolve(this.#process.service.callback(listener));
  }

  /**
   * Sends a notification about a VM from the compute service. `SystemExited` also ends the VM.
   *
   * @param status An HRESULT.
   * @param data The document that comes with it.
   */
  notify(vm: string, name: NotificationName, status = 0, data = ""): void {
    this.#later(({ windows, process }) => {
      const system = windows.state.systems[vm];
      if (name === "SystemExited" && system !== undefined) stopVM(windows, system);
      process.service.notify(vm, name, status, data);
    });
  }

  /** Injects a failure, until {@linkcode SimulatedHost.failNothing}. */
  fail(failure: InjectedFailure): void {
    this.#failures.push(failure);
  }

  /** Removes all injected failures. */
  failNothing(): void {
    this.#failures.length = 0;
  }

  /** The calls made through this host so far, in order. */
  get calls(): readonly CompletedCall[] {
    return this.#calls;
  }

  /** The number of allocated blocks of native memory. The library keeps one for the life of the process. */
  get allocations(): number {
    return this.#process.memory.size;
  }

  /** Returns what is held of the machine, and by which calls. Empty if everything was released. */
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
      for (const { path, by } of Object.values(state.disks)) {
        held.push({ kind: "attachedDisk", target: path, by });
      }
      for (const { volume, by } of Object.values(state.storageFilters)) {
        held.push({ kind: "storageFilter", target: volume, by });
      }
      for (const { path, type, createdBy, mountedBy } of Object.values(state.nodes)) {
        if (createdBy !== undefined) held.push({ kind: type, target: path, by: createdBy });
        if (mountedBy !== undefined) held.push({ kind: "mountPoint", target: path, by: mountedBy });
      }
      for (const vm of Object.values(state.systems)) held.push(...heldOf(vm));
      for (const { target } of this.#process.handles.list()) {
        held.push({ kind: "handle", target });
      }
      for (const target of enabledPrivileges(this.#process)) {
        held.push({ kind: "privilege", target });
      }
      for (let i = 0; i < this.#process.service.callbacks; i++) {
        held.push({ kind: "callback", target: "vmcompute.dll" });
      }
      return held;
    });
  }

  /** Adds a folder, and its parents if they are missing. */
  addFolder(path: string): void {
    this.#commit((windows) => windows.addFolders(path));
  }

  /** Adds a file of `size` bytes, and its parent folders if they are missing. */
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

  /** Adds the folder of a read-only layer with a CIM image, `cim-layers\<name>.cim` next to the folder. */
  addCimLayer(folder: string): void {
    const at = folder.lastIndexOf("\\");
    this.addFolder(folder);
    this.addFile(`${folder.slice(0, at)}\\cim-layers${folder.slice(at)}.cim`, 4096);
  }

  /** Adds the folder of a scratch layer with its disk. */
  addScratch(folder: string): void {
    this.addFile(`${folder}\\sandbox.vhdx`, 20 * 2 ** 30);
  }

  /** Adds the disk of a Linux layer, of `size` bytes, which all VMs may read. */
  addLinuxLayer(path: string, size: number): void {
    this.addFile(path, size);
    this.#commit((windows) => windows.existing(path).grants = [VIRTUAL_MACHINES]);
  }

  /** Adds the folder that Linux VMs boot from: a kernel, and an initial RAM disk or the disk `rootfs.vhd`. */
  addLinuxBootFolder(folder: string, root: "initrd.img" | "rootfs.vhd" = "initrd.img"): void {
    this.addFile(`${folder}\\vmlinux`, 2 ** 20);
    this.addFile(`${folder}\\kernel`, 2 ** 20);
    this.addLinuxLayer(`${folder}\\${root}`, 2 ** 20);
  }

  /** Adds the folder of a base layer that Windows VMs boot from. */
  addWindowsBootLayer(folder: string): void {
    this.addFolder(`${folder}\\UtilityVM\\Files`);
    this.addFile(`${folder}\\UtilityVM\\SystemTemplate.vhdx`, 2 ** 20);
  }

  /** The network between the machine and its guests. */
  get guests(): GuestNetwork {
    return this.#process.sockets;
  }

  /** Returns who may open a file, besides Administrators: ids of VMs, and SIDs of groups, in lower case. */
  grantsOf(path: string): readonly string[] {
    return this.#commit((windows) => windows.existing(path).grants ?? []);
  }

  /** Adds a virtual disk of `size` bytes that isn't formatted, and its folder if it is missing. */
  addDisk(path: string, size: number): void {
    this.addFile(path, size);
    this.#commit((windows) => windows.existing(path).disk = { size, blockSize: 2 ** 20 });
  }

  /** Adds a volume, and returns its name. */
  addVolume(guid: string): string {
    const name = `\\\\?\\Volume{${guid}}\\`;
    this.#commit((windows) => windows.addVolume(name));
    return name;
  }

  /** Removes an alternate data stream from a file or folder. */
  removeStream(path: string, stream: string): void {
    this.#commit((windows) => delete windows.existing(path).streams?.[stream]);
  }

  /** Removes all overlay filters from their volumes. */
  removeOverlays(): void {
    this.#commit(({ state }) => state.overlays = {});
  }

  /** Returns whether there is a file, folder or volume at a path. */
  exists(path: string): boolean {
    return this.#commit((windows) => windows.node(path) !== undefined);
  }

  /** Returns the paths of all files and folders. */
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
        if (fn === undefined || (fn.since ?? 0) > this.#state.build) {
          return [key, () => {
            throw new MissingExportError(dll.file, key, dll.remedy);
          }];
        }
        return [key, (...raw: unknown[]) => this.#dispatch(name, key, fn, raw, nonblocking === true)];
      }),
    );
  }

  #dispatch(dll: string, name: string, fn: SimulatedFunction, raw: unknown[], slow: boolean): unknown {
    const { fault } = this.#process;
    if (fault !== undefined) {
      this.#process.fault = undefined;
      throw fault;
    }
    const args = fn.decode(raw, this.#process.memory);
    const call: NativeCall = { dll, function: name, args: printableArguments(args) };
    const failure = this.#injected(call);
    const index = this.#calls.push({ ...call, result: "pending" }) - 1;
    const run = () => this.#run(fn, args, index, failure);
    const latency = slow ? this.#options.latency?.(call) : undefined;
    if (!latency) return run();
    const done = typeof latency === "number" ? new Promise((resolve) => setTimeout(resolve, latency)) : latency;
    return done.then(() => {
      // Fails if the memory that the arguments point to was freed during the call.
      fn.decode(raw, this.#process.memory);
      return run();
    });
  }

  // Counts a call, and returns the failure that is injected for it.
  #injected(call: NativeCall): InjectedFailure | undefined {
    const nth = (this.#counts.get(call.function) ?? 0) + 1;
    this.#counts.set(call.function, nth);
    return this.#failures.find((failure) =>
      failure.function === call.function && (failure.nth ?? nth) === nth && (failure.when?.(call) ?? true)
    );
  }

  #run(
    fn: SimulatedFunction,
    args: Record<string, unknown>,
    index: number,
    failure: InjectedFailure | undefined,
  ): unknown {
    const call = this.#calls[index]!;
    const record = (code: number) => this.#calls[index] = { ...call, result: hex(code) };
    const succeed = (value: RawResult) => {
      // A pending operation returns a code that isn't a success.
      record(typeof value === "number" && value < 0 ? value : 0);
      return value ?? fn.style.done;
    };
    const fail = (error: unknown) => {
      if (!(error instanceof Failure)) throw error;
      record(error.code);
      return fn.style.fail(error.code, this.#process);
    };
    try {
      if (failure !== undefined) this.#refuse(args, failure);
      const value = this.#later((context) => fn.run(context, args), call.function);
      return value instanceof Promise ? value.then(succeed, fail) : succeed(value);
    } catch (error) {
      return fail(error);
    }
  }

  #refuse({ result }: Record<string, unknown>, failure: InjectedFailure): never {
    if (failure.result !== undefined && result instanceof Uint8Array) {
      put64(result as Uint8Array<ArrayBuffer>, this.#process.memory.allocateWide(JSON.stringify(failure.result)));
    }
    throw new Failure(hresultOf(failure));
  }

  // Runs `body` on the machine, and then delivers notifications, when the machine is no longer locked.
  #later<T>(body: (context: Context) => T, fn = ""): T {
    const result = this.#commit(
      (windows) => body({ windows, process: this.#process, later: (next) => this.#later(next, fn) }),
      fn,
    );
    this.#process.service.deliver();
    return result;
  }

  // Runs `body` on the machine. If that is in a file, this is atomic for other processes.
  #commit<T>(body: (windows: Windows) => T, fn = ""): T {
    const by: Acquirer = { process: Deno.pid, function: fn, call: this.#calls.length };
    const { file } = this.#options;
    if (file === undefined) return body(new Windows(this.#state, by));
    using stored = new StateFile(file);
    const state = stored.read();
    if (state !== undefined) this.#state = JSON.parse(state);
    try {
      return body(new Windows(this.#state, by));
    } finally {
      const next = JSON.stringify(this.#state);
      if (next !== state) stored.write(next);
    }
  }
}

function hresultOf(failure: InjectedFailure | undefined): number {
  if (failure === undefined) return 0;
  const code = failure.code >>> 0;
  return code > 0xffff ? code : fromWin32(code);
}

// Returns the VM, and what was attached to it after its creation.
function heldOf(vm: VirtualMachine): HeldResource[] {
  const kinds = [
    ["vsmbShare", vm.shares],
    ["scsiAttachment", vm.disks],
    ["vpmem", vm.pmem],
    ["guestMount", vm.mounts],
    ["layerTree", vm.trees],
  ] as const;
  return [
    { kind: "computeSystem", target: vm.id, by: vm.by },
    ...kinds.flatMap(([kind, things]) =>
      Object.entries(things).flatMap(([key, thing]) => {
        const { by, path } = thing as { by?: Acquirer; path?: string };
        return by === undefined ? [] : [{ kind, target: [vm.id, key, path].filter(Boolean).join(" "), by }];
      })
    ),
  ];
}

// Converts arguments for JSON: sizes and addresses to numbers, and buffers to `"buffer"`.
function printableArguments(args: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(args).map(([name, value]) => [
      name,
      value instanceof Uint8Array ? "buffer" : typeof value === "bigint" ? Number(value) : value,
    ]),
  );
}
