/**
 * Tests of tier 2 that need several processes: the commands with their grants, and what a killed process leaves.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertNotEquals } from "jsr:@std/assert@^1.0.0";
import type { MountInfo } from "../../mod.ts";
import { heldAfter, parseTrace, type RecordedCall } from "./inside/trace.ts";
import { CHECKOUT, DENO_EXE, EXCHANGE, type RunResult, SYSTEM32, type WineRoot } from "./prepare.ts";

/** A test on a prepared Wine. It fails by throwing. */
export interface AcrossTest {
  /** What it shows. */
  readonly name: string;
  /** Runs it. */
  run(wine: WineRoot): Promise<void>;
}

const COMMANDS = ["mount", "unmount", "list", "recover"] as const;
type Command = (typeof COMMANDS)[number];

/** A folder that Windows programs see, and the trace of the calls that they make. */
export class TracedFolder {
  readonly wine: WineRoot;
  /** Its path on this machine. */
  readonly folder: string;
  /** Its path under Wine. */
  readonly inside: string;
  readonly env: Record<string, string>;

  /** A folder with these files, by their paths in it, and these folders. */
  constructor(wine: WineRoot, files: Readonly<Record<string, string>>, folders: readonly string[] = []) {
    this.wine = wine;
    this.folder = Deno.makeTempDirSync({ dir: wine.exchange });
    this.inside = `${EXCHANGE}\\${this.folder.slice(wine.exchange.length + 1)}`;
    this.env = { HCS_RECORD_FILE: `${this.inside}\\trace` };
    for (const name of folders) Deno.mkdirSync(`${this.folder}/${name}`, { recursive: true });
    for (const [name, text] of Object.entries({ ...files, trace: "" })) {
      const path = `${this.folder}/${name}`;
      Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
      Deno.writeTextFileSync(path, text);
    }
  }

  /** What the DLLs of all processes so far have answered. */
  get calls(): RecordedCall[] {
    return parseTrace(Deno.readTextFileSync(`${this.folder}/trace`));
  }
}

/** A stack of layers that Windows programs see, and the trace of those that get {@linkcode Stage.env}. */
export class Stage extends TracedFolder {
  readonly layers: readonly string[];
  readonly scratch: string;

  constructor(wine: WineRoot) {
    super(wine, { "scratch/sandbox.vhdx": "" }, ["top", "base"]);
    this.layers = [`${this.inside}\\top`, `${this.inside}\\base`];
    this.scratch = `${this.inside}\\scratch`;
  }

  /** What a user types. */
  task(command: Command, ...options: string[]): Promise<RunResult> {
    return this.wine.run(["task", "--quiet", command, ...options, ...this.operands(command)], { env: this.env });
  }

  operands(command: Command): string[] {
    if (command === "list" || command === "recover") return [];
    return command === "mount" ? [...this.layers, this.scratch] : [this.scratch];
  }
}

/** The arguments for `deno` that a task has, `$SystemRoot` expanded. */
export function argumentsOf(command: Command | "vhd" | "observe"): string[] {
  const { tasks } = JSON.parse(Deno.readTextFileSync(new URL("../../deno.json", import.meta.url)));
  const [deno, ...args] = String(tasks[command].command).replaceAll("$SystemRoot", "C:\\windows").split(" ");
  assertEquals(deno, "deno");
  return args;
}

/** Each grant by itself, and the arguments without it. */
export function withoutEachGrant(args: readonly string[]): { grant: string; rest: string[] }[] {
  return args.flatMap((arg, i) => {
    const [, flag, values] = arg.match(/^(--allow-[a-z]+)=(.+)$/) ?? [];
    if (flag === undefined || values === undefined) {
      assert(!/^(-A|-R|-W|-N|-E|-S|--allow-.*)$/.test(arg), `${arg} grants more than it names`);
      return [];
    }
    return values.split(",").map((value, k, all) => {
      const others = all.filter((_, other) => other !== k);
      const left = others.length > 0 ? [`${flag}=${others}`] : [];
      return { grant: `${flag}=${value}`, rest: [...args.slice(0, i), ...left, ...args.slice(i + 1)] };
    });
  });
}

/** A path in the one form in which all its forms can be compared. */
export const plainPath = (text: string) => text.replaceAll("/", "\\").toLowerCase();

// Those that layers in plain folders don't need: across_cimfs.ts has them.
const ONLY_IMAGES = /(cimfs|computestorage|advapi32)\.dll$/;
// Those that only VMs need, and an option.
const RARELY = /(ole32|virtdisk)\.dll$/;

function isNeeded(command: string, grant: string): boolean {
  return !ONLY_IMAGES.test(grant) && !(command === "recover" && RARELY.test(grant));
}

const grants: AcrossTest[] = COMMANDS.flatMap((command) =>
  withoutEachGrant(argumentsOf(command)).filter(({ grant }) => isNeeded(command, grant)).map(({ grant, rest }) => ({
    name: `deno task ${command} without ${grant} names that grant, and leaves nothing held`,
    async run(wine) {
      const stage = new Stage(wine);
      const { code, stdout, stderr } = await wine.run([...rest, ...stage.operands(command)], {
        cwd: CHECKOUT,
        env: { ...stage.env, HCS_RECORD_FILE: "" },
      });
      assertEquals([code, stdout], [1, ""]);
      const named = new Set(stderr.match(/--allow-[a-z]+=[^\s;]+/g)?.map(plainPath));
      assertEquals([...named], [plainPath(grant)], stderr);
    },
  }))
);

const adopting: AcrossTest = {
  name: "deno task recover --adopt needs its grant for virtdisk.dll, without which it changes nothing",
  async run(wine) {
    const [{ grant, rest } = { grant: "", rest: [] }] = withoutEachGrant(argumentsOf("recover"))
      .filter(({ grant }) => grant.endsWith("virtdisk.dll"));
    const stage = new Stage(wine);
    const run = async (args: readonly string[]) =>
      await wine.run([...args, "--adopt"], { cwd: CHECKOUT, env: { ...stage.env, HCS_RECORD_FILE: "" } });
    const { code, stderr } = await run(rest);
    const named = new Set(stderr.match(/--allow-[a-z]+=[^\s;]+/g)?.map(plainPath));
    assertEquals([code, [...named]], [1, [plainPath(grant)]], stderr);
    const granted = await run(argumentsOf("recover"));
    assertEquals([granted.code, granted.stdout], [0, ""], granted.stderr);
  },
};

const ungranted: AcrossTest[] = COMMANDS.map((command) => ({
  name: `deno task ${command} without any grant names all that it needs`,
  async run(wine) {
    const stage = new Stage(wine);
    const { code, stdout, stderr } = await wine.run([
      ...["run", "--no-prompt", "--no-remote", `scripts/${command}.ts`],
      ...stage.operands(command),
    ], { cwd: CHECKOUT });
    assertEquals([code, stdout], [1, ""]);
    const paths = (...dlls: string[]) => dlls.map((dll) => `C:\\Windows\\System32\\${dll}.dll`);
    const ofImages = paths("cimfs", "computestorage", ...command === "mount" ? ["advapi32"] : []);
    const forImages = command === "list" ? "" : `. With CIM images also with --allow-ffi=${ofImages}`;
    assertEquals(
      stderr.trim(),
      "error: Permissions are missing. Start Deno with --allow-env=SystemRoot " +
        `--allow-ffi=${paths("kernel32", "ntdll", "vmcompute", ...command === "list" ? ["virtdisk"] : [])}${forImages}`,
    );
  },
}));

/** Starts a mount in a process that stops at a call of `fn`, or when all is mounted, and kills it there. */
export async function mountKilledAt(
  wine: WineRoot,
  stage: { readonly env: Record<string, string>; operands(command: "mount"): readonly string[] },
  fn: string,
): Promise<void> {
  const child = wine.spawn(DENO_EXE, [
    ...["run", "--no-prompt", "--allow-env=SystemRoot", `--allow-ffi=${SYSTEM32}`],
    ...[`${CHECKOUT}\\tests\\wine\\inside\\stop_at.ts`, fn, ...stage.operands("mount")],
  ], { env: stage.env, stdout: "piped" });
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  child.kill("SIGKILL");
  await reader.cancel();
  await child.status;
  assertMatch(new TextDecoder().decode(value), /^stopped/);
}

const killed: AcrossTest[] = [
  ["ActivateLayer", []],
  ["PrepareLayer", ["ActivateLayer"]],
  ["GetLayerMountPath", ["ActivateLayer", "PrepareLayer"]],
  ["nothing", ["ActivateLayer", "PrepareLayer"]],
  ["UnprepareLayer", ["ActivateLayer", "PrepareLayer"]],
  ["DeactivateLayer", ["ActivateLayer"]],
].map(([fn, held]) => ({
  name: `deno task unmount gives back what a process held that was killed in ${fn}`,
  async run(wine) {
    const stage = new Stage(wine);
    await mountKilledAt(wine, stage, fn as string);
    const before = stage.calls;
    assertEquals(heldAfter(before), (held as string[]).map((call) => `${call} ${stage.scratch}`));

    const { code, stderr } = await stage.task("unmount");
    assertEquals([code, stderr], [0, ""]);
    assertEquals(heldAfter(stage.calls), []);
    // The call that was cut short may have been carried out.
    const given = stage.calls.slice(before.length).map((call) => call.fn);
    assertEquals(given.filter((name) => name !== "GetLayerMountPath"), ["UnprepareLayer", "DeactivateLayer"]);

    const again = await stage.task("mount");
    assertEquals([again.code, again.stderr], [0, ""]);
    assertEquals(heldAfter(stage.calls).length, 2);
  },
}));

/** All of them, one after another. */
export const across: readonly AcrossTest[] = [
  {
    name: "deno task mount and unmount work with their own grants",
    async run(wine) {
      const stage = new Stage(wine);
      const mount = await stage.task("mount");
      assertEquals([mount.code, mount.stderr], [0, ""]);
      assertMatch(mount.stdout.trim(), /^\\\\\?\\Volume\{[0-9a-f-]{36}\}\\$/);
      assertEquals(stage.calls.map(({ fn }) => fn), [
        "ActivateLayer",
        "NameToGuid",
        "NameToGuid",
        "PrepareLayer",
        "GetLayerMountPath",
        "GetLayerMountPath",
      ]);
      assertNotEquals(heldAfter(stage.calls), []);

      const unmount = await stage.task("unmount", "--json");
      assertEquals([unmount.code, unmount.stderr], [0, ""]);
      JSON.parse(unmount.stdout);
      assertEquals(heldAfter(stage.calls), []);
    },
  },
  {
    name: "deno task mount that fails says why with exit code 1, and leaves nothing held",
    async run(wine) {
      const stage = new Stage(wine);
      stage.env.HCS_RECORD_FAIL = "PrepareLayer#1=0x80070005";
      const { code, stdout, stderr } = await stage.task("mount");
      assertEquals([code, stdout], [1, ""]);
      assertMatch(stderr, /PrepareLayer failed for .*scratch: 0x80070005 ERROR_ACCESS_DENIED/);
      assertEquals(heldAfter(stage.calls), []);
    },
  },
  {
    name: "deno task list shows what a killed process left, and deno task recover releases it, with their own grants",
    async run(wine) {
      const stage = new Stage(wine);
      await mountKilledAt(wine, stage, "nothing");
      assertNotEquals(heldAfter(stage.calls), []);
      const list = await stage.task("list", "--json");
      assertEquals([list.code, list.stderr], [0, ""]);
      const { mounts } = JSON.parse(list.stdout);
      assertEquals(mounts.map((mount: MountInfo) => [mount.containerId, mount.owner.state]), [["c1", "ended"]]);

      const recover = await stage.task("recover");
      assertEquals([recover.code, recover.stderr], [0, ""]);
      assertMatch(recover.stdout, /^c1 /);
      assertEquals(heldAfter(stage.calls), []);
      assertEquals((await stage.task("list")).stdout, "");
    },
  },
  {
    name: "deno task unmount finds a mount by the container's id with its own grants, of which list has another one",
    async run(wine) {
      const stage = new Stage(wine);
      const mount = await stage.task("mount", "--id=web");
      assertEquals([mount.code, mount.stderr], [0, ""]);
      const { code, stderr } = await wine.run(["task", "--quiet", "unmount", "web"], { env: stage.env });
      assertEquals([code, stderr, heldAfter(stage.calls)], [0, "", []]);
    },
  },
  ...grants,
  adopting,
  ...ungranted,
  ...killed,
];
