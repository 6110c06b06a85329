import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import * as storage from "../../src/storage/mod.ts";
import { BASE, storageHost } from "../support/storage_host.ts";
import { GIB } from "../support/host.ts";
import { held, sequence, storageCalls } from "../support/calls.ts";

const UVM = `${BASE}\\UtilityVM`;
const CONTAINER = {
  base: `${BASE}\\blank-base.vhdx`,
  differencing: `${BASE}\\blank.vhdx`,
  size: 20 * GIB,
};
const VM = {
  base: `${UVM}\\SystemTemplateBase.vhdx`,
  differencing: `${UVM}\\SystemTemplate.vhdx`,
  size: 10n * 2n ** 30n,
};
const GRANT = [
  "GetFileAttributesW",
  "CreateFileW",
  "ConvertStringSidToSidW",
  "GetSecurityInfo",
  "SetEntriesInAclW",
  "SetSecurityInfo",
  "LocalFree",
  "LocalFree",
  "LocalFree",
  "CloseHandle",
];
// What is there already isn't ours. It is asked twice.
const LOOKS = ["GetFileAttributesW", "GetFileAttributesW"];
const DIFFERENCING = [...LOOKS, "CreateVirtualDisk", "LocalFree", "CloseHandle", ...GRANT, ...GRANT];

for (const build of [17763, 20348]) {
  Deno.test(`setupContainerBaseLayer() makes the disks and hives of a layer on build ${build}`, async () => {
    const host = storageHost({ build });
    await storage.setupContainerBaseLayer(BASE, CONTAINER, { host });
    assertEquals(sequence(host).slice(12), [
      ...LOOKS,
      "CreateVirtualDisk",
      ...(build === 17763
        ? [
          "AttachVirtualDisk",
          "GetVirtualDiskPhysicalPath",
          "CreateFileW",
          "HcsFormatWritableLayerVhd",
          "CloseHandle",
          "DetachVirtualDisk",
        ]
        : ["HcsFormatWritableLayerVhd"]),
      "CloseHandle",
      ...LOOKS,
      ...LOOKS,
      "HcsSetupBaseOSLayer",
      "GetFileAttributesW",
      ...DIFFERENCING,
    ]);
    const creations = storageCalls(host).filter((call) => call.function === "CreateVirtualDisk");
    assertEquals(creations.map(({ args }) => [args.path, args.parameters]), [
      [CONTAINER.base, { version: 2, size: 20 * GIB, blockSize: 2 ** 20, parent: undefined, parentFlags: 0 }],
      [CONTAINER.differencing, { version: 2, size: 0, blockSize: 2 ** 20, parent: CONTAINER.base, parentFlags: 8 }],
    ]);
    assertEquals(host.allocations, 0);
    assertEquals(held(host).filter((line) => !line.startsWith("file")), [`folder ${BASE}\\Hives`]);
    await using scratch = await storage.mountWritableLayerDisk(CONTAINER.differencing, { host });
    assertEquals(host.exists(scratch.volume), true);
  });

  Deno.test(`setupUtilityVMBaseLayer() makes the disks of a utility VM on build ${build}`, async () => {
    const host = storageHost({ build });
    host.addFolder(UVM);
    await storage.setupUtilityVMBaseLayer(UVM, VM, { host });
    assertEquals(sequence(host).slice(8), [
      ...LOOKS,
      "CreateVirtualDisk",
      "AttachVirtualDisk",
      "HcsSetupBaseOSLayer",
      "DetachVirtualDisk",
      "CloseHandle",
      ...DIFFERENCING,
    ]);
    const setup = storageCalls(host).find((call) => call.function === "HcsSetupBaseOSLayer")!;
    assertEquals([setup.args.path, setup.args.options], [UVM, '{"Type":"Vm"}']);
    assertEquals([held(host), host.allocations], [[`file ${VM.base}`, `file ${VM.differencing}`], 0]);
  });
}

Deno.test("setupContainerBaseLayer() lets all virtual machines read both disks", async () => {
  const host = storageHost();
  await storage.setupContainerBaseLayer(BASE, CONTAINER, { host });
  const sids = storageCalls(host).filter((call) => call.function === "ConvertStringSidToSidW");
  assertEquals(sids.map(({ args }) => args.text), ["S-1-5-83-0", "S-1-5-83-0"]);
  const opened = host.calls.filter((call) => call.function === "CreateFileW").map(({ args }) => args);
  assertEquals(
    opened.filter(({ access }) => access !== 0).map(({ path, access, share, flags }) => [path, access, share, flags]),
    [
      [CONTAINER.base, 0x60000, 3, 0],
      [CONTAINER.differencing, 0x60000, 3, 0],
    ],
  );
});

const THERE: [what: string, add: string, argument: string][] = [
  ["Hives", `${BASE}\\Hives\\x`, "layer"],
  ["Layout", `${BASE}\\Layout`, "layer"],
  ["the base disk", CONTAINER.base, "disks.base"],
  ["the differencing disk", CONTAINER.differencing, "disks.differencing"],
];
for (const [what, path, argument] of THERE) {
  Deno.test(`setupContainerBaseLayer() refuses a layer where ${what} is there, and leaves it`, async () => {
    const host = storageHost();
    host.addFile(path);
    const error = await assertRejects(
      () => storage.setupContainerBaseLayer(BASE, CONTAINER, { host }),
      storage.InvalidInputError,
      "exists already",
    );
    assertEquals([error.argument, host.exists(path), storageCalls(host)], [argument, true, []]);
  });
}

Deno.test("setupContainerBaseLayer() undoes what was done when the signal is aborted", async () => {
  for (const step of ["CreateVirtualDisk", "HcsFormatWritableLayerVhd", "HcsSetupBaseOSLayer", "SetSecurityInfo"]) {
    const abort = new AbortController();
    const host = storageHost({
      latency(call) {
        if (call.function === step) queueMicrotask(() => abort.abort(new Error("stop")));
        return Promise.resolve();
      },
    });
    const done = storage.setupContainerBaseLayer(BASE, CONTAINER, { host, signal: abort.signal });
    if (step === "SetSecurityInfo") {
      // Nothing is left to stop.
      await done;
    } else {
      await assertRejects(() => done, Error, "stop");
      assertEquals(held(host), [], step);
    }
  }
});

Deno.test("what Windows left of a base layer it couldn't set up is removed", async () => {
  const host = storageHost();
  const base = storageHost();
  // A call that fails after it has written half of what it makes.
  const half: storage.Host = {
    machine: host.machine,
    sleep: (ms, signal) => host.sleep(ms, signal),
    callback: (listener) => host.callback(listener),
    symbols(dll) {
      if (!("HcsSetupBaseOSLayer" in dll.symbols)) return host.symbols(dll);
      return {
        ...host.symbols(dll),
        HcsSetupBaseOSLayer() {
          host.addFile(`${BASE}\\Hives\\Deep\\System_Base`);
          return 0x80070070 | 0;
        },
      };
    },
  };
  await assertRejects(() => storage.setupContainerBaseLayer(BASE, CONTAINER, { host: half }), storage.NativeError);
  assertEquals(host.paths(), base.paths());
});
