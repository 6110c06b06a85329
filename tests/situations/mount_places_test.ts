// Folders at which a volume must not be mounted, as others would find it there, or could lead it elsewhere.
import { assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.0";
import {
  InUseError,
  InvalidInputError,
  LayerError,
  mountSandboxVolume,
  mountWCOWLayers,
  NativeError,
  ReleaseError,
  removeSandboxMountPoint,
  unmountWCOWLayers,
  UnwindError,
} from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { readText, setVolumeMountPoint, volumeNameForMountPoint } from "../../src/ffi/kernel32.ts";
import { wide } from "../../src/ffi/wide.ts";
import { changes, held, sequence } from "../support/calls.ts";
import { type Call, hostWith, MOUNT, SCRATCH, STACK, stackHost, withWrapped } from "../support/host.ts";

const GUID = "11111111-2222-3333-4444-555555555555";
const LAYER = STACK[0]!;

const REFUSED: [where: string, folder: string, prepare?: (host: SimulatedHost) => void][] = [
  ["in a layer", `${LAYER}\\mnt`],
  ["on the files of a layer", `${LAYER}\\Files`],
  ["in a layer, in other letters", `${LAYER.toUpperCase()}\\MNT`],
  ["in a layer, by its short name", "C:\\layers\\RO~1\\mnt", (host) => host.addShortName(LAYER, "RO~1")],
  ["in the scratch", `${SCRATCH}\\mnt`],
  ["behind a junction", "C:\\link\\mnt", (host) => host.addJunction("C:\\link", "C:\\data")],
  ["behind a symbolic link", "C:\\a\\link\\b\\mnt", (host) => host.addSymbolicLink("C:\\a\\link", "C:\\data")],
  ["behind a junction to nothing", "C:\\link\\mnt", (host) => host.addJunction("C:\\link", "C:\\gone")],
  ["on a drive that isn't there", "Z:\\mnt\\c1"],
  ["on a network share that can't be reached", "\\\\server\\share\\mnt"],
  ["in a file", "C:\\data.txt\\mnt\\c1", (host) => host.addFile("C:\\data.txt")],
  ["at a junction", "C:\\link", (host) => host.addJunction("C:\\link", "C:\\data")],
  ["behind a junction, by a drive letter of subst", "S:\\mnt", (host) => {
    host.addJunction("C:\\link", "C:\\data");
    host.addSubstDrive("S:", "C:\\link");
  }],
];

for (const [where, folder, prepare] of REFUSED.slice(0, -1)) {
  Deno.test(`a mount folder ${where} is refused before anything is changed`, async () => {
    const host = stackHost();
    host.addFolder("C:\\data");
    prepare?.(host);
    const before = host.paths();
    const mount = () => mountWCOWLayers("c1", STACK, { host, volumeMountPath: folder });
    const error = await assertRejects(mount, InvalidInputError);
    assertEquals([error.argument, error.value, changes(host)], ["volumeMountPath", folder, []]);
    assertEquals(host.paths(), before);
  });
}

Deno.test("a mount folder behind a drive letter that leads through a link is the folder behind the link", async () => {
  const [, folder, prepare] = REFUSED.at(-1)!;
  const host = stackHost();
  host.addFolder("C:\\data");
  prepare!(host);
  const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: folder });
  assertEquals(held(host).filter((each) => each.startsWith("mountPoint")), ["mountPoint C:\\data\\mnt"]);
  await mounted.release();
  assertEquals(held(host), []);
});

Deno.test("a mount folder in the folder of the records of mounts is refused before anything is changed", async () => {
  for (const records of [undefined, "C:\\records"]) {
    const host = stackHost(records === undefined ? {} : { records });
    const folder = `${records ?? "C:\\ProgramData\\hcs-layers"}\\mounts`;
    for (const volumeMountPath of [folder, `${folder}\\x.jsonl`]) {
      const error = await assertRejects(
        () => mountWCOWLayers("c1", STACK, { host, volumeMountPath }),
        InvalidInputError,
      );
      assertEquals(error.argument, "volumeMountPath");
      assertEquals(sequence(host).includes("ActivateLayer"), false);
    }
  }
});

Deno.test("a mount folder around the scratch that is to be created is refused before anything is changed", async () => {
  const host = stackHost();
  const before = host.paths();
  for (const volumeMountPath of ["C:\\new", "C:\\new\\of", "C:\\new\\of\\c1"]) {
    const options = { host, createScratch: true, volumeMountPath };
    const mount = () => mountWCOWLayers("c1", [LAYER, "C:\\new\\of\\c1"], options);
    const error = await assertRejects(mount, InvalidInputError, "C:\\new\\of\\c1");
    assertEquals([error.argument, changes(host), host.paths()], ["volumeMountPath", [], before]);
  }
});

Deno.test("a volume isn't mounted in the layers, the scratch and the volume of a mounted container", async () => {
  const host = stackHost();
  const container = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  const volume = host.addVolume(GUID);
  const left = held(host);
  for (const folder of [`${LAYER}\\mnt`, `${SCRATCH}\\mnt`, `${MOUNT}\\inner`, `${container.path}inner`]) {
    const error = await assertRejects(() => mountSandboxVolume(folder, volume, { host }), InvalidInputError);
    assertEquals([error.argument, error.value], ["hostPath", folder]);
  }
  assertEquals(held(host), left);
  await container.release();
  assertEquals(held(host), []);
});

Deno.test("a volume isn't mounted in that of a container of another process, until it is unmounted", async () => {
  const host = stackHost();
  host.addScratch("C:\\scratch\\c2");
  const owner = host.otherProcess();
  const container = await mountWCOWLayers("c1", STACK, { host: owner, volumeMountPath: MOUNT });
  const volume = host.addVolume(GUID);
  const left = held(host);
  for (const folder of [`${MOUNT}\\inner`, `${MOUNT}\\a\\inner`, `${container.path}inner`]) {
    await assertRejects(() => mountSandboxVolume(folder, volume, { host }), InvalidInputError, SCRATCH);
    const mount = () => mountWCOWLayers("c2", [LAYER, "C:\\scratch\\c2"], { host, volumeMountPath: folder });
    await assertRejects(mount, InvalidInputError, "is in the volume of another container");
  }
  assertEquals([held(host), changes(host)], [left, []]);
  await container.release();
  await (await mountSandboxVolume(`${MOUNT}\\inner`, volume, { host })).release();
});

Deno.test("a volume isn't mounted in the layers and the scratch of a container of another process, until it is unmounted", async () => {
  const host = stackHost();
  host.addScratch("C:\\scratch\\c2");
  const container = await mountWCOWLayers("c1", STACK, { host: host.otherProcess() });
  const volume = host.addVolume(GUID);
  const left = held(host);
  for (const folder of [`${LAYER}\\mnt`, `${LAYER}\\Files\\a\\mnt`, `${SCRATCH}\\mnt`]) {
    const error = await assertRejects(() => mountSandboxVolume(folder, volume, { host }), InvalidInputError, SCRATCH);
    assertEquals([error.argument, error.value], ["hostPath", folder]);
    const mount = () => mountWCOWLayers("c2", [STACK[1]!, "C:\\scratch\\c2"], { host, volumeMountPath: folder });
    await assertRejects(mount, InvalidInputError, SCRATCH);
    assertEquals([held(host), changes(host)], [left, []]);
  }
  await container.release();
  await (await mountSandboxVolume(`${LAYER}\\mnt`, volume, { host })).release();
});

Deno.test("a volume at a folder of a mounted volume is given back though the outer one is gone", async () => {
  const host = stackHost();
  host.addFolder("C:\\outer");
  const outer = host.addVolume(GUID);
  setVolumeMountPoint(host, "C:\\outer", outer);
  const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: "C:\\outer\\inner" });
  assertEquals(mounted.volumeMountPath, "C:\\outer\\inner");
  await removeSandboxMountPoint("C:\\outer", { host });
  await mounted.release();
  assertEquals(held(host), []);
});

Deno.test("a mount folder by a short name or a drive letter of subst is mounted at, and found again", async () => {
  const host = stackHost();
  host.addFolder("C:\\mount folders");
  host.addShortName("C:\\mount folders", "MOUNTF~1");
  host.addSubstDrive("S:", "C:\\mount folders");
  const before = host.paths();
  for (const folder of ["C:\\MOUNTF~1\\c1", "S:\\c1"]) {
    await mountWCOWLayers("c1", STACK, { host, volumeMountPath: folder });
    assertEquals(held(host).filter((each) => each.startsWith("mountPoint")), ["mountPoint C:\\mount folders\\c1"]);
    await unmountWCOWLayers(SCRATCH, { host, volumeMountPath: folder });
    assertEquals([held(host), host.paths()], [[], before]);
  }
});

Deno.test("a drive letter that Windows gave to the volume of a scratch goes with the disk", async () => {
  const host = stackHost();
  const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  host.addDriveLetter("E:", mounted.path);
  const released = await unmountWCOWLayers(SCRATCH, { host });
  assertEquals(released.map(({ hold: { kind } }) => kind), ["mountPoint", "folder", "filter", "activation"]);
  assertEquals(held(host), []);
});

Deno.test("a junction in place of our mount point is left alone", async () => {
  const host = hostWith({ layers: STACK.slice(0, -1), scratches: [SCRATCH], folders: ["D:\\data"] });
  const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  await removeSandboxMountPoint(MOUNT, { host });
  host.addJunction(MOUNT, "D:\\data");
  await mounted.release();
  assertEquals([host.exists(MOUNT), held(host)], [true, []]);
});

Deno.test("what somebody mounts at our folder right after its mark was seen stays, with the folder", async () => {
  const host = stackHost();
  const theirs = host.addVolume(GUID);
  const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  const from = host.calls.length;
  const seen = host.before("CloseHandle", () => {
    const opened = host.calls.slice(from).findLast(({ function: name }) => name === "CreateFileW");
    if (opened?.args["path"] !== `${MOUNT}:hcs-layers.created`) return;
    seen.undo();
    setVolumeMountPoint(host.otherProcess(), MOUNT, theirs);
  });
  await mounted.release();
  assertEquals(sequence(host, from).includes("RemoveDirectoryW"), false);
  assertEquals(held(host), ["folder C:\\mnt", `folder ${MOUNT}`, `mountPoint ${MOUNT}`]);
});

Deno.test("the mark isn't put on a volume that somebody mounts at a folder as soon as it is created", async () => {
  const host = stackHost();
  const theirs = host.addVolume(GUID);
  const marking = host.before("CreateFileW", ({ args }) => {
    if (args["path"] !== `${MOUNT}:hcs-layers.created`) return;
    marking.undo();
    setVolumeMountPoint(host.otherProcess(), MOUNT, theirs);
  });
  await assertRejects(() => mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT }));
  assertThrows(() => readText(host, `${theirs}:hcs-layers.created`), NativeError);
});

for (const swapped of ["PrepareLayer", "SetVolumeMountPointW"]) {
  Deno.test(`a link made above the mount folder before ${swapped}: the mount fails, and nothing stays behind the link`, async () => {
    const contents = { layers: STACK.slice(0, -1), scratches: [SCRATCH], folders: [MOUNT, "D:\\data\\c1"] };
    const host = hostWith(contents);
    const swap = host.before(swapped, () => {
      swap.undo();
      host.remove("C:\\mnt");
      host.addJunction("C:\\mnt", "D:\\data");
    });
    const error = await assertRejects(
      () => mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT }),
      InUseError,
      "behind a link",
    );
    assertEquals([error.path, held(host), host.exists("D:\\data\\c1")], [MOUNT, [], true]);
    assertEquals(sequence(host).includes("SetVolumeMountPointW"), swapped === "SetVolumeMountPointW");
  });
}

Deno.test("a mount point of which Windows tells once what is no volume is removed all the same", async () => {
  for (const answer of ["", "C:\\", "\\\\?\\Volume{x}\\"]) {
    const host = stackHost();
    const before = host.paths();
    const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
    let isFirst = true;
    const odd = withWrapped(
      host,
      (name, call): Call =>
        name !== "GetVolumeNameForVolumeMountPointW" ? call : (...args) => {
          if (!isFirst) return call(...args);
          isFirst = false;
          (args[1] as Uint8Array).set(wide(answer));
          return 1;
        },
    );
    await unmountWCOWLayers(SCRATCH, { host: odd });
    assertEquals([held(host), host.paths()], [[], before], answer);
    await mounted.release();
  }
});

const RACES: [code: string, folders: string[]][] = [
  ["ERROR_DIR_NOT_EMPTY", []],
  ["ERROR_DIR_NOT_EMPTY", [MOUNT]],
  ["ERROR_SHARING_VIOLATION", []],
  ["ERROR_ACCESS_DENIED", [MOUNT]],
];
for (const [code, folders] of RACES) {
  Deno.test(`two processes mount one volume at a folder (${folders.length} there): the one that fails with ${code} leaves the other's`, async () => {
    const host = hostWith({ folders });
    const before = host.paths();
    const volume = host.addVolume(GUID);
    const other = host.otherProcess();
    host.before("SetVolumeMountPointW", () => setVolumeMountPoint(other, MOUNT, volume), { nth: 1 });
    if (code !== "ERROR_DIR_NOT_EMPTY") host.fail({ function: "SetVolumeMountPointW", code, nth: 1 });
    const error = await assertRejects(() => mountSandboxVolume(MOUNT, volume, { host }), LayerError);
    const cause = error instanceof UnwindError ? error.cause : error;
    assertEquals(cause instanceof NativeError && cause.symbol, code);
    if (error instanceof UnwindError) await assertRejects(() => error.release(), ReleaseError, "another process's");
    assertEquals(volumeNameForMountPoint(other, MOUNT), volume);
    await removeSandboxMountPoint(MOUNT, { host: other });
    if (error instanceof UnwindError) await error.release();
    assertEquals([held(host), host.paths()], [[], before]);
  });
}
