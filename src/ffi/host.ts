/**
 * The host: the single interface between this library and Windows. Every native call goes through the symbol tables of a
 * host, and no code above knows whether DLLs or a simulation are behind them.
 *
 * @module
 */

import { commandLine, MissingDllError, MissingExportError, MissingPermissionError } from "../errors/windows_errors.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { type Check, oneOf, optional, optionsOf } from "../options.ts";
import type { Dll, NativeFunction, NativeSymbols, SymbolTable } from "./table.ts";

/**
 * A machine with Windows on it, real ({@linkcode windowsHost}) or simulated.
 *
 * @category Host
 */
export interface Host {
  /** Identity of the machine. Hosts with the same identity change the same state. */
  readonly machine: object;

  /**
   * Returns the functions of a DLL, which is loaded on first use, as is each of its functions.
   *
   * @throws {MissingDllError} if there is no such DLL.
   * @throws {MissingPermissionError} if Deno lacks the permission to load it.
   */
  symbols<T extends SymbolTable>(dll: Dll<T>): NativeSymbols<T>;

  /** Resolves after `ms` milliseconds of this host's time. Rejects with the signal's reason once it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;

  /**
   * Resolves after `ms` milliseconds of this host's time, like `sleep`, but as a limit for a call that runs meanwhile: a
   * host whose `sleep` skips pauses must not skip these. Default: real time.
   */
  deadline?(ms: number, signal: AbortSignal): Promise<void>;

  /**
   * The folder in which records of mounts are kept, to which only the system and administrators may write; false to keep none.
   * Default: `hcs-layers` in `C:\ProgramData`, which is created if it is missing. All processes that use a host should name
   * the same, because the records keep them out of each other's way.
   */
  readonly records?: string | false | undefined;

  /**
   * Makes `listener` callable by Windows, from any of its threads. The calling thread waits until `listener` has returned.
   *
   * @throws {MissingPermissionError} if Deno was not started with `--allow-ffi` without a path.
   */
  callback(listener: NotificationListener): Promise<NativeCallback>;
}

/**
 * A notification of the compute service, in the form in which Windows passes it.
 *
 * @category Host
 */
export interface RawNotification {
  /** Its type. */
  readonly type: number;
  /** The value that was passed when the callback was registered. */
  readonly context: bigint;
  /** An HRESULT. */
  readonly status: number;
  /** Address of a wide string, or `0n`. Valid only until the listener returns. */
  readonly data: bigint;
}

/**
 * A function that receives notifications.
 *
 * @category Host
 */
export type NotificationListener = (notification: RawNotification) => void;

/**
 * A function that Windows can call until it is disposed of (`using`).
 *
 * @category Host
 */
export interface NativeCallback extends Disposable {
  /** Its address. */
  readonly address: bigint;
}

/**
 * Options of {@linkcode windowsHost}.
 *
 * @category Host
 */
export interface WindowsHostOptions {
  /**
   * The thread on which slow functions run. `"pool"`, the default, is a thread of Deno's pool, so that the event loop
   * stays free. `"thread"` is the calling thread: each call is 10 to 100 µs faster, the more the busier the machine is. But
   * nothing else of the program runs until all mounts and releases under way are done: no timer, no signal, no abort. It is
   * for tools that do nothing else. Functions for VMs always run on the pool, because they wait for this program to handle
   * notifications.
   */
  calls?: "pool" | "thread";
  /** The folder in which records of mounts are kept, or false to keep none, see {@linkcode Host.records}. */
  records?: string | false;
}

/**
 * This machine. Disposing of it (`using`) unloads its DLLs, each once no call runs in it any more. If it is used after
 * that, it loads them again. The default host of the library stays open.
 *
 * @category Host
 */
export interface WindowsHost extends Host, Disposable {}

const USUAL_SYSTEM32 = "C:\\Windows\\System32";

// All Windows hosts of this process stand for the same machine.
const THIS_MACHINE = {};

/**
 * Returns a host for the Windows that this process runs on. It needs `--allow-env=SystemRoot`, and `--allow-ffi=<path>` for
 * each DLL that is used. Both are needed on first use, not by this call, which succeeds on every operating system.
 *
 * ```ts
 * import { windowsHost } from "@hcs-layers/hcs-layers";
 * import { resolvePath } from "@hcs-layers/hcs-layers/storage";
 *
 * // Calls on this thread are faster, for a tool that does nothing else meanwhile.
 * using host = windowsHost({ calls: "thread" });
 * if (Deno.build.os === "windows") console.log(resolvePath("C:\\Windows", { host }));
 * ```
 *
 * @category Host
 */
export function windowsHost(options: WindowsHostOptions = {}): WindowsHost {
  const { calls = "pool", records } = optionsOf(options, {
    calls: optional(oneOf("pool", "thread")),
    records: optional(folderOrFalse),
  });
  return new SystemHost(calls, records);
}

const folderOrFalse: Check<string | false> = (value, argument) => {
  if (value === false || typeof value === "string" && /^[A-Za-z]:\\./.test(value)) return value;
  throw new InvalidInputError(argument, "is neither the absolute path of a folder on a drive nor false", value);
};

let shared: Host | undefined;

/** Returns the host for calls that don't pass one: {@linkcode windowsHost} with its defaults. */
export function defaultHost(): Host {
  return shared ??= windowsHost();
}

/** DLLs that an operation needs only under some condition. */
export interface PossibleDlls {
  /** The DLLs. */
  readonly dlls: readonly Dll[];
  /** The condition, as the start of a sentence: `With CIM images`. */
  readonly when: string;
}

/**
 * Requests all permissions that an operation needs before it begins, so that one error names all that are missing. Only
 * {@linkcode windowsHost} needs permissions. Granted permissions are not requested again.
 *
 * @throws {MissingPermissionError} with the flags for all of `dlls` that Deno may not load. Its message also names the
 * missing flags for `possible`.
 */
export function requireGrants(host: Host, dlls: readonly Dll[], possible?: PossibleDlls): void {
  if (host instanceof SystemHost) host.requireGrants(dlls, possible);
}

class SystemHost implements WindowsHost {
  readonly machine = THIS_MACHINE;
  readonly #calls: "pool" | "thread";
  readonly #libraries = new Map<Dll, Library>();
  readonly #granted = new Set<Dll>();

  constructor(calls: "pool" | "thread", readonly records: string | false | undefined) {
    this.#calls = calls;
  }

  symbols<T extends SymbolTable>(dll: Dll<T>): NativeSymbols<T> {
    let library = this.#libraries.get(dll);
    if (library === undefined) {
      library = load(dll, this.#calls);
      this.#libraries.set(dll, library);
    }
    return library.symbols as NativeSymbols<T>;
  }

  requireGrants(dlls: readonly Dll[], possible?: PossibleDlls): void {
    const unknown = dlls.filter((dll) => !this.#granted.has(dll));
    if (unknown.length === 0) return;
    const missing = missingFlags(unknown, "requestSync");
    if (missing.length > 0) {
      const later = missingFlags(possible?.dlls ?? [], "querySync").filter((flag) => !missing.includes(flag));
      const because = later.length === 0 ? undefined : `${possible!.when} also with ${commandLine(later)}`;
      throw new MissingPermissionError(missing, { because });
    }
    unknown.forEach((dll) => this.#granted.add(dll));
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const abort = () => {
        clearTimeout(timer);
        reject(signal!.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", abort);
        resolve();
      }, ms);
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  async callback(listener: NotificationListener): Promise<NativeCallback> {
    const { threadSafeCallback } = await import("./callback.ts");
    return threadSafeCallback(listener);
  }

  [Symbol.dispose](): void {
    const libraries = [...this.#libraries.values()];
    this.#libraries.clear();
    libraries.forEach((library) => library.close());
  }
}

// Returns the flags that are missing for loading these DLLs. `requestSync` prompts on a terminal, as Deno does on first
// use; `querySync` doesn't.
function missingFlags(dlls: readonly Dll[], ask: "requestSync" | "querySync"): string[] {
  const flags: string[] = [];
  if (dlls.length === 0) return flags;
  let folder = USUAL_SYSTEM32;
  try {
    folder = system32(dlls[0]!);
  } catch (error) {
    if (!(error instanceof MissingPermissionError)) throw error;
    flags.push(...error.flags);
  }
  for (const file of new Set(dlls.map((dll) => dll.file))) {
    const path = `${folder}\\${file}`;
    if (Deno.permissions[ask]({ name: "ffi", path }).state !== "granted") flags.push(`--allow-ffi=${path}`);
  }
  return flags;
}

const PROBE = "probe";

/** A DLL that is loaded. */
interface Library {
  /** Its functions. */
  readonly symbols: unknown;
  /** Unloads it once no call on the pool runs in it any more, because that call would crash. */
  close(): void;
}

function load(dll: Dll, calls: "pool" | "thread"): Library {
  const path = `${system32(dll)}\\${dll.file}`;
  const opened: Deno.DynamicLibrary<Record<string, NativeFunction>>[] = [];
  const open = (table: Record<string, NativeFunction>, failed: (cause: unknown) => Error) => {
    try {
      const library = Deno.dlopen(path, table);
      opened.push(library);
      return library.symbols as Readonly<Record<string, Call | null>>;
    } catch (cause) {
      throw cause instanceof Deno.errors.NotCapable
        ? new MissingPermissionError([`--allow-ffi=${path}`], { cause })
        : failed(cause);
    }
  };
  open({}, (cause) => new MissingDllError(dll.file, dll.remedy, { cause }));
  let running = 0;
  let closing = false;
  const closeIfIdle = () => {
    if (!closing || running > 0) return;
    closing = false;
    opened.splice(0).forEach((library) => library.close());
  };
  const counted = (call: Call): Call => async (...args) => {
    running++;
    try {
      return await call(...args);
    } finally {
      running--;
      closeIfIdle();
    }
  };
  const resolve = (name: string, fn: NativeFunction): Call => {
    const slow = fn.nonblocking === true && (calls === "pool" || dll.waits === true);
    const table: Record<string, NativeFunction> = { [name]: { ...fn, nonblocking: slow } };
    // Deno reports a missing export only for synchronous functions, so nonblocking ones get a second entry to probe it.
    if (slow && fn.optional) {
      table[PROBE] = { name: fn.name ?? name, parameters: [], result: "void", optional: true };
    }
    const exported = fn.name ?? name;
    const found = open(table, (cause) => new MissingExportError(dll.file, exported, dll.remedy, { cause }));
    const call = found[name];
    if (call == null || found[PROBE] === null) {
      return () => {
        throw new MissingExportError(dll.file, exported, dll.remedy);
      };
    }
    return slow ? counted(call) : call;
  };
  const symbols = {};
  for (const [name, fn] of Object.entries(dll.symbols)) {
    if (name.endsWith("GetLastError")) {
      // Resolving it later would lose the error.
      Object.defineProperty(symbols, name, { value: resolve(name, fn), enumerable: true });
      continue;
    }
    // Deno compiles code for each function that it resolves, which takes longer than most calls.
    Object.defineProperty(symbols, name, {
      configurable: true,
      enumerable: true,
      get() {
        const value = resolve(name, fn);
        Object.defineProperty(symbols, name, { value, enumerable: true });
        return value;
      },
    });
  }
  const close = () => {
    closing = true;
    closeIfIdle();
  };
  return { symbols, close };
}

type Call = (...args: unknown[]) => unknown;

function system32(dll: Dll): string {
  if (Deno.build.os !== "windows") {
    throw new MissingDllError(
      dll.file,
      `This is ${Deno.build.os}, not Windows: pass a SimulatedHost as the option \`host\``,
    );
  }
  try {
    const root = Deno.env.get("SystemRoot");
    return root === undefined ? USUAL_SYSTEM32 : `${root}\\System32`;
  } catch (cause) {
    throw new MissingPermissionError(["--allow-env=SystemRoot"], { cause });
  }
}
