// What Windows alone tells of: mounts of tools that nobody knows, and of this library without a record.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { findMounts, listMounts, type MountInfo, mountWCOWLayers, recover } from "../../mod.ts";
import { attachedToHost } from "../../src/layers/attached_disks.ts";
import { MissingPermissionError } from "../../src/errors/windows_errors.ts";
import type { Host } from "../../src/ffi/host.ts";
import { kernel32 } from "../../src/ffi/kernel32.ts";
import { diskFileOf } from "../../src/ffi/virtdisk.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { activateLayer, attachDisk, mountCimImage } from "../../src/storage/mod.ts";
import { held } from "../support/calls.ts";
import { GIB, hostInFront, hostWith, MOUNT, SCRATCH, STACK, stackHost, withFunction } from "../support/host.ts";

const DATA = "C:\\disks\\data.vhdx";
const IMAGE = "C:\\layers\\cim-layers\\top.cim";
const IMAGE_VOLUME = "\\\\?\\Volume{0a0b0c0d-0102-0304-0506-0708090a0b0c}\\";

const told = ({ owner, state, scratch, disk, diskNumber, volume }: MountInfo) =>
  [owner.tool, state, scratch, disk, diskNumber, volume !== undefined] as const;

function calls(host: SimulatedHost, from: number): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { function: fn } of host.calls.slice(from)) counts[fn] = (counts[fn] ?? 0) + 1;
  return counts;
}

Deno.test("a mount without a record is listed as Windows knows it, and each thing leads to it", async () => {
  const host = stackHost();
  const { path } = await mountWCOWLayers("c1", STACK, {
    host: hostInFront(host.otherProcess(), { records: false }),
    volumeMountPath: MOUNT,
  });
  host.addDriveLetter("E:", path);
  const [{ space, ...mount }, ...others] = await listMounts({ host }) as [MountInfo];
  assertEquals(others, []);
  assertEquals(space!.size > 0n, true);
  assertEquals(mount, {
    id: undefined,
    containerId: undefined,
    state: "mounted",
    scratch: SCRATCH,
    layers: [],
    image: undefined,
    volume: path,
    mountPoints: ["E:\\", `${MOUNT}\\`],
    owner: { tool: "unknown", pid: undefined, start: undefined, state: "unknown" },
    since: undefined,
    permanent: undefined,
  });
  for (const handle of [SCRATCH, `${SCRATCH}\\sandbox.vhdx`, path, path.slice(0, -1), "e:", "E:\\", MOUNT]) {
    assertEquals((await findMounts(handle, { host })).map(told), [told(mount as MountInfo)], handle);
  }
  const before = held(host);
  assertEquals([await recover({ host }), held(host)], [[], before], "it is nobody's to recover");
});

Deno.test("any virtual disk is listed, with its number if it has one", async () => {
  const host = hostWith({ scratches: [SCRATCH, "C:\\scratch\\c2"], disks: { "C:\\disks\\raw.vhdx": GIB } });
  host.addFile(DATA, GIB);
  await attachDisk(DATA, { host, permanent: true });
  await attachDisk("C:\\disks\\raw.vhdx", { host, permanent: true });
  await attachDisk(`${SCRATCH}\\sandbox.vhdx`, { host, permanent: true });
  await activateLayer("C:\\scratch\\c2", { host });
  assertEquals((await listMounts({ host })).map(told), [
    ["unknown", "mounted", "C:\\disks", DATA, 1, true],
    ["unknown", "mounted", SCRATCH, undefined, 3, true],
    // Windows attached it.
    ["unknown", "mounted", "C:\\scratch\\c2", undefined, undefined, true],
    // It has no volume.
    ["unknown", "partial", "C:\\disks", "C:\\disks\\raw.vhdx", undefined, false],
  ]);
  for (const device of ["\\\\.\\PhysicalDrive3", "\\\\.\\physicaldrive3"]) {
    assertEquals((await findMounts(device, { host })).map(({ scratch }) => scratch), [SCRATCH]);
  }
  assertEquals((await findMounts(DATA, { host })).map(({ disk }) => disk), [DATA]);
});

Deno.test("on build 17763 the disk of an activated scratch has a number", async () => {
  const host = stackHost({ build: 17763 });
  await using _mount = await mountWCOWLayers("c1", STACK, { host });
  assertEquals((await findMounts("\\\\.\\PhysicalDrive1", { host })).map(told), [
    ["hcs-layers", "mounted", SCRATCH, undefined, 1, true],
  ]);
});

Deno.test("an image that is mounted and belongs to no scratch is listed with its volume", async () => {
  const host = new SimulatedHost();
  host.addCimLayer("C:\\layers\\top");
  await mountCimImage(IMAGE, IMAGE_VOLUME, { host: hostInFront(host, { records: false, machine: {} }) });
  host.addDriveLetter("E:", IMAGE_VOLUME);
  const mounts = await listMounts({ host });
  assertEquals(
    mounts.map(({ state, scratch, image, volume, mountPoints, space, owner }) => (
      { state, scratch, image, volume, mountPoints, space, tool: owner.tool }
    )),
    [{
      state: "partial",
      scratch: "",
      image: { path: "", volume: IMAGE_VOLUME },
      volume: undefined,
      mountPoints: ["E:\\"],
      space: undefined,
      tool: "unknown",
    }],
  );
  for (const handle of [IMAGE_VOLUME, "E:"]) assertEquals(await findMounts(handle, { host }), mounts);
});

Deno.test("what has a record is listed once, with its image", async () => {
  const host = hostWith({ cimLayers: ["C:\\layers\\top"], layers: ["C:\\layers\\base"], scratches: [SCRATCH] });
  await using _mount = await mountWCOWLayers("c1", ["C:\\layers\\top", SCRATCH], { host });
  assertEquals((await listMounts({ host })).map(told), [[
    "hcs-layers",
    "mounted",
    SCRATCH,
    undefined,
    undefined,
    true,
  ]]);
});

Deno.test("what Windows doesn't tell of one volume, or at all, hides nothing else", async () => {
  const host = stackHost();
  host.addFile(DATA, GIB);
  await mountWCOWLayers("c1", STACK, { host });
  await attachDisk(DATA, { host, permanent: true });
  const before = held(host);
  const all = ["hcs-layers", "unknown"];
  const tools = async () => (await listMounts({ host })).map(({ owner }) => owner.tool);
  assertEquals(await tools(), all);
  for (
    const [fn, expected] of [
      // The list of the disks has it nevertheless.
      ["GetStorageDependencyInformation", all],
      ["FindFirstVolumeW", all],
      ["FindNextVolumeW", all],
      ["DeviceIoControl", all],
      ["GetVolumeInformationW", all],
      ["GetAllAttachedVirtualDiskPhysicalPaths", all],
    ] as const
  ) {
    host.fail({ function: fn, code: "ERROR_ACCESS_DENIED" });
    assertEquals(await tools(), expected, fn);
    host.failNothing();
  }
  host.fail({ function: "GetStorageDependencyInformation", code: "ERROR_ACCESS_DENIED" });
  host.fail({ function: "GetAllAttachedVirtualDiskPhysicalPaths", code: "ERROR_ACCESS_DENIED" });
  assertEquals(await tools(), ["hcs-layers"]);
  assertEquals(held(host), before);
});

Deno.test("a listing asks a few things for each volume, and nothing for each pair of mounts", async () => {
  const count = async (mounts: number) => {
    const host = new SimulatedHost();
    host.addLayer("C:\\layers\\base");
    for (let i = 0; i < mounts; i++) {
      host.addScratch(`C:\\scratch\\s${i}`);
      await mountWCOWLayers(`c${i}`, ["C:\\layers\\base", `C:\\scratch\\s${i}`], { host });
    }
    const from = host.calls.length;
    assertEquals((await listMounts({ host })).length, mounts);
    return { all: host.calls.length - from, counts: calls(host, from) };
  };
  const [two, four, eight] = [await count(2), await count(4), await count(8)];
  assertEquals(eight.all - four.all, 2 * (four.all - two.all));
  assertEquals(eight.counts["GetStorageDependencyInformation"], 9);
  assertEquals(eight.counts["DeviceIoControl"], 8);
  assertEquals(eight.counts["GetAllAttachedVirtualDiskPhysicalPaths"], 1);
});

Deno.test("asking Windows can be ended between two volumes, and leaves nothing open", async () => {
  const host = stackHost();
  await mountWCOWLayers("c1", STACK, { host });
  const abort = new AbortController();
  host.before("DeviceIoControl", () => abort.abort(new Error("enough")));
  await assertRejects(() => attachedToHost(host, abort.signal), Error, "enough");
  assertEquals(host.held().filter(({ kind }) => kind === "handle"), []);
});

Deno.test("findMounts() goes without the grant for virtdisk.dll: what files tell of is found, and what only Windows knows isn't", async () => {
  const host = stackHost();
  host.addFile(DATA, GIB);
  await mountWCOWLayers("c1", STACK, { host });
  await attachDisk(DATA, { host, permanent: true });
  const symbols: Host["symbols"] = (dll) => {
    if (dll.file === "virtdisk.dll") throw new MissingPermissionError(["--allow-ffi=virtdisk.dll"]);
    return host.symbols(dll);
  };
  const without = hostInFront(host, { symbols });
  assertEquals((await findMounts("c1", { host: without })).map(({ scratch }) => scratch), [SCRATCH]);
  assertEquals(await findMounts(DATA, { host: without }), []);
  assertEquals((await findMounts(DATA, { host })).length, 1);
});

Deno.test("a volume is told with the nearest of the files that it depends on, and with none that isn't in the answer", async () => {
  const volume = "\\\\?\\Volume{0a0b0c0d-0102-0304-0506-0708090a0b0c}\\";
  const host = stackHost();
  const { path } = await mountWCOWLayers("c1", STACK, { host });
  interface Entry {
    readonly level: number;
    readonly device: number;
    readonly file: string;
    /** Where its text is said to be, if that isn't where it is. */
    readonly at?: bigint;
  }
  const answer = (entries: readonly Entry[]) =>
    withFunction(
      host,
      "GetStorageDependencyInformation",
      (_handle: bigint, _flags: number, size: number, address: bigint) => {
        const bytes = new Uint8Array(size);
        const view = new DataView(bytes.buffer);
        view.setUint32(4, entries.length, true);
        let end = 8 + 64 * entries.length;
        const put = (text: string) => {
          const at = end;
          for (const unit of `${text}\0`) view.setUint16(end, unit.charCodeAt(0), true), end += 2;
          return address + BigInt(at);
        };
        entries.forEach(({ level, device, file, at }, i) => {
          const entry = 8 + 64 * i;
          view.setUint32(entry + 8, device, true);
          view.setUint32(entry + 28, level, true);
          view.setBigUint64(entry + 40, put(volume), true);
          const text = put(file);
          view.setBigUint64(entry + 56, at ?? text, true);
        });
        host.symbols(kernel32).copyIn(address, bytes, BigInt(size));
        return 0;
      },
    );
  const file = (entries: readonly Entry[]) => diskFileOf(answer(entries), path);
  const [near, far] = [{ level: 1, device: 3, file: "\\near.vhdx" }, { level: 2, device: 3, file: "\\far.vhdx" }];
  assertEquals(await file([near, far]), `${volume}near.vhdx`);
  assertEquals(await file([far, near]), `${volume}near.vhdx`);
  // An ISO image, and a text outside the answer.
  assertEquals(await file([{ ...near, device: 1 }, far]), `${volume}far.vhdx`);
  for (const at of [0n, 1n, 0xffff_ffff_ffff_fff0n]) {
    assertEquals(await file([{ ...near, at }, far]), `${volume}far.vhdx`);
  }
  assertEquals(await file([]), undefined);
});

Deno.test("what is mounted while the list is made is told as ours, and what is detached meanwhile isn't told", async () => {
  const host = stackHost();
  host.addFile(DATA, GIB);
  await mountWCOWLayers("c1", STACK, { host });
  await attachDisk(DATA, { host });
  const folder = "C:\\ProgramData\\hcs-layers\\mounts";
  const [name] = [...host.readDir(folder)].map((entry) => entry.name);
  const path = `${folder}\\${name}`;
  const record = host.readFile(path);
  host.remove(path);
  // Its record comes after those that there are were read; and after the volumes, the other disk goes.
  host.before("FindFirstVolumeW", () => host.addFile(path, record));
  const [handle] = host.calls.filter((call) => call.function === "AttachVirtualDisk").map(({ args }) => args["handle"]);
  host.before("GetAllAttachedVirtualDiskPhysicalPaths", () => {
    host.symbols(kernel32).CloseHandle(BigInt(`${handle}`));
  });
  assertEquals((await listMounts({ host })).map(told), [[
    "hcs-layers",
    "mounted",
    SCRATCH,
    undefined,
    undefined,
    true,
  ]]);
});
