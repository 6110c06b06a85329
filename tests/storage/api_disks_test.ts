import { assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.0";
import * as storage from "../../src/storage/mod.ts";
import { BLANK, DISK, storageHost } from "../support/storage_host.ts";
import { GIB } from "../support/host.ts";
import { held, sequence, storageCalls } from "../support/calls.ts";

const NEW = "C:\\disks\\new.vhdx";
const TIB = 2 ** 40;
const MIB = 2 ** 20;
const ANY = { type: "buffer", security: null, providerFlags: 0, overlapped: null };

Deno.test("createVhdx() creates a disk of the size, and leaves no handle open", async () => {
  for (const size of [3 * MIB, 64n * BigInt(TIB), 20 * GIB + 512]) {
    for (const blockSize of [undefined, 0, MIB, 256 * MIB]) {
      const host = storageHost();
      await storage.createVhdx(NEW, { size, blockSize, host });
      assertEquals(storageCalls(host).map(({ function: name, args }) => [name, args]), [
        ["CreateVirtualDisk", {
          ...ANY,
          path: NEW,
          access: 0,
          flags: 0,
          parameters: { version: 2, size: Number(size), blockSize: blockSize ?? 0, parent: undefined, parentFlags: 0 },
          handle: "buffer",
        }],
      ]);
      assertEquals(held(host), [`file ${NEW}`]);
      using disk = await storage.openDisk(NEW, { host });
      assertEquals(disk.info().size, BigInt(size));
    }
  }
});

Deno.test("createDifferencingDisk() names the parent, which stays as it is", async () => {
  const host = storageHost();
  await storage.createDifferencingDisk(NEW, DISK, { blockSize: MIB, host });
  assertEquals(storageCalls(host).map(({ args }) => args.parameters), [
    { version: 2, size: 0, blockSize: MIB, parent: DISK, parentFlags: 8 },
  ]);
  assertEquals([held(host), host.allocations], [[`file ${NEW}`], 0]);
  using disk = await storage.openDisk(NEW, { host });
  assertEquals(disk.info(), {
    size: 20n * BigInt(GIB),
    fileSize: 4n * BigInt(MIB),
    blockSize: MIB,
    sectorSize: 512,
    parent: { path: DISK, found: true },
  });
});

Deno.test("openDisk() opens without access flags, for disks that were moved with their parents too", async () => {
  const host = storageHost();
  {
    using disk = await storage.openDisk(DISK, { host });
    assertEquals(disk.info().parent, undefined);
    assertEquals(held(host), [`handle ${DISK}`]);
  }
  assertEquals(storageCalls(host)[0]!.args, {
    type: "buffer",
    path: DISK,
    access: 0,
    flags: 0x88,
    parameters: 2,
    handle: "buffer",
  });
  assertEquals(held(host), []);
});

const FLAGS: [options: storage.AttachOptions, flags: number][] = [
  [{}, 0x2],
  [{ readOnly: true }, 0x3],
  [{ driveLetter: true }, 0x0],
  [{ bypassEncryptionPolicy: true }, 0x22],
  [{ permanent: true }, 0x6],
];
for (const [options, flags] of FLAGS) {
  Deno.test(`Disk.attach(${JSON.stringify(options)}) passes the flags ${flags}, and no parameters`, async () => {
    const host = storageHost();
    using disk = await storage.openDisk(DISK, { host });
    await disk.attach(options);
    assertEquals(storageCalls(host).at(-1)!.args, {
      handle: Number(disk.handle),
      security: null,
      flags,
      providerFlags: 0,
      parameters: undefined,
      overlapped: null,
    });
    await disk.detach();
    assertEquals(held(host), [`handle ${DISK}`]);
  });
}

Deno.test("Disk.physicalPath() is the device of the attached disk, each with its own", async () => {
  const host = storageHost();
  await using one = await storage.attachDisk(DISK, { host });
  await using two = await storage.attachDisk(BLANK, { host });
  assertEquals([one.physicalPath(), two.physicalPath()], ["\\\\.\\PhysicalDrive1", "\\\\.\\PhysicalDrive2"]);
});

Deno.test("disposing of an attached disk detaches it, either way", async () => {
  const host = storageHost();
  {
    using disk = await storage.attachDisk(DISK, { host });
    assertEquals(held(host), [`attachedDisk ${DISK}`, `handle ${disk.path}`]);
  }
  assertEquals([held(host), sequence(host).includes("DetachVirtualDisk")], [[], false]);
  {
    await using _ = await storage.attachDisk(DISK, { host });
  }
  assertEquals([held(host), sequence(host).includes("DetachVirtualDisk")], [[], true]);
});

Deno.test("a disk attached for good stays when it is closed, and detachDisk() detaches it from anywhere", async () => {
  const host = storageHost();
  {
    await using disk = await storage.attachDisk(DISK, { permanent: true, host });
    assertEquals(disk.physicalPath(), "\\\\.\\PhysicalDrive1");
  }
  assertEquals([held(host), storage.isDiskInUse(DISK, { host })], [[`attachedDisk ${DISK}`], true]);
  assertEquals(await storage.detachDisk(DISK, { host }), true);
  assertEquals([held(host), storage.isDiskInUse(DISK, { host })], [[], false]);
  const from = host.calls.length;
  assertEquals(await storage.detachDisk(DISK, { host }), false);
  assertEquals(storageCalls(host, from), []);
});

Deno.test("detachDisk() detaches the disk of a scratch that a dead process left activated", async () => {
  const host = storageHost();
  await storage.activateLayer("C:\\scratch", { host });
  assertEquals(await storage.detachDisk(DISK, { host }), true);
  assertEquals(held(host), []);
});

Deno.test("Disk refuses to work when it is closed, and closes once", async () => {
  const host = storageHost();
  const disk = await storage.openDisk(DISK, { host });
  disk[Symbol.dispose]();
  disk[Symbol.dispose]();
  await disk[Symbol.asyncDispose]();
  assertThrows(() => disk.handle, storage.ClosedError, "was closed");
  assertThrows(() => disk.physicalPath(), storage.ClosedError);
  assertThrows(() => disk.info(), storage.ClosedError);
  await assertRejects(() => disk.attach(), storage.ClosedError);
  await assertRejects(() => disk.detach(), storage.ClosedError);
  assertEquals(sequence(host).filter((name) => name === "CloseHandle").length, 1);
});

Deno.test("a disk whose handle can't be closed stays open, and can be closed later", async () => {
  const host = storageHost();
  const disk = await storage.openDisk(DISK, { host });
  host.fail({ function: "CloseHandle", code: 6 });
  assertThrows(() => disk[Symbol.dispose](), storage.NativeError, "CloseHandle");
  host.failNothing();
  disk[Symbol.dispose]();
  assertEquals(held(host), []);
});

Deno.test("attaching a disk twice is a sharing violation, whoever has it", async () => {
  const host = storageHost();
  await using disk = await storage.attachDisk(DISK, { host });
  const error = await assertRejects(() => disk.attach(), storage.NativeError);
  assertEquals([error.operation, error.path, error.win32], ["AttachVirtualDisk", DISK, 32]);
  const refused = await assertRejects(() => storage.attachDisk(DISK, { host }), storage.InUseError);
  assertEquals(refused.path, DISK);
});

Deno.test("errors of virtual disks keep their own codes", async () => {
  const host = storageHost();
  host.fail({ function: "OpenVirtualDisk", code: 0xc03a001a });
  const error = await assertRejects(() => storage.openDisk(DISK, { host }), storage.NativeError);
  assertEquals([error.code, error.symbol, error.win32], [0xc03a001a, "ERROR_VIRTUAL_DISK_LIMITATION", undefined]);
});

for (
  const [build, calls] of [
    [17763, ["AttachVirtualDisk", "GetVirtualDiskPhysicalPath", "CreateFileW", "HcsFormatWritableLayerVhd"]],
    [18362, ["HcsFormatWritableLayerVhd"]],
    [26100, ["HcsFormatWritableLayerVhd"]],
  ] as const
) {
  Deno.test(`formatWritableLayerDisk() passes the handle that build ${build} wants`, async () => {
    const host = storageHost({ build });
    await storage.formatWritableLayerDisk(BLANK, { host });
    const all = sequence(host);
    assertEquals(all.slice(all.indexOf("OpenVirtualDisk") + 1, all.indexOf("HcsFormatWritableLayerVhd") + 1), [
      ...calls,
    ]);
    const device = host.calls.find((call) => call.function === "CreateFileW" && call.args.path !== BLANK);
    const attached = host.calls.filter((call) => call.function === "AttachVirtualDisk").map(({ args }) => args.flags);
    // Without a drive letter, and exempt from a BitLocker policy: 2 and 32.
    assertEquals(attached, build === 17763 ? [34] : []);
    assertEquals(device?.args.path, build === 17763 ? "\\\\.\\PhysicalDrive1" : undefined);
    assertEquals(held(host), []);
    await using mounted = await storage.mountWritableLayerDisk(BLANK, { host });
    assertEquals(host.exists(mounted.volume), true);
  });
}

Deno.test("isDiskInUse() opens the file shared with nobody, as only that conflicts with every other handle", () => {
  const host = storageHost();
  assertEquals(storage.isDiskInUse(DISK, { host }), false);
  assertEquals(host.calls.filter((call) => call.function === "CreateFileW").map(({ args }) => args.share), [0]);
});

Deno.test("mountWritableLayerDisk() attaches the disk until it is released", async () => {
  const host = storageHost();
  const disk = await storage.mountWritableLayerDisk(DISK, { host });
  assertEquals([disk.path, disk.holds], [DISK, [{ kind: "openDisk", path: DISK }]]);
  assertEquals(host.exists(disk.volume), true);
  await disk.release();
  await disk.release();
  assertEquals([host.exists(disk.volume), held(host), disk.holds], [false, [], []]);
  assertEquals(sequence(host).slice(-6), [
    "OpenVirtualDisk",
    "AttachVirtualDisk",
    "HcsGetLayerVhdMountPath",
    "LocalFree",
    "DetachVirtualDisk",
    "CloseHandle",
  ]);
});

Deno.test("an aborted signal stops each function of disks before it does anything", async () => {
  const host = storageHost();
  const signal = AbortSignal.abort(new Error("stop"));
  for (
    const call of [
      () => storage.createVhdx(NEW, { size: GIB, host, signal }),
      () => storage.createDifferencingDisk(NEW, DISK, { host, signal }),
      () => storage.openDisk(DISK, { host, signal }),
      () => storage.attachDisk(DISK, { host, signal }),
      () => storage.detachDisk(DISK, { host, signal }),
      () => storage.formatWritableLayerDisk(BLANK, { host, signal }),
      () => storage.mountWritableLayerDisk(DISK, { host, signal }),
    ]
  ) {
    await assertRejects(call, Error, "stop");
  }
  assertEquals(host.calls, []);
});

Deno.test("createVhdx() removes the disk when the signal is aborted while Windows creates it", async () => {
  const abort = new AbortController();
  const host = storageHost({
    latency(call) {
      if (call.function === "CreateVirtualDisk") queueMicrotask(() => abort.abort(new Error("stop")));
      return Promise.resolve();
    },
  });
  await assertRejects(() => storage.createVhdx(NEW, { size: GIB, host, signal: abort.signal }), Error, "stop");
  assertEquals([held(host), host.exists(NEW)], [[], false]);
});
