// VMs of processes that have ended: what is listed of them, what is ended and revoked, and what is left alone.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { createUtilityVM, findMounts, listMounts, mountLCOWLayers, mountWCOWLayers, recover } from "../../mod.ts";
import { access, lockByte, openFile, share } from "../../src/ffi/kernel32.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { withVMRecord } from "../../src/session/vm_records.ts";
import { grantVmAccess } from "../../src/storage/mod.ts";
import { ComputeSystem } from "../../src/uvm/compute_system.ts";
import { held, settle } from "../support/calls.ts";
import { dieAt, hostInFront } from "../support/host.ts";
import { BOOT, DISK, IMAGE, LINUX, SCRATCH, startedVM, vmCalls, vmHost, WINDOWS } from "../support/vm_host.ts";

const RECORDS = "C:\\ProgramData\\hcs-layers\\mounts";
const LAYER = "C:\\layers\\base.vhd";
const WRITABLE = "C:\\scratch.vhdx";

function machine(): SimulatedHost {
  const host = vmHost();
  host.addLinuxLayer(LAYER, 2 ** 20);
  host.addFile(WRITABLE, 2 ** 30);
  return host;
}

function records(host: SimulatedHost): unknown[] {
  return host.exists(RECORDS) ? host.readDir(RECORDS) : [];
}

async function withLayers(host: SimulatedHost) {
  const vm = await startedVM(host, LINUX);
  const stack = { layers: [{ vhdPath: LAYER }], scratchVhdPath: WRITABLE };
  return { vm, layers: await mountLCOWLayers("c1", stack, { vm, guestRoot: "/run/gcs/c/c1" }) };
}

/** Has a VM whose process has ended, and of which another process has a handle, so that it lives. */
async function livingVM(host: SimulatedHost): Promise<void> {
  const [dead, other] = [host.otherProcess(), host.otherProcess()];
  await withLayers(dead);
  await ComputeSystem.open(other, "vm1");
  dead.endProcess();
}

Deno.test("listMounts() tells of VMs, whose they are and which files they may open, and a VM that is closed has no record", async () => {
  const host = machine();
  const other = host.otherProcess();
  const { vm, layers } = await withLayers(other);
  const [mount, ...rest] = await listMounts({ host });
  const { id, owner, since: _since, space: _space, ...told } = mount!;
  assertEquals([rest, owner.state, owner.pid, id === undefined], [[], "alive", 2, false]);
  assertEquals(told, {
    containerId: undefined,
    kind: "vm",
    vm: { id: "vm1", files: [WRITABLE] },
    state: "mounted",
    scratch: "",
    layers: [],
    image: undefined,
    volume: undefined,
    mountPoints: [],
    permanent: false,
  });
  for (const handle of ["vm1", id!, WRITABLE]) {
    assertEquals((await findMounts(handle, { host })).map(({ kind }) => kind), ["vm"], handle);
  }
  await vm.close();
  assertEquals((await listMounts({ host })).map(({ state }) => state), ["partial"]);
  await layers.release();
  assertEquals([held(host), records(host)], [[], []]);
});

Deno.test("recover() revokes the rights of a VM that ended with its process", async () => {
  const host = machine();
  const dead = host.otherProcess();
  await withLayers(dead);
  await startedVM(dead, { ...WINDOWS, id: "vm2" });
  assertEquals((await recover({ host })).map(({ outcome }) => outcome), ["left", "left"]);
  dead.endProcess();
  assertEquals([host.grantsOf(WRITABLE).length, host.grantsOf(DISK).length], [1, 1]);
  const told = await recover({ host, dryRun: true });
  const kinds = told.map(({ mount, outcome, planned }) => [mount.vm?.id, outcome, ...planned.map(({ kind }) => kind)]);
  assertEquals(kinds.sort(), [["vm1", "released", "vmAccess"], ["vm2", "released", "vmAccess"]]);
  assertEquals([host.grantsOf(WRITABLE).length, records(host).length], [1, 2]);
  const recovered = await recover({ host });
  assertEquals(recovered.map(({ mount, outcome }) => [mount.state, outcome]), [["gone", "released"], [
    "gone",
    "released",
  ]]);
  assertEquals([host.grantsOf(WRITABLE), host.grantsOf(DISK), held(host), records(host)], [[], [], [], []]);
  assertEquals(await recover({ host }), []);
});

Deno.test("recover() ends a VM that outlived its process, and then revokes its rights", async () => {
  const host = machine();
  await livingVM(host);
  const planned = (await recover({ host, dryRun: true })).map(({ planned }) => planned.map(({ kind }) => kind));
  assertEquals(planned, [["computeSystem", "vmAccess"]]);
  const from = host.calls.length;
  const [{ mount, outcome, released } = {}] = await recover({ host });
  assertEquals([mount?.state, outcome], ["mounted", "released"]);
  assertEquals(released?.map(({ hold, wasHeld }) => [hold.kind, wasHeld]), [["computeSystem", true], [
    "vmAccess",
    true,
  ]]);
  assertEquals(vmCalls(host, from).filter((call) => /^(Terminate|Revoke)/.test(call)), ["Terminate", "RevokeVmAccess"]);
  assertEquals([host.grantsOf(WRITABLE), records(host)], [[], []]);
});

Deno.test("recover() leaves a VM alone that can't be ended, with its rights and its record, and goes on another time", async () => {
  const host = machine();
  await livingVM(host);
  const failing = host.fail({ function: "HcsTerminateComputeSystem", code: "ERROR_ACCESS_DENIED" });
  const [{ outcome, error } = {}] = await recover({ host });
  assertEquals([outcome, (error as Error).name], ["failed", "ReleaseError"]);
  assertEquals([host.grantsOf(WRITABLE).length, records(host).length], [1, 1]);
  failing[Symbol.dispose]();
  assertEquals((await recover({ host })).map(({ outcome }) => outcome), ["released"]);
  assertEquals([host.grantsOf(WRITABLE), records(host)], [[], []]);
});

Deno.test("recover() neither ends nor changes what another program has made with the id of a VM", async () => {
  const host = machine();
  const dead = host.otherProcess();
  await withLayers(dead);
  dead.endProcess();
  const other = hostInFront(host.otherProcess(), { records: false });
  const vm = await startedVM(other, { ...LINUX, owner: "somebody" });
  const [{ outcome, error } = {}] = await recover({ host });
  assertEquals(outcome, "failed");
  assertEquals(
    (error as AggregateError).errors.map(({ message }) => /of another VM by now, of somebody/.test(message)),
    [
      true,
    ],
  );
  assertEquals([vm.state, host.grantsOf(WRITABLE).length, records(host).length], ["running", 1, 1]);
  await vm.close();
  assertEquals((await recover({ host })).map(({ outcome }) => outcome), ["released"]);
});

Deno.test("recover() leaves the rights of a VM while a living process has one with its id", async () => {
  const host = machine();
  const dead = host.otherProcess();
  await withLayers(dead);
  dead.endProcess();
  const { vm, layers } = await withLayers(host.otherProcess());
  assertEquals((await recover({ host })).map(({ outcome }) => outcome), ["left", "left"]);
  assertEquals([vm.state, host.grantsOf(WRITABLE).length], ["running", 1]);
  {
    // Nor while nobody can tell whether there is such a VM.
    const files = host.readDir(RECORDS).map(({ name }) => `${RECORDS}\\${name}`);
    const living = files.find((file) => host.readTextFile(file).includes('"pid":3,'))!;
    using _opened = host.openFile(living, { share: [] });
    const [{ mount, outcome, error } = {}, ...others] = await recover({ host });
    assertEquals([mount?.owner.state, outcome, (error as Error).name, others], ["ended", "failed", "NativeError", []]);
    assertEquals([vm.state, host.grantsOf(WRITABLE).length], ["running", 1]);
  }
  await layers.release();
  await vm.close();
  assertEquals((await recover({ host })).map(({ outcome }) => outcome), ["released"]);
  assertEquals([host.grantsOf(WRITABLE), records(host)], [[], []]);
});

Deno.test("recover() neither ends a VM nor revokes its rights that is created while it recovers one with its id", async () => {
  const host = machine();
  const [dead, again, other] = [host.otherProcess(), host.otherProcess(), host.otherProcess()];
  await withLayers(dead);
  dead.endProcess();
  let starting: ReturnType<typeof withLayers> | undefined;
  // It has looked whether the VM is there, and is about to end it.
  other.before("HcsOpenComputeSystem", async () => {
    starting = withLayers(again);
    await settle();
  }, { nth: 2 });
  assertEquals((await recover({ host: other })).map(({ outcome }) => outcome), ["released"]);
  const { vm } = await starting!;
  assertEquals([vm.state, host.grantsOf(WRITABLE)], ["running", ["vm1"]]);
  assertEquals((await listMounts({ host })).map(({ owner, state }) => [owner.state, state]), [["alive", "mounted"]]);
});

Deno.test("recover() leaves a right that a VM had before", async () => {
  const host = machine();
  await grantVmAccess(WRITABLE, "vm1", { host });
  const dead = host.otherProcess();
  await withLayers(dead);
  dead.endProcess();
  await recover({ host });
  assertEquals([host.grantsOf(WRITABLE).length, records(host)], [1, []]);
});

Deno.test("recover() after a restart revokes the rights, and ends no VM", async () => {
  const host = machine();
  await withLayers(host.otherProcess());
  host.restart();
  const from = host.calls.length;
  assertEquals((await recover({ host })).map(({ mount, outcome }) => [mount.state, outcome]), [["gone", "released"]]);
  assertEquals(vmCalls(host, from), ["Open 0xc037010e", "RevokeVmAccess"]);
  assertEquals([host.grantsOf(WRITABLE), records(host)], [[], []]);
});

for (const step of ["CopyFileW", "GrantVmAccess", "HcsCreateComputeSystem", "HcsStartComputeSystem"]) {
  Deno.test(`recover() gives back what a process left of a Windows VM that died before ${step}`, async () => {
    const host = machine();
    host.remove(DISK);
    await dieAt(host, step, (on) => startedVM(on, WINDOWS));
    await recover({ host });
    // A whole disk stays after its VM.
    assertEquals([held(host), records(host)], [step === "CopyFileW" ? [] : [`file ${DISK}`], []]);
    await using _vm = await startedVM(host, WINDOWS);
  });
}

Deno.test("recover() tells once of a disk that may be half copied, and leaves it", async () => {
  const host = machine();
  host.remove(DISK);
  await dieAt(host, "CopyFileW", (on) => createUtilityVM(WINDOWS, { host: on }));
  host.addFile(DISK, 5);
  const [{ outcome, error } = {}] = await recover({ host });
  assertEquals([outcome, /may be half a copy, as process 2 ended/.test((error as Error).message)], ["failed", true]);
  assertEquals([host.exists(DISK), records(host), await recover({ host })], [true, [], []]);
});

Deno.test("a VM isn't created, and no right is granted, if that can't be written down", async () => {
  const host = machine();
  using failing = host.fail({ function: "FlushFileBuffers", code: "ERROR_DISK_FULL" });
  await assertRejects(() => createUtilityVM(LINUX, { host }), Error, "FlushFileBuffers");
  assertEquals(vmCalls(host).filter((call) => /^Create/.test(call)), []);
  failing[Symbol.dispose]();
  const vm = await startedVM(host, LINUX);
  host.fail({ function: "FlushFileBuffers", code: "ERROR_DISK_FULL" });
  const stack = { layers: [{ vhdPath: LAYER }], scratchVhdPath: WRITABLE };
  await assertRejects(
    () => mountLCOWLayers("c1", stack, { vm, guestRoot: "/run/gcs/c/c1" }),
    Error,
    "FlushFileBuffers",
  );
  assertEquals([host.grantsOf(WRITABLE), vmCalls(host).includes("GrantVmAccess")], [[], false]);
  await vm.close();
  assertEquals([held(host), records(host)], [[], []]);
});

Deno.test("a VM costs one flushed write, a scratch that it may write to another one, and its end none", async () => {
  const host = machine();
  host.addScratch("C:\\c1");
  host.addLayer("C:\\layers\\app");
  const flushed = () => host.calls.filter((call) => call.function === "FlushFileBuffers").length;
  const vm = await startedVM(host, WINDOWS);
  assertEquals(flushed(), 2, "its own disk is one of its files");
  const layers = await mountWCOWLayers("c1", ["C:\\layers\\app", "C:\\c1"], { vm });
  assertEquals(flushed(), 3);
  await layers.release();
  await vm.close();
  assertEquals([flushed(), held(host), records(host)], [3, [], []]);
  assertEquals([BOOT, IMAGE, SCRATCH].every((folder) => host.exists(folder)), true);
});

/** Has a VM of a process open a file to the end, and others one after another. */
async function openMany(host: SimulatedHost): Promise<void> {
  await withVMRecord(host, { vm: "vm1", owner: "hcs-layers" }, undefined, async (record) => {
    await record!.willOpen(WRITABLE);
    await grantVmAccess(WRITABLE, "vm1", { host });
    for (let i = 0; i < 1200; i++) {
      const file = `C:\\${"x".repeat(200)}\\${i}.vhdx`;
      await record!.willOpen(file);
      await record!.cantOpen(file);
    }
  });
}

Deno.test("the record of a VM that opens many files in its life stays small, and recover() revokes what is open", async () => {
  const host = machine();
  const other = host.otherProcess();
  await openMany(other);
  const [{ name } = { name: "" }, ...rest] = host.readDir(RECORDS);
  assertEquals([rest, host.readFile(`${RECORDS}\\${name}`).length < 2 ** 19], [[], true]);
  assertEquals((await findMounts(WRITABLE, { host })).map(({ vm }) => vm?.id), ["vm1"]);
  other.endProcess();
  assertEquals((await recover({ host })).map(({ outcome }) => outcome), ["released"]);
  assertEquals([host.grantsOf(WRITABLE), records(host)], [[], []]);
});

Deno.test("recover() revokes what a VM may open whose process died while it wrote its record anew", async () => {
  for (const fn of ["WriteFile", "DeleteFileW"]) {
    const host = machine();
    const process = host.otherProcess();
    let written = 0;
    process.before(fn, () => {
      // The first line, 500 files, and the new record.
      if (fn === "WriteFile" && ++written < 502) return;
      process.endProcess();
      throw new Error("killed");
    });
    await assertRejects(() => openMany(process));
    assertEquals(records(host).length, 2);
    assertEquals((await recover({ host })).some(({ outcome }) => outcome !== "released"), false);
    assertEquals([host.grantsOf(WRITABLE), records(host)], [[], []]);
  }
});

Deno.test("nobody can take the record of a VM that is being written for one that its process left empty", async () => {
  const host = machine();
  const [creator, other] = [host.otherProcess(), host.otherProcess()];
  const taken: boolean[] = [];
  creator.before("WriteFile", () => {
    const [{ name } = { name: "" }] = host.readDir(RECORDS);
    const index = BigInt(`0x${name.replaceAll("-", "").slice(0, 15)}`);
    const locks = "C:\\ProgramData\\hcs-layers\\locks";
    using file = openFile(other, locks, { access: access.GENERIC_READ, share: share.READ | share.WRITE });
    taken.push(lockByte(other, file, 2n ** 62n + 2n * index, locks));
  }, { nth: 1 });
  await (await createUtilityVM(LINUX, { host: creator })).close();
  assertEquals(taken, [false]);
});
