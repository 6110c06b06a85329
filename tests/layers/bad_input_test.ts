import { assert, assertEquals, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import {
  InvalidInputError,
  mountSandboxVolume,
  mountWCOWLayers,
  removeSandboxMountPoint,
  unmountWCOWLayers,
} from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { changes, held } from "../support/calls.ts";
import { LAYERS, MOUNT, SCRATCH, stackHost } from "../support/host.ts";

const [TOP, BASE] = [LAYERS[0]!, LAYERS[4]!];
const VOLUME = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\";

/** The stack or other argument, the argument that the error names, and the value that it shows. */
type Row = [input: unknown, argument: string, value: unknown];

async function refuses(
  argument: string,
  value: unknown,
  call: (host: SimulatedHost) => Promise<unknown>,
): Promise<void> {
  const host = stackHost();
  host.addVolume(VOLUME.slice(11, -2));
  host.addFolder("C:\\scratch\\no disk");
  host.addFile("C:\\a file");
  host.addFolder("C:\\full\\of things");
  host.addFolder("C:\\taken");
  host.addFolder("C:\\elsewhere\\RO01");
  host.addFolder("C:\\scratch\\folder\\sandbox.vhdx");
  const other = await mountSandboxVolume("C:\\taken", VOLUME, { host });
  const [calls, before, taken] = [host.calls.length, host.paths(), held(host)];
  const error = await assertRejects(() => call(host), InvalidInputError);
  assertEquals([error.argument, error.value], [argument, value]);
  assertStringIncludes(error.message, argument);
  if (value !== undefined) assertStringIncludes(error.message, JSON.stringify(value));
  assertEquals([changes(host, calls), host.paths(), held(host)], [[], before, taken]);
  assertEquals(host.calls.slice(calls).filter((call) => call.dll === "vmcompute"), [], "vmcompute.dll is not called");
  await other.release();
}

const layer1 = "layerFolders[1]";

const STACKS: Row[] = [
  [[], "layerFolders", []],
  [[SCRATCH], "layerFolders", [SCRATCH]],
  [undefined, "layerFolders", undefined],
  ["C:\\layers", "layerFolders", "C:\\layers"],
  [[TOP, "", SCRATCH], layer1, ""],
  [[TOP, "C:\\a\0b", SCRATCH], layer1, "C:\\a\0b"],
  [[TOP, null, SCRATCH], layer1, null],
  [[TOP, "layers\\ro01", SCRATCH], layer1, "layers\\ro01"],
  [[TOP, "C:ro01", SCRATCH], layer1, "C:ro01"],
  [[TOP, "\\layers\\ro01", SCRATCH], layer1, "\\layers\\ro01"],
  [[TOP, "/layers/ro01", SCRATCH], layer1, "/layers/ro01"],
  [[TOP, "C:/layers/ro01", SCRATCH], layer1, "C:/layers/ro01"],
  [[TOP, "C:\\", SCRATCH], layer1, "C:\\"],
  [[TOP, "\\\\server\\share", SCRATCH], layer1, "\\\\server\\share"],
  [[TOP, VOLUME, SCRATCH], layer1, VOLUME],
  [[BASE, TOP, BASE, SCRATCH], "layerFolders[2]", BASE],
  [[BASE, "C:\\elsewhere\\RO01", SCRATCH], layer1, "C:\\elsewhere\\RO01"],
  [[BASE, `${BASE}\\`, SCRATCH], layer1, BASE],
  [[SCRATCH, BASE, SCRATCH], "layerFolders[0]", SCRATCH],
  [[TOP, `\\\\?\\${SCRATCH.toUpperCase()}`, SCRATCH], layer1, SCRATCH],
  [["C:\\layers\\no", BASE, SCRATCH], "layerFolders[0]", "C:\\layers\\no"],
  [[TOP, "C:\\layers\\no", SCRATCH], layer1, "C:\\layers\\no"],
  [[TOP, "C:\\a file", SCRATCH], layer1, "C:\\a file"],
  [[TOP, "C:\\no scratch"], layer1, "C:\\no scratch"],
  [[TOP, "C:\\a file"], layer1, "C:\\a file"],
  [[TOP, "C:\\scratch\\no disk"], layer1, "C:\\scratch\\no disk\\sandbox.vhdx"],
  [[TOP, "C:\\scratch\\folder"], layer1, "C:\\scratch\\folder\\sandbox.vhdx"],
];

for (const [i, [stack, argument, value]] of STACKS.entries()) {
  Deno.test(`mountWCOWLayers() refuses bad layer folders, and changes nothing: ${i} ${JSON.stringify(stack)}`, () =>
    refuses(argument, value, (host) => mountWCOWLayers("c1", stack as string[], { host, volumeMountPath: MOUNT })));
}

const IDS: Row[] = [["", "containerId", ""], ["a\0", "containerId", "a\0"], [undefined, "containerId", undefined]];

for (const [id, argument, value] of IDS) {
  Deno.test(`mountWCOWLayers() refuses the container id ${JSON.stringify(id)}`, () =>
    refuses(argument, value, (host) => mountWCOWLayers(id as string, [TOP, BASE, SCRATCH], { host })));
}

const FOLDERS = ["", "C:\\m\0", "mnt\\c1", "/mnt/c1", "C:mnt", "\\mnt", "C:\\", VOLUME, "\\\\server\\share\\", 7];
const TAKEN = ["C:\\a file", "C:\\full", "C:\\taken", "C:\\TAKEN\\", `${BASE}`];

for (const folder of FOLDERS as string[]) {
  Deno.test(`every function refuses the folder ${JSON.stringify(folder)}`, async () => {
    const stack = [TOP, BASE, SCRATCH];
    await refuses("volumeMountPath", folder, (host) => mountWCOWLayers("c1", stack, { host, volumeMountPath: folder }));
    await refuses("hostPath", folder, (host) => mountSandboxVolume(folder, VOLUME, { host }));
    await refuses("hostPath", folder, (host) => removeSandboxMountPoint(folder, { host }));
    await refuses("scratchFolder", folder, (host) => unmountWCOWLayers(folder, { host }));
    await refuses("volumeMountPath", folder, (host) => unmountWCOWLayers(SCRATCH, { host, volumeMountPath: folder }));
  });
}

for (const folder of TAKEN) {
  const form = folder.replace(/\\$/, "");
  Deno.test(`a folder that nothing can be mounted at is refused: ${folder}`, async () => {
    const stack = [TOP, BASE, SCRATCH];
    await refuses("volumeMountPath", form, (host) => mountWCOWLayers("c1", stack, { host, volumeMountPath: folder }));
    await refuses("hostPath", form, (host) => mountSandboxVolume(folder, VOLUME, { host }));
  });
}

Deno.test("mountSandboxVolume() refuses what is no volume's name", async () => {
  for (
    const volume of [
      "",
      "C:\\",
      "\\\\?\\Volume{}\\",
      "\\\\.\\PhysicalDrive1",
      `${VOLUME}x`,
      "\0",
      undefined,
    ] as string[]
  ) {
    await refuses("volumeName", volume, (host) => mountSandboxVolume(MOUNT, volume, { host }));
  }
});

Deno.test("a bad mount folder is noticed before Windows is asked about anything", async () => {
  const host = stackHost();
  await assertRejects(
    () => mountWCOWLayers("c1", [TOP, BASE, SCRATCH], { host, volumeMountPath: "mnt" }),
    InvalidInputError,
  );
  await assertRejects(() => mountWCOWLayers("c1", [TOP, "x", SCRATCH], { host }), InvalidInputError);
  assertEquals(host.calls, []);
});

/** Stacks that work: how the folders are given, and how Windows gets them. */
const LONG = `C:\\${"n".repeat(120)}\\${"目".repeat(110)}`;
const WORKING: [stack: string[], sent?: string[]][] = [
  [["C:\\my layers\\the top", "C:\\my layers\\the base", "C:\\my scratch\\c 1"]],
  [["C:\\schön\\Üb", "C:\\目录\\二", "C:\\目录\\三"]],
  [["C:\\𝄞\\𝄞𝄞", "C:\\𝄞\\𝒳", "C:\\😀"]],
  [["C:\\a\\top\\", "C:\\a\\base\\\\", "C:\\a\\scratch\\"], ["C:\\a\\top", "C:\\a\\base", "C:\\a\\scratch"]],
  [["C:\\a/top", "c:\\A\\x\\..\\Base", "C:\\A\\.\\Scratch"], ["C:\\a\\top", "c:\\A\\Base", "C:\\A\\Scratch"]],
  [[`${LONG}\\top`, `${LONG}\\base`, `${LONG}\\scratch`]],
  [["\\\\server\\share\\top", "\\\\server\\share\\base", "\\\\server\\share\\scratch"]],
  [["\\\\?\\C:\\a\\top", "\\\\?\\C:\\a\\base\\", "\\\\?\\C:\\a\\scratch"], [
    "\\\\?\\C:\\a\\top",
    "\\\\?\\C:\\a\\base",
    "\\\\?\\C:\\a\\scratch",
  ]],
  [["\\\\?\\UNC\\server\\share\\top", "\\\\?\\UNC\\server\\share\\base", "\\\\?\\UNC\\server\\share\\scratch"]],
];

for (const [i, [stack, sent = stack]] of WORKING.entries()) {
  Deno.test(`mountWCOWLayers() takes paths of every form: ${i} ${stack[0]!.slice(0, 40)}`, async () => {
    const host = stackHost({}, sent);
    host.addFolder(sent.at(-1)!.replace(/\\[^\\]+$/, ""));
    const folder = `${sent.at(-1)!.replace(/\\[^\\]+$/, "")}\\mnt\\目 𝄞`;
    const before = host.paths();
    const layers = await mountWCOWLayers("c1", stack, { host, volumeMountPath: `${folder}\\` });
    assertEquals(layers.volumeMountPath, folder);
    assertEquals(host.held().map(({ kind }) => kind), ["activation", "filter", "folder", "folder", "mountPoint"]);
    const prepare = host.calls.find((call) => call.function === "PrepareLayer")!;
    assertEquals(prepare.args["id"], sent.at(-1));
    assertEquals((prepare.args["layers"] as { Path: string }[]).map((layer) => layer.Path), sent.slice(0, -1));
    await layers.release();
    assertEquals([held(host), host.paths()], [[], before]);
    // kernel32 takes no more than 260 units in any other form.
    const paths = host.calls.filter((call) => call.dll === "kernel32").flatMap(({ args }) =>
      [args["path"], args["pattern"], args["volumeMountPoint"]].filter((path) => typeof path === "string")
    );
    assert(paths.every((path) => path.length <= 259 || path.startsWith("\\\\?\\")));
  });
}
