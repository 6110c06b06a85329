// Two calls of this process that create the same: Windows is asked once, and what the first has made stays.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { InUseError, InvalidInputError, mountWCOWLayers, NativeError } from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import {
  copyLayer,
  createDifferencingDisk,
  createLayer,
  createScratch,
  createScratchLayer,
  createUtilityVMScratch,
  createVhdx,
  destroyLayer,
  setupContainerBaseLayer,
  setupUtilityVMBaseLayer,
} from "../../src/storage/mod.ts";
import { CallBarrier, held, sequence } from "../support/calls.ts";
import { GIB, hostWith, inAnotherProcess } from "../support/host.ts";

const LOOKS = ["GetFileAttributesW", "CreateFileW", "GetFinalPathNameByHandleW", "CloseHandle"];
const BASE = "C:\\l\\base";
const COPY = "C:\\l\\copy";
const SCRATCH = "C:\\s\\1";
const DISK = `${SCRATCH}\\sandbox.vhdx`;
const PARENT = "C:\\d\\parent.vhdx";
const NEW_DISK = "C:\\d\\new.vhdx";
const UVM = `${BASE}\\UtilityVM`;
const disksIn = (folder: string, name: string) => ({
  base: `${folder}\\${name}-base.vhdx`,
  differencing: `${folder}\\${name}.vhdx`,
  size: 3 * 2 ** 20,
});

/** What creates something, the slow call that does it, and where that is. */
const CREATORS: readonly (readonly [
  name: string,
  call: string,
  path: string,
  argument: string,
  create: (host: SimulatedHost) => Promise<unknown>,
])[] = [
  ["createScratch", "CreateSandboxLayer", DISK, "folder", (host) => createScratch(SCRATCH, [BASE], { host })],
  [
    "mountWCOWLayers",
    "CreateSandboxLayer",
    DISK,
    "layerFolders[1]",
    (host) => mountWCOWLayers("c", [BASE, SCRATCH], { host, createScratch: true }),
  ],
  ["createScratchLayer", "CreateSandboxLayer", DISK, "layer", (host) => createScratchLayer(SCRATCH, [BASE], { host })],
  [
    "createUtilityVMScratch",
    "GrantVmAccess",
    DISK,
    "folder",
    (host) => createUtilityVMScratch(SCRATCH, BASE, { vmId: "vm", host }),
  ],
  ["createVhdx", "CreateVirtualDisk", NEW_DISK, "path", (host) => createVhdx(NEW_DISK, { size: GIB, host })],
  [
    "createDifferencingDisk",
    "CreateVirtualDisk",
    NEW_DISK,
    "path",
    (host) => createDifferencingDisk(NEW_DISK, PARENT, { host }),
  ],
  ["createLayer", "CreateLayer", COPY, "layer", (host) => createLayer(COPY, { parent: BASE, host })],
  ["copyLayer", "CopyLayer", COPY, "destination", (host) => copyLayer(BASE, COPY, { host })],
  [
    "setupContainerBaseLayer",
    "HcsSetupBaseOSLayer",
    `${BASE}\\Hives`,
    "layer",
    (host) => setupContainerBaseLayer(BASE, disksIn(BASE, `blank${host.calls.length}`), { host }),
  ],
  [
    "setupUtilityVMBaseLayer",
    "HcsSetupBaseOSLayer",
    `${UVM}\\t-base.vhdx`,
    "disks.base",
    (host) => setupUtilityVMBaseLayer(UVM, disksIn(UVM, "t"), { host }),
  ],
];

function barredHost(name: string) {
  const slow = new CallBarrier((call) => call.function === name);
  const host = hostWith({ windowsBoot: [BASE], disks: { [PARENT]: GIB } }, { latency: slow.latency });
  host.addFolder("C:\\s");
  return { host, slow };
}

for (const [name, call, path, argument, create] of CREATORS) {
  Deno.test(`${name}() refuses what another call is creating, which then succeeds`, async () => {
    const { host, slow } = barredHost(call);
    const first = create(host);
    await slow.arrival();
    const from = host.calls.length;
    const error = await assertRejects(() => create(host), InvalidInputError);
    assertEquals([error.argument, error.value], [argument, path]);
    assertEquals(sequence(host, from).filter((made) => !LOOKS.includes(made)), []);
    slow.release();
    await first;
    assertEquals([host.exists(path), host.calls.filter((made) => made.function === call).length], [true, 1]);
  });

  Deno.test(`${name}() can be tried again after a failure`, async () => {
    const { host } = barredHost("");
    host.fail({ function: call, code: 0x80070005, nth: 1 });
    await assertRejects(() => create(host), NativeError);
    await create(host);
    assertEquals(host.exists(path), true);
  });
}

Deno.test("setupContainerBaseLayer() leaves alone what another process has set up meanwhile", async () => {
  const host = hostWith({ windowsBoot: [BASE] });
  const setup = (from: SimulatedHost, name: string) =>
    setupContainerBaseLayer(BASE, disksIn(BASE, name), { host: from });
  await setup(host, "first");
  const before = host.paths();
  host.fail({ function: "HcsSetupBaseOSLayer", code: 0x800700b7 });
  const late = inAnotherProcess(host);
  const isThere = new Set([`${BASE}\\Hives`, `${BASE}\\Layout`]);
  host.fail({ function: "GetFileAttributesW", code: 2, when: ({ args }) => isThere.has(String(args["path"])) });
  const error = await assertRejects(() => setup(late, "second"), NativeError);
  assertEquals([error.operation, host.paths()], ["HcsSetupBaseOSLayer", before]);
});

Deno.test("a scratch is neither mounted nor destroyed while it is being created", async () => {
  const { host, slow } = barredHost("CreateSandboxLayer");
  const creating = createScratch(SCRATCH, [BASE], { host });
  await slow.arrival();
  host.addFile(DISK, GIB);
  const error = await assertRejects(() => mountWCOWLayers("c", [BASE, SCRATCH], { host }), InvalidInputError);
  assertEquals(error.argument, "layerFolders[1]");
  await assertRejects(() => destroyLayer(SCRATCH, { host }), InUseError, "is being created");
  await assertRejects(() => destroyLayer("C:\\s", { host }), InUseError, "or something in it is");
  assertEquals(held(host).filter((what) => !/^(folder|file)/.test(what)), []);
  slow.release();
  await creating.catch(() => {});
});
