// What methods and options for testers refuse, so that a typing error doesn't make a test pass.
import { assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import { SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";

Deno.test("drives, volumes and attributes that can't be are refused, and not added", () => {
  const host = new SimulatedHost();
  host.addFile("C:\\disk.vhdx");
  const before = host.snapshot();
  for (
    const [add, told] of [
      [() => host.addDrive("e"), 'a drive is a letter and a colon, E:, not "e"'],
      [() => host.addDriveLetter("E:\\", "C:"), "a drive is a letter"],
      [() => host.addSubstDrive("", "C:\\"), "a drive is a letter"],
      [() => host.addNetworkDrive("NN:"), "a drive is a letter"],
      [() => host.addVolume("x"), 'has a GUID, not "x"'],
      [() => host.addAttributes("C:\\disk.vhdx", "sparsed" as "sparse"), "did you mean sparse?"],
    ] as const
  ) assertThrows(add, SimulationError, told);
  assertEquals(host.snapshot(), before);
});

Deno.test("a latency that is no number of milliseconds is refused at once", () => {
  for (const ms of [NaN, Infinity, -1]) {
    assertThrows(() => new SimulatedHost({ latency: { PrepareLayer: ms } }), SimulationError, "latency.PrepareLayer");
  }
});

Deno.test("a use of a file that doesn't exist is refused, and an opening that Windows refuses is told by its code", () => {
  const host = new SimulatedHost();
  host.addFile("C:\\a");
  const path = "C:\\a";
  assertThrows(
    () => host.openFile(path, { share: ["all" as "read"] }),
    SimulationError,
    'read, write, delete, not "all"',
  );
  using _ = host.openFile(path, { share: [] });
  assertThrows(() => host.openFile(path), SimulationError, "32 ERROR_SHARING_VIOLATION");
});

Deno.test("an option that doesn't exist is refused by its name, and nothing is added", () => {
  const host = new SimulatedHost();
  host.addFile("C:\\a");
  const before = host.snapshot();
  const rows: readonly (readonly [use: () => unknown, told: string])[] = [
    [() => new SimulatedHost({ sed: 1 } as never), "SimulatedHost has no option sed; did you mean seed?"],
    [() => new SimulatedHost("C:\\a" as never), 'the options of SimulatedHost are no object: "C:\\\\a"'],
    [
      () => new SimulatedHost({ company: { scaner: {} } } as never),
      "company has no option scaner; did you mean scanner?",
    ],
    [() => new SimulatedHost({ company: { scanner: { holds: 1, hold: 2 } } } as never), "scanner has no option hold"],
    [() => new SimulatedHost({ company: { scanner: 5 } } as never), "the options of scanner are no object: 5"],
    [() => host.before("CreateFileW", () => {}, { nht: 1 } as never), "before() has no option nht; did you mean nth?"],
    [() => host.openFile("C:\\a", { shared: [] } as never), "openFile() has no option shared; did you mean share?"],
    [() => host.openFile("C:\\a", { share: "read" } as never), 'is a list, not "read"'],
    [() => host.addLayer("C:\\l", { file: {} } as never), "addLayer() has no option file; did you mean files?"],
    [() => host.addCimLayer("C:\\l", { remove: [] } as never), "addCimLayer() has no option remove"],
  ];
  for (const [use, told] of rows) assertThrows(use, SimulationError, told);
  assertEquals(host.snapshot(), before);
});

Deno.test("files that can't be are refused, and not added", () => {
  const host = new SimulatedHost();
  host.addFile("C:\\folder\\file");
  const before = host.snapshot();
  const rows: readonly (readonly [add: () => unknown, told: string])[] = [
    [() => host.addFile("C:\\folder\\file\\a\\b"), "C:\\folder\\file is a file, so nothing can be in it"],
    [() => host.addFolder("C:\\folder\\file\\a"), "C:\\folder\\file is a file"],
    [() => host.addFolder("C:\\folder\\file"), "C:\\folder\\file is a file"],
    [() => host.addLayer("C:\\folder\\file"), "C:\\folder\\file is a file"],
    [() => host.addScratch("C:\\folder\\file"), "C:\\folder\\file is a file"],
    [() => host.addFile("C:\\folder"), "C:\\folder is a folder already"],
    [() => host.addFile("C:\\a", NaN), "the size of C:\\a is no number of bytes: NaN"],
    [() => host.addFile("C:\\a", 0.5), "no number of bytes: 0.5"],
    [() => host.addFile("C:\\a", {} as never), "the content of C:\\a is no text, no bytes and no size"],
    [() => host.addDisk("C:\\a", -1), "no number of bytes: -1"],
    [() => host.addLinuxLayer("C:\\a", Infinity), "no number of bytes: Infinity"],
    [() => host.addLayer("C:\\l", { files: { a: -5 } }), "no number of bytes: -5"],
  ];
  for (const [add, told] of rows) assertThrows(add, SimulationError, told);
  assertEquals(host.snapshot(), before);
});
