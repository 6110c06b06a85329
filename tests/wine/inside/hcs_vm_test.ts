import { assert, assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { createUtilityVM, MissingPermissionError, NativeError, windowsHost } from "../../../mod.ts";
import type { Host } from "../../../src/ffi/host.ts";
import * as hcs from "../../../src/ffi/vmcompute_hcs.ts";
import { watched } from "./host.ts";
import { probe } from "./probe.ts";
import { Recorder } from "./recorder.ts";
import { BOOT_FILES, makeFiles, WINDOWS_DISK, WINDOWS_FOLDERS } from "./vm_files.ts";

const ID = "vm-Ärger 😀";
const REQUEST = { RequestType: "Add", ResourcePath: "VirtualMachine/Devices/Scsi/0/Attachments/1" };

interface Case {
  fn: keyof typeof hcs.vmcomputeHcsSymbols;
  call(host: Host, system: bigint): Promise<unknown>;
  /** What it receives beside the system, or all for one that takes none. */
  received: Record<string, unknown>;
  answer?: unknown;
  /** Names the thing in an error. */
  path?: undefined;
  noSystem?: true;
}

const QUERY = '{"PropertyTypes":["Memory"]}';
const query = { PropertyTypes: ["Memory"] };

const CASES: Case[] = [
  { fn: "HcsCloseComputeSystem", call: (host, system) => hcs.closeSystem(host, system, ID), received: {} },
  {
    fn: "HcsCreateComputeSystem",
    call: (host) => hcs.createSystem(host, ID, { Owner: "test" }),
    received: { id: ID, configuration: '{"Owner":"test"}', identity: null },
    noSystem: true,
  },
  {
    fn: "HcsEnumerateComputeSystems",
    call: (host) => hcs.enumerateSystems(host, query),
    received: { query: QUERY },
    answer: "[]",
    path: undefined,
    noSystem: true,
  },
  {
    fn: "HcsGetComputeSystemProperties",
    call: (host, system) => hcs.systemProperties(host, system, ID, query),
    received: { propertyQuery: QUERY },
  },
  {
    fn: "HcsGetServiceProperties",
    call: (host) => hcs.serviceProperties(host, query),
    received: { propertyQuery: QUERY },
    path: undefined,
    noSystem: true,
  },
  {
    fn: "HcsModifyComputeSystem",
    call: (host, system) => hcs.modifySystem(host, system, ID, REQUEST),
    received: { configuration: JSON.stringify(REQUEST) },
  },
  {
    fn: "HcsModifyServiceSettings",
    call: (host) => hcs.modifyServiceSettings(host, query),
    received: { settings: QUERY },
    path: undefined,
    noSystem: true,
  },
  {
    fn: "HcsOpenComputeSystem",
    call: (host) => hcs.openSystem(host, ID),
    received: { id: ID },
    noSystem: true,
  },
  ...(["HcsPauseComputeSystem", "HcsResumeComputeSystem", "HcsSaveComputeSystem", "HcsStartComputeSystem"] as const)
    .map((fn): Case => ({
      fn,
      call: (host, system) =>
        fn === "HcsSaveComputeSystem"
          ? hcs.operate(host, fn, system, ID, { SaveType: "ToFile" })
          : hcs.operate(host, fn, system, ID),
      received: { options: fn === "HcsSaveComputeSystem" ? '{"SaveType":"ToFile"}' : "" },
      answer: "done",
    })),
  // Nobody has registered a callback, so that its end is told to nobody.
  ...(["HcsShutdownComputeSystem", "HcsTerminateComputeSystem"] as const).map((fn): Case => ({
    fn,
    call: (host, system) => hcs.stopSystem(host, fn, system, ID),
    received: { options: "" },
    answer: true,
  })),
  {
    fn: "HcsRegisterComputeSystemCallback",
    call: (host, system) => hcs.registerCallback(host, system, ID, 0n),
    received: { callback: null },
  },
  {
    fn: "HcsUnregisterComputeSystemCallback",
    call: (host, system) => hcs.unregisterCallback(host, system, ID),
    received: { callbackHandle: "system" },
    noSystem: true,
  },
];

Deno.test("CASES have every function for compute systems", () => {
  assertEquals(CASES.map(({ fn }) => fn).sort(), Object.keys(hcs.vmcomputeHcsSymbols).sort());
});

for (const calls of ["pool", "thread"] as const) {
  for (const { fn, call, received, noSystem, ...expected } of CASES) {
    Deno.test(`${fn} receives what was passed, and its answer arrives (${calls})`, async () => {
      using host = windowsHost({ calls });
      const { system } = await hcs.createSystem(host, ID, {});
      using recorder = new Recorder();
      const names: string[] = [];
      const answer = await call(watched(host, names), system);

      const [recorded, ...others] = recorder.calls;
      assertEquals(others, []);
      const own = Object.entries(received).map(([key, value]) => [key, value === "system" ? Number(system) : value]);
      assertEquals(
        { dll: recorded!.dll, fn: recorded!.fn, hr: recorded!.hr, args: recorded!.args },
        {
          dll: "vmcompute",
          fn,
          hr: "0x00000000",
          args: {
            ...(!noSystem && { computeSystem: Number(system), computeSystemId: ID }),
            ...Object.fromEntries(own),
          },
        },
      );
      // They wait for what this process does meanwhile, so never on its own thread.
      assert(recorded!.thread !== host.symbols(probe).ThreadId());
      const { out = {} } = recorded!;
      if ("answer" in expected) {
        assertEquals(answer, expected.answer);
      } else if (typeof answer === "string") {
        assertEquals(answer, String(out.properties));
      } else if (typeof answer === "bigint") {
        assertEquals(Number(answer), out.computeSystem ?? out.callbackHandle);
      } else {
        assertEquals(
          answer,
          fn === "HcsCreateComputeSystem"
            ? { system: BigInt(out.computeSystem as number), progress: "done" }
            : undefined,
        );
      }
      // Each text that was handed out is given back.
      const texts = Object.values(out).filter((value) => typeof value === "string").length;
      assertEquals(names.filter((name) => name === "CoTaskMemFree").length, texts);
    });

    Deno.test(`${fn} that fails becomes a NativeError (${calls})`, async () => {
      using host = windowsHost({ calls });
      const { system } = await hcs.createSystem(host, ID, {});
      using recorder = new Recorder();
      recorder.fail({ [`${fn}#1`]: 0xc0370105 });
      const error = await assertRejects(() => call(host, system), NativeError);
      assertEquals(
        { operation: error.operation, path: error.path, code: error.code },
        { operation: fn, path: "path" in expected ? undefined : ID, code: 0xc0370105 },
      );
    });
  }

  Deno.test(`an operation of the compute service that goes on is told from a failure (${calls})`, async () => {
    using host = windowsHost({ calls });
    const { system } = await hcs.createSystem(host, ID, {});
    using recorder = new Recorder();
    recorder.fail({ "HcsStartComputeSystem#1": 0xc0370103, "HcsShutdownComputeSystem#1": 0xc0370110 });
    assertEquals(await hcs.operate(host, "HcsStartComputeSystem", system, ID), "pending");
    assertEquals(await hcs.stopSystem(host, "HcsShutdownComputeSystem", system, ID), false);
  });
}

Deno.test("createUtilityVM() under grants with paths says that it takes --allow-ffi, and leaves nothing", async () => {
  makeFiles(BOOT_FILES);
  using recorder = new Recorder();
  using host = windowsHost();
  const error = await assertRejects(
    () => createUtilityVM({ os: "windows", id: "vm1", layerFolders: WINDOWS_FOLDERS }, { host }),
    MissingPermissionError,
  );
  assertEquals(error.flag, "--allow-ffi");
  assertEquals(recorder.calls.map(({ fn, args }) => [fn, args.filepath]), [
    ["HcsGetServiceProperties", undefined],
    ["GrantVmAccess", WINDOWS_DISK],
    ["RevokeVmAccess", WINDOWS_DISK],
  ]);
});
