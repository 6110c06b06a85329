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
