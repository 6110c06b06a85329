/**
 * Tests of tier 2 about CIM images that need several processes: the builds of Windows that take them, the grants of the
 * commands, and what a killed process leaves.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "jsr:@std/assert@^1.0.0";
import { type AcrossTest, mountKilledAt, TracedFolder } from "./across.ts";
import { heldOfImage } from "./inside/cim.ts";
import type { RecordedCall } from "./inside/trace.ts";
import { CHECKOUT, type RunResult, SYSTEM32, type WineRoot } from "./prepare.ts";

const VERSION_KEY = "HKLM\\Software\\Microsoft\\Windows NT\\CurrentVersion";

/** Runs `test` on another build of Windows than Wine's own. */
export async function onBuild(wine: WineRoot, build: string, test: () => Promise<void>): Promise<void> {
  const reg = async (...args: string[]) => {
    const { code, stderr } = await wine.runProgram(`${SYSTEM32}\\reg.exe`, args);
    assertEquals([code, stderr], [0, ""]);
  };
  const set = (name: string, type: string, data: string) =>
    reg("add", VERSION_KEY, "/v", name, "/t", type, "/d", data, "/f");
  const [number, revision] = build.split(".") as [string, string];
  await set("CurrentBuildNumber", "REG_SZ", number);
  await set("UBR", "REG_DWORD", revision);
  try {
    await test();
  } finally {
    await set("CurrentBuildNumber", "REG_SZ", "19043");
    await reg("delete", VERSION_KEY, "/v", "UBR", "/f");
  }
}

const COMMANDS = ["mount", "unmount"] as const;
type Command = (typeof COMMANDS)[number];

/** The DLLs that a task grants. */
function granted(command: Command): string[] {
  const { tasks } = JSON.parse(Deno.readTextFileSync(new URL("../../deno.json", import.meta.url)));
  return [...String(tasks[command].command).matchAll(/\$SystemRoot\/System32\/([a-z0-9_]+)\.dll/g)].map(([, dll]) =>
    dll!
  );
}

/** A stack on an image that Windows programs see, and the trace of those that work on it. */
class ImageStage extends TracedFolder {
  readonly scratch: string;

  constructor(wine: WineRoot) {
    super(wine, { "c1/sandbox.vhdx": "", "cim-layers/top.cim": "image" }, ["top", "base"]);
    this.scratch = `${this.inside}\\c1`;
  }

  get held(): string[] {
    return heldOfImage(this.calls);
  }

  operands(command: Command): string[] {
    return command === "mount" ? [`${this.inside}\\top`, `${this.inside}\\base`, this.scratch] : [this.scratch];
  }

  /** What a user types. */
  task(command: Command): Promise<RunResult> {
    return this.wine.run(["task", "--quiet", command, ...this.operands(command)], { env: this.env });
  }

  /** The command, with grants for these DLLs alone. */
  run(command: Command, dlls: readonly string[]): Promise<RunResult> {
    return this.wine.run([
      ...["run", "--no-prompt", "--no-remote", "--allow-env=SystemRoot"],
      `--allow-ffi=${dlls.map((dll) => `${SYSTEM32}\\${dll}.dll`)}`,
      ...[`${CHECKOUT}\\scripts\\${command}.ts`, ...this.operands(command)],
    ], { env: this.env });
  }

  /** Has another process release it, that knows the scratch and the container's id and finds no note. */
  releaseById(): Promise<RunResult> {
    for (const { name } of Deno.readDirSync(this.folder)) {
      // Wine keeps a stream of a folder as a file beside the folder.
      if (name.includes(":")) Deno.removeSync(`${this.folder}/${name}`);
    }
    const program = `import { releaseCimFSHostLayers } from "file:///Z:/hcs-layers/mod.ts";
      const released = await releaseCimFSHostLayers(${JSON.stringify(this.scratch)}, "c1");
      console.log(released.map(({ hold }) => hold.kind).join());`;
    return this.wine.run(["eval", program], { env: this.env });
  }
}

const MOUNT_CALLS = [
  "ActivateLayer",
  "GetLayerMountPath",
  "GetLayerMountPath",
  "CimMountImage",
  "NameToGuid",
  "HcsAttachOverlayFilter",
];
const RELEASE_CALLS = ["HcsDetachOverlayFilter", "CimDismountImage", "DeactivateLayer"];
const ALL = ["ActivateLayer", "CimMountImage", "HcsAttachOverlayFilter"];

const releasing = (calls: readonly RecordedCall[]) =>
  calls.map(({ fn }) => fn).filter((fn) => fn !== "GetLayerMountPath");

const builds: AcrossTest[] = ["20348.2031", "20348.2032", "26100.0", "27000.1"].map((build) => ({
  name: `deno task mount and unmount take layers on an image on build ${build}`,
  run: (wine) =>
    onBuild(wine, build, async () => {
      const stage = new ImageStage(wine);
      const mount = await stage.task("mount");
      assertEquals([mount.code, mount.stderr], [0, ""]);
      assertMatch(mount.stdout.trim(), /^\\\\\?\\Volume\{[0-9a-f-]{36}\}\\$/);
      const mounting = stage.calls;
      assertEquals(mounting.map(({ fn }) => fn), MOUNT_CALLS);
      assertEquals(stage.held, ALL);
      // The v5 GUID of "c1" in the namespace that upstream compiled.
      const volume = mounting[3]!.args.volumeId;
      assertEquals(mounting[3]!.args, {
        imagePath: mounting[3]!.args.imagePath,
        fsName: "top.cim",
        flags: 4,
        volumeId: volume,
      });
      const unmount = await stage.task("unmount");
      assertEquals([unmount.code, unmount.stderr], [0, ""]);
      const released = stage.calls.slice(mounting.length);
      assertEquals(releasing(released), RELEASE_CALLS);
      assertEquals(released.find(({ fn }) => fn === "CimDismountImage")!.args, { volumeId: volume });
      assertEquals(stage.held, []);
    }),
}));

const refused: AcrossTest[] = ["19043.928", "20348.2030", "25398.9999"].map((build) => ({
  name: `deno task mount refuses layers on an image on build ${build} before any call, and names the builds`,
  run: (wine) =>
    onBuild(wine, build, async () => {
      const stage = new ImageStage(wine);
      const { code, stdout, stderr } = await stage.task("mount");
      assertEquals([code, stdout], [1, ""]);
      assert(stderr.includes(`this host is Windows build ${build}`), stderr);
      assert(stderr.includes("20348.2031") && stderr.includes("26100"), stderr);
      assertEquals(stage.calls, []);
    }),
}));

const grants: AcrossTest[] = COMMANDS.flatMap((command) =>
  granted(command).map((dll) => ({
    name: `deno task ${command} of layers on an image without the grant for ${dll}.dll names it`,
    run: (wine) =>
      onBuild(wine, "20348.2031", async () => {
        const stage = new ImageStage(wine);
        if (command === "unmount") assertEquals((await stage.task("mount")).code, 0);
        const { code, stdout, stderr } = await stage.run(command, granted(command).filter((other) => other !== dll));
        assertEquals([code, stdout], [1, ""], stderr);
        const named = new Set(stderr.match(/--allow-ffi=[^\s;]+\.dll/gi)?.map((flag) => flag.toLowerCase()));
        assertEquals([...named], [`--allow-ffi=${SYSTEM32}\\${dll}.dll`.toLowerCase()], stderr);
        if (command === "unmount") assertEquals((await stage.task("unmount")).code, 0);
        assertEquals(stage.held, []);
      }),
  }))
);

const ungranted: AcrossTest[] = COMMANDS.map((command) => ({
  name: `deno task ${command} of layers on an image without the grants for images names all of them`,
  run: (wine) =>
    onBuild(wine, "20348.2031", async () => {
      const stage = new ImageStage(wine);
      if (command === "unmount") assertEquals((await stage.task("mount")).code, 0);
      const before = stage.calls.length;
      const { code, stdout, stderr } = await stage.run(command, ["kernel32", "ntdll", "vmcompute"]);
      assertEquals([code, stdout, stage.calls.length], [1, "", before], stderr);
      const dlls = command === "mount" ? ["cimfs", "computestorage", "advapi32"] : ["cimfs", "computestorage"];
      const paths = dlls.map((dll) => `${SYSTEM32}\\${dll}.dll`);
      assert(
        stderr.toLowerCase().includes(`permissions are missing. start deno with --allow-ffi=${paths}`.toLowerCase()),
        stderr,
      );
    }),
}));

const killed: AcrossTest[] = ([
  ["CimMountImage", 1],
  ["HcsAttachOverlayFilter", 2],
  ["nothing", 3],
  ["HcsDetachOverlayFilter", 3],
  ["CimDismountImage", 2],
  ["DeactivateLayer", 1],
] as const).map(([fn, held]) => ({
  name: `another process gives back an image of a process that was killed in ${fn}`,
  run: (wine) =>
    onBuild(wine, "26100.1", async () => {
      const byScratch = new ImageStage(wine);
      await mountKilledAt(wine, byScratch, fn);
      const before = byScratch.calls;
      assertEquals(byScratch.held, ALL.slice(0, held));
      const { code, stderr } = await byScratch.task("unmount");
      assertEquals([code, stderr], [0, ""]);
      assertEquals(byScratch.held, []);
      assertEquals(releasing(byScratch.calls.slice(before.length)), RELEASE_CALLS);

      const byId = new ImageStage(wine);
      await mountKilledAt(wine, byId, fn);
      const released = await byId.releaseById();
      assertEquals(
        [released.code, released.stdout.trim()],
        [0, "overlay,filter,cimVolume,activation"],
        released.stderr,
      );
      assertEquals(byId.held, []);

      const again = await byId.task("mount");
      assertEquals([again.code, again.stderr], [0, ""]);
      assertEquals(byId.held, ALL);
    }),
}));

const left: AcrossTest = {
  name: "deno task mount releases the image that a killed process left of the scratch, and refuses one of another",
  run: (wine) =>
    onBuild(wine, "26100.1", async () => {
      const stage = new ImageStage(wine);
      await mountKilledAt(wine, stage, "nothing");
      const before = stage.calls.length;
      const { code, stderr } = await stage.task("mount");
      assertEquals(code, 0, stderr);
      // The recording DLLs attach no disk, so that of the killed process is taken for detached.
      assertEquals(stage.calls.slice(before, before + 2).map(({ fn }) => fn), ["CimDismountImage", "ActivateLayer"]);

      const other = new ImageStage(wine);
      const refused = await wine.run([
        ...["run", "--no-prompt", "--allow-env=SystemRoot", "--allow-ffi=C:\\windows\\System32"],
        ...[`${CHECKOUT}\\scripts\\mount.ts`, ...other.operands("mount")],
      ], { env: { ...other.env, HCS_RECORD_FAIL: "CimMountImage#1=0x800700b7" } });
      assertEquals([refused.code, other.held], [1, []], refused.stderr);
      assert(refused.stderr.includes("ERROR_ALREADY_EXISTS") && refused.stderr.includes("release it first"));
    }),
};

/** All of them, one after another. */
export const acrossImages: readonly AcrossTest[] = [...builds, ...refused, ...grants, ...ungranted, ...killed, left];
