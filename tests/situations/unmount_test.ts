// Unmounting when Windows doesn't answer, or the caller is wrong.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  InUseError,
  InvalidInputError,
  mountSandboxVolume,
  mountWCOWLayers,
  NativeError,
  ReleaseError,
  removeSandboxMountPoint,
  UnexpectedAnswerError,
  unmountWCOWLayers,
} from "../../mod.ts";
import { fromWide, wide } from "../../src/ffi/wide.ts";
import { changes, held, sequence } from "../support/calls.ts";
import { hostWith, inAnotherProcess, LAYERS, MOUNT, SCRATCH, STACK, stackHost, withWrapped } from "../support/host.ts";

const OTHER = "C:\\scratch\\c2";
const NOT_READY = 0x80070015;
const SHARING_VIOLATION = 0x80070020;

const IMAGE_LAYER = "C:\\layers\\top";
const IMAGE_STACK = [IMAGE_LAYER, SCRATCH];
const imageHost = () => hostWith({ cimLayers: [IMAGE_LAYER], scratches: [SCRATCH] });
const DETACHING = ["HcsDetachOverlayFilter", "CimDismountImage", "UnprepareLayer", "DeactivateLayer"];

Deno.test("the volume can't be asked for once: unmounting again finds the mount point", async () => {
  const host = stackHost();
  const before = host.paths();
  await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  const mounted = held(host);
  const other = inAnotherProcess(host);
  let left = 1;
  host.fail({ function: "GetLayerMountPath", code: NOT_READY, when: () => left-- > 0 });
  const error = await assertRejects(() => unmountWCOWLayers(SCRATCH, { host: other }), NativeError);
  assertEquals([error.code, held(host)], [NOT_READY, mounted]);
  await unmountWCOWLayers(SCRATCH, { host: other });
  assertEquals([held(host), host.paths()], [[], before]);
});

Deno.test("the mount points can't be listed: what the caller names is released, and the failure is reported", async () => {
  const host = stackHost();
  const before = host.paths();
  await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  host.fail({ function: "GetVolumePathNamesForVolumeNameW", code: 1392 });
  const unmount = () => unmountWCOWLayers(SCRATCH, { host: inAnotherProcess(host), volumeMountPath: MOUNT });
  const error = await assertRejects(unmount, NativeError);
  assertEquals([error.win32, held(host), host.paths()], [1392, [], before]);
  await unmount();
});

for (const code of [SHARING_VIOLATION, 0x80070005]) {
  Deno.test(`the record of the mount can't be read (0x${code.toString(16)}): unmounting changes nothing`, async () => {
    const host = imageHost();
    await mountWCOWLayers("c1", IMAGE_STACK, { host });
    const mounted = held(host);
    host.fail({ function: "CreateFileW", code, when: ({ args }) => String(args["path"]).includes("\\mounts\\") });
    const from = host.calls.length;
    const error = await assertRejects(() => unmountWCOWLayers(SCRATCH, { host: inAnotherProcess(host) }), NativeError);
    assertEquals([error.code, held(host)], [code, mounted]);
    assertEquals(sequence(host, from).filter((name) => DETACHING.includes(name)), []);
    host.failNothing();
    await unmountWCOWLayers(SCRATCH, { host: inAnotherProcess(host) });
    assertEquals(held(host), []);
  });
}

Deno.test("the mark of our folder isn't found once: the folder is removed all the same", async () => {
  const host = stackHost();
  const before = host.paths();
  await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  let left = 1;
  host.fail({
    function: "CreateFileW",
    code: "ERROR_FILE_NOT_FOUND",
    when: ({ args }) => args["path"] === `${MOUNT}:hcs-layers.created` && left-- > 0,
  });
  await unmountWCOWLayers(SCRATCH, { host: inAnotherProcess(host) });
  assertEquals([left < 1, held(host), host.paths()], [true, [], before]);
});

// A volume can have several names, of which Windows tells one.
Deno.test("Windows tells another name of the scratch's volume: its mount point is removed, and the folder", async () => {
  const host = stackHost();
  const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  const name = host.addVolume("11111111-2222-3333-4444-555555555555");
  const other = withWrapped(host.otherProcess(), (fn, call) => {
    if (fn !== "GetVolumeNameForVolumeMountPointW") return call;
    return (...args) => {
      const result = call(...args);
      const output = args[1] as Uint8Array<ArrayBuffer>;
      if (fromWide(output) === mounted.path) output.set(wide(name));
      return result;
    };
  });
  await unmountWCOWLayers(SCRATCH, { host: other, volumeMountPath: MOUNT });
  assertEquals([held(host), host.exists(MOUNT)], [[], false]);
});

Deno.test("Windows tells the volume of another container: its mount point stays, and nothing is changed", async () => {
  const host = hostWith({ layers: LAYERS, scratches: [SCRATCH, OTHER] });
  const owner = host.otherProcess();
  const { path: others } = await mountWCOWLayers("db", [...LAYERS, OTHER], {
    host: owner,
    volumeMountPath: "C:\\mnt\\db",
  });
  await mountWCOWLayers("web", STACK, { host: owner, volumeMountPath: MOUNT });
  const before = held(host);
  const confused = withWrapped(host.otherProcess(), (fn, call) => (...args) => {
    const [, , , output] = args;
    return fn === "GetLayerMountPath" && output instanceof Uint8Array
      ? Promise.resolve(call(...args)).then((code) => (output.set(wide(others.slice(0, -1))), code))
      : call(...args);
  });
  const error = await assertRejects(() => unmountWCOWLayers(SCRATCH, { host: confused }), UnexpectedAnswerError);
  assertEquals([error.operation, error.answer, held(host)], ["GetLayerMountPath", others, before]);
  await unmountWCOWLayers(SCRATCH, { host: host.otherProcess() });
  assertEquals(held(host).filter((one) => !before.includes(one)), []);
  assertEquals(host.exists("C:\\mnt\\db"), true);
});

Deno.test("the id of another container is refused, and the image isn't lost", async () => {
  const host = imageHost();
  await mountWCOWLayers("web", IMAGE_STACK, { host });
  const mounted = held(host);
  const other = inAnotherProcess(host);
  const error = await assertRejects(
    () => unmountWCOWLayers(SCRATCH, { host: other, containerId: "wbe" }),
    InvalidInputError,
  );
  assertEquals([error.argument, held(host)], ["containerId", mounted]);
  const from = host.calls.length;
  await unmountWCOWLayers(SCRATCH, { host: other });
  assertEquals(sequence(host, from).filter((name) => DETACHING.includes(name)), [
    "HcsDetachOverlayFilter",
    "CimDismountImage",
    "DeactivateLayer",
  ]);
  await (await mountWCOWLayers("web", IMAGE_STACK, { host: other })).release();
  assertEquals(held(host), []);
});

Deno.test("a container id with plain layers: the filter is still detached before the disk", async () => {
  const host = stackHost();
  const before = host.paths();
  await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  const from = host.calls.length;
  await unmountWCOWLayers(SCRATCH, { host: inAnotherProcess(host), containerId: "c1" });
  assertEquals(changes(host, from), [
    `DeleteVolumeMountPointW ${MOUNT}\\`,
    `RemoveDirectoryW ${MOUNT}`,
    "RemoveDirectoryW C:\\mnt",
    `UnprepareLayer ${SCRATCH}`,
    `DeactivateLayer ${SCRATCH}`,
  ]);
  assertEquals([held(host), host.paths()], [[], before]);
});

Deno.test("a mount point is stuck: the disk that leads to it stays, and unmounting again releases everything", async () => {
  const host = stackHost();
  const before = host.paths();
  await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  host.fail({ function: "DeleteVolumeMountPointW", code: SHARING_VIOLATION });
  const other = inAnotherProcess(host);
  const error = await assertRejects(() => unmountWCOWLayers(SCRATCH, { host: other }), ReleaseError);
  assertEquals(error.holds.map(({ kind }) => kind), ["activation", "folder", "mountPoint"]);
  assertEquals(held(host), [`activation ${SCRATCH}`, "folder C:\\mnt", `folder ${MOUNT}`, `mountPoint ${MOUNT}`]);
  host.failNothing();
  await unmountWCOWLayers(SCRATCH, { host: other });
  assertEquals([held(host), host.paths()], [[], before]);
});

Deno.test("an unmount fails halfway: nobody can mount the scratch, and its owner releases the rest", async () => {
  const host = stackHost();
  const before = host.paths();
  const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  host.fail({ function: "DeleteVolumeMountPointW", code: SHARING_VIOLATION });
  await assertRejects(() => unmountWCOWLayers(SCRATCH, { host }), ReleaseError);
  host.failNothing();
  await assertRejects(() => mountWCOWLayers("c2", STACK, { host: inAnotherProcess(host) }), InUseError);
  const from = host.calls.length;
  await mounted.release();
  // The unmount has detached the filter. By now, another one could be there.
  assertEquals(sequence(host, from).includes("UnprepareLayer"), false);
  assertEquals([held(host), host.paths()], [[], before]);
});

Deno.test("the mount point of another container is refused, and stays", async () => {
  const host = stackHost();
  const db = "C:\\scratch\\db";
  host.addScratch(db);
  await mountWCOWLayers("web", STACK, { host, volumeMountPath: "C:\\mnt\\web" });
  await mountWCOWLayers("db", [...LAYERS, db], { host, volumeMountPath: "C:\\mnt\\db" });
  const mounted = held(host);
  const other = inAnotherProcess(host);
  const error = await assertRejects(
    () => unmountWCOWLayers(SCRATCH, { host: other, volumeMountPath: "C:\\mnt\\db" }),
    InvalidInputError,
  );
  assertEquals([error.argument, held(host)], ["volumeMountPath", mounted]);
  await unmountWCOWLayers(SCRATCH, { host: other });
  assertEquals(held(host), [
    `activation ${db}`,
    `filter ${db}`,
    "folder C:\\mnt",
    "folder C:\\mnt\\db",
    "mountPoint C:\\mnt\\db",
  ]);
});

for (const code of [NOT_READY, 0x80070005]) {
  Deno.test(`the volume at a folder can't be asked for (0x${code.toString(16)}): the mount point of another stays`, async () => {
    const host = hostWith({ folders: [MOUNT] });
    const ours = host.addVolume("11111111-1111-1111-1111-111111111111");
    const theirs = host.addVolume("22222222-2222-2222-2222-222222222222");
    const first = await mountSandboxVolume(MOUNT, ours, { host });
    await removeSandboxMountPoint(MOUNT, { host });
    const second = await mountSandboxVolume(MOUNT, theirs, { host });
    host.fail({
      function: "GetVolumeNameForVolumeMountPointW",
      code,
      when: ({ args }) => JSON.stringify(args).includes("C:"),
    });
    const from = host.calls.length;
    await first.release().catch(() => {});
    assertEquals(changes(host, from), []);
    assertEquals(held(host), [`mountPoint ${MOUNT}`]);
    host.failNothing();
    await second.release();
    assertEquals(held(host), []);
  });
}

Deno.test("a mount point can't be removed: the files behind it stay, and a later release succeeds", async () => {
  const host = stackHost();
  const file = `${MOUNT}\\database.mdf`;
  const before = host.paths();
  const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  host.addFile(file, 4096);
  host.fail({ function: "DeleteVolumeMountPointW", code: 0x80070005 });
  const from = host.calls.length;
  await assertRejects(() => mounted.release(), ReleaseError);
  assertEquals([host.exists(file), sequence(host, from).filter((name) => /^(DeleteFile|RemoveDir)/.test(name))], [
    true,
    [],
  ]);
  assertEquals(held(host), ["folder C:\\mnt", `folder ${MOUNT}`, `mountPoint ${MOUNT}`]);
  host.failNothing();
  await mounted.release();
  assertEquals(held(host), []);
  // It is on the volume of the scratch.
  assertEquals(host.paths().filter((path) => !before.includes(path)), [mounted.path + "database.mdf"]);
});

Deno.test("a release with a signal and one without: the abort stops only the one with the signal", async () => {
  const controller = new AbortController();
  const reason = new Error("the time is over");
  const host = stackHost({
    latency: ({ function: name }) => {
      if (name !== "UnprepareLayer") return undefined;
      controller.abort(reason);
      return Promise.resolve();
    },
  });
  const before = host.paths();
  const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  const [aborted, other] = await Promise.allSettled([
    mounted.release({ signal: controller.signal }),
    mounted[Symbol.asyncDispose](),
  ]);
  assertEquals<unknown>([aborted, other.status], [{ status: "rejected", reason }, "fulfilled"]);
  assertEquals([held(host), host.paths()], [[], before]);
});
