import { type AnsweredCall, SimulatedHost, type SimulatedHostOptions } from "../../src/simulated/mod.ts";

export const BASE = "C:\\layers\\base";
export const TOP = "C:\\layers\\top";
export const SCRATCH = "C:\\scratch";
export const DISK = `${SCRATCH}\\sandbox.vhdx`;
export const BLANK = "C:\\disks\\blank.vhdx";
export const GIB = 2 ** 30;

/** A machine with two layers, a scratch of 20 GiB, and a disk of 1 GiB that isn't formatted. */
export function storageHost(options?: SimulatedHostOptions): SimulatedHost {
  const host = new SimulatedHost(options);
  host.addLayer(BASE);
  host.addLayer(TOP);
  host.addScratch(SCRATCH);
  host.addDisk(BLANK, GIB);
  return host;
}

const LOOKS = ["GetLastError", "FormatMessageW", "lstrlenW", "copyIn", "copyOut", "LocalAlloc", "RtlGetVersion"];

/** The calls that do something, in order: their names, without those that fetch an error, copy memory or ask the build. */
export function sequence(host: SimulatedHost, from = 0): string[] {
  return host.calls.slice(from).map((call) => call.function).filter((name) => !LOOKS.includes(name));
}

const BELOW = ["kernel32", "ntdll", "ole32"];

/** The calls of the DLLs that only storage functions use. */
export function storageCalls(host: SimulatedHost, from = 0): AnsweredCall[] {
  return host.calls.slice(from).filter((call) => !BELOW.includes(call.dll));
}

/** Name and arguments of the only call of those DLLs. */
export function onlyCall(host: SimulatedHost, from = 0): [string, Readonly<Record<string, unknown>>] {
  const calls = storageCalls(host, from).filter((call) => call.function !== "NameToGuid");
  if (calls.length !== 1) throw new Error(`not one call but ${calls.map((call) => call.function)}`);
  return [calls[0]!.function, calls[0]!.args];
}

/** What is held besides files and folders that the machine keeps on purpose, as `kind target`. */
export function held(host: SimulatedHost): string[] {
  return host.held().map(({ kind, target }) => `${kind} ${target}`);
}
