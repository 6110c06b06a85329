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
import { fromWide } from "../../src/ffi/wide.ts";
import { mountPointStandIns, withStandIns } from "../wine/inside/host.ts";
import { Recorder } from "../wine/inside/recorder.ts";
import { pathKey } from "./disk.ts";
import type { Machine, MachineMaker } from "./machine.ts";

const DRIVE = "C:\\";

/** A machine on Wine's `C:`. What was made there is removed when it is disposed of. */
export const wineMachine: MachineMaker = ({ build, revision }): Machine => {
  const windows = windowsHost();
  const overlaid = withStandIns(windows, mountPointStandIns);
  const recorder = new Recorder();
  const files = overlaid.symbols(kernel32);
  const replaced = new Map<unknown, object>([
    [kernel32, {
      ...files,
      CreateFileW: windows.symbols(kernel32).CreateFileW,
      RemoveDirectoryW(path: Uint8Array<ArrayBuffer>) {
        const removed = files.RemoveDirectoryW(path);
        if (removed !== 0) removeStreams(fromWide(path));
        return removed;
      },
    }],
    [ntdll, { RtlGetVersion: (info: Uint8Array<ArrayBuffer>) => answer(info, 12, build) }],
    [advapi32, { RegGetValueW: (...args: Uint8Array<ArrayBuffer>[]) => answer(args[5]!, 0, revision) }],
  ]);
  const host: Host = {
    ...overlaid,
    symbols: <T extends SymbolTable>(dll: Dll<T>) => (replaced.get(dll) ?? overlaid.symbols(dll)) as NativeSymbols<T>,
    sleep: () => Promise.resolve(),
  };
  const before = new Set(entriesOf(DRIVE));
  const added = new Set<string>();
  const add = (path: string) => {
    for (let at = path; at !== ""; at = parentOf(at)) added.add(pathKey(at));
  };
  return {
    host,
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
    fail(injections) {
      recorder.fail(Object.fromEntries(injections.map(({ fn, nth, code }) => [`${fn}#${nth ?? "*"}`, code])));
    },
    trace: () => recorder.calls,
    held: () => newPaths(DRIVE, before).filter((path) => !added.has(pathKey(path))).map((path) => `path ${path}`),
    [Symbol.dispose]() {
      for (const name of entriesOf(DRIVE)) {
        if (!before.has(name)) Deno.removeSync(DRIVE + name, { recursive: true });
      }
      recorder[Symbol.dispose]();
      overlaid[Symbol.dispose]();
    },
  };
};

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
