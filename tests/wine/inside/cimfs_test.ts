import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  mountWCOWLayers,
  NativeError,
  releaseCimFSHostLayers,
  ReleaseError,
  toHostHcsSchemaLayers,
  UnwindError,
  windowsHost,
} from "../../../mod.ts";
import * as cimfs from "../../../src/ffi/cimfs.ts";
import { heldOfImage, ImageLayers, onBuild } from "./cim.ts";
import { mountPointStandIns, watched, withStandIns } from "./host.ts";
import { probe } from "./probe.ts";
import { Recorder } from "./recorder.ts";

// struct-layouts: what the container ids "test" and "0123456789abcdef" become.
const VOLUMES = [
  ["738f7a76-5f2d-5fc5-aa43-120530a48964", "767a8f732d5fc55faa43120530a48964"],
  ["98615400-85ac-56dd-976e-3b047af4f63c", "00546198ac85dd56976e3b047af4f63c"],
] as const;
const [[TEST]] = VOLUMES;
const IMAGE = { folder: "C:\\layers\\cim-layers", name: "Ärger 😀.cim" };
const info = { Flavour: 1, HomeDir: "" };

Deno.test("the calls below are every function of cimfs.dll", () => {
  assertEquals(Object.keys(cimfs.cimfsSymbols), [
    "CimDismountImage",
    "CimMountImage",
    "CimMergeMountImage",
    "CimMergeMountVerifiedImage",
    "CimMountVerifiedImage",
  ]);
});

for (const calls of ["pool", "thread"] as const) {
  for (const [guid, bytes] of VOLUMES) {
    Deno.test(`CimMountImage and CimDismountImage receive what was passed: ${guid} (${calls})`, async () => {
      using recorder = new Recorder();
      recorder.wantRaw();
      using host = windowsHost({ calls });
      await cimfs.mountImage(host, IMAGE, guid, cimfs.cimMountFlag.CACHE_FILES);
      await cimfs.dismountImage(host, guid);
      const here = host.symbols(probe).ThreadId();
      assertEquals(
        recorder.calls.map(({ dll, fn, args, raw, hr, thread }) => ({ dll, fn, args, raw, hr, here: thread === here })),
        [
          {
            dll: "cimfs",
            fn: "CimMountImage",
            args: { imagePath: IMAGE.folder, fsName: IMAGE.name, flags: 4, volumeId: guid },
            raw: { volumeId: bytes },
            hr: "0x00000000",
            here: calls === "thread",
          },
          {
            dll: "cimfs",
            fn: "CimDismountImage",
            args: { volumeId: guid },
            raw: { volumeId: bytes },
            hr: "0x00000000",
            here: calls === "thread",
          },
        ],
      );
    });
  }

  Deno.test(`images of their own files, merged and verified, are mounted by what was passed (${calls})`, async () => {
    using recorder = new Recorder();
    recorder.wantRaw();
    using host = windowsHost({ calls });
    const [[guid, bytes]] = VOLUMES;
    const images = [IMAGE, { folder: "C:\\l.bcim\\", name: "layer.cim" }, { folder: "D:\\", name: "ü" }];
    const merged = {
      numCimPaths: 3,
      imageDir0: IMAGE.folder,
      imageName0: IMAGE.name,
      imageDir1: "C:\\l.bcim",
      imageName1: "layer.cim",
      imageDir2: "D:\\",
      imageName2: "ü",
    };
    const hash = Uint8Array.from({ length: 32 }, (_, i) => 255 - i);
    const { SINGLE_FILE, BLOCK_DEVICE } = cimfs.cimMountFlag;
    await cimfs.mountImage(host, IMAGE, guid, SINGLE_FILE, hash);
    await cimfs.mountMergedImage(host, images, guid, BLOCK_DEVICE);
    await cimfs.mountMergedImage(host, images, guid, SINGLE_FILE, hash);
    const verified = { hashSize: 32, hash: "non-null" };
    const raw = { volumeId: bytes, hash: hash.toHex() };
    assertEquals(recorder.calls.map(({ fn, args, raw }) => [fn, args, raw]), [
      [
        "CimMountVerifiedImage",
        { imagePath: IMAGE.folder, fsName: IMAGE.name, flags: 0x20, volumeId: guid, ...verified },
        raw,
      ],
      ["CimMergeMountImage", { ...merged, flags: 0x10, volumeId: guid }, { volumeId: bytes }],
      ["CimMergeMountVerifiedImage", { ...merged, flags: 0x20, volumeId: guid, ...verified }, raw],
    ]);
    for (const fn of ["CimMountVerifiedImage", "CimMergeMountImage", "CimMergeMountVerifiedImage"]) {
      recorder.fail({ [`${fn}#*`]: 0x80070002 });
      const error = await assertRejects(
        () =>
          fn === "CimMountVerifiedImage"
            ? cimfs.mountImage(host, IMAGE, guid, SINGLE_FILE, hash)
            : cimfs.mountMergedImage(host, images, guid, SINGLE_FILE, fn === "CimMergeMountImage" ? undefined : hash),
        NativeError,
      );
      assertEquals([error.operation, error.path], [fn, `${IMAGE.folder}\\${IMAGE.name}`]);
    }
  });

  Deno.test(`CimMountImage and CimDismountImage that fail become a NativeError (${calls})`, async () => {
    using recorder = new Recorder();
    using host = windowsHost({ calls });
    recorder.fail({ "CimMountImage#1": 0x800700b7, "CimDismountImage#1": 0x80070002 });
    const mount = await assertRejects(() => cimfs.mountImage(host, IMAGE, TEST, 0), NativeError);
    assertEquals(
      [mount.operation, mount.path, mount.symbol],
      ["CimMountImage", `${IMAGE.folder}\\${IMAGE.name}`, "ERROR_ALREADY_EXISTS"],
    );
    const dismount = await assertRejects(() => cimfs.dismountImage(host, TEST), NativeError);
    assertEquals(
      [dismount.operation, dismount.path, dismount.symbol],
      ["CimDismountImage", `\\\\?\\Volume{${TEST}}\\`, "ERROR_FILE_NOT_FOUND"],
    );
  });

  Deno.test(`mountWCOWLayers() of an image and release() make these calls and no others (${calls})`, async () => {
    using recorder = new Recorder();
    using folders = new ImageLayers(["top", "base"]);
    const { scratch, images } = folders;
    using windows = withStandIns(windowsHost({ calls }), mountPointStandIns);
    const host = onBuild(windows, 26100);
    const mounted = await mountWCOWLayers("test", folders.all, { host });
    const mountCalls = recorder.calls;
    const layer = mountCalls.find(({ fn }) => fn === "NameToGuid")!.out!.guid;
    const volume = `\\\\?\\Volume{${TEST}}\\`;
    assertEquals(mountCalls.map(({ fn, args }) => [fn, args]), [
      ["ActivateLayer", { info, id: scratch }],
      ["GetLayerMountPath", { info, id: scratch, length: 0, buffer: null }],
      ["GetLayerMountPath", { info, id: scratch, length: mounted.path.length + 1, buffer: "non-null" }],
      ["CimMountImage", { imagePath: images, fsName: "top.cim", flags: 4, volumeId: TEST }],
      ["NameToGuid", { name: "top", guid: "non-null" }],
      ["HcsAttachOverlayFilter", {
        volumePath: mounted.path,
        layerData: JSON.stringify({
          SchemaVersion: {},
          Layers: [{ Id: layer, Path: `${volume}Files` }],
          FilterType: "UnionFS",
        }),
      }],
    ]);
    // Asks for the attributes of the volume, which is there.
    const layers = await toHostHcsSchemaLayers("test", folders.layers, { host });
    assertEquals(layers, [{ Id: String(layer), Path: volume }]);

    const before = recorder.calls.length;
    await mounted.release();
    const detach = { volumePath: mounted.path, layerData: '{"SchemaVersion":{},"FilterType":"UnionFS"}' };
    assertEquals(
      recorder.calls.slice(before).filter(({ fn }) => fn !== "GetLayerMountPath").map(({ fn, args }) => [fn, args]),
      [
        ["HcsDetachOverlayFilter", detach],
        ["CimDismountImage", { volumeId: TEST }],
        ["DeactivateLayer", { info, id: scratch }],
      ],
    );
    await assertRejects(() => toHostHcsSchemaLayers("test", folders.layers, { host }), Error, "not mounted");
    await mounted.release();
    assertEquals(heldOfImage(recorder.calls), []);
  });

  Deno.test(`mountWCOWLayers() of an image that fails at any call gives everything back (${calls})`, async () => {
    const failures = [
      "ActivateLayer#1",
      "GetLayerMountPath#1",
      "GetLayerMountPath#2",
      "CimMountImage#1",
      "NameToGuid#1",
      "HcsAttachOverlayFilter#1",
    ];
    for (const failure of failures) {
      using recorder = new Recorder();
      using folders = new ImageLayers(["top", "base"]);
      using windows = windowsHost({ calls });
      recorder.fail({ [failure]: 0x80070005 });
      const error = await assertRejects(
        () => mountWCOWLayers("test", folders.all, { host: onBuild(windows, 26100) }),
        NativeError,
      );
      assertEquals([error.operation, error.symbol], [failure.split("#")[0]!, "ERROR_ACCESS_DENIED"]);
      assertEquals(heldOfImage(recorder.calls), [], failure);
    }
  });

  Deno.test(`release() of an image that fails at any call is completed by another (${calls})`, async () => {
    for (const fn of ["HcsDetachOverlayFilter", "CimDismountImage", "DeactivateLayer"]) {
      using recorder = new Recorder();
      using folders = new ImageLayers(["top", "base"]);
      using windows = withStandIns(windowsHost({ calls }), mountPointStandIns);
      const mounted = await mountWCOWLayers("test", folders.all, { host: onBuild(windows, 26100) });
      recorder.fail({ [`${fn}#1`]: 0x80070020 });
      await assertRejects(() => mounted.release(), ReleaseError, fn);
      await mounted.release();
      assertEquals(heldOfImage(recorder.calls), [], fn);
      assertEquals(recorder.calls.filter((call) => call.fn === fn).length, 2, fn);
    }
  });

  Deno.test(`releaseCimFSHostLayers() of a mount that couldn't be undone leaves nothing held (${calls})`, async () => {
    using recorder = new Recorder();
    using folders = new ImageLayers(["top", "base"]);
    using windows = windowsHost({ calls });
    const host = onBuild(windows, 26100);
    recorder.fail({ "HcsAttachOverlayFilter#1": 0x80070005, "CimDismountImage#1": 0x80070020 });
    await assertRejects(() => mountWCOWLayers("test", folders.all, { host }), UnwindError, "CimDismountImage");
    assertEquals(heldOfImage(recorder.calls), ["CimMountImage"]);
    await releaseCimFSHostLayers(folders.scratch, "test", { host: onBuild(windows, 26100) });
    assertEquals(heldOfImage(recorder.calls), []);
  });
}

Deno.test("mountWCOWLayers() of an image frees all native memory and all handles", async () => {
  using _recorder = new Recorder();
  using folders = new ImageLayers(["top", "base"]);
  using windows = windowsHost();
  const names: string[] = [];
  const host = watched(onBuild(windows, 26100), names);
  for (let cycle = 0; cycle < 2; cycle++) {
    names.length = 0;
    await using _ = await mountWCOWLayers("test", folders.all, { host });
  }
  const count = (name: string) => names.filter((other) => other === name).length;
  assertEquals(count("LocalAlloc"), count("LocalFree"));
});
