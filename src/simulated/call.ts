/**
 * How simulated functions are defined: by the names and forms of their parameters, and what they do.
 *
 * @module
 */

import { fromWin32 } from "../errors/codes.ts";
import { guidText } from "../ffi/guid.ts";
import { fromWide } from "../ffi/wide.ts";
import type { AddressSpace } from "./address_space.ts";
import type { ComputeService } from "./compute_service.ts";
import type { GuestNetwork } from "./guest_network.ts";
import { Failure, SimulationError } from "./simulation_error.ts";
import type { Windows } from "./windows.ts";

/** The process in which a simulated function is called: its memory, its handles, its last error. */
export interface Process {
  /** Its memory. */
  readonly memory: AddressSpace;
  /** Its open handles. */
  readonly handles: HandleTable;
  /** The result of `GetLastError`. */
  lastError: number;
  /** Whether `GetLayerMountPath` returns paths with a closing separator. */
  readonly mountPathSeparator: boolean;
  /** The compute service, which notifies it. */
  readonly service: ComputeService;
  /** Its sockets to guests. */
  readonly sockets: GuestNetwork;
  /** The VMs, by their ids, whose guests are connected with it, with what ends that. */
  readonly guests: Map<string, () => void>;
  /** Does what a guest is asked for, as a call that can be seen, and can fail. */
  inGuest(
    call: { readonly name: string; readonly vm: string; readonly request: object },
    answer: (context: Context) => Promise<object | undefined>,
  ): Promise<object | undefined>;
  /** An error in something that happened without a call. The next call throws it. */
  fault: Error | undefined;
}

/** A handle of the simulated process. */
export interface OpenHandle {
  /** The kind of object that it opens. */
  readonly type: string;
  /** The path or name of that object. */
  readonly target: string;
  /** The path of the file that is open through it, if it is one. */
  readonly file?: string;
}

/** The handles of the simulated process. */
export class HandleTable {
  readonly #open = new Map<bigint, OpenHandle>();
  #next = 4n;

  /** Opens a handle. */
  open(handle: OpenHandle): bigint {
    const value = this.#next;
    this.#next += 4n;
    this.#open.set(value, handle);
    return value;
  }

  /** Returns what a handle opens, or `undefined` if it isn't open. */
  find(value: bigint): OpenHandle | undefined {
    return this.#open.get(value);
  }

  /** Returns what a handle opens. A handle that isn't open fails with ERROR_INVALID_HANDLE. */
  get<T extends OpenHandle>(value: bigint, type?: string): T {
    const handle = this.#open.get(value);
    if (handle === undefined || type !== undefined && handle.type !== type) {
      throw win32Failure(6);
    }
    return handle as T;
  }

  /** Closes a handle. */
  close(value: bigint): OpenHandle {
    const handle = this.get(value);
    this.#open.delete(value);
    return handle;
  }

  /** Forgets all handles. */
  clear(): void {
    this.#open.clear();
  }

  /** Returns all open handles. */
  list(): OpenHandle[] {
    return [...this.#open.values()];
  }

  /** The value that the next handle gets. */
  get next(): bigint {
    return this.#next;
  }

  /** Returns the open handles from a value on, with their values. */
  since(value: bigint): [bigint, OpenHandle][] {
    return [...this.#open].filter(([handle]) => handle >= value);
  }
}

/** Returns a failure with a Win32 code. `situation` is for {@linkcode Failure.situation}. */
export function win32Failure(code: number, situation?: string): Failure {
  return new Failure(fromWin32(code), situation);
}

/** What a simulated function works on. */
export interface Context {
  /** The machine. */
  readonly windows: Windows;
  /** The calling process. */
  readonly process: Process;
  /** Runs `body` later, on the machine in its state at that time. */
  later<T>(body: (context: Context) => T): T;
  /**
   * Runs `body` once the clock has moved on by `ms` milliseconds, on the machine in its state at that time. Disposing of
   * the result takes that back. It isn't part of the state: what must outlive the process belongs there, with its time.
   */
  after(ms: number, body: (context: Context) => void): Disposable;
}

/** Converts a raw argument to a value. */
export type Decoder<V> = (raw: unknown, memory: AddressSpace) => V;

/** A string. */
export const text: Decoder<string> = (raw) => fromWide(raw as Uint8Array<ArrayBuffer>);
/** A string or NULL. */
export const optionalText: Decoder<string | null> = (raw) => raw === null ? null : text(raw, undefined!);
/** A number. */
export const number: Decoder<number> = (raw) => raw as number;
/** An address, size or handle. */
export const big: Decoder<bigint> = (raw) => raw as bigint;
/** A buffer for a result, or one that the function reads itself. */
export const buffer: Decoder<Uint8Array<ArrayBuffer>> = (raw) => raw as Uint8Array<ArrayBuffer>;
/** A buffer or NULL. */
export const optionalBuffer: Decoder<Uint8Array<ArrayBuffer> | null> = (raw) => raw as Uint8Array<ArrayBuffer> | null;
/** A GUID. */
export const guid: Decoder<string> = (raw) => guidText(raw as Uint8Array);

type Values<D> = { [K in keyof D]: D[K] extends Decoder<infer V> ? V : never };

/** How a function reports success and failure. */
export interface Style {
  /** Returns the raw result for a failure. */
  fail(code: number, process: Process): number | bigint | undefined;
  /** The raw result for success, if the function returns nothing but that. */
  readonly done: number | undefined;
}

const byLastError = (failure: number | bigint, done?: number): Style => ({
  done,
  fail(code, process) {
    process.lastError = code & 0xffff;
    return failure;
  },
});

/** HRESULT. */
export const HRESULT: Style = { done: 0, fail: (code) => code | 0 };
/** BOOL and `GetLastError`. */
export const BOOL: Style = byLastError(0, 1);
/** A handle, all ones for a failure, and `GetLastError`. */
export const HANDLE: Style = byLastError(0xffffffffffffffffn);
/** A number of 32 bits, all ones for a failure, and `GetLastError`. */
export const ATTRIBUTES: Style = byLastError(0xffffffff);
/** An address, NULL for a failure. */
export const ADDRESS: Style = byLastError(0n);
/** A Win32 code as the result. */
export const WIN32: Style = { done: 0, fail: (code) => code & 0xffff };
/** NTSTATUS. */
export const NTSTATUS: Style = { done: 0, fail: (code) => code | 0 };
/** A function that can't fail. */
export const INFALLIBLE: Style = {
  done: undefined,
  fail: () => undefined,
};

/** A simulated function, with any parameters. */
export interface SimulatedFunction {
  /** How it reports success and failure. */
  readonly style: Style;
  /** The first build that has it. Default: all builds have it. */
  readonly since?: number;
  /** Whether its result is a status and nothing else: it fills no buffer of the caller. */
  readonly hasOnlyStatus: boolean;
  /** Returns its arguments by name. */
  decode(raw: readonly unknown[], memory: AddressSpace): Record<string, unknown>;
  /** Runs it. A result of `undefined` means {@linkcode Style.done}. */
  run(context: Context, args: Record<string, unknown>): RawResult | Promise<RawResult>;
}

/** The raw result of a function. */
export type RawResult = number | bigint | void;

/** The functions of a simulated DLL, by their names in its table. */
export type SimulatedDll = Readonly<Record<string, SimulatedFunction>>;

/** Marks functions that exist only from `build` on. */
export function since(build: number, functions: SimulatedDll): SimulatedDll {
  return Object.fromEntries(Object.entries(functions).map(([name, fn]) => [name, { ...fn, since: build }]));
}

// Parameters that are buffers, and receive no result, or only that of a failure.
const NO_RESULTS = ["security", "overlapped", "result"];

/** Defines a simulated function by its style, its parameters in order, and what it does. */
export function define<D extends Record<string, Decoder<unknown>>>(
  style: Style,
  parameters: D,
  run: (context: Context, args: Values<D>) => RawResult | Promise<RawResult>,
): SimulatedFunction {
  const decoders = Object.entries(parameters);
  const fills = ([name, decode]: [string, Decoder<unknown>]) =>
    (decode === buffer || decode === optionalBuffer) && !NO_RESULTS.includes(name);
  return {
    style,
    hasOnlyStatus: style.done !== undefined && !decoders.some(fills),
    decode: (raw, memory) => Object.fromEntries(decoders.map(([name, decode], i) => [name, decode(raw[i], memory)])),
    run: (context, args) => run(context, args as Values<D>),
  };
}

/** Returns a view of a buffer of the caller, into which `bytes` are about to be written. */
export function viewOf(target: Uint8Array<ArrayBuffer>, bytes = target.byteLength): DataView<ArrayBuffer> {
  if (bytes > target.byteLength) {
    throw new SimulationError(`${bytes} bytes are written into a buffer of ${target.byteLength}`);
  }
  return new DataView(target.buffer, target.byteOffset, target.byteLength);
}

/** Writes a string into a buffer of `units`, if it fits. Returns how many units it needs, with the NUL. */
export function putText(target: Uint8Array<ArrayBuffer>, value: string, units = target.byteLength >> 1): number {
  const needed = value.length + 1;
  if (needed <= units) {
    const view = viewOf(target, 2 * needed);
    for (let i = 0; i < value.length; i++) view.setUint16(2 * i, value.charCodeAt(i), true);
    view.setUint16(2 * value.length, 0, true);
  }
  return needed;
}

/** Writes a 32-bit number at the start of a buffer. */
export function put32(target: Uint8Array<ArrayBuffer>, value: number): void {
  viewOf(target, 4).setUint32(0, value, true);
}

/** Writes a 64-bit number at the start of a buffer. */
export function put64(target: Uint8Array<ArrayBuffer>, value: bigint): void {
  viewOf(target, 8).setBigUint64(0, value, true);
}
