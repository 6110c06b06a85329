import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { mountWCOWLayers, windowsHost } from "../../../mod.ts";
import type { Host } from "../../../src/ffi/host.ts";
import { kernel32, type kernel32Symbols } from "../../../src/ffi/kernel32.ts";
import type { Dll, NativeSymbols, SymbolTable } from "../../../src/ffi/table.ts";
import { attachDisk } from "../../../src/storage/mod.ts";
import { ImageLayers, onBuild } from "./cim.ts";
import { Recorder } from "./recorder.ts";

const CYCLES = 10_000;

const processSymbols = {
  GetProcessHandleCount: {
    parameters: ["usize", /* HANDLE process */ "buffer" /* PDWORD */],
    result: "i32", /* BOOL */
  },
} as const satisfies Deno.ForeignLibraryInterface;

const process: Dll<typeof processSymbols> = { file: "kernel32.dll", symbols: processSymbols, remedy: "" };

/** How many handles this process has open. */
function handlesOf(host: Host): number {
  const count = new Uint8Array(4);
  const current = host.symbols(kernel32).GetCurrentProcess();
  assertEquals(host.symbols(process).GetProcessHandleCount(current, count), 1);
  return new DataView(count.buffer).getUint32(0, true);
}

/** A host that is `host`, and keeps `blocks` the addresses of native memory that are not freed. */
function accounted(host: Host, blocks: Set<bigint>): Host {
  const symbols = host.symbols(kernel32);
  const counting: NativeSymbols<typeof kernel32Symbols> = {
    ...symbols,
    LocalAlloc(flags, bytes) {
      const address = symbols.LocalAlloc(flags, bytes);
      blocks.add(address);
      return address;
    },
    LocalFree(address) {
      blocks.delete(address);
      return symbols.LocalFree(address);
    },
  };
  return {
    machine: {},
    symbols: <T extends SymbolTable>(dll: Dll<T>) =>
      dll === kernel32 as unknown ? counting as unknown as NativeSymbols<T> : host.symbols(dll),
    sleep: (ms, signal) => host.sleep(ms, signal),
    callback: (listener) => host.callback(listener),
  };
}

/** Runs `cycle` until all that stays is there, and then many times more: the levels have to be the same. */
async function levelStays(cycle: (host: Host) => Promise<unknown>): Promise<void> {
  using recorder = new Recorder();
  recorder.quiet = true;
  using windows = windowsHost({ calls: "thread" });
  const blocks = new Set<bigint>();
  const host = accounted(onBuild(windows, 26100), blocks);
  for (let i = 0; i < 10; i++) await cycle(host);
  const before = { handles: handlesOf(windows), blocks: blocks.size };
  for (let i = 0; i < CYCLES; i++) await cycle(host);
  assertEquals({ handles: handlesOf(windows), blocks: blocks.size }, before);
}

Deno.test(`attachDisk() and its disposal leave no handle and no memory behind in ${CYCLES} cycles`, async () => {
  using folders = new ImageLayers(["top"]);
  const path = `${folders.scratch}\\sandbox.vhdx`;
  await levelStays(async (host) => {
    await using disk = await attachDisk(path, { host });
    disk.physicalPath();
  });
});

Deno.test(`mountWCOWLayers() of an image and release() leave no handle and no memory behind in ${CYCLES} cycles`, async () => {
  using folders = new ImageLayers(["top", "base"]);
  await levelStays(async (host) => {
    const mounted = await mountWCOWLayers("test", folders.all, { host });
    await mounted.release();
  });
});
