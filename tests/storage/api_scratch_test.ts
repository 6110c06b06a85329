import { assertEquals, assertRejects, assertStrictEquals } from "jsr:@std/assert@^1.0.0";
import { mountWCOWLayers } from "../../mod.ts";
import { volumeSize } from "../../src/ffi/kernel32.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import * as storage from "../../src/storage/mod.ts";
import { volumeOn } from "../../src/simulated/windows.ts";
import { BASE, DISK, storageHost, TOP } from "../support/storage_host.ts";
import { GIB, withWrapped } from "../support/host.ts";
import { held, sequence, storageCalls } from "../support/calls.ts";

const SCRATCH = "C:\\scratch";
const NEW = "C:\\containers\\c1\\scratch";
const TEMPLATE = `${BASE}\\UtilityVM\\SystemTemplate.vhdx`;

Deno.test("createScratch() creates the folder and the disk, ready to be mounted", async () => {
  const host = storageHost();
  await storage.createScratch(NEW, [TOP, BASE], { host });
  const made = sequence(host).filter((name) => name !== "GetFileAttributesW");
  assertEquals(made.slice(made.indexOf("CreateDirectoryW")), [
    "CreateDirectoryW", // fails, as the parent is missing
    "CreateDirectoryW", // likewise
    "CreateDirectoryW",
    "CreateFileW",
    "CloseHandle",
    "CreateDirectoryW",
    "CreateFileW",
    "CloseHandle",
    "CreateDirectoryW",
    "CreateFileW",
    "CloseHandle",
    "NameToGuid",
    "NameToGuid",
    "CreateSandboxLayer",
    "LocalFree",
  ]);
  await using layers = await mountWCOWLayers("c1", [TOP, BASE, NEW], { host });
  assertEquals(layers.holds.map(({ kind }) => kind), ["activation", "filter"]);
});

Deno.test("createScratch() takes a folder that is there, and a size", async () => {
  const host = storageHost();
  host.addFile(`${NEW}\\note.txt`);
  await storage.createScratch(NEW, [BASE], { size: 40 * GIB, host });
  assertEquals(await sizes(host, NEW), [40 * GIB, volumeOn(40 * GIB)]);
  assertEquals(held(host), [`file ${NEW}\\sandbox.vhdx`]);
});

Deno.test("createScratch() removes what it created when Windows fails, and nothing else", async () => {
  for (const fn of ["CreateSandboxLayer", "ExpandSandboxSize", "AttachVirtualDisk"]) {
    for (const [there, left] of [[NEW, true], ["C:\\containers", false]] as const) {
      const host = storageHost();
      host.addFile(`${there}\\note.txt`);
      host.fail({ function: fn, code: 5 });
      await assertRejects(() => storage.createScratch(NEW, [BASE], { size: 40 * GIB, host }), storage.NativeError, fn);
      assertEquals([held(host), host.exists(`${there}\\note.txt`), host.exists(NEW)], [[], true, left]);
    }
  }
});

Deno.test("createScratch() refuses a folder with a disk, and leaves it", async () => {
  const host = storageHost();
  const error = await assertRejects(
    () => storage.createScratch(SCRATCH, [BASE], { host }),
    storage.InvalidInputError,
    "exists already",
  );
  assertEquals([error.argument, error.value, storageCalls(host)], ["folder", DISK, []]);
});

Deno.test("createUtilityVMScratch() copies the template, and lets the virtual machine open it", async () => {
  const host = storageHost();
  host.addFile(TEMPLATE, 8 * 2 ** 20);
  await storage.createUtilityVMScratch(`${NEW}\\vm`, BASE, { vmId: "vm1", host });
  const copy = host.calls.find((call) => call.function === "CopyFileW")!;
  assertEquals(copy.args, { from: TEMPLATE, to: `${NEW}\\vm\\sandbox.vhdx`, failIfExists: 1 });
  assertEquals(storageCalls(host).map(({ function: name, args }) => [name, args]), [
    ["GrantVmAccess", { vmid: "vm1", filepath: `${NEW}\\vm\\sandbox.vhdx` }],
  ]);
});

Deno.test("createUtilityVMScratch() refuses a layer without a utility VM", async () => {
  const host = storageHost();
  const error = await assertRejects(
    () => storage.createUtilityVMScratch(NEW, BASE, { vmId: "vm1", host }),
    storage.InvalidInputError,
  );
  assertEquals([error.argument, error.value, held(host)], ["layer", TEMPLATE, []]);
});

Deno.test("expandScratch() grows the disk and its volume, with all 512-byte sectors of whole clusters", async () => {
  const host = storageHost();
  const from = host.calls.length;
  await storage.expandScratch(SCRATCH, 30 * GIB + 512, { host });
  assertEquals(sequence(host, from), [
    "GetFileAttributesW",
    "CreateFileW",
    "GetFinalPathNameByHandleW",
    "CloseHandle",
    "GetFileAttributesW",
    "CreateFileW",
    "CloseHandle",
    "OpenVirtualDisk",
    "GetVirtualDiskInformation",
    "CloseHandle",
    "ExpandSandboxSize",
    "OpenVirtualDisk",
    "GetVirtualDiskInformation",
    "AttachVirtualDisk",
    "GetLayerMountPath",
    "GetLayerMountPath",
    "CreateFileW",
    "DeviceIoControl",
    "GetDiskFreeSpaceExW",
    "DeviceIoControl",
    "CloseHandle",
    "DetachVirtualDisk",
    "CloseHandle",
  ]);
  const [, , volume] = host.calls.filter((call) => call.function === "CreateFileW").map(({ args }) => args);
  assertEquals([/^\\\\\?\\Volume\{.*\}$/.test(volume!.path as string), volume!.access, volume!.share], [
    true,
    0xc0000000,
    3,
  ]);
  assertEquals(host.calls.filter(({ args }) => args.code !== undefined && args.input).map(({ args }) => args.code), [
    0x000900f0,
  ]);
  // Bypassing the encryption policy, as Windows attaches such disks.
  assertEquals(storageCalls(host).find((call) => call.function === "AttachVirtualDisk")!.args.flags, 0x22);
  assertEquals(await sizes(host, SCRATCH), [30 * GIB + 512, volumeOn(30 * GIB)]);
  assertEquals(held(host), []);
});

Deno.test("expandScratchLayer() aborted while the size of the disk is looked up doesn't expand it", async () => {
  const host = storageHost();
  const abort = new AbortController();
  const reason = new Error("stop");
  const aborting = withWrapped(host, (name, call) => (...args) => {
    if (name === "GetVirtualDiskInformation") abort.abort(reason);
    return call(...args);
  });
  const expand = () => storage.expandScratchLayer(SCRATCH, 30 * GIB, { host: aborting, signal: abort.signal });
  assertStrictEquals(await assertRejects(expand), reason);
  assertEquals([held(host), sequence(host).includes("ExpandSandboxSize")], [[], false]);
});

Deno.test("expandScratch() leaves a volume alone that is as large as it can be", async () => {
  const host = storageHost();
  await storage.expandScratch(SCRATCH, 20 * GIB, { host });
  assertEquals(sequence(host).filter((name) => name === "DeviceIoControl" || name === "ExpandSandboxSize"), [
    "DeviceIoControl",
  ]);
});

Deno.test("expandScratch() goes on where the volume didn't grow the first time", async () => {
  const host = storageHost();
  host.fail({ function: "DeviceIoControl", code: 19, nth: 2 });
  const error = await assertRejects(() => storage.expandScratch(SCRATCH, 30 * GIB, { host }), storage.NativeError);
  assertEquals(error.hint, "a BitLocker policy may protect fixed drives from writing");
  assertEquals([held(host), await sizes(host, SCRATCH)], [[], [30 * GIB, volumeOn(20 * GIB)]]);
  await storage.expandScratch(SCRATCH, 30 * GIB, { host });
  assertEquals(await sizes(host, SCRATCH), [30 * GIB, volumeOn(30 * GIB)]);
});

Deno.test("a scratch that was expanded can be mounted on builds that wouldn't grow its volume", async () => {
  const host = storageHost({ build: 18363 });
  await storage.expandScratchLayer(SCRATCH, 30 * GIB, { host });
  await assertRejects(() => mountWCOWLayers("c1", [BASE, SCRATCH], { host }), storage.NativeError, "PrepareLayer");
  await storage.expandScratch(SCRATCH, 30 * GIB, { host });
  await (await mountWCOWLayers("c1", [BASE, SCRATCH], { host })).release();
  assertEquals(held(host), []);
});

// Size of the disk, and of the volume on it.
async function sizes(host: SimulatedHost, scratch: string): Promise<number[]> {
  await using disk = await storage.attachDisk(`${scratch}\\sandbox.vhdx`, { host });
  return [Number(disk.info().size), Number(volumeSize(host, await storage.layerMountPath(scratch, { host })))];
}
