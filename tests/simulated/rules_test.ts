// The rules that `deno task observe` plays on real hosts, played on the simulated one: what windows-observed.md has seen real
// hosts answer, and what nobody has seen.
import { assert, assertEquals, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { Bench } from "../../scripts/observe/bench.ts";
import { machineLike } from "../../scripts/observe/reference.ts";
import { type Known, type Outcome, play, type Rule } from "../../scripts/observe/rule.ts";
import { RULES } from "../../scripts/observe/rules.ts";
import { hex } from "../../src/errors/codes.ts";
import { MissingExportError } from "../../src/errors/windows_errors.ts";
import * as hcs from "../../src/ffi/computestorage.ts";
import * as k32 from "../../src/ffi/kernel32.ts";
import { layerData } from "../../src/hcsschema/storage.ts";
import { SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";

const LAYERS = ["C:\\layers\\top", "C:\\layers\\base"];
const FOLDER = "C:\\observe\\1";
const LIKENESS = {
  revision: 2031,
  layers: LAYERS,
  withImage: [LAYERS[0]!],
  systemRoot: "C:\\Windows",
  vmBase: "C:\\layers\\vm",
};

function assertKnown(outcome: Outcome, known: Known): void {
  if (typeof known === "number") {
    assertEquals(outcome, { code: hex(known) });
  } else if (known === "nobody knows") {
    assertStringIncludes(outcome.unknown ?? "", known);
  } else if (known === "ends the process") {
    assert(/ends? the process|crashes/.test(outcome.unknown ?? ""), outcome.unknown);
  } else {
    assertEquals(outcome, { code: hex(0), ...known });
  }
}

async function playAlone(rule: Rule, build: number, known?: Known): Promise<void> {
  const host = machineLike({ ...LIKENESS, build });
  const paths = host.paths();
  const state = () => [host.held().length, host.paths()];
  let before: unknown;
  const asking = () => {
    before = state();
  };
  host.addFolder(FOLDER);
  const bench = new Bench({ ...LIKENESS, host, asking }, FOLDER);
  const outcome = await play(rule, bench);
  if (known !== undefined) assertKnown(outcome, known);
  const failed = outcome.unknown !== undefined || Number(outcome.code) > 0;
  if (failed && before !== undefined && rule.ask.length === 1) {
    assertEquals(state(), before, "nothing changes where it fails");
  }
  assertEquals(await bench.cleanUp(), []);
  assertEquals([host.held(), host.paths()], [[], [...paths, "C:\\observe"]]);
}

for (const rule of RULES) {
  for (const [build, known] of Object.entries(rule.known ?? {})) {
    Deno.test(`SimulatedHost answers as Windows build ${build} does: ${rule.id}`, () =>
      playAlone(rule, Number(build), known));
  }
  if (rule.known === undefined && rule.ask.length > 0) {
    Deno.test(`SimulatedHost is left as it was: ${rule.id}`, () => playAlone(rule, 26100));
  }
}

Deno.test("the rules have different names, of a subject and a situation", () => {
  const ids = RULES.map(({ id }) => id);
  assertEquals(ids.filter((id, i) => ids.indexOf(id) !== i || !/^[\w-]+\.[\w-]+$/.test(id)), []);
});

Deno.test("SimulatedHost doesn't know the size of a volume that is on no virtual disk", async () => {
  const host = new SimulatedHost();
  const name = host.addVolume("11111111-2222-3333-4444-555555555555");
  using volume = k32.openFile(host, name.slice(0, -1));
  const ask = () => k32.deviceIoControl(host, volume.value, { code: 0x0007405c, output: new Uint8Array(8) });
  await assertRejects(() => Promise.resolve().then(ask), SimulationError, "nobody knows");
});

Deno.test("SimulatedHost lacks the functions that a build lacks", async () => {
  const old = new SimulatedHost({ build: 19644 });
  const [layer, volume] = ["C:\\layers\\base", "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\"];
  const calls = [
    () => hcs.setupBaseOSVolume(old, layer, volume, { Type: "Container" }),
    () => hcs.attachOverlayFilter(old, volume, layerData({ filterType: "UnionFS" })),
    () => hcs.detachOverlayFilter(old, volume, layerData({ filterType: "UnionFS" })),
  ];
  for (const call of calls) await assertRejects(call, MissingExportError);
});
