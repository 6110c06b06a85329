import { assertEquals, assertInstanceOf, assertRejects } from "jsr:@std/assert@^1.0.0";
import { importCimLayer, LayerError, NativeError, windowsHost } from "../../../mod.ts";
import { offregSymbols } from "../../../src/ffi/offreg.ts";
import { baseEntries, childEntries, tar } from "../../support/layer_tars.ts";
import { watched } from "./host.ts";
import { Recorder } from "./recorder.ts";

const OPEN = "non-null";

async function withLayers(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    Deno.mkdirSync(`${folder}\\cim-layers`);
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

// Wine makes a file of an alternate data stream, which stays where it is when what it belongs to gets another name: so a layer that
// fails isn't known again, and is left. The simulated host shows that nothing is.
function names(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => !name.includes(":")).sort();
}

for (const calls of ["pool", "thread"] as const) {
  Deno.test(`a layer is imported into an image, and its hives are merged with those below (${calls})`, async () => {
    await withLayers(async (folder) => {
      using recorder = new Recorder();
      using host = windowsHost({ calls, records: false });
      const [base, app] = [`${folder}\\Basis`, `${folder}\\Ärger 😀`];
      await importCimLayer(base, tar(...baseEntries()), [], { host });
      assertEquals(Deno.readTextFileSync(`${base}\\Hives\\SYSTEM_BASE`), "hive SYSTEM");
      const before = recorder.calls.length;
      await importCimLayer(app, tar(...childEntries()), [base], { host });
      const found = recorder.calls.slice(before).filter(({ dll }) => dll === "offreg").map((
        { fn, args },
      ) => [fn, args]);
      const closed = ["ORCloseHive", { hive: OPEN }];
      assertEquals(found as unknown[], [
        ["OROpenHive", { path: `${base}\\Hives\\SYSTEM_BASE` }],
        ["OROpenHive", { path: `${app}\\Hives\\System_Delta` }],
        ["ORMergeHives", { count: 2, hive0: OPEN, hive1: OPEN }],
        ["ORSaveHive", { hive: OPEN, path: `${app}\\Hives\\SYSTEM_BASE`, major: 10, minor: 0 }],
        closed,
        closed,
        closed,
      ]);
      assertEquals([...new Set(found.map(([fn]) => fn))].sort(), Object.keys(offregSymbols).sort());
      assertEquals(Deno.readTextFileSync(`${app}\\Hives\\SYSTEM_BASE`), "merged");
      assertEquals(names(app), ["Hives"]);
      assertEquals(names(`${folder}\\cim-layers`), ["Basis.cim", "Ärger 😀.cim"]);
    });
  });

  Deno.test(`an import that fails at any call leaves no image, no hive open and no memory (${calls})`, async () => {
    for (
      const fn of ["OROpenHive", "ORMergeHives", "ORSaveHive", "CimDeletePath", "CimCreateHardLink", "CimCommitImage"]
    ) {
      await withLayers(async (folder) => {
        using recorder = new Recorder();
        using windows = windowsHost({ calls, records: false });
        const base = `${folder}\\base`;
        await importCimLayer(base, tar(...baseEntries()), [], { host: windows });
        const before = recorder.calls.length;
        const called: string[] = [];
        recorder.fail({ [`${fn}#${recorder.calls.filter((call) => call.fn === fn).length + 1}`]: 0x80070005 });
        const run = () =>
          importCimLayer(`${folder}\\app`, tar(...childEntries()), [base], { host: watched(windows, called) });
        const thrown = await assertRejects(run, LayerError);
        // A link that is refused is told with its entry.
        const error = fn === "CimCreateHardLink" ? thrown.cause : thrown;
        assertInstanceOf(error, NativeError);
        assertEquals([error.operation, names(`${folder}\\cim-layers`)], [fn, ["base.cim"]]);
        const made = recorder.calls.slice(before);
        const count = (name: RegExp) => made.filter((call) => name.test(call.fn) && call.hr === "0x00000000").length;
        assertEquals(count(/^ORCloseHive$/), count(/^OR(OpenHive|MergeHives)$/));
        assertEquals(count(/^CimCloseImage$/), count(/^CimCreateImage$/));
        const times = (name: string) => called.filter((other) => other === name).length;
        assertEquals(times("LocalAlloc"), times("LocalFree"));
      });
    }
  });
}
