import { assert, assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  InUseError,
  InvalidInputError,
  mountSandboxVolume,
  mountWCOWLayers,
  NativeError,
  ReleaseError,
  removeSandboxMountPoint,
  unmountWCOWLayers,
  windowsHost,
} from "../../../mod.ts";
import { access, openFile } from "../../../src/ffi/kernel32.ts";
import { mountPointStandIns, watched, withStandIns } from "./host.ts";
import { LayerFolders } from "./layers.ts";
import { Recorder } from "./recorder.ts";
import { heldAfter } from "./trace.ts";

const VOLUME = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\";

const info = { Flavour: 1, HomeDir: "" };

for (const calls of ["pool", "thread"] as const) {
  const open = () => withStandIns(windowsHost({ calls }), mountPointStandIns);

  Deno.test(`mountWCOWLayers() and release() make these calls and no others (${calls})`, async () => {
    using recorder = new Recorder();
    using folders = new LayerFolders(["top", "middle", "base"]);
    const { scratch, layers } = folders;
    const folder = `${folders.root}\\volume`;
    using host = open();
    const mounted = await mountWCOWLayers("c1", folders.all, { host, volumeMountPath: folder });

    const mountCalls = recorder.calls;
    const ids = mountCalls.filter(({ fn }) => fn === "NameToGuid").map(({ out }) => out!.guid);
    const units = mounted.path.length + 1;
    assertEquals(mountCalls.map(({ fn, args }) => [fn, args]), [
      ["ActivateLayer", { info, id: scratch }],
      ["NameToGuid", { name: "top", guid: "non-null" }],
      ["NameToGuid", { name: "middle", guid: "non-null" }],
      ["NameToGuid", { name: "base", guid: "non-null" }],
      ["PrepareLayer", {
        info,
        id: scratch,
        layers: layers.map((path, i) => ({ LayerId: ids[i], Flags: 0, Path: path })),
        layerCount: 3,
      }],
      ["GetLayerMountPath", { info, id: scratch, length: 0, buffer: null }],
      ["GetLayerMountPath", { info, id: scratch, length: units, buffer: "non-null" }],
      ["SetVolumeMountPointW", { volumeMountPoint: `${folder}\\`, volumeName: mounted.path }],
    ]);
    assertEquals(mounted.path, mountCalls[6]!.out!.buffer);
    assertEquals(mounted.volumeMountPath, folder);
    assert(folders.has("volume"));

    await mounted.release();
    const released = recorder.calls.slice(mountCalls.length);
    assertEquals(released.map(({ fn, args }) => [fn, args]), [
      ["DeleteVolumeMountPointW", { volumeMountPoint: `${folder}\\` }],
      ["UnprepareLayer", { info, id: scratch }],
      ["DeactivateLayer", { info, id: scratch }],
    ]);
    assert(!folders.has("volume"));

    await mounted.release();
    assertEquals(recorder.calls.length, mountCalls.length + released.length);
  });

  Deno.test(`mountWCOWLayers() that fails at any call gives everything back (${calls})`, async () => {
    const failures = [
      "ActivateLayer#1",
      "NameToGuid#1",
      "NameToGuid#2",
      "PrepareLayer#1",
      "GetLayerMountPath#1",
      "GetLayerMountPath#2",
      "SetVolumeMountPointW#1",
    ];
    for (const failure of failures) {
      using recorder = new Recorder();
      using folders = new LayerFolders(["top", "base"]);
      using host = open();
      recorder.fail({ [failure]: 0x80070005 });
      const volumeMountPath = `${folders.root}\\volume`;
      const error = await assertRejects(
        () => mountWCOWLayers("c1", folders.all, { host, volumeMountPath }),
        NativeError,
        failure.split("#")[0],
      );
      assertEquals(error.symbol, "ERROR_ACCESS_DENIED");
      assertEquals(heldAfter(recorder.calls), []);
      assert(!folders.has("volume"), failure);
    }
  });

  Deno.test(`release() that fails at any call is completed by another (${calls})`, async () => {
    const stuck = { DeleteVolumeMountPointW: 1, UnprepareLayer: 2, DeactivateLayer: 1 };
    for (const [fn, held] of Object.entries(stuck)) {
      using recorder = new Recorder();
      using folders = new LayerFolders(["base"]);
      using host = open();
      const volumeMountPath = `${folders.root}\\volume`;
      const mounted = await mountWCOWLayers("c1", folders.all, { host, volumeMountPath });
      recorder.fail({ [`${fn}#1`]: 0x80070020 });
      const error = await assertRejects(() => mounted.release(), ReleaseError, fn);
      assertEquals(error.errors.map((each) => (each as NativeError).operation), [fn]);
      assertEquals(heldAfter(recorder.calls).length, held, fn);
      await mounted.release();
      assertEquals(heldAfter(recorder.calls), [], fn);
      assert(!folders.has("volume"), fn);
      assertEquals(recorder.calls.filter((call) => call.fn === fn).length, 2);
    }
  });

  Deno.test(`mountWCOWLayers() tries again where the disk isn't ready (${calls})`, async () => {
    using recorder = new Recorder();
    using folders = new LayerFolders(["base"]);
    using host = open();
    recorder.fail({ "PrepareLayer#1": 0x80070015, "ActivateLayer#2": 0x8007048f });
    await using mounted = await mountWCOWLayers("c1", folders.all, { host });
    assertEquals(recorder.calls.map(({ fn, hr }) => `${fn} ${hr}`), [
      "ActivateLayer 0x00000000",
      "NameToGuid 0x00000000",
      "PrepareLayer 0x80070015",
      "UnprepareLayer 0x00000000",
      "DeactivateLayer 0x00000000",
      "ActivateLayer 0x8007048f",
      "ActivateLayer 0x00000000",
      "PrepareLayer 0x00000000",
      "GetLayerMountPath 0x00000000",
      "GetLayerMountPath 0x00000000",
    ]);
    assertEquals(mounted.holds.map(({ kind }) => kind), ["activation", "filter"]);
  });

  Deno.test(`mountWCOWLayers() takes non-ASCII paths, with spaces (${calls})`, async () => {
    const long = "ordner ".repeat(10).trim();
    using recorder = new Recorder();
    using folders = new LayerFolders([`${long}\\öberste 😀`, `${long}\\${long}\\層`], `${long}\\Ärger`);
    using host = open();
    await using mounted = await mountWCOWLayers("c1", folders.all, { host });
    const prepare = recorder.calls.find(({ fn }) => fn === "PrepareLayer")!;
    assertEquals(prepare.args.id, folders.scratch);
    assertEquals((prepare.args.layers as { Path: string }[]).map(({ Path }) => Path), folders.layers);
    assertEquals(mounted.holds.length, 2);
  });

  Deno.test(`unmountWCOWLayers() needs the scratch alone (${calls})`, async () => {
    using recorder = new Recorder();
    using folders = new LayerFolders(["base"]);
    const volumeMountPath = `${folders.root}\\volume`;
    // Stays open, as the stand-ins would forget the mount point.
    using mounting = open();
    await mountWCOWLayers("c1", folders.all, { host: mounting, volumeMountPath });
    const before = recorder.calls.length;
    // Of another identity, so as good as another process.
    using host = open();
    const released = await unmountWCOWLayers(folders.scratch, { host });
    assertEquals(released.map(({ hold: { kind } }) => kind), ["mountPoint", "folder", "filter", "activation"]);
    assertEquals(recorder.calls.slice(before).map(({ fn }) => fn), [
      "GetLayerMountPath",
      "GetLayerMountPath",
      "DeleteVolumeMountPointW",
      "UnprepareLayer",
      "DeactivateLayer",
    ]);
    assertEquals(heldAfter(recorder.calls), []);
  });

  Deno.test(`mountSandboxVolume() creates the folders, and release() removes just those (${calls})`, async () => {
    using recorder = new Recorder();
    using folders = new LayerFolders([]);
    using host = open();
    const path = `${folders.root}\\a\\b`;
    const mounted = await mountSandboxVolume(path, VOLUME.slice(0, -1), { host });
    assertEquals([mounted.path, mounted.volume], [path, VOLUME]);
    assertEquals(recorder.calls.map(({ fn, args }) => [fn, args]), [
      ["SetVolumeMountPointW", { volumeMountPoint: `${path}\\`, volumeName: VOLUME }],
    ]);
    await assertRejects(() => mountSandboxVolume(path, VOLUME, { host }), InvalidInputError, "mount point");
    await mounted.release();
    assertEquals(heldAfter(recorder.calls), []);
    assert(!folders.has("a"));
  });

  Deno.test(`mountSandboxVolume() that fails leaves the folder as it was (${calls})`, async () => {
    using recorder = new Recorder();
    using folders = new LayerFolders([]);
    using host = open();
    recorder.fail({ "SetVolumeMountPointW#*": 0x80070005 });
    Deno.mkdirSync(`${folders.root}\\old`);
    for (const name of ["old", "new"]) {
      await assertRejects(() => mountSandboxVolume(`${folders.root}\\${name}`, VOLUME, { host }), NativeError);
    }
    assert(folders.has("old"));
    assert(!folders.has("new"));
  });

  Deno.test(`removeSandboxMountPoint() keeps a folder that is somebody else's (${calls})`, async () => {
    using recorder = new Recorder();
    using folders = new LayerFolders([]);
    const path = `${folders.root}\\old`;
    Deno.mkdirSync(path);
    using host = open();
    await mountSandboxVolume(path, VOLUME, { host });
    recorder.fail({ "DeleteVolumeMountPointW#1": 0x80070005 });
    await assertRejects(() => removeSandboxMountPoint(path, { host }), ReleaseError, "DeleteVolumeMountPointW");
    await removeSandboxMountPoint(path, { host });
    await removeSandboxMountPoint(path, { host });
    assertEquals(recorder.calls.map(({ fn }) => fn), [
      "SetVolumeMountPointW",
      "DeleteVolumeMountPointW",
      "DeleteVolumeMountPointW",
    ]);
    assert(folders.has("old"));
  });

  Deno.test(`a mount and its release free all native memory and all handles (${calls})`, async () => {
    using _recorder = new Recorder();
    using folders = new LayerFolders(["top", "base"]);
    using host = open();
    const names: string[] = [];
    const volumeMountPath = `${folders.root}\\volume`;
    for (let cycle = 0; cycle < 2; cycle++) {
      names.length = 0;
      await using _ = await mountWCOWLayers("c1", folders.all, { host: watched(host, names), volumeMountPath });
    }
    const count = (name: string) => names.filter((other) => other === name).length;
    assert(count("LocalAlloc") > 0 && count("CloseHandle") > 0);
    // The driver info stays for the life of the host, which the watched one has but once a cycle.
    assertEquals(count("LocalAlloc") - count("LocalFree"), 1);
    // Three calls fail: the mark on the folder is refused, and those looked for later aren't there.
    assertEquals(count("CreateFileW") - count("CloseHandle"), 3);
  });
}

Deno.test("mountWCOWLayers() refuses a disk that is in use, before the first layer call", async () => {
  using recorder = new Recorder();
  using folders = new LayerFolders(["base"]);
  using host = windowsHost();
  using _disk = openFile(host, `${folders.scratch}\\sandbox.vhdx`, { access: access.GENERIC_WRITE });
  await assertRejects(() => mountWCOWLayers("c1", folders.all, { host }), InUseError, "in use");
  assertEquals(recorder.calls, []);
});

Deno.test("mountWCOWLayers() where Wine has no mount points gives everything back", async () => {
  using recorder = new Recorder();
  using folders = new LayerFolders(["base"]);
  using host = windowsHost();
  const volumeMountPath = `${folders.root}\\volume`;
  const error = await assertRejects(
    () => mountWCOWLayers("c1", folders.all, { host, volumeMountPath }),
    NativeError,
    "SetVolumeMountPointW",
  );
  assertEquals(error.symbol, "ERROR_CALL_NOT_IMPLEMENTED");
  assertEquals(heldAfter(recorder.calls), []);
  assert(!folders.has("volume"));
});
