import { assert, assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.0";
import { mountWCOWLayers, NativeError } from "../../mod.ts";
import { createVhdx } from "../../src/storage/mod.ts";
import * as k32 from "../../src/ffi/kernel32.ts";
import * as storage from "../../src/ffi/vmcompute.ts";
import { type InjectedFailure, SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";
import { held, heldKinds } from "../support/calls.ts";
import { hostWith, MOUNT, SCRATCH, STACK, stackHost } from "../support/host.ts";

const PARENT = "C:\\layers\\ro01";
const parent = async (host: SimulatedHost) => ({ id: await storage.nameToGuid(host, "ro01"), path: PARENT });

Deno.test("fail() refuses what can't fail that way, and names what was meant", () => {
  const host = new SimulatedHost();
  const refused: [InjectedFailure, string][] = [
    [{ function: "PrepareLyer", code: 5 }, "did you mean PrepareLayer"],
    [{ function: "preparelayer", code: 5 }, "did you mean PrepareLayer"],
    [{ function: "SystemStartComplete", code: 5 }, "did you mean SystemStartCompleted"],
    [{ function: "", code: 5 }, "no function"],
    [{ function: "PrepareLayer", code: "ERROR_ACES_DENIED" }, "did you mean ERROR_ACCESS_DENIED"],
    [{ function: "PrepareLayer", code: "toString" }, "no code toString"],
    [{ function: "PrepareLayer", code: "0x80070005" }, "a code that is a number has no quotes: 0x80070005"],
    [{ function: "PrepareLayer", code: NaN }, "a code has 32 bits, which NaN hasn't"],
    [{ function: "PrepareLayer", code: 2 ** 32 }, "32 bits"],
    [{ function: "PrepareLayer", code: null as never }, "a code is a number or a name, not null"],
    [{ function: "PrepareLayer", code: 5, ntn: 1 } as never, "fail() has no option ntn; did you mean nth?"],
    [{ code: 5 } as never, "no function or notification undefined"],
    [{ function: "PrepareLayer", code: 5, nth: 0 }, "counts from 1"],
    [{ function: "PrepareLayer", code: 5, effect: "partial" }, "in one step"],
    [{ function: "PrepareLayer", code: 5, effect: "half" as never }, "neither none, partial nor full"],
    [{ function: "SystemStartCompleted", code: 5, effect: "full" }, "it is a notification"],
    [{ function: "SystemStartCompleted", code: 5, effectAfter: 5 }, "it is a notification"],
    [{ function: "CreateFileW", code: 0 }, "it returns more than success or failure"],
    [{ function: "GetLayerMountPath", code: 0 }, "it returns more than success or failure"],
    [{ function: "CreateFileW", code: 5, effectAfter: 5 }, "it returns more than success or failure"],
    [{ function: "DeactivateLayer", code: 0, effect: "full" }, "effectAfter"],
    [{ function: "DeactivateLayer", code: 5, effect: "full", effectAfter: 5 }, "now"],
    [{ function: "DeactivateLayer", code: 5, effectAfter: -1 }, "milliseconds"],
  ];
  for (const [failure, text] of refused) {
    assertThrows(() => host.fail(failure), SimulationError, text, JSON.stringify(failure));
  }
});

Deno.test("fail() tells how often it has fired, and can be taken back", async () => {
  const host = stackHost();
  const activated = host.fail({ function: "ActivateLayer", code: "ERROR_DISK_FULL" });
  {
    using prepared = host.fail({ function: "PrepareLayer", code: 0x80070005 });
    assertEquals((await assertRejects(() => mountWCOWLayers("c1", STACK, { host }), NativeError)).win32, 112);
    assertEquals([activated.fired, prepared.fired], [1, 0]);
    activated.undo();
    assertEquals((await assertRejects(() => mountWCOWLayers("c1", STACK, { host }), NativeError)).win32, 5);
    assertEquals([activated.fired, prepared.fired], [1, 1]);
  }
  await (await mountWCOWLayers("c1", STACK, { host })).release();
  activated.undo();
});

Deno.test("nth counts from the call of fail() on", () => {
  const host = new SimulatedHost();
  k32.fileAttributes(host, "C:");
  const failure = host.fail({ function: "GetFileAttributesW", code: "ERROR_ACCESS_DENIED", nth: 2 });
  k32.fileAttributes(host, "C:");
  assertThrows(() => k32.fileAttributes(host, "C:"), NativeError);
  k32.fileAttributes(host, "C:");
  assertEquals(failure.fired, 1);
});

Deno.test("a call can fail after its effect, and what it would have returned is lost", async () => {
  const host = hostWith({ layers: [PARENT], folders: ["C:\\disks"], scratches: [SCRATCH] });
  host.fail({ function: "ActivateLayer", code: 1460, effect: "full", nth: 1 });
  await assertRejects(() => storage.activateLayer(host, SCRATCH), NativeError);
  assertEquals(held(host), [`activation ${SCRATCH}`]);
  await storage.deactivateLayer(host, SCRATCH);
  const before = host.allocations;

  host.fail({ function: "CreateFileW", code: 5, effect: "full" });
  assertThrows(() => k32.openFile(host, SCRATCH, { flags: k32.fileFlag.BACKUP_SEMANTICS }), NativeError);
  host.fail({ function: "GetBaseImages", code: 5, effect: "full" });
  await assertRejects(async () => await storage.getBaseImages(host), NativeError);
  assertEquals([held(host), host.allocations], [[], before]);
});

Deno.test("a call that fails by itself isn't given another code", () => {
  const host = new SimulatedHost();
  host.fail({ function: "DeleteFileW", code: 5, effect: "full" });
  assertEquals(assertThrows(() => k32.deleteFile(host, "C:\\no"), NativeError).win32, 2);
});

Deno.test("a call can fail in the middle, if it has one", async () => {
  const host = hostWith({ layers: [PARENT], folders: ["C:\\disks", MOUNT], files: { "C:\\from": 10 } });
  host.fail({ function: "CreateSandboxLayer", code: "ERROR_DISK_FULL", effect: "partial" });
  host.fail({ function: "CreateVirtualDisk", code: "ERROR_DISK_FULL", effect: "partial" });
  host.fail({ function: "CopyFileW", code: "ERROR_DISK_FULL", effect: "partial" });
  host.fail({ function: "SetVolumeMountPointW", code: "ERROR_ACCESS_DENIED", effect: "partial" });
  const parents = [await parent(host)];
  await assertRejects(() => storage.createSandboxLayer(host, "C:\\new", parents), NativeError);
  assert(host.exists("C:\\new\\sandbox.vhdx"));
  await assertRejects(async () => await createVhdx("C:\\disks\\a.vhdx", { size: 2 ** 26, host }));
  assertThrows(() => k32.copyFile(host, "C:\\from", "C:\\to"), NativeError);
  assertEquals(k32.fileSize(host, "C:\\to"), 0n);
  const volume = host.addVolume("11111111-2222-3333-4444-555555555555");
  assertThrows(() => k32.setVolumeMountPoint(host, MOUNT, volume), NativeError);
  assertEquals([k32.volumeNameForMountPoint(host, MOUNT), k32.mountPointsOfVolume(host, volume)], [volume, []]);
});

Deno.test("a call can succeed without an effect, or have it later", async () => {
  const host = hostWith({ layers: [PARENT], scratches: [SCRATCH] }, { clock: "manual" });
  await storage.activateLayer(host, SCRATCH);
  const lie = host.fail({ function: "DeactivateLayer", code: 0 });
  await storage.deactivateLayer(host, SCRATCH);
  assertEquals([heldKinds(host), lie.fired], [["activation"], 1]);
  lie.undo();
  using _ = host.fail({ function: "DeactivateLayer", code: 0, effectAfter: 200 });
  await storage.deactivateLayer(host, SCRATCH);
  await host.clock.advance(199);
  assertEquals(heldKinds(host), ["activation"]);
  await host.clock.advance(1);
  assertEquals(heldKinds(host), []);
});

Deno.test("the calls can be cleared, and a trace has those that concern the machine", () => {
  const host = stackHost();
  assertThrows(() => k32.deleteFile(host, "C:\\no"), NativeError);
  assertEquals(host.calls.map((call) => call.function), ["DeleteFileW", "GetLastError", "FormatMessageW"]);
  assertEquals(host.trace(), [{
    dll: "kernel32",
    function: "DeleteFileW",
    args: { path: "C:\\no" },
    result: "0x80070002",
  }]);
  host.clearCalls();
  assertEquals([host.calls, host.trace()], [[], []]);
  k32.createDirectory(host, "C:\\a");
  assertEquals([host.calls.length, host.held()[0]!.by!.call], [1, 4]);
});

Deno.test("of very many calls the last ones are kept", () => {
  const host = new SimulatedHost();
  const { GetCurrentProcess } = host.symbols(k32.kernel32);
  for (let i = 0; i < 250_000; i++) GetCurrentProcess();
  assert(host.calls.length >= 100_000 && host.calls.length < 200_000);
});

Deno.test("paths that Windows doesn't have are refused, and closing separators don't matter", () => {
  const host = new SimulatedHost();
  const refused = [
    "",
    "layers",
    "C:layers",
    "/layers",
    "C:/layers",
    "C:\\a\\\\b",
    "C:\\a|b",
    "C:\\a\\..\\b",
    "C:\\a:b",
    "\\\\server",
  ];
  for (const path of refused) {
    for (
      const add of ["addFolder", "addFile", "addLayer", "addCimLayer", "addScratch", "addWindowsBootLayer"] as const
    ) {
      assertThrows(() => host[add](path), SimulationError, "can't be added", `${add} ${path}`);
    }
  }
  assertEquals(host.paths(), ["C:"]);
  host.addScratch("C:\\scratch\\");
  host.addLayer("\\\\?\\C:\\layers\\base\\");
  host.addCimLayer("C:\\layers\\top\\");
  host.addFolder("\\\\server\\share\\folder\\");
  for (const path of ["C:\\scratch\\sandbox.vhdx", "C:\\layers\\base\\Files", "C:\\layers\\cim-layers\\top.cim"]) {
    assert(host.exists(path), path);
  }
});

Deno.test("whenUnknown chooses what is returned if nobody knows what Windows does", async () => {
  const asked: string[] = [];
  const host = stackHost({
    whenUnknown: ({ function: name, args, what }) => {
      asked.push(`${name} ${args["id"] ?? args["path"]}: ${what}`);
      return name === "ActivateLayer" ? "ERROR_SHARING_VIOLATION" : name === "PrepareLayer" ? 0 : undefined;
    },
  });
  await storage.activateLayer(host, SCRATCH);
  assertEquals((await assertRejects(() => storage.activateLayer(host, SCRATCH), NativeError)).win32, 32);
  assertEquals(asked, [`ActivateLayer ${SCRATCH}: activating a layer twice: ${SCRATCH}`]);
  await storage.deactivateLayer(host, SCRATCH);
  await storage.prepareLayer(host, SCRATCH, [await parent(host)]);
  assertEquals(held(host), []);
  await assertRejects(() => storage.getLayerMountPath(host, SCRATCH), SimulationError, "nobody knows");
  await assertRejects(
    () => storage.getLayerMountPath(stackHost({ whenUnknown: () => 0 }), SCRATCH),
    SimulationError,
    "whenUnknown returned 0",
  );
});
