// Releases that Windows reports as done, or as not needed, although what was to be released is still there.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { InUseError, mountWCOWLayers, ReleaseError, unmountWCOWLayers, UnwindError } from "../../mod.ts";
import { destroyLayer, hcsDestroyLayer } from "../../src/storage/mod.ts";
import { held, heldKinds } from "../support/calls.ts";
import { hostWith, inAnotherProcess, LAYERS, MOUNT, SCRATCH, STACK, stackHost } from "../support/host.ts";

const FILE_NOT_FOUND = 0x80070002;
const INVALID_PARAMETER = 0x80070057;
const CIM_STACK = ["C:\\layers\\top", SCRATCH];

const cimHost = () =>
  hostWith({ cimLayers: ["C:\\layers\\top"], scratches: [SCRATCH] }, { whenUnknown: () => INVALID_PARAMETER });

for (const code of [0, "ERROR_DEV_NOT_EXIST"] as const) {
  Deno.test(`UnprepareLayer returns ${code} once with the filter there: releasing again removes it, and then the disk`, async () => {
    const host = stackHost({ whenUnknown: () => INVALID_PARAMETER });
    const mounted = await mountWCOWLayers("c1", STACK, { host });
    host.fail({ function: "UnprepareLayer", code, nth: 1 });
    const error = await assertRejects(() => mounted.release(), ReleaseError);
    assertEquals(error.holds.map(({ kind }) => kind), ["activation"]);
    host.clearCalls();
    await error.release();
    assertEquals(held(host), []);
    const made = host.calls.map((call) => call.function).filter((name) => /^(Unprepare|Deactivate)/.test(name));
    assertEquals(made, ["DeactivateLayer", "UnprepareLayer", "DeactivateLayer"]);
  });
}

Deno.test("HcsDetachOverlayFilter succeeds once without an effect: releasing again removes filter, image and disk", async () => {
  const host = cimHost();
  const mounted = await mountWCOWLayers("c1", CIM_STACK, { host });
  host.fail({ function: "HcsDetachOverlayFilter", code: 0, nth: 1 });
  const error = await assertRejects(() => mounted.release(), ReleaseError);
  assertEquals(error.holds.map(({ kind }) => kind), ["activation", "cimVolume"]);
  await mounted.release();
  assertEquals(held(host), []);
});

Deno.test("CimDismountImage doesn't find an image once although it is there: it is dismounted", async () => {
  const host = cimHost();
  const mounted = await mountWCOWLayers("c1", CIM_STACK, { host });
  host.fail({ function: "CimDismountImage", code: FILE_NOT_FOUND, nth: 1 });
  await mounted.release();
  assertEquals(held(host), []);
});

Deno.test("CimDismountImage never finds an image that is there: it is told, and another process still finds the image", async () => {
  const host = cimHost();
  const mounted = await mountWCOWLayers("c1", CIM_STACK, { host });
  for (const nth of [1, 2]) host.fail({ function: "CimDismountImage", code: FILE_NOT_FOUND, nth });
  const error = await assertRejects(() => mounted.release(), ReleaseError);
  assertEquals(error.errors.map((reason) => reason instanceof InUseError), [true]);
  assertEquals(heldKinds(host), ["cimVolume"]);
  await unmountWCOWLayers(SCRATCH, { host: inAnotherProcess(host) });
  assertEquals(held(host), []);
});

Deno.test("RemoveDirectoryW succeeds once without an effect: the folder is removed nevertheless", async () => {
  const host = stackHost();
  const before = host.paths();
  const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  host.fail({ function: "RemoveDirectoryW", code: 0, nth: 1 });
  await mounted.release();
  assertEquals([held(host), host.paths()], [[], before]);
});

Deno.test("RemoveDirectoryW always succeeds without an effect: the folder stays, and is told", async () => {
  const host = stackHost();
  const before = host.paths();
  const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  const lie = host.fail({ function: "RemoveDirectoryW", code: 0 });
  const error = await assertRejects(() => mounted.release(), ReleaseError);
  assertEquals(error.holds.map(({ kind }) => kind), ["folder"]);
  assertEquals(error.errors.map((reason) => reason instanceof InUseError && reason.path), [MOUNT]);
  lie[Symbol.dispose]();
  await error.release();
  assertEquals([held(host), host.paths()], [[], before]);
});

Deno.test("DeleteFileW always succeeds without an effect: the half-made scratch is told, and removed later", async () => {
  const host = hostWith({ layers: LAYERS });
  const before = host.paths();
  host.fail({ function: "ActivateLayer", code: INVALID_PARAMETER });
  const lie = host.fail({ function: "DeleteFileW", code: 0, when: ({ args }) => `${args["path"]}`.endsWith(".vhdx") });
  const error = await assertRejects(() => mountWCOWLayers("c1", STACK, { host, createScratch: true }), UnwindError);
  assertEquals(error.holds.map(({ kind }) => kind), ["folder", "newFile"]);
  lie[Symbol.dispose]();
  await error.release();
  assertEquals(host.paths(), before);
});

for (const [name, destroy] of [["DestroyLayer", destroyLayer], ["HcsDestroyLayer", hcsDestroyLayer]] as const) {
  Deno.test(`${name} succeeds without an effect: the layer isn't reported as destroyed`, async () => {
    const host = hostWith({ layers: LAYERS });
    const before = host.paths();
    const lie = host.fail({ function: name, code: 0 });
    const error = await assertRejects(() => destroy(LAYERS[0]!, { host }), InUseError);
    assertEquals([error.path, host.paths()], [LAYERS[0], before]);
    lie[Symbol.dispose]();
    await destroy(LAYERS[0]!, { host });
    assertEquals(host.exists(LAYERS[0]!), false);
  });

  Deno.test(`${name} succeeds: a look after it that fails tells nothing`, async () => {
    for (const code of ["ERROR_GEN_FAILURE", "ERROR_ACCESS_DENIED"]) {
      const host = hostWith({ layers: LAYERS });
      host.before(name, () => void host.fail({ function: "GetFileAttributesW", code, nth: 1 }));
      await destroy(LAYERS[0]!, { host });
      assertEquals(host.exists(LAYERS[0]!), false);
    }
  });
}

Deno.test("what somebody else makes where a file was just deleted isn't deleted", async () => {
  const host = hostWith({ layers: LAYERS });
  const disk = `${SCRATCH}\\sandbox.vhdx`;
  host.fail({ function: "ActivateLayer", code: INVALID_PARAMETER });
  let deleted = 0;
  host.before("DeleteFileW", ({ args }) => {
    if (args["path"] === disk) deleted++;
  });
  host.before("GetFileAttributesW", ({ args }) => {
    if (args["path"] === disk && deleted === 1 && !host.exists(disk)) host.addFile(disk, 5);
  });
  await assertRejects(() => mountWCOWLayers("c1", STACK, { host, createScratch: true }));
  assertEquals([deleted, host.exists(disk)], [1, true]);
});
