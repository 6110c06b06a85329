// What a real host was observed to return is what the simulated host returns, where its calls fail.
import { assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.0";
import { InvalidInputError, NativeError } from "../../mod.ts";
import { setVolumeMountPoint } from "../../src/ffi/kernel32.ts";
import { activateLayer, deactivateLayer, prepareLayer } from "../../src/ffi/vmcompute.ts";
import { type ObservedAnswers, SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";

const SCRATCH = "C:\\scratch";

function machine(...rules: [situation: string, code: string][]): SimulatedHost {
  const host = new SimulatedHost({
    answers: { rules: rules.map(([situation, code]) => ({ situation, observed: { code } })) },
  });
  host.addScratch(SCRATCH);
  host.addFolder("C:\\mnt");
  return host;
}

const codeOf = async (call: () => Promise<unknown>) => (await assertRejects(call, NativeError)).code;

Deno.test("SimulatedHost fails as a real host did where nobody knew", async () => {
  const host = machine(["ActivateLayer: activating a layer twice", "0x80070020"]);
  await activateLayer(host, SCRATCH);
  assertEquals(await codeOf(() => activateLayer(host, SCRATCH)), 0x80070020);
  assertEquals(host.held().map(({ kind }) => kind), ["activation"]);
  assertEquals(host.calls.find((call) => call.situation !== undefined)?.result, "0x80070020");
});

Deno.test("SimulatedHost fails as a real host did where another code was known, or a success", async () => {
  const host = machine(
    ["PrepareLayer: attaching the filter twice", "0x800700aa"],
    ["DeactivateLayer: deactivating a layer that isn't activated", "0x80070037"],
  );
  assertEquals(await codeOf(() => deactivateLayer(host, SCRATCH)), 0x80070037);
  await activateLayer(host, SCRATCH);
  await prepareLayer(host, SCRATCH, []);
  assertEquals(await codeOf(() => prepareLayer(host, SCRATCH, [])), 0x800700aa);
});

Deno.test("SimulatedHost reports an answer in the form of the function", () => {
  const host = machine(["SetVolumeMountPointW: mounting a volume that doesn't exist", "0x80070003"]);
  const volume = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\";
  const error = assertThrows(() => setVolumeMountPoint(host, "C:\\mnt", volume), NativeError);
  assertEquals(error.win32, 3);
});

Deno.test("SimulatedHost takes an answer for the function that was observed, and for no other", async () => {
  const host = machine(["DeactivateLayer: activating a layer twice", "0x80070020"]);
  await activateLayer(host, SCRATCH);
  await assertRejects(() => activateLayer(host, SCRATCH), SimulationError);
});

Deno.test("SimulatedHost still doesn't know what an observed success did", async () => {
  const host = machine(["ActivateLayer: activating a layer twice", "0x00000000"]);
  await activateLayer(host, SCRATCH);
  await assertRejects(() => activateLayer(host, SCRATCH), SimulationError, "nobody knows");
});

Deno.test("SimulatedHost refuses answers that are no report", () => {
  const wrong: [unknown, string][] = [
    [null, "answers is not the parsed report of `deno task observe`"],
    ["observe.json", "answers is not the parsed report of `deno task observe`"],
    [{ rules: [{ situation: "x", observed: { code: "32" } }] }, "has a code that isn't 0x and eight digits for x"],
  ];
  for (const [answers, says] of wrong) {
    assertThrows(() => new SimulatedHost({ answers: answers as ObservedAnswers }), InvalidInputError, says);
  }
});
