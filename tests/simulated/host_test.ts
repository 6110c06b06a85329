import { assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.0";
import { MissingDllError, mountSandboxVolume, mountWCOWLayers, NativeError } from "../../mod.ts";
import * as k32 from "../../src/ffi/kernel32.ts";
import { nativeCopy } from "../../src/ffi/memory.ts";
import * as dll from "../../src/ffi/vmcompute.ts";
import { wide } from "../../src/ffi/wide.ts";
import { SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";
import { CallBarrier, held, settle } from "../support/calls.ts";
import { MOUNT, SCRATCH, STACK, stackHost } from "../support/host.ts";

const REAL: [name: string, id: string][] = [
  ["4", "bd9c3ef9-f239-59b5-a27e-15c523b1d149"],
  ["4e3c0eecb91d8fc28eda07ff06c6910a592b0ce4539476fb943b48e6934e9976", "cd22d128-903e-550a-9d8f-aa8134ca1c9b"],
  ["e2a46135ff011a2ef9f193590ccddde95806850a0cdd7638b913e003c28e7fd0", "8f9dd02a-0f67-598e-921b-59884f08b5af"],
  ["3030b7a20c848d1553700c1ccf0369b0f5d9b3d9a4c37ea6652fd54809a60a07", "4d2dfb6d-2f3b-5926-adf1-4bd7e162b91f"],
  ["2a4a12b082184aec3c238334a57cae90eb5ae33d25dab0cc5a8c65c67293782d", "f1f65ef4-dda7-5263-88b0-8c816567a93a"],
  ["b96bc989586f7c91240c36156b2ba034816440727354534830516af3a26ce776", "e498afab-37ca-5c38-b2d7-af8b6803358c"],
  ["84eda3c719e6ede7de73473d76a0271b0d9dad9a65b12fce59a63710cdf01a18", "15573d3c-2c12-5583-b6f0-9ee5e6587c64"],
  ["24bd0f2e055b6cd260726559acfc169e3d37632ed7414725c241b61196b5d61e", "892a72af-a573-5a2c-a185-1bc75e7bb860"],
  ["170deb3a7898b1bfe9494dc17fe9cb62d0b81ff4ea4d012e821c29e052961408", "95bd17f5-9524-574d-a2ee-0189dfd5bf7b"],
  ["4758da281db192a14b54c9830b57629839fba303fd1166ceec8de7e0814bc79a", "ae9b6abf-c0b1-5da6-9eb0-ce7cbb9c271a"],
  ["b8ae79a18a158afdbf770de6cd97eac7e8b704d1bf10e79c7884a9398d066b3f", "d1812ed3-377c-5005-af50-a6828f87cd80"],
  ["e280ae88fe4afde08717cb8a598cb480a554bfd79316047592f1a3899997e6f3", "f3fa31ff-3646-5aa8-aae6-fd07fa98dc11"],
  ["e98a4f90ea0b0b172cbc2a6520403c18c5be676fc98d967d5112940318664d8e", "aee45bbb-f900-54e3-8b4a-667e447fdf14"],
  ["305d84fb4aa7bb0818f672f25e34cf899067db0a9d0b245cdcf9c5d106360954", "b7751ac9-9da4-5a04-8f41-2d5e61a8b5b7"],
  ["076e74b17ff6b4b670e466cdc13945303bb7df9b82bf461e756bc729d659da07", "aa4fc017-120a-5dc4-b863-36ed05992ba1"],
];

Deno.test("NameToGuid answers the 15 real pairs, and the stand-in of the recorded runs for all other names", () => {
  const host = new SimulatedHost();
  for (const [name, id] of REAL) assertEquals(dll.nameToGuid(host, name), id);
  assertEquals(dll.nameToGuid(host, "ro01"), "488d6829-ed71-5eed-ac15-2fb41ecac0fd");
  assertEquals(dll.nameToGuid(host, "ro03"), "48932e7b-b971-5ef4-bedb-34b41e96c7fd");
});

Deno.test("held() says what is held, and by which call of which process", async () => {
  const host = stackHost();
  await using _layers = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  assertEquals(
    host.held().map(({ kind, target, by }) => [kind, target, by!.function]),
    [
      ["activation", SCRATCH, "ActivateLayer"],
      ["filter", SCRATCH, "PrepareLayer"],
      ["folder", "C:\\mnt", "CreateDirectoryW"],
      ["folder", MOUNT, "CreateDirectoryW"],
      ["mountPoint", MOUNT, "SetVolumeMountPointW"],
    ],
  );
  for (const { by } of host.held()) {
    assertEquals(by!.process, 1);
    assertEquals(host.calls[by!.call - 1]!.function, by!.function);
  }
  using _open = k32.openFile(host, "C:\\scratch", { flags: k32.fileFlag.BACKUP_SEMANTICS });
  assertEquals(held(host).at(-1), "handle C:\\scratch");
});

Deno.test("fail() makes the nth call fail, every call, or those that meet a condition, and failNothing() none", async () => {
  const outcomes = async (failure: Parameters<SimulatedHost["fail"]>[0]): Promise<(number | undefined)[]> => {
    const host = new SimulatedHost();
    host.fail(failure);
    const run = (layer: string) =>
      dll.deactivateLayer(host, layer).then(() => undefined, (error: NativeError) => error.code);
    const codes = [await run("C:\\a"), await run("C:\\b"), await run("C:\\a")];
    host.failNothing();
    return [...codes, await run("C:\\a")];
  };
  const fn = "DeactivateLayer";
  const code = 0xc0370112;
  assertEquals(await outcomes({ function: fn, code, nth: 2 }), [undefined, code, undefined, undefined]);
  assertEquals(await outcomes({ function: fn, code }), [code, code, code, undefined]);
  const onA = ({ args }: { args: Readonly<Record<string, unknown>> }) => args["id"] === "C:\\a";
  assertEquals(await outcomes({ function: fn, code, when: onA }), [code, undefined, code, undefined]);
  assertEquals(await outcomes({ function: fn, code, when: onA, nth: 2 }), [undefined, undefined, undefined, undefined]);
  assertEquals(await outcomes({ function: fn, code: 32 }), [0x80070020, 0x80070020, 0x80070020, undefined]);
  assertEquals(await outcomes({ function: "ActivateLayer", code }), [undefined, undefined, undefined, undefined]);
});

Deno.test("a call that fails by fail() changes nothing, and is in calls with its code", async () => {
  const host = stackHost();
  host.fail({ function: "ActivateLayer", code: 21 });
  await assertRejects(() => dll.activateLayer(host, SCRATCH), NativeError);
  assertEquals(host.calls.find((call) => call.function === "ActivateLayer")!.result, "0x80070015");
  assertEquals(host.held(), []);
});

Deno.test("latency holds back slow calls until its promise or its milliseconds are over, fast ones never", async () => {
  const barrier = new CallBarrier((call) => call.function === "ActivateLayer");
  const host = stackHost({ latency: barrier.latency });
  const activating = dll.activateLayer(host, SCRATCH);
  assertEquals(dll.nameToGuid(host, "4"), REAL[0]![1]);
  await settle();
  assertEquals([host.held(), host.calls.map((call) => call.result)], [[], [
    "0x00000000",
    "0x00000000",
    "pending",
    "0x00000000",
  ]]);
  barrier.release();
  await activating;
  assertEquals(held(host), [`activation ${SCRATCH}`]);
  const timed = stackHost({ latency: () => 1 });
  await dll.activateLayer(timed, SCRATCH);
  assertEquals(held(timed), [`activation ${SCRATCH}`]);
});

Deno.test("memory that is given back while a call is under way is noticed", async () => {
  const barrier = new CallBarrier(() => true);
  const host = stackHost({ latency: barrier.latency });
  const info = new Uint8Array(16);
  let activating: unknown;
  {
    using home = nativeCopy(host, wide(""));
    new DataView(info.buffer).setBigUint64(8, home.address, true);
    activating = host.symbols(dll.vmcompute).ActivateLayer(info, wide(SCRATCH));
  }
  barrier.release();
  await assertRejects(async () => await activating, SimulationError, "isn't allocated");
});

Deno.test("a DLL that isn't simulated is missing", () => {
  const other = { file: "other.dll", symbols: {}, remedy: "none" };
  assertThrows(
    () => new SimulatedHost().symbols(other),
    MissingDllError,
    "other.dll can't be loaded. It isn't simulated",
  );
});

Deno.test("mountSandboxVolume() of a volume that isn't there isn't guessed at", async () => {
  const host = new SimulatedHost();
  const volume = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\";
  await assertRejects(() => mountSandboxVolume(MOUNT, volume, { host }), SimulationError, "nobody knows");
  assertEquals([held(host), host.paths()], [[], ["C:"]]);
});
