import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { InvalidInputError, mountWCOWLayers, NativeError, unmountWCOWLayers, UnwindError } from "../../mod.ts";
import { hostWith, LAYERS, STACK } from "../support/host.ts";

const SCRATCH = STACK.at(-1)!;

const layersHost = () => hostWith({ layers: LAYERS });

Deno.test("mountWCOWLayers() creates a scratch from the layers where asked, and leaves it there", async () => {
  const host = layersHost();
  const layers = await mountWCOWLayers("c1", STACK, { host, createScratch: true });
  assertEquals(layers.holds.map(({ kind }) => kind), ["activation", "filter"]);
  await layers.release();
  assertEquals(host.exists(`${SCRATCH}\\sandbox.vhdx`), true);
  const create = host.calls.find((call) => call.function === "CreateSandboxLayer")!;
  assertEquals((create.args.layers as { Path: string }[]).map(({ Path }) => Path), LAYERS);
  // It is an ordinary scratch from here on.
  const again = await mountWCOWLayers("c1", STACK, { host, createScratch: true });
  assertEquals(host.calls.filter((call) => call.function === "CreateSandboxLayer").length, 1);
  await again.release();
});

for (
  const name of ["CreateSandboxLayer", "ActivateLayer", "PrepareLayer", "GetLayerMountPath", "SetVolumeMountPointW"]
) {
  Deno.test(`mountWCOWLayers() removes the scratch that it created where ${name} fails`, async () => {
    const host = layersHost();
    const before = host.paths();
    host.fail({ function: name, code: 0x80070005 });
    await assertRejects(
      () => mountWCOWLayers("c1", STACK, { host, createScratch: true, volumeMountPath: "C:\\mnt\\c1" }),
      NativeError,
    );
    assertEquals(host.held(), []);
    assertEquals(host.paths(), before);
  });
}

Deno.test("mountWCOWLayers() keeps a new scratch through its retries", async () => {
  const host = layersHost();
  host.fail({ function: "PrepareLayer", code: 21, nth: 1 });
  await using _layers = await mountWCOWLayers("c1", STACK, { host, createScratch: true });
  assertEquals(host.calls.filter((call) => call.function === "CreateSandboxLayer").length, 1);
});

Deno.test("mountWCOWLayers() gives back a new scratch after its disk, when that is stuck", async () => {
  const host = layersHost();
  const before = host.paths();
  host.fail({ function: "PrepareLayer", code: 0x80070005 });
  host.fail({ function: "DeactivateLayer", code: 0x80070005, nth: 1 });
  const error = await assertRejects(
    () => mountWCOWLayers("c1", STACK, { host, createScratch: true }),
    UnwindError,
  );
  await error.release();
  assertEquals(host.held(), []);
  assertEquals(host.paths(), before);
});

Deno.test("mountWCOWLayers() creates no scratch unless asked, nor for an image", async () => {
  const host = layersHost();
  const refused = await assertRejects(() => mountWCOWLayers("c1", STACK, { host }), InvalidInputError);
  assertEquals(refused.argument, "layerFolders[5]");
  host.addCimLayer(LAYERS[0]!);
  const image = await assertRejects(
    () => mountWCOWLayers("c1", STACK, { host, createScratch: true }),
    InvalidInputError,
  );
  assertEquals(image.argument, "createScratch");
  assertEquals(host.held(), []);
});

Deno.test("unmountWCOWLayers() leaves a created scratch where it is", async () => {
  const host = layersHost();
  await mountWCOWLayers("c1", STACK, { host, createScratch: true });
  await unmountWCOWLayers(SCRATCH, { host });
  assertEquals(host.exists(`${SCRATCH}\\sandbox.vhdx`), true);
});
