// Windows that lets go late, scanners, names that are still taken: what passes within the limit is waited for, at every step;
// what never passes is refused with its error, and the error lists all that is left.
import { assert, assertEquals, assertLess, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  createUtilityVM,
  InUseError,
  LayerError,
  mountLCOWLayers,
  mountWCOWLayers,
  NativeError,
  ReleaseError,
  unmountWCOWLayers,
  UnwindError,
} from "../../mod.ts";
import type { CompanyOptions, NativeCall, SimulatedHost } from "../../src/simulated/mod.ts";
import * as storage from "../../src/storage/mod.ts";
import { held, sequence } from "../support/calls.ts";
import { GIB, hostInFront, hostWith, LAYERS, MOUNT, SCRATCH, STACK, stackHost } from "../support/host.ts";

const BASE = "C:\\layers\\base";
const UVM = "C:\\layers\\uvm";
const CIM = "C:\\layers\\cim";
const VHD = "C:\\lcow\\layer.vhd";
const DISK = "C:\\disks\\sandbox.vhdx";
const FOLDER = "C:\\mnt\\of\\c1";
const NEW = "C:\\scratches\\new";
const SIZE = 20 * GIB;
const LIMIT_MS = 5000;

function host(company: CompanyOptions): SimulatedHost {
  const made = hostWith({
    layers: [BASE],
    cimLayers: [CIM],
    scratches: [SCRATCH],
    folders: ["C:\\disks", "C:\\vms\\web"],
    linuxBoot: { "C:\\lcow": "initrd.img" },
    windowsBoot: [UVM],
  }, { company });
  made.addLinuxLayer(VHD, 2 ** 20);
  return made;
}

// Each waits at most twice for one thing after another.
const SCENARIOS: Readonly<Record<string, (host: SimulatedHost) => Promise<unknown>>> = {
  async "plain layers, mounted twice"(host) {
    await storage.createScratch(NEW, [BASE], { host });
    await (await mountWCOWLayers("c1", [BASE, NEW], { host, volumeMountPath: FOLDER })).release();
    await mountWCOWLayers("c1", [BASE, NEW], { host, volumeMountPath: FOLDER });
    await unmountWCOWLayers(NEW, { host: host.otherProcess() });
  },
  async "plain layers with a new scratch"(host) {
    const options = { host, volumeMountPath: FOLDER, createScratch: true };
    await (await mountWCOWLayers("c1", [BASE, NEW], options)).release();
  },
  async "a CIM image, mounted twice"(host) {
    for (let i = 0; i < 2; i++) {
      await (await mountWCOWLayers("c1", [CIM, SCRATCH], { host, volumeMountPath: FOLDER })).release();
    }
  },
  "a scratch with a size": (host) => storage.createScratch(NEW, [BASE], { host, size: 40 * GIB }),
  async "a scratch that can't be created"(host) {
    using _ = host.fail({ function: "GrantVmAccess", code: 5 });
    const error = await assertRejects(() => storage.createUtilityVMScratch(NEW, UVM, { vmId: "vm1", host }));
    if (error instanceof UnwindError) throw error;
  },
  async "virtual disks"(host) {
    await storage.createVhdx(DISK, { size: SIZE, host });
    await storage.formatWritableLayerDisk(DISK, { host });
    await (await storage.mountWritableLayerDisk(DISK, { host })).release();
    await (await storage.attachDisk(DISK, { permanent: true, host }))[Symbol.asyncDispose]();
    assertEquals(await storage.detachDisk(DISK, { host }), true);
    await storage.createDifferencingDisk("C:\\disks\\diff.vhdx", DISK, { host });
  },
  "a base layer": (host) =>
    storage.setupContainerBaseLayer(BASE, { base: DISK, differencing: "C:\\disks\\diff.vhdx", size: SIZE }, { host }),
  async "layers in a Windows VM"(host) {
    await using vm = await createUtilityVM({ os: "windows", id: "vm1", layerFolders: [UVM, "C:\\vms\\web"] }, { host });
    await vm.start();
    await storage.createScratch(NEW, [BASE], { host });
    await (await mountWCOWLayers("c1", [BASE, NEW], { vm })).release();
  },
  async "layers in a Linux VM, twice"(host) {
    await using vm = await createUtilityVM({ os: "linux", id: "vm1", bootFolder: "C:\\lcow" }, { host });
    await vm.start();
    const layers = { layers: [{ vhdPath: VHD }], scratchVhdPath: `${SCRATCH}\\sandbox.vhdx` };
    for (let i = 0; i < 2; i++) await (await mountLCOWLayers("c1", layers, { vm, guestRoot: "/run/c1" })).release();
  },
};

const COMPANY: Readonly<Record<string, (ms: number) => CompanyOptions>> = {
  "disks are let go of late": (ms) => ({ diskReleaseDelay: ms }),
  "a scanner shares everything": (ms) => ({ scanner: { holds: ms } }),
  "a scanner shares reading": (ms) => ({ scanner: { holds: ms, share: ["read"] } }),
  "a scanner shares nothing": (ms) => ({ scanner: { holds: ms, share: [] } }),
  "names are taken for a while": (ms) => ({ deletePendingFor: ms }),
};

for (const [name, scenario] of Object.entries(SCENARIOS)) {
  for (const [what, company] of Object.entries(COMPANY)) {
    Deno.test(`${name}: ${what}`, async () => {
      for (const ms of [5, 300, LIMIT_MS - 1000]) {
        const late = host(company(ms));
        await scenario(late);
        assertEquals(late.held().filter(({ kind }) => !["file", "folder"].includes(kind)), [], `${ms}`);
        await late.sleep(LIMIT_MS);
        assertEquals(late.exists("C:\\mnt"), false, `${ms}`);
      }
    });

    Deno.test(`${name}: ${what}, without end`, async () => {
      const late = host(company(Infinity));
      const before = late.paths();
      const error = await scenario(late).then(() => undefined, (error) => error);
      if (error === undefined) return;
      assert(error instanceof LayerError, `${error}`);
      const listed = error instanceof ReleaseError || error instanceof UnwindError ? error.holds : [];
      const known = listed.flatMap((hold) => Object.values(hold).flat()).map(String);
      const left = late.paths().filter((path) => !before.includes(path) && isLeft(path, name));
      for (const path of left) {
        assert(known.some((part) => `${part}\\`.startsWith(`${path}\\`) || path.startsWith(part)), `${path}: ${error}`);
      }
      assertEquals(late.held().filter(({ kind }) => !["file", "folder"].includes(kind)), []);
    });
  }
}

// What a scenario creates to keep isn't left.
function isLeft(path: string, scenario: string): boolean {
  return path.startsWith("C:\\mnt") || path.startsWith(NEW) && /size|can't/.test(scenario);
}

Deno.test("a mount folder is busy: filter and disk are released before it is waited for, and it is listed", async () => {
  const host = stackHost();
  const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  using open = new DisposableStack();
  host.before("RemoveDirectoryW", () => open.use(host.openFile(MOUNT, { share: ["read", "write"] })), { nth: 1 });
  let freeAt = Infinity;
  host.before("DeactivateLayer", () => freeAt = host.clock.now);
  const error = await assertRejects(() => mounted.release(), ReleaseError);
  assertLess(freeAt, 100);
  assertEquals(error.holds.map(({ kind }) => kind), ["folder"]);
  assertEquals(held(host), ["folder C:\\mnt", `folder ${MOUNT}`]);
  open.dispose();
  await mounted.release();
  assertEquals([held(host), host.exists("C:\\mnt")], [[], false]);
});

Deno.test("a mount folder is busy for a moment: its unmount succeeds in another process, too", async () => {
  const host = stackHost();
  await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  const other = host.otherProcess();
  other.before(
    "RemoveDirectoryW",
    () => void host.openFile(MOUNT, { share: ["read", "write"], closesAfter: 2000 }),
    { nth: 1 },
  );
  const released = await unmountWCOWLayers(SCRATCH, { host: other });
  assertEquals(released.map(({ hold }) => hold.kind), ["mountPoint", "filter", "activation", "folder"]);
  assertEquals([held(host), host.exists("C:\\mnt")], [[], false]);
});

Deno.test("somebody's file in a mount folder isn't taken for something that is being deleted", async () => {
  const host = stackHost();
  const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  host.before("RemoveDirectoryW", () => host.addFile(`${MOUNT}\\theirs.txt`), { nth: 1 });
  await mounted.release();
  assertEquals([host.exists(`${MOUNT}\\theirs.txt`), host.clock.now], [true, 0]);
});

Deno.test("another process mounts the scratch while a scanner is waited for: it isn't activated twice", async () => {
  const host = stackHost();
  const disk = `${SCRATCH}\\sandbox.vhdx`;
  host.openFile(disk, { closesAfter: 25 });
  // A tool that keeps no records, and takes no locks.
  const foreign = hostInFront(host.otherProcess(), { records: false });
  let isMounted = false;
  const waiting = hostInFront(host, {
    async sleep(ms, signal) {
      await host.sleep(ms, signal);
      if (host.clock.now < 25 || isMounted) return;
      isMounted = true;
      await mountWCOWLayers("c2", STACK, { host: foreign });
    },
  });
  await assertRejects(() => mountWCOWLayers("c1", STACK, { host: waiting }), InUseError);
  assertEquals(host.held().map(({ kind, by }) => [kind, by?.process]), [["activation", 2], ["filter", 2]]);
});

Deno.test("the wait for a scanner ends with the signal, and leaves nothing", async () => {
  const host = stackHost();
  host.openFile(`${SCRATCH}\\sandbox.vhdx`);
  const abort = new AbortController();
  host.before("ActivateLayer", () => abort.abort(), { nth: 2 });
  await assertRejects(() => mountWCOWLayers("c1", STACK, { host, signal: abort.signal }), DOMException);
  assertEquals([held(host), sequence(host).filter((name) => name === "ActivateLayer").length], [[], 2]);
});

Deno.test("the copy of a VM's scratch fails half-way: it is removed, and what another one made there stays", async () => {
  const create = (on: SimulatedHost) =>
    createUtilityVM({ os: "windows", id: "vm1", layerFolders: [UVM, "C:\\vms\\web"] }, { host: on });
  const full = host({});
  const before = full.paths();
  full.fail({ function: "CopyFileW", code: "ERROR_DISK_FULL", effect: "partial" });
  await assertRejects(() => create(full), NativeError);
  assertEquals(full.paths(), before);
  const taken = host({});
  taken.before("CopyFileW", () => taken.addScratch("C:\\vms\\web"));
  await assertRejects(() => create(taken), NativeError);
  assertEquals(taken.exists("C:\\vms\\web\\sandbox.vhdx"), true);
});

for (const nth of [1, 2]) {
  Deno.test(`a process dies at step ${nth} of each kind of a mount: another one unmounts it, and mounts again`, async () => {
    for (
      const fn of ["ActivateLayer", "PrepareLayer", "CreateDirectoryW", "SetVolumeMountPointW", "GetLayerMountPath"]
    ) {
      const host = stackHost();
      const dying = host.otherProcess();
      dying.before(fn, () => dying.endProcess(), { nth });
      await mountWCOWLayers("c1", STACK, { host: dying, volumeMountPath: MOUNT }).catch(() => {});
      await unmountWCOWLayers(SCRATCH, { host, volumeMountPath: MOUNT });
      await (await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT })).release();
      assertEquals([held(host), host.paths().length], [[], stackHost().paths().length], fn);
      assertEquals(LAYERS.every((layer) => host.exists(layer)), true);
    }
  });
}

Deno.test("what was being deleted, and is gone by the time of the look, is in nobody's way", async () => {
  for (const fn of ["CreateFileW", "GetFileAttributesW", "CreateDirectoryW"]) {
    const host = stackHost();
    let denied = 0;
    const when = ({ args }: NativeCall) =>
      (isRecord(args["path"]) || args["path"] === MOUNT && fn === "CreateDirectoryW") && ++denied === 1;
    const failure = host.fail({ function: fn, code: "ERROR_ACCESS_DENIED", when });
    await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
    await unmountWCOWLayers(SCRATCH, { host: host.otherProcess() });
    assertEquals([failure.fired, held(host)], [1, []]);
  }
});

Deno.test("that nothing may be made in the folder of records is told at once", async () => {
  const host = stackHost();
  host.fail({ function: "CreateFileW", code: "ERROR_ACCESS_DENIED", when: ({ args }) => isRecord(args["path"]) });
  const error = await assertRejects(() => mountWCOWLayers("c1", STACK, { host }), NativeError);
  assertEquals([error.operation, held(host)], ["CreateFileW", []]);
  assertLess(host.clock.now, 100);
});

function isRecord(path: unknown): boolean {
  return String(path).endsWith(".jsonl");
}
