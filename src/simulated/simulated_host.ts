/**
 * The simulated host: a {@linkcode Host} that needs no Windows, no permission and no disk.
 *
 * @module
 */

import { nameOf } from "../errors/codes.ts";
import { printable } from "../errors/printable.ts";
import { MissingDllError, MissingExportError } from "../errors/windows_errors.ts";
import type { Host, NativeCallback, NotificationListener } from "../ffi/host.ts";
import type { Dll, NativeSymbols, SymbolTable } from "../ffi/table.ts";
import { AddressSpace } from "./address_space.ts";
import { type CalledMachine, CallRunner } from "./call_runner.ts";
import { DLLS, FUNCTIONS } from "./dlls.ts";
import { heldOf, type HeldResource, PROGRAM_DATA } from "./held.ts";
import { OPTIONS, type SimulatedHostOptions } from "./simulation_options.ts";
import { type Context, HandleTable, type Process } from "./call.ts";
import { Scheduler, type SimulatedClock } from "./clock.ts";
import { closeAll, closeFiles, closeTimely, endKilled, restart, startProcess } from "./closing.ts";
import { companyOf, duration, scan } from "./company.ts";
import { type Completion, ComputeService, type NotificationName } from "./compute_service.ts";
import { addLayerContents, type FileContent, fileWith, imageOf, type LayerContents } from "./contents.ts";
import type { InjectedFailure } from "./failures.ts";
import type { Injection } from "./injections.ts";
import { listFolder, makeFolders, readFile, removeFrom, withDenoErrors, writeFile } from "./file_system.ts";
import { givenPath } from "./given_path.ts";
import { GuestNetwork } from "./guest_network.ts";
import type { BeforeOptions } from "./interventions.ts";
import { requireKnown, requireOptions } from "./known_names.ts";
import type { Link } from "./links.ts";
import { addOpening, bitsOf, EVERY_USE, type FileUse, requireOpenable } from "./open_files.ts";
import { filesOfImage, type ImageFiles } from "./image_files.ts";
import { Failure, SimulationError } from "./simulation_error.ts";
import { SharedState } from "./shared_state.ts";
import { indexed } from "./state_index.ts";
import { type MachineSnapshot, stateOf } from "./snapshot.ts";
import type { CompletedCall, NativeCall } from "./trace.ts";
import { stopVM, VIRTUAL_MACHINES } from "./vm.ts";
import {
  type Acquirer,
  type FileAttribute,
  type FileSystem,
  newMachine,
  parentOf,
  Windows,
  type WindowsState,
} from "./windows.ts";
import { closeSockets } from "./ws2_32.ts";

/** What the processes of one machine share. */
interface Machine {
  readonly state: WindowsState;
  /** The same state, if it is in a file. */
  readonly shared: SharedState<WindowsState> | undefined;
  readonly scheduler: Scheduler;
  /** The processes in this program that use it. */
  readonly hosts: Set<SimulatedHost>;
  /** The compute service from the point of view of each of them. */
  readonly services: Set<ComputeService>;
}

/**
 * How {@linkcode SimulatedHost.openFile} opens a file.
 *
 * @category Simulation
 */
export interface OpenFileOptions {
  /** What it is open for. Default: `["read"]`. */
  access?: readonly FileUse[];
  /** What others may open it for meanwhile. Default: everything. */
  share?: readonly FileUse[];
  /** Closes it after so many milliseconds of the host's clock. */
  closesAfter?: number;
}

const FILE_ATTRIBUTES: readonly FileAttribute[] = ["compressed", "encrypted", "sparse"];

const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

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
  // The machine that the next host is a process of.
  static #joined: Machine | undefined;

  readonly #options: SimulatedHostOptions;
  readonly #machine: Machine;
  readonly #symbols = new Map<Dll, unknown>();
  readonly #calls: CallRunner;
  #identity: object = {};
  #process: Process;
  #id: number;
  #opened = 0;
  #hasEnded = false;

  /** Creates a machine, or opens the one in `options.file`. */
  constructor(options: SimulatedHostOptions = {}) {
    requireOptions(options, OPTIONS, "SimulatedHost");
    this.#options = options;
    const { seed, poolThreads } = options;
    if (![undefined, "manual", "automatic"].includes(options.clock)) {
      throw new SimulationError(`clock is "manual" or "automatic", not ${printable(options.clock)}`);
    }
    for (const name of ["build", "revision"] as const) {
      const number = options[name];
      if (number !== undefined && !(Number.isInteger(number) && number >= 0 && number < 2 ** 32)) {
        throw new SimulationError(`${name} is not a number of a build of Windows: ${printable(number)}`);
      }
    }
    if (poolThreads !== undefined && !(Number.isInteger(poolThreads) && poolThreads > 0)) {
      throw new SimulationError(`poolThreads is not a number of threads: ${poolThreads}`);
    }
    this.#machine = SimulatedHost.#joined ?? {
      ...stateOfNew(options),
      scheduler: new Scheduler({
        mode: options.clock ?? (seed === undefined ? "real" : "automatic"),
        seed,
        fault: (error) => this.#process.fault ??= error as Error,
      }),
      hosts: new Set(),
      services: new Set(),
    };
    this.#calls = new CallRunner(this.#asCalled(), options);
    this.#process = this.#newProcess(new AddressSpace());
    this.#id = 0;
    this.#id = this.#commit((windows) => this.#startIn(windows));
    this.#machine.hosts.add(this);
  }

  #asCalled(): CalledMachine {
    const process = () => this.#process;
    return {
      get process() {
        return process();
      },
      scheduler: this.#machine.scheduler,
      isShared: this.#machine.shared !== undefined,
      requireRunning: () => {
        if (this.#hasEnded) throw new SimulationError(`the process ${this.#id} has ended`);
      },
      later: (body, fn) => this.#later(body, fn),
    };
  }

  #startIn(windows: Windows): number {
    if (this.#machine.shared === undefined) return startProcess(windows);
    endKilled(windows);
    return startProcess(windows, Deno.pid);
  }

  #newProcess(memory: AddressSpace): Process {
    const { clock, seed, completion = isTimed(clock, seed) ? bootsSlowly : "synchronous", mountPathSeparator = false } =
      this.#options;
    return {
      memory,
      service: new ComputeService(
        memory,
        typeof completion === "function" ? completion : () => completion,
        (name) => this.#calls.failures.of({ dll: "vmcompute", function: name, args: {} })?.code ?? 0,
        this.#machine.scheduler,
        this.#machine.services,
      ),
      sockets: new GuestNetwork(),
      guests: new Map(),
      inGuest: (call, answer) => this.#calls.inGuest(call, answer),
      fault: undefined,
      handles: new HandleTable(),
      lastError: 0,
      mountPathSeparator,
    };
  }

  /**
   * Identity of the machine, as a process sees it: another process on the machine has another one, and so has this one after
   * {@linkcode SimulatedHost.restart} and {@linkcode SimulatedHost.restore}, because it remembers nothing of what was before.
   */
  get machine(): object {
    return this.#identity;
  }

  /** The folder in which the library keeps records of mounts; false if it keeps none. */
  get records(): string | false | undefined {
    return this.#options.records;
  }

  /** Its clock, by which it sleeps. */
  get clock(): SimulatedClock {
    return this.#machine.scheduler;
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

  /**
   * Resolves after `ms` milliseconds of {@linkcode SimulatedHost.clock}. Without the option `clock` that moves the clock on
   * by these milliseconds, and then resolves once all delayed notifications have come.
   */
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (!this.#machine.scheduler.isSimulated) {
      this.#machine.scheduler.skip(ms);
      return await this.#process.service.settled();
    }
    await until((done) => this.#machine.scheduler.after(ms, done), signal);
  }

  /**
   * Resolves after `ms` milliseconds of {@linkcode SimulatedHost.clock}, and without the option `clock` of real time, as
   * `latency` is then.
   */
  async deadline(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await until((done) => this.#machine.scheduler.lasting(ms, done), signal);
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

  /**
   * Injects a failure, until it is undone or {@linkcode SimulatedHost.failNothing} is called.
   *
   * ```ts
   * import { assertEquals } from "jsr:@std/assert@^1.0.0";
   * import { mountWCOWLayers } from "@hcs-layers/hcs-layers";
   * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
   *
   * const host = new SimulatedHost();
   * host.addLayer("C:\\layers\\base");
   * host.addScratch("C:\\scratch");
   * using failure = host.fail({ function: "PrepareLayer", code: "ERROR_ACCESS_DENIED", effect: "full" });
   * await mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratch"], { host }).catch(() => {});
   * assertEquals([failure.fired, host.held()], [1, []]);
   * ```
   *
   * @throws {SimulationError} for a function, a code or an effect that doesn't exist.
   */
  fail(failure: InjectedFailure): Injection {
    return this.#calls.failures.add(failure);
  }

  /** Removes all injected failures. */
  failNothing(): void {
    this.#calls.failures.clear();
  }

  /**
   * Runs `action` before calls of a function, between two of the program's steps. If it returns a promise, the call waits
   * for it; a fast function can't wait, and throws.
   *
   * ```ts
   * import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
   * import { mountWCOWLayers, unmountWCOWLayers } from "@hcs-layers/hcs-layers";
   * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
   *
   * const host = new SimulatedHost();
   * host.addLayer("C:\\layers\\base");
   * host.addScratch("C:\\scratch");
   * const killed = host.otherProcess();
   * killed.before("PrepareLayer", () => killed.endProcess());
   * await assertRejects(() => mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratch"], { host: killed }));
   * assertEquals(host.held().map(({ kind }) => kind), ["activation"]);
   * await unmountWCOWLayers("C:\\scratch", { host });
   * ```
   *
   * @throws {SimulationError} for a function that doesn't exist.
   */
  before(fn: string, action: (call: NativeCall) => unknown, options: BeforeOptions = {}): Injection {
    requireKnown(fn, [...FUNCTIONS.keys()], "there is no function");
    return this.#calls.interventions.add(fn, action, options);
  }

  /**
   * Returns another process on the same machine, with handles, memory and calls of its own. It has the options of this one.
   * To test processes that run in different programs, use the option `file`.
   */
  otherProcess(): SimulatedHost {
    SimulatedHost.#joined = this.#machine;
    try {
      return new SimulatedHost(this.#options);
    } finally {
      SimulatedHost.#joined = undefined;
    }
  }

  /**
   * Ends a process as a kill does: its handles are closed, so that its disks that aren't attached permanently are detached,
   * and its VMs end. What is activated, filtered or mounted stays. Each further call of the process throws.
   *
   * @param process Its number, as {@linkcode HeldResource.by} tells it. Default: this process. A process of another program
   * is gone already; this tells the machine in the file so.
   */
  endProcess(process: number = this.#id): void {
    this.#commit((windows) => closeAll(windows, process));
    for (const host of this.#machine.hosts) {
      if (host.#id === process) host.#end();
    }
  }

  #end(): void {
    this.#hasEnded = true;
    this.#machine.hosts.delete(this);
    this.#process.service.end();
    closeSockets(this.#process);
    this.#process.handles.clear();
  }

  /**
   * Restarts the machine: what is attached, mounted, filtered or open is gone, and so are VMs and processes. Files and
   * folders stay, with their streams and with the links of mount points, which lead nowhere. This host goes on as a new
   * process; other ones on the machine have ended. Code that runs in this process meanwhile would go on as well, so let code
   * that a restart interrupts run in {@linkcode SimulatedHost.otherProcess}.
   */
  restart(): void {
    this.#commit(restart);
    for (const host of [...this.#machine.hosts]) host.#end();
    this.#begin();
    this.#id = this.#commit((windows) => this.#startIn(windows));
  }

  // Goes on as a process that remembers nothing.
  #begin(): void {
    this.#hasEnded = false;
    this.#machine.hosts.add(this);
    // The library remembers addresses for as long as there is the host.
    this.#process = this.#newProcess(this.#process.memory);
    this.#identity = {};
  }

  /** Returns the machine as it is now, as plain data that survives JSON. */
  snapshot(): MachineSnapshot {
    return this.#commit(({ state }) => ({ format: 1, state: JSON.parse(JSON.stringify(state)) }));
  }

  /**
   * Makes the machine what it was when a snapshot was taken, except for its clock. All its processes have ended: files that
   * they had open are closed, and this host goes on as a new process.
   *
   * ```ts
   * import { assertEquals } from "jsr:@std/assert@^1.0.0";
   * import { mountWCOWLayers, unmountWCOWLayers } from "@hcs-layers/hcs-layers";
   * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
   *
   * const host = new SimulatedHost();
   * host.addLayer("C:\\layers\\base");
   * host.addScratch("C:\\scratch");
   * await mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratch"], { host });
   * const mounted = host.snapshot();
   * for (const fn of ["UnprepareLayer", "DeactivateLayer"]) {
   *   host.restore(mounted);
   *   using _ = host.fail({ function: fn, code: "ERROR_GEN_FAILURE", nth: 1 });
   *   await unmountWCOWLayers("C:\\scratch", { host }).catch(() => {});
   *   await unmountWCOWLayers("C:\\scratch", { host });
   *   assertEquals(host.held(), []);
   * }
   * ```
   *
   * @throws {SimulationError} if it isn't a snapshot of this version.
   */
  restore(snapshot: MachineSnapshot): void {
    const restored = stateOf(snapshot);
    for (const host of [...this.#machine.hosts]) host.#end();
    this.#commit((windows) => {
      const { processes, time } = windows.state;
      const later = time - restored.time;
      for (const opening of Object.values(restored.open).flat()) {
        if (opening.until !== undefined) Object.assign(opening, { until: opening.until + later });
      }
      restored.nextClose += later;
      Object.assign(windows.state, restored, { processes: Math.max(processes, restored.processes), time });
      for (let process = 1; process <= restored.processes; process++) closeAll(windows, process);
    });
    this.#begin();
    this.#id = this.#commit((windows) => this.#startIn(windows));
  }

  /**
   * Opens a file or folder as another program does that the test plays, such as a scanner. Disposing of the result closes
   * it.
   *
   * ```ts
   * import { assertRejects } from "jsr:@std/assert@^1.0.0";
   * import { InUseError, mountWCOWLayers } from "@hcs-layers/hcs-layers";
   * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
   *
   * const host = new SimulatedHost();
   * host.addLayer("C:\\layers\\base");
   * host.addScratch("C:\\scratch");
   * const mount = () => mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratch"], { host });
   * {
   *   using _ = host.openFile("C:\\scratch\\sandbox.vhdx", { share: [] });
   *   await assertRejects(mount, InUseError);
   * }
   * await mount();
   * ```
   *
   * @throws {SimulationError} if there is no such file, or somebody has it open who doesn't share that.
   */
  openFile(path: string, options: OpenFileOptions = {}): Disposable {
    requireOptions(options, { access: true, share: true, closesAfter: true }, "openFile()");
    const { access = ["read"], share, closesAfter } = options;
    const at = givenPath(path);
    const handle = `test ${this.#id}.${++this.#opened}`;
    this.#commit((windows) => {
      try {
        const node = windows.existing(at);
        const opening = { access: bitsOf(access), share: share === undefined ? EVERY_USE : bitsOf(share) };
        requireOpenable(windows, node, opening);
        const until = closesAfter === undefined ? undefined : windows.now + duration(closesAfter, "closesAfter");
        addOpening(windows, node, { ...opening, handle, ...(until !== undefined && { until }) });
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        const code = [error.code & 0xffff, nameOf(error.code)].filter(Boolean).join(" ");
        throw new SimulationError(`the test can't open ${path}: ${code}`);
      }
    });
    return { [Symbol.dispose]: () => this.#commit((windows) => closeFiles(windows, (file) => file.handle === handle)) };
  }

  /**
   * The calls made through this host so far, in order. Of very many, the last 100,000 at least are kept. The list goes on
   * growing with each call, until {@linkcode SimulatedHost.clearCalls}.
   */
  get calls(): readonly CompletedCall[] {
    return this.#calls.trace.calls;
  }

  /** Forgets the calls so far: `calls` begins anew. */
  clearCalls(): void {
    this.#calls.trace.clear();
  }

  /**
   * Returns those of {@linkcode SimulatedHost.calls} that concern the machine: without calls that allocate, copy and free
   * memory, and without `GetLastError` and `FormatMessageW`.
   */
  trace(): CompletedCall[] {
    return this.#calls.trace.essential;
  }

  /** The number of allocated blocks of native memory. The library keeps one for the life of the process. */
  get allocations(): number {
    return this.#process.memory.size;
  }

  /**
   * Returns what is held of the machine, and by which calls. Empty if everything was released. What programs keep for
   * themselves in `C:\ProgramData` is not part of it.
   */
  held(): HeldResource[] {
    return this.#commit((windows) => {
      if (this.#machine.shared !== undefined) endKilled(windows);
      return heldOf(windows, this.#process);
    });
  }

  /** Adds a folder, and its parents if they are missing. */
  addFolder(path: string): void {
    const at = givenPath(path);
    this.#commit((windows) => windows.addFolders(at));
  }

  /** Adds a file with a content, or of so many bytes, and its parent folders if they are missing. */
  addFile(path: string, content: FileContent = 0): void {
    const at = givenPath(path);
    this.#commit((windows) => {
      if (windows.node(at)?.type === "folder") throw new SimulationError(`${path} is a folder already`);
      windows.addFolders(at.slice(0, at.lastIndexOf("\\")));
      windows.add(fileWith(at, content));
    });
  }

  /**
   * Adds the folder of a read-only layer. Its files are in the folder `Files` in it; with `processed`, it also has what
   * Windows adds to a base layer that it has set up.
   */
  addLayer(folder: string, { processed = false, ...contents }: LayerContents & { processed?: boolean } = {}): void {
    const path = givenPath(folder);
    this.#commit((windows) => addLayerContents(windows, path, contents));
    if (!processed) return;
    this.addFolder(`${path}\\Hives`);
    this.addFile(`${path}\\Layout`, 4096);
  }

  /** Adds the folder of a read-only layer with a CIM image, `cim-layers\<name>.cim` next to the folder, with its files. */
  addCimLayer(folder: string, contents: LayerContents = {}): void {
    const path = givenPath(folder);
    const at = path.lastIndexOf("\\");
    const file = `${path.slice(0, at)}\\cim-layers${path.slice(at)}.cim`;
    const image = imageOf(contents);
    this.addFolder(path);
    this.addFile(file, 4096);
    this.#commit((windows) => windows.existing(file).image = image);
  }

  /**
   * The files that a CIM image consists of, in bytes (format 2.0), as they lie in the image's folder. The entry point `files` reads
   * them. Windows has what images share in one place; here, each has all of it.
   *
   * ```ts
   * import { openCim } from "@hcs-layers/hcs-layers/files";
   * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
   *
   * const host = new SimulatedHost();
   * host.addCimLayer("C:\\layers\\app", { files: { "app.exe": "MZ" } });
   * await using image = await openCim(host.imageFiles("C:\\layers\\cim-layers\\app.cim"));
   * console.log((await image.entry("Files/app.exe"))?.size); // 2
   * ```
   *
   * @throws {SimulationError} if there is no image at the path, or one in a file of its own, of which no form is published.
   */
  imageFiles(path: string): ImageFiles {
    return this.#files("imageFiles", path, ({ windows }) => filesOfImage(windows, givenPath(path)));
  }

  /** Adds the folder of a scratch layer with its disk. */
  addScratch(folder: string): void {
    this.addFile(`${givenPath(folder)}\\sandbox.vhdx`, 20 * 2 ** 30);
  }

  /** Adds the disk of a Linux layer, of `size` bytes, which all VMs may read. */
  addLinuxLayer(path: string, size: number): void {
    this.addFile(path, size);
    this.#commit((windows) => windows.existing(path).grants = [VIRTUAL_MACHINES]);
  }

  /** Adds the folder that Linux VMs boot from: a kernel, and an initial RAM disk or the disk `rootfs.vhd`. */
  addLinuxBootFolder(folder: string, root: "initrd.img" | "rootfs.vhd" = "initrd.img"): void {
    const path = givenPath(folder);
    this.addFile(`${path}\\vmlinux`, 2 ** 20);
    this.addFile(`${path}\\kernel`, 2 ** 20);
    this.addLinuxLayer(`${path}\\${root}`, 2 ** 20);
  }

  /** Adds the folder of a base layer that Windows VMs boot from. */
  addWindowsBootLayer(folder: string): void {
    const path = givenPath(folder);
    this.addFolder(`${path}\\UtilityVM\\Files`);
    this.addFile(`${path}\\UtilityVM\\SystemTemplate.vhdx`, 2 ** 20);
  }

  /** The network between the machine and its guests. */
  get guests(): GuestNetwork {
    return this.#process.sockets;
  }

  /** Returns who may open a file, besides Administrators: ids of VMs, and SIDs of groups, in lower case. */
  grantsOf(path: string): readonly string[] {
    return this.#commit((windows) => [...windows.existing(path).grants ?? []]);
  }

  /** Adds a virtual disk of `size` bytes that isn't formatted, and its folder if it is missing. */
  addDisk(path: string, size: number): void {
    this.addFile(path, size);
    this.#commit((windows) => windows.existing(path).disk = { size, blockSize: 2 ** 20 });
  }

  /** Adds a volume, and returns its name. */
  addVolume(guid: string, fileSystem: FileSystem = "NTFS"): string {
    if (!GUID.test(guid)) throw new SimulationError(`the name of a volume has a GUID, not ${printable(guid)}`);
    const name = `\\\\?\\Volume{${guid}}\\`;
    this.#commit((windows) => {
      windows.addVolume(name);
      if (fileSystem !== "NTFS") windows.add({ path: name, type: "folder", fileSystem });
    });
    return name;
  }

  /** Adds a drive with a disk of the machine, such as `E:`, empty. A path on a new drive adds one with NTFS. */
  addDrive(letter: string, fileSystem: FileSystem = "NTFS"): void {
    requireDrive(letter);
    this.#commit((windows) => windows.add({ path: letter, type: "folder", fileSystem }));
  }

  /** Gives a volume a drive letter, such as `E:`, as Windows does by itself to new volumes unless automount is off. */
  addDriveLetter(letter: string, volume: string): void {
    requireDrive(letter);
    this.#commit((windows) => windows.addRoot({ path: letter, type: "folder", volume }));
  }

  /** Adds a drive letter, such as `S:`, that stands for a folder (`subst`). Only the session of this process knows it. */
  addSubstDrive(letter: string, folder: string): void {
    requireDrive(letter);
    this.#commit((windows) =>
      windows.addRoot({ path: letter, type: "folder", link: { kind: "drive", target: folder } })
    );
  }

  /** Adds a drive letter, such as `N:`, for a share without alternate data streams. Only the session of this process knows it. */
  addNetworkDrive(letter: string, share = "\\\\server\\share"): void {
    requireDrive(letter);
    this.#commit((windows) => {
      windows.addRoot({ path: share, type: "folder", fileSystem: "SMB" });
      windows.addRoot({ path: letter, type: "folder", link: { kind: "drive", target: share } });
    });
  }

  /** Adds a junction: a folder that leads to another one, which need not exist. */
  addJunction(path: string, target: string): void {
    this.#addLink(path, { kind: "junction", target }, "folder");
  }

  /** Adds a symbolic link to a file or folder. It is one to a file if nothing is at `target`. */
  addSymbolicLink(path: string, target: string): void {
    const type = this.#commit((windows) => windows.node(target)?.type ?? "file");
    this.#addLink(path, { kind: "symbolic", target }, type);
  }

  #addLink(path: string, link: Link, type: "file" | "folder"): void {
    this.#commit((windows) => {
      windows.addFolders(parentOf(path));
      windows.add({ path, type, link });
    });
  }

  /** Makes a file compressed, encrypted or sparse, so that Windows doesn't attach it as a virtual disk. */
  addAttributes(path: string, ...attributes: FileAttribute[]): void {
    attributes.forEach((attribute) => requireKnown(attribute, FILE_ATTRIBUTES, "there is no attribute"));
    this.#commit((windows) => windows.existing(path).attributes = attributes);
  }

  /** Gives a file or folder a short name of the form 8.3, such as `LAYERS~1`. */
  addShortName(path: string, shortName: string): void {
    this.#commit((windows) => windows.existing(path, "stay").shortName = shortName);
  }

  /** Removes an alternate data stream from a file or folder. */
  removeStream(path: string, stream: string): void {
    this.#commit((windows) => delete windows.existing(path).streams?.[stream]);
  }

  /** Removes all overlay filters from their volumes. */
  removeOverlays(): void {
    this.#commit(({ state }) => state.overlays = {});
  }

  /**
   * Returns whether there is a file, folder or volume at a path, even one that is being deleted. On a volume, also while its
   * disk isn't attached.
   */
  exists(path: string): boolean {
    return this.#commit((windows) => windows.has(path));
  }

  /** Returns the paths of all files and folders, but of what programs keep for themselves in `C:\\ProgramData`. */
  paths(): string[] {
    return this.#commit(({ state }) =>
      Object.values(state.nodes).map((node) => node.path)
        .filter((path) => !/^\\\\\?\\Volume\{[^\\]*\}$/.test(path) && !PROGRAM_DATA.test(path))
    );
  }

  /**
   * Returns what is in a file.
   *
   * This function and those below see the machine's file system as a program on it does at this moment, and throw the
   * errors that Deno's functions of these names throw there. A path may lead through mount points, and into a volume: with
   * a filter, that shows what was written to the scratch, and below it the files of the layers, topmost first. What is
   * written there stays on the scratch's disk, and isn't there while the disk isn't attached.
   *
   * They return at once. As `await` and `for await` take values that are there already, one interface fits them and
   * Deno's own:
   *
   * ```ts
   * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
   *
   * interface Files {
   *   readTextFile(path: string): string | Promise<string>;
   *   readDir(path: string): Iterable<Deno.DirEntry> | AsyncIterable<Deno.DirEntry>;
   * }
   *
   * const onWindows: Files = Deno;
   * const inTests: Files = new SimulatedHost();
   * ```
   *
   * @throws {SimulationError} if Windows refuses it because the file is in use, or nobody knows what is in it.
   */
  readFile(path: string): Uint8Array<ArrayBuffer> {
    return this.#files("readFile", path, (context) => readFile(context, path));
  }

  /** Returns the text in a file. */
  readTextFile(path: string): string {
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(
      this.#files("readTextFile", path, (context) => readFile(context, path)),
    );
  }

  /** Writes bytes to a file, which is created if it is missing. */
  writeFile(path: string, data: Uint8Array): void {
    this.#files("writeFile", path, (context) => writeFile(context, path, data));
  }

  /** Writes a text to a file, which is created if it is missing. */
  writeTextFile(path: string, data: string): void {
    this.#files("writeTextFile", path, (context) => writeFile(context, path, data));
  }

  /** Returns what is in a folder, in the order of the names. Mount points and junctions count as symbolic links. */
  readDir(path: string): Deno.DirEntry[] {
    return this.#files("readDir", path, ({ windows }) => listFolder(windows, path));
  }

  /** Makes a folder, and its parents if they are missing, as `Deno.mkdir` with `recursive` does. */
  mkdir(path: string): void {
    this.#files("mkdir", path, ({ windows }) => makeFolders(windows, path));
  }

  /**
   * Removes a file, or a folder with all that is in it, as `Deno.remove` with `recursive` does: a scratch or layer that
   * somebody deletes.
   *
   * @throws {SimulationError} if Windows refuses it because something in it is in use, or nobody knows what Windows does.
   */
  remove(path: string): void {
    this.#files("remove", path, (context) => removeFrom(context, path));
  }

  #files<T>(what: string, path: string, body: (context: Context) => T): T {
    return withDenoErrors(what, path, () => this.#later(body));
  }

  #load(dll: Dll): unknown {
    const functions = DLLS.get(dll);
    if (functions === undefined) {
      throw new MissingDllError(dll.file, "It isn't simulated");
    }
    const name = dll.file.replace(/\.dll$/, "");
    const build = this.#commit(({ state }) => state.build);
    return Object.fromEntries(
      Object.entries(dll.symbols).map(([key, { nonblocking }]) => {
        const fn = functions[key];
        if (fn === undefined || (fn.since ?? 0) > build) {
          return [key, () => {
            throw new MissingExportError(dll.file, key, dll.remedy);
          }];
        }
        return [key, (...raw: unknown[]) => this.#calls.dispatch(name, key, fn, raw, nonblocking === true)];
      }),
    );
  }

  // Runs `body` on the machine, and then delivers notifications, when the machine is no longer locked.
  #later<T>(body: (context: Context) => T, fn = ""): T {
    const later: Context["later"] = (next) => this.#later(next, fn);
    const after: Context["after"] = (ms, next) => this.#machine.scheduler.afterward(ms, () => this.#later(next, fn));
    const result = this.#commit((windows) => {
      const result = body({ windows, process: this.#process, later, after });
      endGuests(windows, this.#process);
      return result;
    }, fn);
    this.#process.service.deliver();
    return result;
  }

  // Runs `body` on the machine. If that is in a file, this is atomic for other processes.
  #commit<T>(body: (windows: Windows) => T, fn = ""): T {
    const by: Acquirer = { process: this.#id, function: fn, call: this.#calls.trace.made };
    const { state, shared, scheduler } = this.#machine;
    const run = (state: WindowsState) => {
      scheduler.catchUp(state.time);
      if (state.time !== scheduler.now) state.time = scheduler.now;
      return this.#withCompany(new Windows(state, by), body);
    };
    return shared === undefined ? run(state) : shared.change(run);
  }

  // Before `body`, what was due has happened; after it, others look at what has changed.
  #withCompany<T>(windows: Windows, body: (windows: Windows) => T): T {
    closeTimely(windows);
    try {
      return body(windows);
    } finally {
      windows.changed.forEach((path) => scan(windows, path));
    }
  }
}

// Returns the state of a new machine.
function stateOfNew(options: SimulatedHostOptions): Pick<Machine, "state" | "shared"> {
  const { build = 20348, revision = 2031, company = {}, file } = options;
  const state = newMachine(build, revision, companyOf(company));
  if (options.automount) state.automount = true;
  if (options.offlineDisks) state.offline = true;
  return {
    state: indexed(state),
    shared: file === undefined ? undefined : new SharedState(file, state, indexed),
  };
}

// Ends the guests whose VMs have ended.
function endGuests({ state }: Windows, { guests }: Process): void {
  for (const [vm, end] of guests) {
    const system = state.systems[vm];
    if (system !== undefined && system.state !== "Stopped") continue;
    guests.delete(vm);
    end();
  }
}

// Peers measured 2.6 s from the start of a VM until its guest answers.
const BOOT_MS = 2_600;
const bootsSlowly = (fn: string): Completion => fn === "HcsStartComputeSystem" ? BOOT_MS : "synchronous";

// Whether the clock moves by itself, so that nobody has to wait for what takes time.
function isTimed(clock: SimulatedHostOptions["clock"], seed: number | undefined): boolean {
  return clock === "automatic" || clock === undefined && seed !== undefined;
}

function requireDrive(letter: string): void {
  if (!/^[a-z]:$/i.test(letter)) {
    throw new SimulationError(`a drive is a letter and a colon, E:, not ${printable(letter)}`);
  }
}

/** Waits for what calls `done`, or for the signal, whose reason is thrown then. */
async function until(start: (done: () => void) => Disposable, signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  using _ = start(resolve);
  const abort = () => reject(signal!.reason);
  signal?.addEventListener("abort", abort);
  try {
    await promise;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}
