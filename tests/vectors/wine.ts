/**
 * The machine of tier 2: `deno.exe` under Wine, with the recording DLLs. Real files, real FFI.
 *
 * @module
 */

import { advapi32 } from "../../src/ffi/advapi32.ts";
import { type Host, windowsHost } from "../../src/ffi/host.ts";
import { kernel32 } from "../../src/ffi/kernel32.ts";
import { ntdll } from "../../src/ffi/ntdll.ts";
import type { Dll, NativeSymbols, SymbolTable } from "../../src/ffi/table.ts";
import { vmcomputeHcs } from "../../src/ffi/vmcompute_hcs.ts";
import { fromWide, wide } from "../../src/ffi/wide.ts";
import { ws2 } from "../../src/ffi/ws2_32.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { mountPointStandIns, withStandIns } from "../wine/inside/host.ts";
import { Recorder, SYSTEM32 } from "../wine/inside/recorder.ts";
import { pathKey } from "./disk.ts";
import { failsRequest, type Injection } from "./injections.ts";
import { type Machine, type MachineMaker, UNSEEN } from "./machine.ts";
import { MODIFY, requestKey } from "./requests.ts";
import type { Call } from "./run.ts";

const DRIVE = "C:\\";
// What Wine takes for a volume of its own.
const RESOLVED_DRIVE = "\\\\?\\Volume{00000000-0000-0000-0000-000000000043}\\";
// Longer than this is a wait for Windows.
const LONGEST_PAUSE_MS = 1000;

/** A machine on Wine's `C:`. What was made there is removed when it is disposed of. */
export const wineMachine: MachineMaker = ({ build, revision, late }): Machine => {
  const windows = windowsHost();
  const overlaid = withStandIns(windows, mountPointStandIns);
  const recorder = new Recorder();
  const requests = new Requests(recorder, overlaid);
  // Wine knows no sockets to guests, and there is no guest.
  const sockets = new SimulatedHost();
  const files = overlaid.symbols(kernel32);
  setLate(late);
  const replaced = new Map<unknown, object>([
    [kernel32, {
      ...files,
      // Wine doesn't open what it returns as a path on a volume.
      CreateFileW: (path: Uint8Array<ArrayBuffer>, ...args: never[]) =>
        (windows.symbols(kernel32).CreateFileW as (...args: unknown[]) => unknown)(
          wide(fromWide(path).replace(RESOLVED_DRIVE, DRIVE)),
          ...args,
        ),
      RemoveDirectoryW(path: Uint8Array<ArrayBuffer>) {
        const removed = files.RemoveDirectoryW(path);
        if (removed !== 0) removeStreams(fromWide(path));
        return removed;
      },
    }],
    [ntdll, { ...overlaid.symbols(ntdll), RtlGetVersion: (info: Uint8Array<ArrayBuffer>) => answer(info, 12, build) }],
    [advapi32, {
      ...overlaid.symbols(advapi32),
      RegGetValueW: (...args: Uint8Array<ArrayBuffer>[]) => answer(args[5]!, 0, revision),
    }],
    [vmcomputeHcs, { ...overlaid.symbols(vmcomputeHcs), HcsModifyComputeSystem: requests.modify }],
    [ws2, sockets.symbols(ws2)],
  ]);
  const host: Host = {
    ...overlaid,
    symbols: <T extends SymbolTable>(dll: Dll<T>) => (replaced.get(dll) ?? overlaid.symbols(dll)) as NativeSymbols<T>,
    sleep: (ms, signal) => ms > LONGEST_PAUSE_MS ? windows.sleep(ms, signal) : Promise.resolve(),
  };
  const before = new Set(entriesOf(DRIVE));
  const added = new Set<string>();
  const add = (path: string) => {
    for (let at = path; at !== ""; at = parentOf(at)) added.add(pathKey(at));
  };
  return {
    host,
    resolvedDrive: RESOLVED_DRIVE,
    addFolder(path) {
      add(path);
      Deno.mkdirSync(path, { recursive: true });
    },
    addFile(path, size) {
      add(path);
      Deno.mkdirSync(parentOf(path), { recursive: true });
      using file = Deno.openSync(path, { create: true, write: true });
      file.truncateSync(size);
    },
    addVolume() {
      // All volumes are there.
    },
    fail: (injections) => requests.fail(injections),
    trace: () => recorder.calls.map(withoutHandles),
    held: () => [
      ...newPaths(DRIVE, before).filter((path) => !added.has(pathKey(path))).map((path) => `path ${path}`),
      ...sockets.held().map(({ kind, target }) => `${kind} ${target}`),
    ],
    [Symbol.dispose]() {
      for (const name of entriesOf(DRIVE)) {
        if (!before.has(name)) Deno.removeSync(DRIVE + name, { recursive: true });
      }
      setLate(false);
      recorder[Symbol.dispose]();
      overlaid[Symbol.dispose]();
    },
  };
};

/** Makes functions fail, and requests to VMs by what they are about, which the recorder can't. */
class Requests {
  readonly #recorder: Recorder;
  readonly #host: Host;
  readonly #keys: string[] = [];
  #injections: readonly Injection[] = [];
  #failures: Record<string, number> = {};
  #last: Promise<unknown> = Promise.resolve();

  constructor(recorder: Recorder, host: Host) {
    this.#recorder = recorder;
    this.#host = host;
  }

  fail(injections: readonly Injection[]): void {
    this.#injections = injections.filter(({ request }) => request !== undefined);
    const others = injections.filter(({ request }) => request === undefined);
    this.#failures = Object.fromEntries(others.map(({ fn, nth, code }) => [`${fn}#${nth ?? "*"}`, code]));
    this.#recorder.fail(this.#failures);
  }

  readonly modify = (
    ...args: [system: bigint, configuration: Uint8Array<ArrayBuffer>, result: Uint8Array<ArrayBuffer>]
  ): number | Promise<number> => {
    const key = requestKey({ dll: "", fn: MODIFY, args: { configuration: fromWide(args[1]) }, hr: "" });
    const failure = this.#injections.find((injection) => failsRequest(injection, this.#keys, key));
    const nth = this.#keys.push(key);
    const call = () => this.#host.symbols(vmcomputeHcs).HcsModifyComputeSystem(...args);
    if (this.#injections.length === 0) return call();
    // One after the other, so that the recorder counts as we do.
    const done = this.#last.then(() => {
      if (failure !== undefined) this.#failures[`${MODIFY}#${nth}`] = failure.code;
      this.#recorder.fail(this.#failures);
      return call();
    });
    this.#last = done;
    return done;
  };
}

function setLate(late: boolean): void {
  const library = Deno.dlopen(`${SYSTEM32}\\vmcompute.dll`, { RecorderLate: { parameters: ["i32"], result: "void" } });
  library.symbols.RecorderLate(late ? 1 : 0);
  library.close();
}

// The recorder numbers the systems of a process.
function withoutHandles(call: Call): Call {
  const { computeSystem, callbackHandle } = call.args;
  const handles = {
    ...(computeSystem !== undefined && { computeSystem: UNSEEN }),
    ...(callbackHandle !== undefined && { callbackHandle: UNSEEN }),
  };
  return { ...call, args: { ...call.args, ...handles } };
}

// Wine keeps a stream as a file beside what it belongs to, and leaves it there: the folder above would never be empty.
function removeStreams(path: string): void {
  const streams = `${path.slice(path.lastIndexOf("\\") + 1)}:`;
  for (const name of entriesOf(parentOf(path))) {
    if (name.startsWith(streams)) Deno.removeSync(`${parentOf(path)}\\${name}`);
  }
}

// Writes a number into the buffer for an answer, and succeeds.
function answer(buffer: Uint8Array<ArrayBuffer>, offset: number, value: number): number {
  new DataView(buffer.buffer, buffer.byteOffset).setUint32(offset, value, true);
  return 0;
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("\\")));
}

function entriesOf(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name);
}

function newPaths(folder: string, except: ReadonlySet<string>): string[] {
  return [...Deno.readDirSync(folder)].filter(({ name }) => !except.has(name)).flatMap(({ name, isDirectory }) => {
    const path = `${folder}${name}`;
    return [path, ...isDirectory ? newPaths(`${path}\\`, new Set()) : []];
  });
}
