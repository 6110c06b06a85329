// How a machine and its processes end, and how a machine comes back.
import { assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.0";
import { createUtilityVM, listMounts, mountWCOWLayers, unmountWCOWLayers } from "../../mod.ts";
import * as k32 from "../../src/ffi/kernel32.ts";
import * as vd from "../../src/ffi/virtdisk.ts";
import { SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";
import { attachDisk, mountCimImage, openDisk } from "../../src/storage/mod.ts";
import { held, heldKinds } from "../support/calls.ts";
import { GIB, hostWith, MOUNT, SCRATCH, STACK, stackHost } from "../support/host.ts";
import { LINUX, startedVM, vmHost, WINDOWS } from "../support/vm_host.ts";

const DISK = "C:\\disks\\data.vhdx";
const CIM_STACK = ["C:\\layers\\top", SCRATCH];
const cimHost = () => hostWith({ cimLayers: ["C:\\layers\\top"], scratches: [SCRATCH], disks: { [DISK]: GIB } });

Deno.test("restart(): what is attached, mounted, filtered or open is gone; files, links, streams and records stay", async () => {
  const host = cimHost();
  const before = host.paths();
  await mountWCOWLayers("c1", CIM_STACK, { host, volumeMountPath: MOUNT });
  await attachDisk(DISK, { permanent: true, host });
  k32.openFile(host.otherProcess(), "C:\\layers", { flags: k32.fileFlag.BACKUP_SEMANTICS });
  const { machine } = host;
  host.restart();
  assertEquals(heldKinds(host), ["folder", "folder", "mountPoint"]);
  assertEquals([host.machine === machine, (await listMounts({ host })).map(({ state }) => state)], [false, ["gone"]]);
  // The link is there, and leads nowhere.
  assertEquals(k32.fileAttributes(host, MOUNT)! & k32.attribute.REPARSE_POINT, k32.attribute.REPARSE_POINT);
  assertEquals(host.paths().filter((path) => !before.includes(path)), ["C:\\mnt", MOUNT]);
  await unmountWCOWLayers(SCRATCH, { host, volumeMountPath: MOUNT });
  assertEquals([held(host), host.paths()], [[], before]);
});

Deno.test("restart(): the layers that were mounted can be mounted again", async () => {
  const host = stackHost();
  await mountWCOWLayers("c1", STACK, { host });
  host.restart();
  await (await mountWCOWLayers("c1", STACK, { host })).release();
  assertEquals(held(host), []);
});

Deno.test("restart() ends VMs, other processes and what was being deleted", async () => {
  const host = vmHost();
  const other = host.otherProcess();
  await startedVM(other, WINDOWS);
  host.addFolder("C:\\gone");
  k32.openFile(other, "C:\\gone", { flags: k32.fileFlag.BACKUP_SEMANTICS });
  k32.removeDirectory(host, "C:\\gone");
  host.restart();
  assertEquals([held(host), host.exists("C:\\gone")], [[], false]);
  assertThrows(() => k32.fileAttributes(other, "C:\\"), SimulationError, "has ended");
});

Deno.test("endProcess(): its disks are detached but permanent ones, and its VMs end; layers stay mounted", async () => {
  const host = vmHost();
  host.addScratch("C:\\scratch\\c1");
  host.addDisk(DISK, GIB);
  host.addDisk("C:\\disks\\kept.vhdx", GIB);
  const other = host.otherProcess();
  await startedVM(other, WINDOWS);
  await attachDisk(DISK, { host: other });
  await attachDisk("C:\\disks\\kept.vhdx", { permanent: true, host: other });
  await mountWCOWLayers("c1", ["C:\\layers\\uvmbase", "C:\\scratch\\c1"], { host: other });
  await mountCimImageIn(other);
  other.endProcess();
  assertEquals(heldKinds(host), ["activation", "filter", "cimVolume", "attachedDisk"]);
  assertThrows(() => k32.fileAttributes(other, "C:\\"), SimulationError, "the process 2 has ended");
  await (await attachDisk(DISK, { host }))[Symbol.asyncDispose]();
});

async function mountCimImageIn(host: SimulatedHost): Promise<void> {
  host.addFile("C:\\images\\x.cim", 4096);
  await mountCimImage("C:\\images\\x.cim", "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\", { host });
}

Deno.test("endProcess(): a disk and a VM stay as long as another process has them open", async () => {
  const host = vmHost();
  host.addDisk(DISK, GIB);
  const [one, two] = [host.otherProcess(), host.otherProcess()];
  await attachDisk(DISK, { host: one });
  const open = await openDisk(DISK, { host: two });
  one.endProcess();
  assertEquals(heldKinds(host), ["attachedDisk"]);
  open[Symbol.dispose]();
  assertEquals(held(host), []);
});

Deno.test("endProcess(): in the middle of a mount, nothing of the process has an effect any more", async () => {
  const host = stackHost();
  const other = host.otherProcess();
  other.before("PrepareLayer", () => other.endProcess());
  await assertRejects(() => mountWCOWLayers("c1", STACK, { host: other }));
  assertEquals(held(host), [`activation ${SCRATCH}`]);
  await unmountWCOWLayers(SCRATCH, { host });
  assertEquals(held(host), []);
});

Deno.test("endProcess(), restart(), restore(): what waits for a guest in the process ends", async () => {
  for (const fn of ["accept", "recv", "send"]) {
    for (const completion of ["synchronous", 1] as const) {
      const endings = [
        (host: SimulatedHost) => host.endProcess(),
        (_: SimulatedHost, first: SimulatedHost) => first.restart(),
        (_: SimulatedHost, first: SimulatedHost) => first.restore(first.snapshot()),
      ];
      for (const end of endings) {
        const host = vmHost({ completion });
        const other = host.otherProcess();
        const vm = await createUtilityVM(LINUX, { host: other });
        // The call that is made then waits for the guest already.
        other.before(fn, () => void queueMicrotask(() => end(other, host)), { nth: 1 });
        await assertRejects(() => vm.start());
        assertEquals(held(host), []);
      }
    }
  }
});

Deno.test("endProcess(): when it was started is told by a handle that was open before it ended", () => {
  const host = stackHost();
  const owner = host.otherProcess();
  const id = k32.currentProcess(owner);
  host.before("GetProcessTimes", () => owner.endProcess());
  assertEquals([k32.hasEnded(host, id), k32.hasEnded(host, id)], [false, true]);
});

Deno.test("endProcess(): the death of a process of another program can be told, by its number", async () => {
  const file = await Deno.makeTempFile();
  try {
    const host = new SimulatedHost({ file });
    host.addDisk(DISK, GIB);
    await attachDisk(DISK, { host: new SimulatedHost({ file }) });
    assertEquals(host.held().map(({ by }) => by?.process), [2]);
    host.endProcess(2);
    assertEquals(held(host), []);
    await vd.openVirtualDisk(host, DISK);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("snapshot() survives JSON, and restore() returns to it, as a new process", async () => {
  const host = stackHost();
  const empty = host.snapshot();
  await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  const mounted = JSON.parse(JSON.stringify(host.snapshot()));
  const [paths, kinds] = [host.paths(), heldKinds(host)];
  host.restore(empty);
  assertEquals(held(host), []);
  await (await mountWCOWLayers("c1", STACK, { host })).release();
  for (let i = 0; i < 2; i++) {
    host.restore(mounted);
    assertEquals([host.paths(), heldKinds(host)], [paths, kinds]);
    await unmountWCOWLayers(SCRATCH, { host });
    assertEquals(held(host), []);
  }
  assertThrows(() => host.restore({ format: 2, state: {} }), SimulationError, "no snapshot");
});

Deno.test("restore() leaves the clock alone, and what was due comes that much later", async () => {
  const host = stackHost();
  const disk = `${SCRATCH}\\sandbox.vhdx`;
  host.openFile(disk, { share: [], closesAfter: 100 });
  const busy = host.snapshot();
  await host.sleep(5000);
  k32.openFile(host, disk, { access: k32.access.GENERIC_READ })[Symbol.dispose]();
  host.restore(busy);
  assertEquals(host.clock.now, 5000);
  assertThrows(() => k32.openFile(host, disk, { access: k32.access.GENERIC_READ }));
  await host.sleep(100);
  k32.openFile(host, disk, { access: k32.access.GENERIC_READ })[Symbol.dispose]();
});
