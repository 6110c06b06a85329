// Calls that fail after they had an effect, or succeed without one, and what somebody has open for a moment.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { InUseError, mountWCOWLayers, NativeError, ReleaseError, unmountWCOWLayers } from "../../mod.ts";
import { deleteFile, removeDirectory } from "../../src/ffi/kernel32.ts";
import type { NativeCall, SimulatedHost } from "../../src/simulated/mod.ts";
import { createScratch, createVhdx, deactivateLayer, unprepareLayer } from "../../src/storage/mod.ts";
import { changes, held, heldKinds, sequence } from "../support/calls.ts";
import {
  failsAfterEffect,
  hostInFront,
  hostWith,
  inAnotherProcess,
  LAYERS,
  MOUNT,
  SCRATCH,
  STACK,
  stackHost,
  withFunction,
  withWrapped,
} from "../support/host.ts";

const TIMEOUT = 0x800705b4;
const NOT_READY = 0x80070015;
const SHARING_VIOLATION = 0x80070020;
const DISK_FULL = 0x80070070;

/** Fails the next `times` calls of a function that meet a condition. Returns how many of them are left. */
function failTimes(host: SimulatedHost, name: string, code: number, times: number, when = (_: NativeCall) => true) {
  let left = times;
  host.fail({ function: name, code, when: (call) => left > 0 && when(call) && left-- > 0 });
  return () => left;
}

const isDisk = ({ args }: NativeCall) => String(args["path"]).endsWith("sandbox.vhdx");

for (const [name, detached] of [["ActivateLayer", []], ["PrepareLayer", [`UnprepareLayer ${SCRATCH}`]]] as const) {
  Deno.test(`${name} times out after its effect: the failed mount undoes it, and the next one works`, async () => {
    const host = stackHost();
    const late = failsAfterEffect(host, name, TIMEOUT);
    const error = await assertRejects(() => mountWCOWLayers("c1", STACK, { host: late }), NativeError);
    assertEquals([error.operation, error.code, held(host)], [name, TIMEOUT, []]);
    assertEquals(changes(host).filter((call) => /^(Unprepare|Deactivate)/.test(call)), [
      ...detached,
      `DeactivateLayer ${SCRATCH}`,
    ]);
    await (await mountWCOWLayers("c1", STACK, { host: late })).release();
    assertEquals(held(host), []);
  });
}

Deno.test("CimMountImage times out after its effect: the failed mount dismounts the image, and the next one works", async () => {
  const host = hostWith({ cimLayers: ["C:\\layers\\top"], scratches: [SCRATCH] });
  const stack = ["C:\\layers\\top", SCRATCH];
  const late = failsAfterEffect(host, "CimMountImage", TIMEOUT);
  const error = await assertRejects(() => mountWCOWLayers("c1", stack, { host: late }), NativeError);
  assertEquals([error.operation, held(host)], ["CimMountImage", []]);
  await mountWCOWLayers("c1", stack, { host: late });
  await unmountWCOWLayers(SCRATCH, { host: inAnotherProcess(host) });
  assertEquals(held(host), []);
});

Deno.test("ActivateLayer isn't ready but has attached the disk: the next attempt mounts it", async () => {
  const host = stackHost();
  const mounted = await mountWCOWLayers("c1", STACK, { host: failsAfterEffect(host, "ActivateLayer", NOT_READY) });
  assertEquals(held(host), [`activation ${SCRATCH}`, `filter ${SCRATCH}`]);
  await mounted.release();
  assertEquals(held(host), []);
  assertEquals(changes(host).filter((call) => !call.startsWith("NameToGuid")), [
    `ActivateLayer ${SCRATCH}`,
    `DeactivateLayer ${SCRATCH}`,
    `ActivateLayer ${SCRATCH}`,
    `PrepareLayer ${SCRATCH}`,
    `UnprepareLayer ${SCRATCH}`,
    `DeactivateLayer ${SCRATCH}`,
  ]);
});

/** A host on which a function leaves a part of a file and fails, as long as the disk is full. */
function fullDisk(host: SimulatedHost, name: string, path: string) {
  let isFull = true;
  const real = withFunction(host, name, () => {
    host.addFile(path, 4096);
    return name === "CreateVirtualDisk" ? DISK_FULL & 0xffff : DISK_FULL | 0;
  });
  const symbols: SimulatedHost["symbols"] = (dll) => (isFull ? real : host).symbols(dll);
  return { host: hostInFront(host, { symbols }), makeRoom: () => isFull = false };
}

Deno.test("the disk is full while a scratch is created: nothing of it is left, and with room it is created", async () => {
  const host = hostWith({ layers: LAYERS });
  const before = host.paths();
  const path = "C:\\scratch\\new";
  const full = fullDisk(host, "CreateSandboxLayer", `${path}\\sandbox.vhdx`);
  const create = () => createScratch(path, LAYERS, { host: full.host });
  const mount = () => mountWCOWLayers("c1", [...LAYERS, path], { host: full.host, createScratch: true });
  for (const fails of [create, mount]) {
    const error = await assertRejects(fails, NativeError);
    assertEquals([error.code, host.paths()], [DISK_FULL, before]);
  }
  full.makeRoom();
  await create();
  assertEquals(host.exists(`${path}\\sandbox.vhdx`), true);
});

Deno.test("the disk is full while a virtual disk is created: its file is removed, and with room it is created", async () => {
  const host = hostWith({ folders: ["C:\\disks"] });
  const path = "C:\\disks\\data.vhdx";
  const full = fullDisk(host, "CreateVirtualDisk", path);
  const create = () => createVhdx(path, { size: 2 ** 26, host: full.host });
  const error = await assertRejects(create, NativeError);
  assertEquals([error.code, host.exists(path)], [DISK_FULL, false]);
  full.makeRoom();
  await create();
  assertEquals(host.exists(path), true);
});

Deno.test("the disk is full while a mount folder is created: the folder is removed once it is free", async () => {
  const host = stackHost();
  const before = host.paths();
  host.fail({
    function: "CreateFileW",
    code: DISK_FULL,
    when: ({ args }) => String(args["path"]).includes(":hcs-layers"),
  });
  const left = failTimes(host, "RemoveDirectoryW", SHARING_VIOLATION, 1);
  const mount = () => mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  const error = await assertRejects(mount, NativeError);
  assertEquals([error.code, left(), held(host), host.paths()], [DISK_FULL, 0, [], before]);
});

Deno.test("DeactivateLayer succeeds without an effect: unmounting reports that the disk is still held", async () => {
  const host = stackHost();
  await mountWCOWLayers("c1", STACK, { host });
  const idle = withFunction(inAnotherProcess(host), "DeactivateLayer", () => 0);
  const error = await assertRejects(() => unmountWCOWLayers(SCRATCH, { host: idle }), ReleaseError);
  assertEquals([error.holds.map(({ kind }) => kind), held(host)], [["activation"], [`activation ${SCRATCH}`]]);
  await unmountWCOWLayers(SCRATCH, { host: inAnotherProcess(host) });
  assertEquals(held(host), []);
});

for (
  const [name, kind] of [["DeleteVolumeMountPointW", "mountPoint"], ["CimDismountImage", "cimVolume"]] as const
) {
  for (const idle of [1, Infinity]) {
    Deno.test(`${name} succeeds ${idle === 1 ? "once" : "always"} without an effect: the release looks`, async () => {
      const host = hostWith({ cimLayers: ["C:\\layers\\top"], scratches: [SCRATCH] });
      let left = idle;
      const untrue = withWrapped(
        host,
        (other, call) =>
          other !== name ? call : (...args) => left-- > 0 ? (kind === "mountPoint" ? 1 : 0) : call(...args),
      );
      const mounted = await mountWCOWLayers("c1", ["C:\\layers\\top", SCRATCH], {
        host: untrue,
        volumeMountPath: MOUNT,
      });
      if (idle === Infinity) {
        const error = await assertRejects(() => mounted.release(), ReleaseError);
        assertEquals(error.holds.some((hold) => hold.kind === kind), true);
        assertEquals(error.errors.map((reason) => reason instanceof InUseError), [true]);
        assertEquals(heldKinds(host).includes(kind), true);
        left = 0;
      }
      await mounted.release();
      assertEquals(held(host), []);
    });
  }
}

for (const times of [1, 3]) {
  Deno.test(`the disk is busy for ${times} of the looks after a release: the next mount waits and works`, async () => {
    const host = stackHost();
    await (await mountWCOWLayers("c1", STACK, { host })).release();
    const left = failTimes(host, "CreateFileW", SHARING_VIOLATION, times, isDisk);
    await (await mountWCOWLayers("c1", STACK, { host })).release();
    assertEquals([left(), held(host)], [0, []]);
  });
}

Deno.test("the disk stays busy: the mount is refused after a limited wait, with nothing attached", async () => {
  const host = stackHost();
  let waited = 0;
  const counting = hostInFront(host, {
    sleep: (ms, signal) => {
      waited += ms;
      return host.sleep(ms, signal);
    },
  });
  host.fail({ function: "CreateFileW", code: SHARING_VIOLATION, when: isDisk });
  const error = await assertRejects(() => mountWCOWLayers("c1", STACK, { host: counting }), InUseError);
  assertEquals([error.path, waited > 0 && waited < 10_000], [`${SCRATCH}\\sandbox.vhdx`, true]);
  assertEquals([changes(host), held(host)], [[], []]);
});

Deno.test("the disk is busy after an attempt was undone: the next attempt waits and mounts", async () => {
  const host = stackHost();
  failTimes(host, "PrepareLayer", NOT_READY, 1);
  const isUndone = () => sequence(host).includes("DeactivateLayer");
  const left = failTimes(host, "CreateFileW", SHARING_VIOLATION, 3, (call) => isDisk(call) && isUndone());
  const mounted = await mountWCOWLayers("c1", STACK, { host });
  assertEquals([left(), sequence(host).filter((name) => name === "PrepareLayer").length], [0, 2]);
  await mounted.release();
  assertEquals(held(host), []);
});

Deno.test("a folder is in use for a moment: the release waits until it can be removed", async () => {
  const host = stackHost();
  const before = host.paths();
  const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  const left = failTimes(host, "RemoveDirectoryW", SHARING_VIOLATION, 2);
  await mounted.release();
  assertEquals([left(), held(host), host.paths()], [0, [], before]);
});

Deno.test("the folder of the scratch is gone: the release succeeds, and a new scratch can be mounted there", async () => {
  const host = stackHost();
  const mounted = await mountWCOWLayers("c1", STACK, { host });
  const other = inAnotherProcess(host);
  await unprepareLayer(SCRATCH, { host: other });
  await deactivateLayer(SCRATCH, { host: other });
  for (const name of ["UnprepareLayer", "DeactivateLayer", "GetLayerMountPath"]) {
    host.fail({ function: name, code: 0x80070003, when: () => !host.exists(SCRATCH) });
  }
  deleteFile(host, `${SCRATCH}\\sandbox.vhdx`);
  removeDirectory(host, SCRATCH);
  await mounted.release();
  assertEquals(mounted.holds, []);
  host.addScratch(SCRATCH);
  await (await mountWCOWLayers("c1", STACK, { host })).release();
  assertEquals(held(host), []);
});
