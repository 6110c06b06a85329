import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  InvalidInputError,
  makeMountedWCOWLayers,
  mountWCOWLayers,
  recover,
  unmountWCOWLayers,
  UnsupportedBuildError,
  type WCOWLayers,
} from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { held, heldKinds } from "../support/calls.ts";
import { hostWith } from "../support/host.ts";
import { startedVM, vmHost, WINDOWS } from "../support/vm_host.ts";

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

Deno.test("mountWCOWLayers() refuses images in a VM", async () => {
  const machine = vmHost();
  await using vm = await startedVM(machine, WINDOWS);
  const calls = machine.calls.length;
  const error = await assertRejects(() => mountWCOWLayers("c1", FORKED, { vm }), InvalidInputError);
  assertEquals([error.argument, machine.calls.length], ["layers", calls]);
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
