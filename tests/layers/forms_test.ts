import { assertEquals, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import {
  InUseError,
  InvalidInputError,
  makeMountedWCOWLayers,
  mountWCOWLayers,
  NoRoomError,
  recover,
  unmountWCOWLayers,
  UnsupportedBuildError,
  UnwindError,
  type WCOWLayers,
} from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { held, heldKinds } from "../support/calls.ts";
import { hostWith } from "../support/host.ts";
import { short, TestVM } from "../support/vm.ts";

const SCRATCH = "C:\\snapshots\\4";
const FORKED: WCOWLayers = {
  kind: "images",
  layers: [
    { folder: "C:\\snapshots\\3", image: "D:\\images\\3.cim" },
    { folder: "C:\\snapshots\\2", image: "D:\\images\\2.cim" },
  ],
  scratch: SCRATCH,
};
const ONE: WCOWLayers = {
  kind: "blockImages",
  storage: "file",
  layers: [{ path: "C:\\snapshots\\3\\l.bcim", name: "layer.cim" }],
  scratch: SCRATCH,
};
const MERGED: WCOWLayers = {
  ...ONE,
  layers: [...ONE.layers, { path: "C:\\snapshots\\2\\l.bcim", name: "layer.cim" }],
  merged: { path: "C:\\snapshots\\3\\m.bcim", name: "merged.cim" },
};
const HASH = "ab".repeat(32);

function host(build = 27800): SimulatedHost {
  const files = [
    "D:\\images\\3.cim",
    "C:\\snapshots\\3\\l.bcim",
    "C:\\snapshots\\2\\l.bcim",
    "C:\\snapshots\\3\\m.bcim",
  ];
  return hostWith({ scratches: [SCRATCH], files: Object.fromEntries(files.map((file) => [file, 4096])) }, { build });
}

const ORDER = /^(Cim.*|ActivateLayer|DeactivateLayer|Hcs.*|PrepareLayer|UnprepareLayer)$/;

function order({ calls }: SimulatedHost): string[] {
  return calls.map((call) => call.function).filter((name) => ORDER.test(name));
}

for (
  const [name, layers, mount, args] of [
    ["images with their paths", FORKED, "CimMountImage", { imagePath: "D:\\images", fsName: "3.cim", flags: 0 }],
    ["an image in a file of its own", ONE, "CimMountImage", {
      imagePath: "C:\\snapshots\\3\\l.bcim",
      fsName: "layer.cim",
      flags: 0x20,
    }],
    ["an image on a disk of its own", { ...ONE, storage: "disk" }, "CimMountImage", { flags: 0x10 }],
    ["images that one merges", MERGED, "CimMergeMountImage", {
      numCimPaths: 3,
      images: [
        { imageDir: "C:\\snapshots\\3\\m.bcim", imageName: "merged.cim" },
        { imageDir: "C:\\snapshots\\3\\l.bcim", imageName: "layer.cim" },
        { imageDir: "C:\\snapshots\\2\\l.bcim", imageName: "layer.cim" },
      ],
      flags: 0x20,
    }],
    ["an image that is verified", { ...ONE, rootHash: HASH }, "CimMountVerifiedImage", { hashSize: 32 }],
    ["merged images that are verified", { ...MERGED, rootHash: HASH }, "CimMergeMountVerifiedImage", { hashSize: 32 }],
  ] as const
) {
  Deno.test(`mountWCOWLayers() mounts ${name}, then the scratch, then the filter, and releases them in reverse`, async () => {
    const machine = host();
    {
      await using mounted = await mountWCOWLayers("c1", layers, { host: machine });
      const image = machine.calls.find((call) => call.function === mount)!;
      assertEquals(Object.fromEntries(Object.keys(args).map((key) => [key, image.args[key]])), { ...args });
      const volume = mounted.placements[0]!.path;
      const overlay = machine.calls.find((call) => call.function === "HcsAttachOverlayFilter")!;
      assertEquals(JSON.parse(String(overlay.args["layerData"])).Layers, [{
        Id: volume.slice("\\\\?\\Volume{".length, -2),
        Path: `${volume}Files`,
      }]);
      assertEquals(mounted.placements.length, layers.layers.length + 1);
    }
    assertEquals(order(machine), [
      mount,
      "ActivateLayer",
      "HcsAttachOverlayFilter",
      "HcsDetachOverlayFilter",
      "DeactivateLayer",
      "CimDismountImage",
    ]);
    assertEquals(held(machine), []);
  });

  Deno.test(`unmountWCOWLayers() and recover() find ${name}, mounted by another process`, async () => {
    for (const release of ["unmount", "recover"] as const) {
      const machine = host();
      const other = machine.otherProcess();
      await mountWCOWLayers("c1", layers, { host: other });
      assertEquals(heldKinds(machine).length > 0, true);
      other.endProcess();
      if (release === "unmount") await unmountWCOWLayers(SCRATCH, { host: machine });
      else await recover({ host: machine });
      assertEquals(held(machine), [], release);
    }
  });

  Deno.test(`a mount of ${name} that fails at any call leaves nothing`, async () => {
    for (const fn of [mount, "ActivateLayer", "GetLayerMountPath", "HcsAttachOverlayFilter"]) {
      for (const effect of ["none", "full"] as const) {
        const machine = host();
        machine.fail({ function: fn, code: "ERROR_TIMEOUT", effect });
        await assertRejects(() => mountWCOWLayers("c1", layers, { host: machine }));
        assertEquals(held(machine), [], `${fn} ${effect}`);
      }
    }
  });
}

Deno.test("mountWCOWLayers() refuses forms that this Windows doesn't have, and changes nothing", async () => {
  for (
    const [layers, build] of [[FORKED, 19044], [ONE, 26100], [MERGED, 27765], [
      { ...ONE, rootHash: HASH },
      27799,
    ]] as const
  ) {
    const machine = host(build);
    await assertRejects(() => mountWCOWLayers("c1", layers, { host: machine }), UnsupportedBuildError);
    assertEquals(order(machine), []);
  }
});

Deno.test("mountWCOWLayers() refuses layers of other forms by name, before anything is called", async () => {
  const machine = host();
  for (
    const [layers, argument] of [
      [{}, "layerFolders"],
      [{ ...ONE, kind: "overlay" }, "layers.kind"],
      [{ ...ONE, layers: [] }, "layers.layers"],
      [{ ...ONE, scratch: "scratch" }, "layers.scratch"],
      [{ ...ONE, storage: "tape" }, "layers.storage"],
      [{ ...ONE, merged: { path: "C:\\m.bcim", name: "m.cim" } }, "layers.merged"],
      [{ ...MERGED, merged: undefined }, "layers.merged"],
      [{ ...MERGED, merged: { path: "C:\\m.bcim", name: "..\\m.cim" } }, "layers.merged.name"],
      [{ ...ONE, rootHash: "ab" }, "layers.rootHash"],
      [{ ...FORKED, layers: [{ folder: "C:\\a" }] }, "layers.layers[0].image"],
      [{ kind: "folders", layers: [SCRATCH], scratch: SCRATCH }, "layers.layers[0]"],
    ] as [WCOWLayers, string][]
  ) {
    const error = await assertRejects(() => mountWCOWLayers("c1", layers, { host: machine }), InvalidInputError);
    assertEquals(error.argument, argument);
  }
  assertEquals(machine.calls, []);
});

/** A started VM on a host with the files of {@linkcode MERGED}. */
async function imagesVM(): Promise<TestVM> {
  const t = await TestVM.open({ os: "windows" });
  for (const file of ["3\\l.bcim", "2\\l.bcim", "3\\m.bcim"]) t.host.addFile(`C:\\snapshots\\${file}`, 4096);
  [SCRATCH, "C:\\snapshots\\5"].forEach((scratch) => t.host.addScratch(scratch));
  return t;
}

Deno.test("mountWCOWLayers() attaches images to a VM, which mounts them as one volume, and releases them in reverse", async () => {
  await using t = await imagesVM();
  const mounted = await mountWCOWLayers("c1", MERGED, { vm: t.vm, formatWithRefs: true });
  const volume = mounted.placements[0]!.path;
  const guid = volume.slice("\\\\?\\Volume{".length, -2);
  assertEquals(t.requests.map(short), [
    "Add Scsi/df6d/Attachments/1",
    "Add Scsi/df6d/Attachments/2",
    "Add Scsi/df6d/Attachments/3",
    `Add WCOWBlockCims ${guid}`,
    "Add Scsi/df6d/Attachments/4",
    "Add MappedVirtualDiskForContainerScratch c:\\mounts\\scsi\\m0",
    "Add CombinedLayers c:\\mounts\\scsi\\m0",
  ]);
  assertEquals(t.requests[0]!.Settings, { Type: "VirtualDisk", Path: "C:\\snapshots\\3\\m.bcim", ReadOnly: true });
  assertEquals(t.requests[3]!.GuestRequest!.Settings, {
    BlockCIMs: [{ CimName: "merged.cim", Lun: 1 }, { CimName: "layer.cim", Lun: 2 }, { CimName: "layer.cim", Lun: 3 }],
    VolumeGUID: guid,
    MountFlags: 16,
    ContainerID: "c1",
  });
  assertEquals(t.requests[6]!.GuestRequest!.Settings, {
    ContainerRootPath: "c:\\mounts\\scsi\\m0",
    Layers: [{ Id: guid, Path: `${volume}Files` }],
    FilterType: "UnionFS",
  });
  assertEquals(mounted.placements.map(({ layer, path }) => [layer, path]), [
    ["C:\\snapshots\\3\\l.bcim\\layer.cim", volume],
    ["C:\\snapshots\\2\\l.bcim\\layer.cim", volume],
    [SCRATCH, "c:\\mounts\\scsi\\m0"],
  ]);
  t.forget();
  await mounted.release();
  assertEquals(t.requests.map(short), [
    "Remove CombinedLayers c:\\mounts\\scsi\\m0",
    "Remove MappedVirtualDisk c:\\mounts\\scsi\\m0",
    "Remove Scsi/df6d/Attachments/4",
    `Remove WCOWBlockCims ${guid}`,
    "Remove Scsi/df6d/Attachments/3",
    "Remove Scsi/df6d/Attachments/2",
    "Remove Scsi/df6d/Attachments/1",
  ]);
  assertEquals(t.held(), []);
  assertEquals(t.accesses.length, 8);
});

Deno.test("containers with the same images share a volume in a VM, which is removed with the last", async () => {
  await using t = await imagesVM();
  const other = { ...MERGED, scratch: "C:\\snapshots\\5" };
  const [first, second] = await Promise.all([
    mountWCOWLayers("c1", MERGED, { vm: t.vm }),
    mountWCOWLayers("c2", other, { vm: t.vm }),
  ]);
  assertEquals(first!.placements[0]!.path, second!.placements[0]!.path);
  assertEquals(t.requests.filter((request) => short(request).includes("WCOWBlockCims")).length, 1);
  // Other images of the same files are a volume of their own.
  const one = await mountWCOWLayers("c3", { ...ONE, scratch: "C:\\snapshots\\5" }, { vm: t.vm }).catch((error) =>
    error
  );
  assertEquals(one instanceof InUseError, true);
  await second!.release();
  const third = await mountWCOWLayers("c3", { ...ONE, scratch: "C:\\snapshots\\5" }, { vm: t.vm });
  assertEquals(third.placements[0]!.path === first!.placements[0]!.path, false);
  await first!.release();
  // The name alone is the same.
  const lower: WCOWLayers = { ...ONE, layers: [{ path: "C:\\snapshots\\2\\l.bcim", name: "layer.cim" }] };
  const fourth = await mountWCOWLayers("c4", lower, { vm: t.vm });
  assertEquals(fourth.placements[0]!.path === third.placements[0]!.path, false);
  await third.release();
  await fourth.release();
  assertEquals(t.held(), []);
});

Deno.test("a mount of images in a VM, and its release, leave nothing whichever call fails", async () => {
  await using t = await imagesVM();
  const capacity = t.vm.capacity;
  const count = t.refuseNth([]);
  await (await mountWCOWLayers("c1", MERGED, { vm: t.vm })).release();
  const total = count();
  for (let nth = 1; nth <= total; nth++) {
    t.refuseNth([nth]);
    const mounted: { release(): Promise<void> } | undefined = await mountWCOWLayers("c1", MERGED, { vm: t.vm })
      .catch((error) => error instanceof UnwindError ? error : undefined);
    await mounted?.release().catch(() => {});
    t.failNothing();
    await mounted?.release();
    assertEquals([t.held(), t.vm.capacity], [[], capacity], `${nth} of ${total}`);
  }
});

Deno.test("mountWCOWLayers() refuses what images in a VM can't be, and changes nothing", async () => {
  await using t = await imagesVM();
  t.host.addFile("C:\\empty.bcim", 0);
  const many = Array.from({ length: 64 }, (_, i) => ({ path: `C:\\snapshots\\l${i}.bcim`, name: "layer.cim" }));
  many.forEach(({ path }) => t.host.addFile(path, 4096));
  const { vm } = t;
  for (
    const [layers, options, argument] of [
      [FORKED, {}, "layers.kind"],
      [{ ...ONE, rootHash: HASH }, {}, "layers.rootHash"],
      [{ ...ONE, storage: "disk", layers: [{ path: "C:\\no.bcim", name: "a" }] }, {}, "layers.layers[0].path"],
      [{ ...ONE, layers: [{ path: "C:\\empty.bcim", name: "a" }] }, {}, "layers.layers[0].path"],
      [{ ...ONE, scratch: "C:\\snapshots\\6" }, { createScratch: true }, "createScratch"],
      [["C:\\layers\\base", SCRATCH], { formatWithRefs: true }, "formatWithRefs"],
    ] as [WCOWLayers, { createScratch?: boolean }, string][]
  ) {
    t.host.addFolder("C:\\snapshots\\6");
    const error = await assertRejects(() => mountWCOWLayers("c1", layers, { vm, ...options }), InvalidInputError);
    assertEquals(error.argument, argument);
  }
  const full: WCOWLayers = { ...MERGED, layers: many };
  const error = await assertRejects(() => mountWCOWLayers("c1", full, { vm }), NoRoomError);
  assertStringIncludes(error.message, "65 images and the scratch disk");
  assertEquals([t.requests, t.accesses], [[], []]);
  await assertRejects(() => mountWCOWLayers("c1", ONE, { host: host(), formatWithRefs: true }), InvalidInputError);
});

Deno.test("mountWCOWLayers() refuses an image that is missing or empty by what names it", async () => {
  const machine = host();
  machine.addFile("C:\\empty.bcim", 0);
  for (const path of ["C:\\missing.bcim", "C:\\empty.bcim"]) {
    const layers: WCOWLayers = { ...ONE, layers: [{ path, name: "layer.cim" }] };
    const error = await assertRejects(() => mountWCOWLayers("c1", layers, { host: machine }), InvalidInputError);
    assertEquals(error.argument, "layers.layers[0].path");
  }
  assertEquals(order(machine), []);
});

Deno.test("makeMountedWCOWLayers() names folders by their ids, and an image by its volume", async () => {
  const machine = host();
  const volume = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}";
  const folders = ["C:\\layers\\app", "C:\\layers\\base"];
  const named = await makeMountedWCOWLayers([...folders, SCRATCH], volume, { host: machine });
  assertEquals(named.map(({ Path }) => Path), folders);
  assertEquals(await makeMountedWCOWLayers(MERGED, volume, { host: machine }), [{
    Id: "11111111-2222-3333-4444-555555555555",
    Path: `${volume}\\`,
  }]);
  assertEquals(order(machine), []);
});
