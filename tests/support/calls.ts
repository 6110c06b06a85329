/**
 * What a simulated host holds and was called for, in few words, and a way to hold calls back.
 *
 * @module
 */

import type { CompletedCall, NativeCall, SimulatedHost } from "../../src/simulated/mod.ts";

/** What is held, as `kind target`. */
export function held(host: SimulatedHost): string[] {
  return host.held().map(({ kind, target }) => `${kind} ${target}`);
}

/** The kinds of what is held, in order. */
export function heldKinds(host: SimulatedHost): string[] {
  return host.held().map(({ kind }) => kind);
}

const CHANGES = /^(?!.*MountPath$)(.*Layer|NameToGuid|(Set|Delete)VolumeMountPointW|(Create|Remove)DirectoryW)$/;

/** The calls that change the machine, except for records of mounts, and `NameToGuid`, in order: `Function subject`, with the code of those that failed. */
export function changes(host: SimulatedHost, from = 0): string[] {
  const isOfMachine = ({ args: { path } }: CompletedCall) => !`${path}`.startsWith("C:\\ProgramData");
  return host.calls.slice(from).filter((call) => CHANGES.test(call.function) && isOfMachine(call)).map((call) => {
    const subject = call.args["id"] ?? call.args["name"] ?? call.args["volumeMountPoint"] ?? call.args["path"];
    return `${call.function} ${subject}${call.result === "0x00000000" ? "" : ` ${call.result}`}`;
  });
}

const LOOKS = ["GetLastError", "FormatMessageW", "lstrlenW", "copyIn", "copyOut", "LocalAlloc", "RtlGetVersion"];

/** The names of the calls in order, without those that fetch an error, copy memory or read the build. */
export function sequence(host: SimulatedHost, from = 0): string[] {
  return host.calls.slice(from).map((call) => call.function).filter((name) => !LOOKS.includes(name));
}

const BELOW = ["kernel32", "ntdll", "ole32"];

/** The calls of the DLLs that only storage functions use. */
export function storageCalls(host: SimulatedHost, from = 0): CompletedCall[] {
  return host.calls.slice(from).filter((call) => !BELOW.includes(call.dll));
}

/** Name and arguments of the only call of those DLLs. */
export function onlyCall(host: SimulatedHost, from = 0): [string, Readonly<Record<string, unknown>>] {
  const calls = storageCalls(host, from).filter((call) => call.function !== "NameToGuid");
  if (calls.length !== 1) throw new Error(`not one call but ${calls.map((call) => call.function)}`);
  return [calls[0]!.function, calls[0]!.args];
}

/** Holds back the calls that match until they are let go. */
export class CallBarrier {
  #waiting: { call: NativeCall; go: () => void }[] = [];
  #arrivals: (() => void)[] = [];

  constructor(readonly matches: (call: NativeCall) => boolean) {}

  /** The option of the host. */
  readonly latency = (call: NativeCall): Promise<void> | undefined => {
    if (!this.matches(call)) return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ call, go: resolve });
    this.#arrivals.splice(0).forEach((arrived) => arrived());
    return promise;
  };

  /** Resolves once a call is held back. */
  async arrival(): Promise<void> {
    if (this.#waiting.length === 0) await new Promise<void>((resolve) => this.#arrivals.push(resolve));
  }

  /** Lets go the call that has waited longest. */
  release(): void {
    this.#waiting.shift()!.go();
  }
}

/** Runs what is queued, as far as it waits for nothing but promises. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
