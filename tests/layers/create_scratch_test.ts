import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { InvalidInputError, mountWCOWLayers, NativeError, unmountWCOWLayers, UnwindError } from "../../mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { LAYERS, STACK } from "../support/host.ts";

const SCRATCH = STACK.at(-1)!;

function host(): SimulatedHost {
  const host = new SimulatedHost();
  LAYERS.forEach((folder) => host.addLayer(folder));
  return host;
}

Deno.test("mountWCOWLayers() creates a scratch from the layers where asked, and leaves it there", async () => {
  const machine = host();
  const layers = await mountWCOWLayers("c1", STACK, { host: machine, createScratch: true });
  assertEquals(layers.holds.map(({ kind }) => kind), ["activation", "filter"]);
  await layers.release();
  assertEquals(machine.exists(`${SCRATCH}\\sandbox.vhdx`), true);
  const create = machine.calls.find((call) => call.function === "CreateSandboxLayer")!;
  assertEquals((create.args.layers as { Path: string }[]).map(({ Path }) => Path), LAYERS);
  // It is an ordinary scratch from here on.
  const again = await mountWCOWLayers("c1", STACK, { host: machine, createScratch: true });
  assertEquals(machine.calls.filter((call) => call.function === "CreateSandboxLayer").length, 1);
  await again.release();
});

for (
  const name of ["CreateSandboxLayer", "ActivateLayer", "PrepareLayer", "GetLayerMountPath", "SetVolumeMountPointW"]
) {
  Deno.test(`mountWCOWLayers() removes the scratch that it created where ${name} fails`, async () => {
    const machine = host();
    const before = machine.paths();
    machine.fail({ function: name, code: 0x80070005 });
    await assertRejects(
      () => mountWCOWLayers("c1", STACK, { host: machine, createScratch: true, volumeMountPath: "C:\\mnt\\c1" }),
      NativeError,
    );
    assertEquals(machine.held(), []);
    assertEquals(machine.paths(), before);
  });
}

Deno.test("mountWCOWLayers() keeps a new scratch through its retries", async () => {
  const machine = host();
  machine.fail({ function: "PrepareLayer", code: 21, nth: 1 });
  await using _layers = await mountWCOWLayers("c1", STACK, { host: machine, createScratch: true });
  assertEquals(machine.calls.filter((call) => call.function === "CreateSandboxLayer").length, 1);
});

Deno.test("mountWCOWLayers() gives back a new scratch after its disk, when that is stuck", async () => {
  const machine = host();
  const before = machine.paths();
  machine.fail({ function: "PrepareLayer", code: 0x80070005 });
  machine.fail({ function: "DeactivateLayer", code: 0x80070005, nth: 1 });
  const error = await assertRejects(
    () => mountWCOWLayers("c1", STACK, { host: machine, createScratch: true }),
    UnwindError,
  );
  await error.release();
  assertEquals(machine.held(), []);
  assertEquals(machine.paths(), before);
});

Deno.test("mountWCOWLayers() creates no scratch unless asked, nor for an image", async () => {
  const machine = host();
  const refused = await assertRejects(() => mountWCOWLayers("c1", STACK, { host: machine }), InvalidInputError);
  assertEquals(refused.argument, "layerFolders[5]");
  machine.addCimLayer(LAYERS[0]!);
  const image = await assertRejects(
    () => mountWCOWLayers("c1", STACK, { host: machine, createScratch: true }),
    InvalidInputError,
  );
  assertEquals(image.argument, "createScratch");
  assertEquals(machine.held(), []);
});

Deno.test("unmountWCOWLayers() leaves a created scratch where it is", async () => {
  const machine = host();
  await mountWCOWLayers("c1", STACK, { host: machine, createScratch: true });
  await unmountWCOWLayers(SCRATCH, { host: machine });
  assertEquals(machine.exists(`${SCRATCH}\\sandbox.vhdx`), true);
});
