// Releases that Windows reports as done, or as not needed, although what was to be released is still there.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { InUseError, mountWCOWLayers, ReleaseError, unmountWCOWLayers } from "../../mod.ts";
import { held, heldKinds } from "../support/calls.ts";
import { hostWith, inAnotherProcess, SCRATCH, STACK, stackHost } from "../support/host.ts";

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
