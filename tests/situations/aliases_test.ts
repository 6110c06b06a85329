// One folder under several paths: a layer and a scratch are the same whatever path leads to them.
import { assertEquals, assertInstanceOf, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  findMounts,
  InUseError,
  InvalidInputError,
  listMounts,
  mountLCOWLayers,
  mountWCOWLayers,
  recover,
  releaseMount,
  unmountWCOWLayers,
} from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { simulatedLayerId } from "../../src/simulated/name_to_guid.ts";
import * as storage from "../../src/storage/mod.ts";
import { changes, held } from "../support/calls.ts";
import { hostWith, inAnotherProcess } from "../support/host.ts";
import { LINUX, startedVM, vmHost } from "../support/vm_host.ts";

const BASE = "C:\\layers\\Base image";
const SCRATCH = "C:\\scratches\\Container 1";

interface Alias {
  readonly what: string;
  readonly base: string;
  readonly scratch: string;
  readonly prepare?: (host: SimulatedHost) => void;
}

const ALIASES: Alias[] = [
  { what: "other letters", base: "c:\\LAYERS\\BASE IMAGE", scratch: "c:\\Scratches\\CONTAINER 1" },
  { what: "the prefix for long paths", base: `\\\\?\\${BASE}`, scratch: `\\\\?\\${SCRATCH}` },
  { what: "the prefix for devices", base: `\\\\.\\${BASE}`, scratch: `\\\\.\\${SCRATCH}` },
  {
    what: "short names",
    base: "C:\\layers\\BASEIM~1",
    scratch: "C:\\scratches\\CONTAI~1",
    prepare(host) {
      host.addShortName(BASE, "BASEIM~1");
      host.addShortName(SCRATCH, "CONTAI~1");
    },
  },
  {
    what: "junctions to the folders",
    base: "C:\\links\\base",
    scratch: "C:\\links\\scratch",
    prepare(host) {
      host.addJunction("C:\\links\\base", BASE);
      host.addJunction("C:\\links\\scratch", SCRATCH);
    },
  },
  {
    what: "symbolic links on the way",
    base: "D:\\l\\Base image",
    scratch: "D:\\s\\Container 1",
    prepare(host) {
      host.addSymbolicLink("D:\\l", "C:\\layers");
      host.addSymbolicLink("D:\\s", "C:\\scratches");
    },
  },
  {
    what: "a drive letter of subst",
    base: "S:\\layers\\Base image",
    scratch: "S:\\scratches\\Container 1",
    prepare: (host) => host.addSubstDrive("S:", "C:\\"),
  },
  {
    what: "the name of the volume",
    base: "{volume}layers\\Base image",
    scratch: "{volume}scratches\\Container 1",
  },
];

for (const alias of ALIASES) {
  const prepared = () => {
    const host = hostWith({ layers: [BASE, "C:\\layers\\other"], scratches: [SCRATCH, "C:\\scratches\\other"] });
    alias.prepare?.(host);
    const volume = storage.resolvePath("C:\\", { host });
    const base = alias.base.replace("{volume}", volume);
    const scratch = alias.scratch.replace("{volume}", volume);
    return { host, base, scratch, before: [held(host), host.paths()] };
  };
  const test = (name: string, body: (machine: ReturnType<typeof prepared>) => Promise<void>) =>
    Deno.test(`${alias.what}: ${name}`, () => body(prepared()));

  test("a mount passes the id of the layer's own name, and says what the caller named", async ({ host, base, scratch }) => {
    const mounted = await mountWCOWLayers("c1", [base, scratch], { host });
    const prepare = host.calls.find((call) => call.function === "PrepareLayer")!;
    const [descriptor] = prepare.args["layers"] as { LayerId: string }[];
    assertEquals(descriptor!.LayerId, simulatedLayerId("Base image"));
    assertEquals(storage.layerId(base, { host }), simulatedLayerId("Base image"));
    assertEquals(mounted.placements.map(({ layer }) => layer), [base, scratch]);
    await mounted.release();
    assertEquals(held(host), []);
  });

  test("a scratch that is mounted isn't mounted again, and is left alone", async ({ host, base, scratch }) => {
    const first = await mountWCOWLayers("c1", [BASE, SCRATCH], { host });
    const left = held(host);
    const from = host.calls.length;
    await assertRejects(() => mountWCOWLayers("c2", [base, scratch], { host }), InUseError);
    assertEquals([changes(host, from).filter((call) => !call.startsWith("NameToGuid")), held(host)], [[], left]);
    await first.release();
    assertEquals(held(host), []);
  });

  test("an unmount in this process and in another one gives all back", async ({ host, base, scratch, before }) => {
    for (const from of [host, inAnotherProcess(host)]) {
      const mounted = await mountWCOWLayers("c1", [BASE, SCRATCH], { host, volumeMountPath: "C:\\mnt\\c1" });
      const released = await unmountWCOWLayers(scratch, { host: from });
      assertEquals(released.map(({ hold: { kind }, wasHeld }) => [kind, wasHeld]), [
        ["mountPoint", true],
        ["folder", true],
        ["filter", true],
        ["activation", true],
      ]);
      assertEquals([held(host), host.paths()], before);
      await mounted.release();
    }
    await (await mountWCOWLayers("c1", [base, scratch], { host })).release();
    assertEquals(held(host), []);
  });

  test("a layer in use isn't destroyed", async ({ host, base, scratch }) => {
    const mounted = await mountWCOWLayers("c1", [BASE, SCRATCH], { host });
    const paths = host.paths();
    for (const destroy of [storage.destroyLayer, storage.hcsDestroyLayer]) {
      for (const layer of [base, scratch]) await assertRejects(() => destroy(layer, { host }), InUseError);
    }
    assertEquals(host.paths(), paths);
    await mounted.release();
  });

  test("one folder isn't two layers, nor layer and scratch", async ({ host, base, scratch }) => {
    for (const stack of [[BASE, base, SCRATCH], [base, BASE, SCRATCH], [SCRATCH, scratch], [BASE, scratch, SCRATCH]]) {
      const error = await assertRejects(() => mountWCOWLayers("c1", stack, { host }), InvalidInputError);
      assertEquals(error.argument.startsWith("layerFolders["), true);
    }
    assertEquals(changes(host), []);
  });

  test("a new scratch is made of the layer's own name", async ({ host, base }) => {
    await storage.createScratch("C:\\scratches\\new", [base], { host });
    assertEquals(host.exists("C:\\scratches\\new\\sandbox.vhdx"), true);
  });

  test("the filter of a scratch is attached and removed, step by step", async ({ host, base, scratch }) => {
    await storage.activateLayer(scratch, { host });
    await assertRejects(() => storage.activateLayer(SCRATCH, { host }), InUseError);
    await storage.prepareLayer(SCRATCH, [base], { host });
    assertEquals(await storage.unprepareLayer(scratch, { host }), true);
    await storage.deactivateLayer(scratch, { host });
    assertEquals(held(host), []);
    await storage.activateLayer(SCRATCH, { host });
    await storage.deactivateLayer(scratch, { host });
  });
}

Deno.test("a path that leads to one that is too long for Windows is refused with its length", async () => {
  const deep = `C:\\${"d".repeat(250)}`;
  const host = hostWith({ layers: [`${deep}\\layers\\base`], scratches: [SCRATCH] });
  host.addSubstDrive("S:", deep);
  const error = await assertRejects(() => mountWCOWLayers("c1", ["S:\\layers\\base", SCRATCH], { host }));
  assertInstanceOf(error, InvalidInputError);
  assertEquals([error.argument, error.message.includes("(265)"), changes(host)], ["layerFolders[0]", true, []]);
});

Deno.test("a mount is refused if Windows doesn't tell where a folder is, before anything is changed", async () => {
  const host = hostWith({ layers: [BASE], scratches: [SCRATCH] });
  host.fail({ function: "GetFinalPathNameByHandleW", code: 5 });
  await assertRejects(() => mountWCOWLayers("c1", [BASE, SCRATCH], { host }), storage.NativeError);
  assertEquals(changes(host), []);
});

Deno.test("an unmount goes on if Windows doesn't tell where the scratch is", async () => {
  const host = hostWith({ layers: [BASE], scratches: [SCRATCH] });
  await mountWCOWLayers("c1", [BASE, SCRATCH], { host });
  host.fail({ function: "GetFinalPathNameByHandleW", code: 5 });
  await unmountWCOWLayers(SCRATCH, { host });
  assertEquals(held(host), []);
});

const LINKED = "C:\\links\\scratch";
const TOP = "C:\\layers\\top";

/** A host with a container on an image, whose scratch is behind a junction as well, where Windows doesn't tell a real path. */
async function linkedHost(): Promise<{ host: SimulatedHost; saved: string }> {
  const host = hostWith({ cimLayers: [TOP], scratches: [SCRATCH] });
  host.addJunction(LINKED, SCRATCH);
  const mount = await mountWCOWLayers("c1", [TOP, SCRATCH], { host: host.otherProcess() });
  // From then on, it trusts the folder of the records.
  await listMounts({ host });
  host.fail({ function: "GetFinalPathNameByHandleW", code: 5 });
  return { host, saved: JSON.stringify(mount).replaceAll(JSON.stringify(SCRATCH), JSON.stringify(LINKED)) };
}

Deno.test("Windows doesn't tell where a scratch is: its record is found by the folder itself", async () => {
  const { host, saved } = await linkedHost();
  assertEquals((await recover({ host, adopt: LINKED })).map(({ outcome }) => outcome), ["left"]);
  assertEquals(held(host).length, 3);
  await releaseMount(JSON.parse(saved), { host });
  assertEquals(held(host), []);
  const again = await linkedHost();
  await unmountWCOWLayers(LINKED, { host: again.host });
  assertEquals(held(again.host), []);
});

Deno.test("Windows tells neither where a scratch is nor which folder: it isn't unmounted without its record", async () => {
  const { host } = await linkedHost();
  const before = held(host);
  host.fail({ function: "CreateFileW", code: 5, when: ({ args }) => args.path === LINKED });
  await assertRejects(() => unmountWCOWLayers(LINKED, { host }), InUseError, "which folder it is");
  assertEquals(held(host), before);
});

Deno.test("findMounts() finds a mount by other names of its folders", async () => {
  const host = hostWith({ layers: [BASE], scratches: [SCRATCH] });
  host.addShortName(SCRATCH, "CONTAI~1");
  host.addSubstDrive("S:", "C:\\scratches");
  host.addJunction("C:\\links\\mnt", "C:\\mnt");
  await mountWCOWLayers("c1", [BASE, SCRATCH], { host, volumeMountPath: "C:\\mnt\\c1" });
  const names = [
    "C:/scratches/CONTAI~1",
    "S:\\Container 1",
    "C:\\links\\mnt\\c1",
    "C:\\scratches\\..\\layers\\Base image",
  ];
  for (const name of names) {
    assertEquals((await findMounts(name, { host })).map(({ containerId }) => containerId), ["c1"], name);
  }
  for (const name of ["C:\\links", "C:\\mnt\\c1\\x", "S:", "Z:\\x"]) {
    assertEquals(await findMounts(name, { host }), [], name);
  }
});

Deno.test("two scratches whose names differ in letters that are one to JavaScript alone are two, also in two processes", async () => {
  const scratches = ["C:\\s\\\u212a", "C:\\s\\k"];
  const host = hostWith({ layers: [BASE], scratches });
  const mount = async (scratch: string) => await mountWCOWLayers("c1", [BASE, scratch], { host: host.otherProcess() });
  const mounts = [await mount(scratches[0]!), await mount(scratches[1]!)];
  assertEquals((await listMounts({ host })).map(({ scratch }) => scratch), scratches);
  for (const one of mounts) await one.release();
  assertEquals(held(host), []);
});

Deno.test("two layers of a VM whose names differ in letters that are one to JavaScript alone are two", async () => {
  const disks = ["C:\\s\\\u212a.vhd", "C:\\s\\k.vhd"];
  const host = vmHost();
  disks.forEach((disk) => host.addLinuxLayer(disk, 2 ** 20));
  host.addFile("C:\\scratch.vhdx", 2 ** 24);
  await using vm = await startedVM(host, LINUX);
  const layers = { layers: disks.map((vhdPath) => ({ vhdPath })), scratchVhdPath: "C:\\scratch.vhdx" };
  const { placements } = await mountLCOWLayers("c1", layers, { vm, guestRoot: "/run/c" });
  assertEquals(new Set(placements.map(({ path }) => path)).size, 3);
});

Deno.test("a host can name the folder of records in any form, and none that can't be one", async () => {
  for (const records of ["C:\\records", "c:\\Records\\", "\\\\?\\C:\\records"]) {
    const host = hostWith({ layers: [BASE], scratches: [SCRATCH] }, { records });
    const mount = await mountWCOWLayers("c1", [BASE, SCRATCH], { host });
    assertEquals([host.readDir("C:\\records\\mounts").length, (await listMounts({ host })).length], [1, 1]);
    await mount.release();
  }
  for (const records of ["records", "", "C:\\", "C:\\a?b"]) {
    const host = hostWith({ layers: [BASE], scratches: [SCRATCH] }, { records });
    const before = host.paths();
    await assertRejects(() => mountWCOWLayers("c1", [BASE, SCRATCH], { host }), InvalidInputError, "records");
    assertEquals(host.paths(), before);
  }
});

for (const place of ["Hives\\junction", "Hives"]) {
  Deno.test(`what is behind a junction at ${place} stays when a base layer is taken back`, async () => {
    const host = hostWith({ layers: [BASE], files: { "C:\\data\\precious": 1 } });
    host.fail({
      function: "CreateVirtualDisk",
      code: 112,
      nth: 2,
      when() {
        host.addJunction(`${BASE}\\${place}`, "C:\\data");
        return true;
      },
    });
    const disks = { base: `${BASE}\\blank-base.vhdx`, differencing: `${BASE}\\blank.vhdx`, size: 20 * 2 ** 30 };
    await assertRejects(() => storage.setupContainerBaseLayer(BASE, disks, { host }), storage.NativeError);
    assertEquals([host.exists("C:\\data\\precious"), host.exists(`${BASE}\\Hives`)], [true, false]);
  });
}

const OF_SUBST: Record<string, (host: SimulatedHost) => Promise<unknown>> = {
  createScratch: (host) => storage.createScratch("S:\\new", ["S:\\layers\\a"], { host, size: 2 ** 36 }),
  createScratchLayer: (host) => storage.createScratchLayer("S:\\new", ["S:\\layers\\a"], { host }),
  createLayer: (host) => storage.createLayer("S:\\new", { parent: "S:\\layers\\a", host }),
  copyLayer: (host) => storage.copyLayer("S:\\layers\\a", "S:\\new", { host }),
  importLayer: (host) => storage.importLayer("S:\\new", "S:\\from", { parents: ["S:\\layers\\a"], host }),
  exportLayer: (host) => storage.exportLayer("S:\\layers\\a", "S:\\to", { host }),
  expandScratch: (host) => storage.expandScratch("S:\\s", 2 ** 36, { host }),
  expandScratchLayer: (host) => storage.expandScratchLayer("S:\\s", 2 ** 36, { host }),
  async layerMountPath(host) {
    await storage.activateLayer("S:\\s", { host });
    await storage.prepareLayer("S:\\s", ["S:\\layers\\a"], { host });
    await storage.layerMountPath("S:\\s", { host });
    await storage.unprepareLayer("S:\\s", { host });
    await storage.deactivateLayer("S:\\s", { host });
  },
  hcsImportLayer: (host) => storage.hcsImportLayer("S:\\new", "S:\\from", { host }),
  hcsExportLayer: (host) => storage.hcsExportLayer("S:\\layers\\a", "S:\\to", { host }),
  hcsInitializeWritableLayer: (host) => storage.hcsInitializeWritableLayer("S:\\to", storage.layerData(), { host }),
  hcsSetupBaseOSLayer: (host) => storage.hcsSetupBaseOSLayer("S:\\layers\\a", { Type: "Container" }, { host }),
  setupContainerBaseLayer: (host) =>
    storage.setupContainerBaseLayer("S:\\layers\\a", {
      base: "S:\\layers\\a\\blank-base.vhdx",
      differencing: "S:\\layers\\a\\blank.vhdx",
      size: 2 ** 30,
    }, { host }),
  destroyLayer: (host) => storage.destroyLayer("S:\\layers\\a", { host }),
};

for (const [name, call] of Object.entries(OF_SUBST)) {
  Deno.test(`${name}() gives services of Windows no drive letter that only this session knows`, async () => {
    const host = hostWith({
      layers: ["C:\\x\\layers\\a"],
      scratches: ["C:\\x\\s"],
      folders: ["C:\\x\\from", "C:\\x\\to"],
    });
    host.addSubstDrive("S:", "C:\\x");
    await call(host);
    assertEquals(held(host).filter((each) => !/^(file|folder) /.test(each)), []);
  });
}
