import { assert, assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { NativeError } from "../../../src/errors/windows_errors.ts";
import { type Host, windowsHost } from "../../../src/ffi/host.ts";
import type { Handle } from "../../../src/ffi/kernel32.ts";
import * as virtdisk from "../../../src/ffi/virtdisk.ts";
import { watched } from "./host.ts";
import { LayerFolders } from "./layers.ts";
import { probe } from "./probe.ts";
import { Recorder } from "./recorder.ts";

const DISK = "C:\\disks\\Ärger 😀.vhdx";
const DIFF = "C:\\disks\\diff.vhdx";

interface Case {
  name: string;
  fn: keyof typeof virtdisk.virtdiskSymbols;
  /** The disk that is open. */
  path?: string;
  call(host: Host, disk: bigint): unknown;
  answer?: unknown;
  received: Record<string, unknown>;
  raw?: Record<string, string>;
  fast?: true;
}

const ZEROS_20 = "00".repeat(20);

// struct-layouts, CREATE_VIRTUAL_DISK_PARAMETERS version 2: 128 bytes. ParentPath, a pointer, is at 48.
function createBytes(fields: { size?: string; blockSize?: string; openFlags?: string }): string {
  const { size = "00".repeat(8), blockSize = "00".repeat(4), openFlags = "00".repeat(4) } = fields;
  return [
    "02000000" + "00000000", // Version, padding
    "00".repeat(16), // UniqueId
    size, // MaximumSize @24
    blockSize, // BlockSizeInBytes @32
    "00000000" + "00000000" + "00000000", // SectorSizeInBytes, PhysicalSectorSizeInBytes, padding
    "P".repeat(16), // ParentPath @48
    "00".repeat(8), // SourcePath @56
    openFlags, // OpenFlags @64
    ZEROS_20 + ZEROS_20, // ParentVirtualStorageType @68, SourceVirtualStorageType @88
    "00".repeat(16) + "00000000", // ResiliencyGuid @108, padding
  ].join("");
}

// OPEN_VIRTUAL_DISK_PARAMETERS version 2: 28 bytes: Version, GetInfoOnly, ReadOnly, ResiliencyGuid.
const OPEN_BYTES = "02000000" + "00".repeat(24);

const CASES: Case[] = [
  {
    name: "CreateVirtualDisk of a disk",
    fn: "CreateVirtualDisk",
    // Each byte another one.
    call: (host) => virtdisk.createVirtualDisk(host, DISK, { size: 0x0102_0304_0506_0708n, blockSize: 0x090a0b0c }),
    received: {
      path: DISK,
      accessMask: 0,
      securityDescriptor: null,
      flags: 0,
      providerSpecificFlags: 0,
      parameters: {
        Version: 2,
        MaximumSize: 0x0102_0304_0506_0708,
        BlockSizeInBytes: 0x090a0b0c,
        OpenFlags: 0,
        ParentPath: null,
      },
      overlapped: null,
    },
    raw: {
      type: ZEROS_20,
      parameters: createBytes({ size: "0807060504030201", blockSize: "0c0b0a09" }).replace(/P/g, "0"),
    },
  },
  {
    name: "CreateVirtualDisk of a differencing disk",
    fn: "CreateVirtualDisk",
    call: (host) =>
      virtdisk.createVirtualDisk(host, DIFF, { parent: DISK, parentFlags: virtdisk.openFlag.CACHED_IO, blockSize: 0 }),
    received: {
      path: DIFF,
      accessMask: 0,
      securityDescriptor: null,
      flags: 0,
      providerSpecificFlags: 0,
      // The path behind the pointer.
      parameters: { Version: 2, MaximumSize: 0, BlockSizeInBytes: 0, OpenFlags: 8, ParentPath: DISK },
      overlapped: null,
    },
    raw: { type: ZEROS_20, parameters: createBytes({ openFlags: "08000000" }) },
  },
  {
    name: "OpenVirtualDisk",
    fn: "OpenVirtualDisk",
    call: (host) =>
      virtdisk.openVirtualDisk(
        host,
        DISK,
        virtdisk.openFlag.CACHED_IO | virtdisk.openFlag.IGNORE_RELATIVE_PARENT_LOCATOR,
      ),
    received: { path: DISK, accessMask: 0, flags: 0x88 },
    raw: { type: ZEROS_20, parameters: OPEN_BYTES },
  },
  {
    name: "AttachVirtualDisk",
    fn: "AttachVirtualDisk",
    call: (host, disk) =>
      virtdisk.attachVirtualDisk(
        host,
        disk,
        virtdisk.attachFlag.READ_ONLY | virtdisk.attachFlag.NO_DRIVE_LETTER | virtdisk.attachFlag.PERMANENT_LIFETIME,
        DISK,
      ),
    received: {
      handle: DISK,
      securityDescriptor: null,
      flags: 7,
      providerSpecificFlags: 0,
      parameters: null,
      overlapped: null,
    },
  },
  {
    name: "DetachVirtualDisk",
    fn: "DetachVirtualDisk",
    call: (host, disk) => virtdisk.detachVirtualDisk(host, disk, DISK),
    received: { handle: DISK, flags: 0, providerSpecificFlags: 0 },
  },
  {
    name: "GetVirtualDiskPhysicalPath",
    fn: "GetVirtualDiskPhysicalPath",
    call: (host, disk) => virtdisk.physicalPath(host, disk, DISK),
    answer: "\\\\.\\PhysicalDrive7",
    received: { handle: DISK, diskPathSizeInBytes: 512 },
    fast: true,
  },
  {
    name: "GetVirtualDiskInformation of the sizes",
    fn: "GetVirtualDiskInformation",
    call: (host, disk) => virtdisk.diskSizes(host, disk, DISK),
    answer: { size: 0x1234_5678_9a00n, fileSize: 0x40_0000n, blockSize: 0x10_0000, sectorSize: 512 },
    received: { handle: DISK, virtualDiskInfoSize: 32, version: 1, sizeUsed: "non-null" },
    fast: true,
  },
  {
    name: "GetVirtualDiskInformation of the parent",
    fn: "GetVirtualDiskInformation",
    path: DIFF,
    call: (host, disk) => virtdisk.diskParent(host, disk, DIFF),
    answer: { path: `${DIFF}.base`, found: true },
    received: { handle: DIFF, virtualDiskInfoSize: 8192, version: 3, sizeUsed: "non-null" },
    fast: true,
  },
];

// Of no open disk.
const BELOW = ["GetAllAttachedVirtualDiskPhysicalPaths", "GetStorageDependencyInformation"];

Deno.test("CASES have every function of virtdisk.dll that takes an open disk", () => {
  const all = [...new Set(CASES.map(({ fn }) => fn)), ...BELOW];
  assertEquals(all.sort(), Object.keys(virtdisk.virtdiskSymbols).sort());
});

for (const calls of ["pool", "thread"] as const) {
  Deno.test(`diskFileOf() returns the nearest of several files, of addresses in its own memory (${calls})`, async () => {
    using folders = new LayerFolders(["virtual"]);
    using host = windowsHost({ calls });
    using recorder = new Recorder();
    const names: string[] = [];
    const file = await virtdisk.diskFileOf(watched(host, names), folders.layers[0]!);
    assertEquals(file, "\\\\?\\Volume{0a0b0c0d-0102-0304-0506-0708090a0b0c}\\disks\\Ärger.vhdx");
    assertEquals(recorder.calls.map(({ args, hr }) => [args.isOnDisk, args.flags, args.version, hr]), [
      [1, 1, 2, "0x8007007a"],
      [1, 1, 2, "0x00000000"],
    ]);
    const [first, second] = recorder.calls.map(({ args }) => args.size as number);
    assert(first! < second!);
    assertEquals(recorder.calls[0]!.thread !== host.symbols(probe).ThreadId(), calls === "pool");
    assertEquals(count(names, "LocalAlloc"), count(names, "LocalFree"));
    assertEquals(count(names, "CreateFileW"), count(names, "CloseHandle"));

    assertEquals(await virtdisk.diskFileOf(host, folders.scratch), undefined);
    recorder.fail({ "GetStorageDependencyInformation#*": 0x80070005 });
    const error = await assertRejects(() => virtdisk.diskFileOf(host, folders.scratch), NativeError);
    assertEquals([error.operation, error.symbol], ["GetStorageDependencyInformation", "ERROR_ACCESS_DENIED"]);
  });

  Deno.test(`attachedDiskFiles() returns the files of attached disks, however long their list is (${calls})`, async () => {
    using host = windowsHost({ calls });
    using disk = await virtdisk.openVirtualDisk(host, DISK);
    assertEquals(await virtdisk.attachedDiskFiles(host), []);
    await virtdisk.attachVirtualDisk(host, disk.value, virtdisk.attachFlag.READ_ONLY);
    using recorder = new Recorder();
    assertEquals(await virtdisk.attachedDiskFiles(host), [DISK]);
    assertEquals(recorder.calls.map(({ hr }) => hr), ["0x8007007a", "0x00000000"]);
    recorder.fail({ "GetAllAttachedVirtualDiskPhysicalPaths#*": 0x80070005 });
    const error = await assertRejects(() => virtdisk.attachedDiskFiles(host), NativeError);
    assertEquals([error.operation, error.path], ["GetAllAttachedVirtualDiskPhysicalPaths", undefined]);
    await virtdisk.detachVirtualDisk(host, disk.value);
  });
}

for (const calls of ["pool", "thread"] as const) {
  for (const { name, fn, path = DISK, call, received, ...expected } of CASES) {
    Deno.test(`${name} receives what was passed, and its answer arrives (${calls})`, async () => {
      using host = windowsHost({ calls });
      using disk = await virtdisk.openVirtualDisk(host, path);
      using recorder = new Recorder();
      recorder.wantRaw();
      const names: string[] = [];
      const answer = await call(watched(host, names), disk.value);

      const [recorded, ...others] = recorder.calls;
      assertEquals(others, []);
      assertEquals(
        { dll: recorded!.dll, fn: recorded!.fn, hr: recorded!.hr, args: recorded!.args },
        { dll: "virtdisk", fn, hr: "0x00000000", args: received },
      );
      assertEquals(recorded!.thread !== host.symbols(probe).ThreadId(), calls === "pool" && !expected.fast);
      checkBytes(recorded!.raw, expected.raw);
      if (isHandle(answer)) {
        // Its number is the one that the DLL gave: the DLL knows the disk by it, and the system can close it.
        await virtdisk.detachVirtualDisk(host, answer.value);
        assertEquals(recorder.calls[1]!.args.handle, received.path);
        answer[Symbol.dispose]();
        assertEquals(count(names, "CloseHandle"), 1);
      } else {
        assertEquals(answer, expected.answer);
      }
      assertEquals(count(names, "LocalAlloc"), count(names, "LocalFree"));
    });

    Deno.test(`${name} that fails becomes a NativeError, of a Win32 code and of another (${calls})`, async () => {
      using host = windowsHost({ calls });
      using disk = await virtdisk.openVirtualDisk(host, path);
      using recorder = new Recorder();
      const names: string[] = [];
      for (
        const [code, symbol] of [[0x80070020, "ERROR_SHARING_VIOLATION"], [0xc03a001a, "ERROR_VIRTUAL_DISK_LIMITATION"]]
      ) {
        recorder.fail({ [`${fn}#*`]: code as number });
        const error = await assertRejects(async () => await call(watched(host, names), disk.value), NativeError);
        assertEquals(
          { operation: error.operation, path: error.path, code: error.code, symbol: error.symbol },
          { operation: fn, path: (received.path ?? path) as string, code: code as number, symbol: symbol as string },
        );
      }
      assertEquals(count(names, "LocalAlloc"), count(names, "LocalFree"));
      assertEquals(count(names, "CloseHandle"), 0);
    });
  }
}

Deno.test("diskParent() is undefined for a disk that differs from none", async () => {
  using host = windowsHost();
  using disk = await virtdisk.openVirtualDisk(host, DISK);
  using recorder = new Recorder();
  assertEquals(virtdisk.diskParent(host, disk.value), undefined);
  assertEquals(recorder.calls.map(({ hr }) => hr), ["0xc03a001b"]);
});

function isHandle(answer: unknown): answer is Handle {
  return typeof answer === "object" && answer !== null && Symbol.dispose in answer;
}

function count(names: readonly string[], name: string): number {
  return names.filter((other) => other === name).length;
}

// Of a pointer only the place is known: it is a run of P in what is expected.
function checkBytes(raw: Readonly<Record<string, string>> = {}, expected: Record<string, string> = {}): void {
  assertEquals(Object.keys(raw), Object.keys(expected));
  for (const [key, bytes] of Object.entries(expected)) {
    assertEquals(raw[key]!.length, bytes.length, key);
    const at = bytes.indexOf("P");
    if (at < 0) {
      assertEquals(raw[key], bytes);
      continue;
    }
    assertEquals(raw[key]!.slice(0, at), bytes.slice(0, at));
    assert(/[1-9a-f]/.test(raw[key]!.slice(at, at + 16)), "no pointer");
    assertEquals(raw[key]!.slice(at + 16), bytes.slice(at + 16));
  }
}
