import { assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.0";
import { hostFile } from "../../src/checks/host_file.ts";
import { InvalidInputError } from "../../src/errors/input_error.ts";
import { InUseError, UnexpectedAnswerError } from "../../src/errors/state_errors.ts";
import { MissingExportError, NativeError } from "../../src/errors/windows_errors.ts";
import type { Dll } from "../../src/ffi/table.ts";
import { SlotAllocator } from "../../src/uvm/devices/slot_allocator.ts";
import { FakeVM, refused, short } from "../support/vm.ts";

Deno.test("SlotAllocator.allocate() returns the lowest free slot, and nothing once all are allocated", () => {
  const slots = new SlotAllocator(3);
  slots.claim(1);
  assertEquals([slots.allocate(), slots.allocate(), slots.allocate()], [0, 2, undefined]);
  slots.free(1);
  slots.free(0);
  assertEquals([slots.allocate(), slots.allocate(), slots.allocate()], [0, 1, undefined]);
  assertEquals(slots.used, 3);
});

function windows(options?: ConstructorParameters<typeof FakeVM>[1]): FakeVM {
  const vm = new FakeVM("windows", options);
  vm.host.addLayer("C:\\layers\\1");
  vm.host.addFile("C:\\disk.vhdx", 2 ** 20);
  return vm;
}

function linux(options?: ConstructorParameters<typeof FakeVM>[1]): FakeVM {
  const vm = new FakeVM("linux", options);
  for (let i = 0; i < 260; i++) vm.host.addFile(disk(i), 4096);
  return vm;
}

function disk(i: number): string {
  return `C:\\disks\\${i}.vhd`;
}

function optionsOf(vm: FakeVM): unknown {
  return (vm.requests.at(-1)!.Settings as { Options: unknown }).Options;
}

Deno.test("VSMBShares.reserve() never uses a name twice, and counts in hexadecimal", async () => {
  const vm = windows({ noDirectMap: true });
  const names: string[] = [];
  for (let i = 0; i < 11; i++) {
    const share = vm.vsmb.reserve(hostFile(vm.host, "C:\\layers\\1"));
    await share.attach();
    names.push(share.hold.name);
    await share.release();
  }
  assertEquals(names.slice(7), ["s8", "s9", "sa", "sb"]);
  // A name that was refused isn't used again either.
  vm.before = () => Promise.reject(refused(0x80070005));
  const share = vm.vsmb.reserve(hostFile(vm.host, "C:\\layers\\1"));
  await assertRejects(() => share.attach());
  vm.before = () => {};
  await share.attach();
  assertEquals(share.hold.name, "sd");
});

Deno.test("VSMBShares.reserve() has no file mapped where the VM was made so", async () => {
  const vm = windows({ noDirectMap: true });
  await vm.vsmb.reserve(hostFile(vm.host, "C:\\layers\\1")).attach();
  assertEquals(optionsOf(vm), {
    ReadOnly: true,
    ShareRead: true,
    CacheIo: true,
    TakeBackupPrivilege: true,
    PseudoOplocks: true,
    NoDirectmap: true,
  });
});

for (
  const [build, noDirectMap] of [[18361, false], [18362, true], [19042, true], [19043, false]] as const
) {
  Deno.test(`VSMBShares.reserve() on build ${build} ${noDirectMap ? "needs" : "doesn't need"} file ids to map files`, async () => {
    const vm = windows({ simulated: { build, revision: 1 } });
    vm.host.fail({ function: "GetFileInformationByHandleEx", code: 87 });
    await vm.vsmb.reserve(hostFile(vm.host, "C:\\layers\\1")).attach();
    assertEquals((optionsOf(vm) as { NoDirectmap?: boolean }).NoDirectmap ?? false, noDirectMap);
    assertEquals(vm.host.held().filter(({ kind }) => kind === "handle"), []);
  });
}

Deno.test("VSMBShares.reserve() on build 19042 has files mapped where the file system has file ids", async () => {
  const vm = windows({ simulated: { build: 19042, revision: 1 } });
  await vm.vsmb.reserve(hostFile(vm.host, "C:\\layers\\1")).attach();
  assertEquals("NoDirectmap" in (optionsOf(vm) as object), false);
});

Deno.test("hostFile() refuses a path at which there is nothing", () => {
  assertThrows(() => hostFile(windows().host, "C:\\layers\\no"), NativeError);
});

Deno.test("SCSIDisks.reserveAttachment() refuses one disk both read-only and writable", async () => {
  const vm = linux();
  const use = vm.scsi.reserveAttachment(hostFile(vm.host, disk(1)), { readOnly: true })!;
  await use.attach();
  assertThrows(
    () => vm.scsi.reserveAttachment(hostFile(vm.host, disk(1)), { readOnly: false }),
    InUseError,
    "read-only",
  );
  await use.release();
  assertEquals(vm.scsi.capacity.used, 0);
  vm.scsi.reserveAttachment(hostFile(vm.host, disk(1)), { readOnly: false });
  assertThrows(
    () => vm.scsi.reserveAttachment(hostFile(vm.host, disk(1)), { readOnly: true }),
    InUseError,
    "writable",
  );
});

Deno.test("SCSIDisks.reserveMount() with the same options, in any order, is one mount", () => {
  const vm = linux();
  const attachment = vm.scsi.reserveAttachment(hostFile(vm.host, disk(1)), { readOnly: false })!;
  const options = ["noexec", "ro"];
  const mounts = [
    vm.scsi.reserveMount(attachment, { options }),
    vm.scsi.reserveMount(attachment, { options: ["ro", "noexec"], partition: 0, readOnly: false }),
    vm.scsi.reserveMount(attachment, { options: [] }),
    vm.scsi.reserveMount(attachment),
  ];
  assertEquals(mounts.map((mount) => mount.hold.guestPath), [
    "/run/mounts/scsi/m0",
    "/run/mounts/scsi/m0",
    "/run/mounts/scsi/m1",
    "/run/mounts/scsi/m1",
  ]);
  assertEquals(options, ["noexec", "ro"]);
});

Deno.test("SCSIDisks.reserveMount() makes a mount of its own for each option", () => {
  const vm = linux();
  const attachment = vm.scsi.reserveAttachment(hostFile(vm.host, disk(0)), { readOnly: false })!;
  const options = [
    {},
    { partition: 1 },
    { readOnly: true },
    { encrypted: true },
    { options: ["ro"] },
    { filesystem: "ext4" as const },
  ];
  const paths = options.map((one) => vm.scsi.reserveMount(attachment, one).hold.guestPath);
  assertEquals(new Set(paths).size, options.length);
});

Deno.test("SCSIDisks.reserveMount() refuses what a Windows guest can't do", () => {
  const vm = windows({ scsi: { controllers: 2, own: [] } });
  for (let i = 0; i < 65; i++) vm.host.addFile(disk(i), 4096);
  const disks = Array.from(
    { length: 65 },
    (_, i) => vm.scsi.reserveAttachment(hostFile(vm.host, disk(i)), { readOnly: false })!,
  );
  assertEquals(disks[64]!.hold.controller, 1);
  assertThrows(() => vm.scsi.reserveMount(disks[64]!), InvalidInputError, "controller");
  assertThrows(() => vm.scsi.reserveMount(disks[0]!, { partition: 1 }), InvalidInputError, "options");
});

Deno.test("SCSIDisks.reserveAttachment() fills 4 controllers of 64 places in order, and then has none", async () => {
  const vm = linux({ scsi: { controllers: 4, own: [] } });
  const uses = Array.from(
    { length: 256 },
    (_, i) => vm.scsi.reserveAttachment(hostFile(vm.host, disk(i)), { readOnly: true })!,
  );
  await Promise.all(uses.map((use) => use.attach()));
  const { controller, lun } = uses[255]!.hold;
  assertEquals({ controller, lun }, { controller: 3, lun: 63 });
  assertEquals(
    vm.requests[64]!.ResourcePath,
    "VirtualMachine/Devices/Scsi/0110f83b-de10-5172-a266-78bca56bf50a/Attachments/0",
  );
  assertEquals(vm.scsi.reserveAttachment(hostFile(vm.host, disk(256)), { readOnly: true }), undefined);
  assertEquals(vm.scsi.capacity, { device: "SCSI slots", total: 256, used: 256 });
  // One that is attached already needs no place.
  await vm.scsi.reserveAttachment(hostFile(vm.host, disk(7)), { readOnly: true })!.attach();
  await uses[70]!.release();
  assertEquals(vm.scsi.reserveAttachment(hostFile(vm.host, disk(256)), { readOnly: true })!.hold.lun, 6);
});

Deno.test("SCSIDisks.reserveAttachment() attaches different disks side by side", async () => {
  const vm = linux();
  let open = 0;
  let most = 0;
  vm.before = async () => {
    most = Math.max(most, ++open);
    for (let i = 0; i < 10; i++) await null;
    open--;
  };
  const uses = Array.from(
    { length: 20 },
    (_, i) => vm.scsi.reserveAttachment(hostFile(vm.host, disk(i)), { readOnly: true })!,
  );
  await Promise.all(uses.map((use) => use.attach()));
  assertEquals(most, 20);
});

Deno.test("SCSIDisks.reserveAccess() counts a Windows that can't take an access back as done", async () => {
  const vm = windows();
  const symbols = vm.host.symbols.bind(vm.host) as (dll: Dll) => object;
  vm.host.symbols = ((dll: Dll) => ({ ...symbols(dll), RevokeVmAccess: missing })) as typeof vm.host.symbols;
  const use = vm.scsi.reserveAccess(hostFile(vm.host, "C:\\disk.vhdx"));
  await use.attach();
  assertEquals(await use.release(), true);
});

function missing(): never {
  throw new MissingExportError("vmcompute.dll", "RevokeVmAccess", "");
}

Deno.test("VPMemDevices.reserve() gives 128 files a device each, and then has none", async () => {
  const vm = linux({ vpmem: { multiMapping: false, deviceCount: 128 } });
  const uses = Array.from({ length: 128 }, (_, i) => vm.vpmem.reserve(hostFile(vm.host, disk(i)), 4096)!);
  await Promise.all(uses.map((use) => use.attach()));
  assertEquals(uses[127]!.hold.guestPath, "/run/layers/p127");
  assertEquals(vm.vpmem.reserve(hostFile(vm.host, disk(128)), 4096), undefined);
  assertEquals(vm.vpmem.capacity, { device: "vPMem devices", total: 128, used: 128, maximumBytes: 2 ** 32 });
  await uses[5]!.release();
  assertEquals(vm.vpmem.reserve(hostFile(vm.host, disk(128)), 4096)!.hold.device, 5);
});

Deno.test("VPMemDevices.reserve() has no device for a file that is larger than one", () => {
  const vm = linux({ vpmem: { multiMapping: false, deviceSizeBytes: 8192 } });
  assertEquals(vm.vpmem.reserve(hostFile(vm.host, disk(0)), 8193), undefined);
  assertEquals(vm.vpmem.reserve(hostFile(vm.host, disk(0)), 8192)!.hold.device, 0);
  const mapped = linux();
  assertEquals(mapped.vpmem.reserve(hostFile(mapped.host, disk(0)), 2 ** 32 + 1), undefined);
  assertEquals(mapped.vpmem.capacity.used, 0);
  assertEquals(
    mapped.vpmem.reserve(hostFile(mapped.host, disk(0)), 2 ** 32)!.hold.guestPath,
    "/run/layers/p0-0-4294967296",
  );
});

Deno.test("VPMemDevices.reserve() maps 1024 files into a device, then uses the next, and then has none", () => {
  const vm = new FakeVM("linux", { vpmem: { deviceCount: 2 } });
  for (let i = 0; i < 2049; i++) vm.host.addFile(disk(i), 4096);
  const uses = Array.from({ length: 2048 }, (_, i) => vm.vpmem.reserve(hostFile(vm.host, disk(i)), 4096)!);
  assertEquals(uses[1023]!.hold.guestPath, `/run/layers/p0-${1023 * 2 ** 20}-4096`);
  assertEquals(uses[1024]!.hold.guestPath, "/run/layers/p1-0-4096");
  assertEquals(vm.vpmem.reserve(hostFile(vm.host, disk(2048)), 4096), undefined);
  uses[3]![Symbol.dispose]();
  assertEquals(
    vm.vpmem.reserve(hostFile(vm.host, disk(2048)), 1)!.hold.guestPath,
    `/run/layers/p0-${3 * 2 ** 20}-4096`,
  );
});

Deno.test("VPMemDevices.reserve() leaves device 0 to the disk that the VM boots from, also where files are mapped", () => {
  const host = linux().host;
  const vm = new FakeVM("linux", { host, vpmem: { bootPath: disk(0), deviceCount: 2 } });
  assertEquals(vm.vpmem.reserve(hostFile(vm.host, disk(1)), 4096)!.hold.guestPath, "/run/layers/p1-0-4096");
  assertThrows(() => vm.vpmem.reserve(hostFile(vm.host, disk(0).toUpperCase()), 4096), InUseError, "boots from");
  assertEquals(vm.vpmem.capacity.used, 2);
});

Deno.test("SCSIDisks.reserveAttachment() leaves the VM's own disks and their places alone", () => {
  const host = linux().host;
  const own = [{ controller: 0, lun: 0, hostPath: disk(0) }];
  const vm = new FakeVM("linux", { host, scsi: { controllers: 1, own } });
  assertEquals(vm.scsi.reserveAttachment(hostFile(vm.host, disk(1)), { readOnly: true })!.hold.lun, 1);
  assertThrows(
    () => vm.scsi.reserveAttachment(hostFile(vm.host, disk(0).toUpperCase()), { readOnly: true }),
    InUseError,
  );
});

Deno.test("a device that is shared is added by one request and removed by one", async () => {
  const vm = linux();
  const uses = Array.from({ length: 5 }, () => vm.vpmem.reserve(hostFile(vm.host, disk(0)), 4096)!);
  await Promise.all(uses.map((use) => use.attach()));
  assertEquals(await Promise.all(uses.map((use) => use.release())), [true, true, true, true, true]);
  assertEquals(vm.requests.map(short), [
    "Add VirtualPMem/Devices/0/Mappings/0 + Add VPMemDevice /run/layers/p0-0-4096",
    "Remove VirtualPMem/Devices/0/Mappings/0 + Remove VPMemDevice /run/layers/p0-0-4096",
  ]);
});

Deno.test("a device of a VM that ends while it is asked to remove it is gone", async () => {
  const vm = linux();
  const use = vm.vpmem.reserve(hostFile(vm.host, disk(0)), 4096)!;
  await use.attach();
  vm.before = () => {
    vm.state = "ended";
  };
  assertEquals(await use.release(), true);
  assertEquals(vm.vpmem.capacity.used, 0);
});

Deno.test("a device is held as long as no answer to its removal can be read", async () => {
  const vm = windows();
  const use = vm.vsmb.reserve(hostFile(vm.host, "C:\\layers\\1"));
  const unread = new UnexpectedAnswerError("ModifySettings", "is not JSON", "{");
  vm.before = () => Promise.reject(unread);
  const maybe: unknown[] = [];
  await assertRejects(() => use.attach(undefined, (held) => maybe.push(held)), UnexpectedAnswerError);
  assertEquals(maybe, [use]);
  for (let i = 0; i < 2; i++) await assertRejects(() => use.release(), UnexpectedAnswerError);
  vm.before = () => {};
  assertEquals(await use.release(), true);
});

Deno.test("VPMemDevices.reserve() finds a large place where the small ones left are beyond the size of a device", () => {
  const vm = linux({ vpmem: { deviceCount: 1, deviceSizeBytes: 6 * 2 ** 20 } });
  const reserve = (i: number, mebibytes: number) => vm.vpmem.reserve(hostFile(vm.host, disk(i)), mebibytes * 2 ** 20);
  const large = reserve(0, 4)!;
  assertEquals([reserve(1, 1), reserve(2, 1), reserve(3, 1)].map((use) => use !== undefined), [true, true, false]);
  large[Symbol.dispose]();
  assertEquals(reserve(4, 1)?.hold.guestPath, "/run/layers/p0-0-1048576");
});

Deno.test("VPMemDevices.reserve() maps no file beyond the size of a device", () => {
  const vm = linux({ vpmem: { deviceCount: 2, deviceSizeBytes: 5 * 2 ** 20 } });
  const places = Array.from({ length: 11 }, (_, i) => vm.vpmem.reserve(hostFile(vm.host, disk(i)), 2 ** 20)?.hold);
  assertEquals(places.map((place) => place && `${place.device} ${place.guestPath.split("-")[1]}`), [
    ...[0, 1, 2, 3, 4].map((n) => `0 ${n * 2 ** 20}`),
    ...[0, 1, 2, 3, 4].map((n) => `1 ${n * 2 ** 20}`),
    undefined,
  ]);
  assertEquals(vm.vpmem.capacity.maximumBytes, 5 * 2 ** 20);
  assertEquals(
    linux({ vpmem: { deviceSizeBytes: 2 ** 20 } }).vpmem.reserve(hostFile(vm.host, disk(1)), 2 ** 21),
    undefined,
  );
});
