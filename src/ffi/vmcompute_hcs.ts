/**
 * vmcompute.dll, the functions for compute systems: virtual machines and containers. Microsoft doesn't document this form
 * of them; the signatures are those of the Windows container tools. All need an elevated process, and Windows build 17763
 * or later with Hyper-V.
 *
 * A compute system is named by the handle that creating or opening it returned, until the handle is closed. An operation
 * can return that it is pending. A notification then reports its end, see {@linkcode notification}.
 *
 * @module
 */

import { computeCodeOf } from "../errors/codes.ts";
import { UnexpectedAnswerError } from "../errors/state_errors.ts";
import { NativeError } from "../errors/windows_errors.ts";
import { changeText } from "../hcsschema/requests.ts";
import { resultLines } from "../hcsschema/results.ts";
import { serialize } from "../hcsschema/serialize.ts";
import type { Host } from "./host.ts";
import { checked, systemMessage } from "./kernel32.ts";
import { addressIn, readWide } from "./memory.ts";
import { coTaskMemFree } from "./ole32.ts";
import { noted } from "./operation.ts";
import type { Dll, NativeFunction } from "./table.ts";
import { wide } from "./wide.ts";

const operation = {
  parameters: ["usize", /* HCS_SYSTEM */ "buffer", /* PCWSTR options */ "buffer" /* PWSTR* result */],
  result: "i32", /* HRESULT */
  nonblocking: true,
  optional: true,
} as const satisfies NativeFunction;

/** The functions of vmcompute.dll for compute systems. */
export const vmcomputeHcsSymbols = {
  HcsCloseComputeSystem: {
    parameters: ["usize" /* HCS_SYSTEM */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  HcsCreateComputeSystem: {
    parameters: [
      "buffer", /* PCWSTR id */
      "buffer", /* PCWSTR configuration */
      "usize", /* HANDLE identity, NULL */
      "buffer", /* HCS_SYSTEM* */
      "buffer", /* PWSTR* result */
    ],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  HcsEnumerateComputeSystems: {
    parameters: ["buffer", /* PCWSTR query */ "buffer", /* PWSTR* systems */ "buffer" /* PWSTR* result */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  HcsGetComputeSystemProperties: {
    parameters: [
      "usize", /* HCS_SYSTEM */
      "buffer", /* PCWSTR query */
      "buffer", /* PWSTR* properties */
      "buffer", /* PWSTR* result */
    ],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  HcsGetServiceProperties: {
    parameters: ["buffer", /* PCWSTR query */ "buffer", /* PWSTR* properties */ "buffer" /* PWSTR* result */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  HcsModifyComputeSystem: operation,
  HcsModifyServiceSettings: {
    parameters: ["buffer", /* PCWSTR settings */ "buffer" /* PWSTR* result */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  HcsOpenComputeSystem: {
    parameters: ["buffer", /* PCWSTR id */ "buffer", /* HCS_SYSTEM* */ "buffer" /* PWSTR* result */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  HcsPauseComputeSystem: operation,
  HcsRegisterComputeSystemCallback: {
    parameters: [
      "usize", /* HCS_SYSTEM */
      "usize", /* HCS_NOTIFICATION_CALLBACK */
      "usize", /* void* context */
      "buffer", /* HCS_CALLBACK* */
    ],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  HcsResumeComputeSystem: operation,
  HcsSaveComputeSystem: operation,
  HcsShutdownComputeSystem: operation,
  HcsStartComputeSystem: operation,
  HcsTerminateComputeSystem: operation,
  HcsUnregisterComputeSystemCallback: {
    parameters: ["usize" /* HCS_CALLBACK */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** vmcompute.dll, as far as compute systems go. */
export const vmcomputeHcs: Dll<typeof vmcomputeHcsSymbols> = {
  file: "vmcompute.dll",
  symbols: vmcomputeHcsSymbols,
  remedy: "It comes with Windows build 17763 (Server 2019, version 1809), Hyper-V and the feature Containers: " +
    "`Enable-WindowsOptionalFeature -Online -FeatureName Microsoft-Hyper-V, Containers`, on Server " +
    "`Install-WindowsFeature Hyper-V, Containers`",
  waits: true,
};

/**
 * The name of a type of notification, in the container tools.
 *
 * @category Simulation
 */
export type NotificationName =
  | "SystemExited"
  | "SystemCreateCompleted"
  | "SystemStartCompleted"
  | "SystemPauseCompleted"
  | "SystemResumeCompleted"
  | "SystemCrashReport"
  | "SystemSaveCompleted"
  | "SystemCrashInitiated"
  | "SystemGuestConnectionClosed"
  | "ServiceDisconnect";

/** The types of notifications, by their names. */
export const notification = {
  SystemExited: 0x1,
  SystemCreateCompleted: 0x2,
  SystemStartCompleted: 0x3,
  SystemPauseCompleted: 0x4,
  SystemResumeCompleted: 0x5,
  SystemCrashReport: 0x6,
  SystemSaveCompleted: 0x8,
  SystemCrashInitiated: 0xd,
  SystemGuestConnectionClosed: 0xe,
  ServiceDisconnect: 0x01000000,
} as const satisfies Record<NotificationName, number>;

// Low halves of those codes of the compute service that don't mean failure.
const OPERATION_PENDING = 0x0103;
const SYSTEM_NOT_FOUND = 0x010e;
const SYSTEM_ALREADY_STOPPED = 0x0110;

/** The progress of an operation when its call returns: it is done, or pending until its notification. */
export type Progress = "done" | "pending";

/** A compute system that was created. */
export interface CreatedSystem {
  /** Its handle. */
  readonly system: bigint;
  /** Whether its creation is done, or pending. */
  readonly progress: Progress;
}

/** Returns the error of a function of the compute service, with what it was about and what its result document says. */
export function computeError(
  host: Host,
  fn: string,
  code: number,
  system?: string,
  result = "",
  about: readonly string[] = [],
): NativeError {
  return new NativeError({
    function: fn,
    code,
    path: system,
    systemMessage: systemMessage(host, code),
    details: [...about, ...resultLines(result)],
  });
}

// Calls a function with an out parameter for the result document, which can be set even after a success.
async function withResult(
  host: Host,
  fn: string | undefined,
  system: string | undefined,
  call: (result: Uint8Array<ArrayBuffer>) => number | Promise<number>,
): Promise<{ code: number; result: string }> {
  const result = new Uint8Array(8);
  const code = await (fn === undefined ? call(result) : noted(host, fn, system, call(result)));
  return { code: code >>> 0, result: readAndFree(host, result) };
}

function readAndFree(host: Host, out: Uint8Array<ArrayBuffer>): string {
  const address = addressIn(out);
  if (address === 0n) return "";
  try {
    return readWide(host, address);
  } finally {
    coTaskMemFree(host, address);
  }
}

function progressOf(
  host: Host,
  fn: string,
  { code, result }: { code: number; result: string },
  system?: string,
): Progress {
  if ((code | 0) >= 0) return "done";
  if (computeCodeOf(code) === OPERATION_PENDING) return "pending";
  throw computeError(host, fn, code, system, result);
}

function requireDone(
  host: Host,
  fn: string,
  { code, result }: { code: number; result: string },
  system?: string,
  about?: readonly string[],
): void {
  if ((code | 0) < 0) throw computeError(host, fn, code, system, result, about);
}

/** Creates a compute system. `id` names it in errors. */
export async function createSystem(host: Host, id: string, configuration: object): Promise<CreatedSystem> {
  const system = new Uint8Array(8);
  const outcome = await withResult(
    host,
    // Not noted, because whoever cancels it is told of the VM that may come to be.
    undefined,
    id,
    (result) =>
      host.symbols(vmcomputeHcs).HcsCreateComputeSystem(wide(id), wide(serialize(configuration)), 0n, system, result),
  );
  const progress = progressOf(host, "HcsCreateComputeSystem", outcome, id);
  return { system: returnedHandle("HcsCreateComputeSystem", system), progress };
}

/** Opens an existing compute system. */
export async function openSystem(host: Host, id: string): Promise<bigint> {
  const system = new Uint8Array(8);
  const outcome = await withResult(
    host,
    "HcsOpenComputeSystem",
    id,
    (result) => host.symbols(vmcomputeHcs).HcsOpenComputeSystem(wide(id), system, result),
  );
  requireDone(host, "HcsOpenComputeSystem", outcome, id);
  return returnedHandle("HcsOpenComputeSystem", system);
}

function returnedHandle(fn: string, out: Uint8Array<ArrayBuffer>): bigint {
  const handle = addressIn(out);
  if (handle === 0n) throw new UnexpectedAnswerError(fn, "is no handle", 0);
  return handle;
}

/** Closes the handle of a compute system. Closing the last handle of one that was created here ends it. */
export async function closeSystem(host: Host, system: bigint, id: string): Promise<void> {
  await checked(host, "HcsCloseComputeSystem", host.symbols(vmcomputeHcs).HcsCloseComputeSystem(system), id);
}

/** The operations on a compute system as a whole. */
export type SystemOperation =
  | "HcsStartComputeSystem"
  | "HcsPauseComputeSystem"
  | "HcsResumeComputeSystem"
  | "HcsSaveComputeSystem";

/** Starts, pauses, resumes or saves a compute system. `options` is a document. */
export async function operate(
  host: Host,
  fn: SystemOperation,
  system: bigint,
  id: string,
  options?: object,
): Promise<Progress> {
  return progressOf(host, fn, await callOperation(host, fn, system, id, options), id);
}

/**
 * Ends a compute system: cleanly (`HcsShutdownComputeSystem`) or by force (`HcsTerminateComputeSystem`). Returns false if
 * it was already stopped or gone, which is a success too.
 */
export async function stopSystem(
  host: Host,
  fn: "HcsShutdownComputeSystem" | "HcsTerminateComputeSystem",
  system: bigint,
  id: string,
): Promise<boolean> {
  const outcome = await callOperation(host, fn, system, id);
  const code = computeCodeOf(outcome.code);
  if (code === SYSTEM_ALREADY_STOPPED || code === SYSTEM_NOT_FOUND) return false;
  progressOf(host, fn, outcome, id);
  return true;
}

function callOperation(
  host: Host,
  fn: SystemOperation | "HcsShutdownComputeSystem" | "HcsTerminateComputeSystem",
  system: bigint,
  id: string,
  options?: object,
): Promise<{ code: number; result: string }> {
  const text = wide(options === undefined ? "" : serialize(options));
  return withResult(host, fn, id, (result) => host.symbols(vmcomputeHcs)[fn](system, text, result));
}

/** Changes a compute system. The service does this synchronously, so a pending operation counts as a failure. */
export async function modifySystem(host: Host, system: bigint, id: string, request: object): Promise<void> {
  const outcome = await withResult(
    host,
    "HcsModifyComputeSystem",
    id,
    (result) => host.symbols(vmcomputeHcs).HcsModifyComputeSystem(system, wide(serialize(request)), result),
  );
  requireDone(host, "HcsModifyComputeSystem", outcome, id, [changeText(request)]);
}

/** Returns properties of a compute system, as JSON text. */
export function systemProperties(host: Host, system: bigint, id: string, query: object): Promise<string> {
  return withOutput(
    host,
    "HcsGetComputeSystemProperties",
    (properties, result) =>
      host.symbols(vmcomputeHcs).HcsGetComputeSystemProperties(system, wide(serialize(query)), properties, result),
    id,
  );
}

/** Returns the compute systems that match a query, as JSON text. */
export function enumerateSystems(host: Host, query: object): Promise<string> {
  return withOutput(
    host,
    "HcsEnumerateComputeSystems",
    (systems, result) => host.symbols(vmcomputeHcs).HcsEnumerateComputeSystems(wide(serialize(query)), systems, result),
  );
}

/** Returns properties of the compute service, which are those of the host, as JSON text. */
export function serviceProperties(host: Host, query: object): Promise<string> {
  return withOutput(
    host,
    "HcsGetServiceProperties",
    (properties, result) =>
      host.symbols(vmcomputeHcs).HcsGetServiceProperties(wide(serialize(query)), properties, result),
  );
}

/** Changes settings of the compute service. */
export async function modifyServiceSettings(host: Host, settings: object): Promise<void> {
  const outcome = await withResult(
    host,
    "HcsModifyServiceSettings",
    undefined,
    (result) => host.symbols(vmcomputeHcs).HcsModifyServiceSettings(wide(serialize(settings)), result),
  );
  requireDone(host, "HcsModifyServiceSettings", outcome);
}

async function withOutput(
  host: Host,
  fn: string,
  call: (out: Uint8Array<ArrayBuffer>, result: Uint8Array<ArrayBuffer>) => number | Promise<number>,
  system?: string,
): Promise<string> {
  const out = new Uint8Array(8);
  const outcome = await withResult(host, fn, system, (result) => call(out, result));
  const text = readAndFree(host, out);
  requireDone(host, fn, outcome, system);
  return text;
}

/** Registers a callback for the notifications of a compute system. Returns the handle of the registration. */
export async function registerCallback(host: Host, system: bigint, id: string, callback: bigint): Promise<bigint> {
  const registration = new Uint8Array(8);
  await checked(
    host,
    "HcsRegisterComputeSystemCallback",
    host.symbols(vmcomputeHcs).HcsRegisterComputeSystemCallback(system, callback, 0n, registration),
    id,
  );
  return addressIn(registration);
}

/** Ends a registration. Once this has settled, the callback isn't called any more. */
export async function unregisterCallback(host: Host, registration: bigint, id: string): Promise<void> {
  await checked(
    host,
    "HcsUnregisterComputeSystemCallback",
    host.symbols(vmcomputeHcs).HcsUnregisterComputeSystemCallback(registration),
    id,
  );
}
