/**
 * Tests of tier 2 of what `deno task bundle` makes: on a host with nothing but Deno and the files, with the grants of the
 * tasks.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { type AcrossTest, Stage } from "./across.ts";
import { heldAfter } from "./inside/trace.ts";
import { DENO_EXE, EXCHANGE, type RunResult, SYSTEM32, type WineRoot } from "./prepare.ts";

const SHARE = `${EXCHANGE}\\bundles`;

let built: Promise<Record<string, string>> | undefined;

/** The lines that `deno task bundle` prints, by command. The files are in {@linkcode SHARE}. */
function bundles(wine: WineRoot): Promise<Record<string, string>> {
  return built ??= (async () => {
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["task", "--quiet", "bundle", "--output", `${wine.exchange}/bundles`],
      cwd: new URL("../..", import.meta.url),
      stdin: "null",
    }).output();
    const text = new TextDecoder();
    assert(success, text.decode(stderr));
    const lines = text.decode(stdout).matchAll(/^ {2}deno (run .* (\w+)\.js) --help$/gm);
    return Object.fromEntries(Array.from(lines, ([, line, command]) => [command!, line!]));
  })();
}

/** Runs a bundle as the line says that was printed for it, in its folder. The cache is empty, and no network is used. */
async function run(stage: Stage, command: "mount" | "unmount", ...args: string[]): Promise<RunResult> {
  const line = (await bundles(stage.wine))[command]!;
  const [first, ...words] = line.split(" ");
  return await stage.wine.run([first!, "--cached-only", ...words, ...args], {
    cwd: SHARE,
    env: { ...stage.env, DENO_DIR: `${EXCHANGE}\\empty` },
  });
}

/** The tests. */
export const acrossBundles: readonly AcrossTest[] = [
  {
    name: "bundles mount and unmount with the grants of their tasks, no checkout, no cache and no network",
    async run(wine) {
      const stage = new Stage(wine);
      const { layers, scratch } = stage;
      const mount = await run(stage, "mount", ...layers, scratch);
      assertEquals([mount.code, mount.stderr], [0, ""]);
      assertMatch(mount.stdout.trim(), /^\\\\\?\\Volume\{[0-9a-f-]{36}\}\\$/);
      assertEquals(heldAfter(stage.calls).length, 2);
      const unmount = await run(stage, "unmount", scratch);
      assertEquals([unmount.code, unmount.stderr], [0, ""]);
      assertEquals(heldAfter(stage.calls), []);
    },
  },
  {
    name: "bundles take paths with /, with closing separators, and relative to the current folder",
    async run(wine) {
      const stage = new Stage(wine);
      // The current folder is a neighbor of the stage's.
      const relative = (path: string) => path.replace(EXCHANGE, "..");
      const [top, base] = stage.layers as [string, string];
      const mount = await run(stage, "mount", top.replaceAll("\\", "/"), `${base}\\`, relative(stage.scratch));
      assertEquals([mount.code, mount.stderr], [0, ""]);
      assertEquals(heldAfter(stage.calls), [`ActivateLayer ${stage.scratch}`, `PrepareLayer ${stage.scratch}`]);
      const unmount = await run(stage, "unmount", `${relative(stage.scratch).replaceAll("\\", "/")}/`);
      assertEquals([unmount.code, unmount.stderr], [0, ""]);
      assertEquals(heldAfter(stage.calls), []);
    },
  },
  {
    name: "bundles end with 1 where nothing is held, 2 after wrong usage, and 3 where something is still held",
    async run(wine) {
      const stage = new Stage(wine);
      const { layers, scratch } = stage;
      const failing = (failure: string, command: "mount" | "unmount", ...args: string[]) => {
        stage.env.HCS_RECORD_FAIL = failure;
        return run(stage, command, ...args);
      };
      const failed = await failing("PrepareLayer#1=0x80070005", "mount", ...layers, scratch);
      assertEquals([failed.code, failed.stdout], [1, ""]);
      assertMatch(failed.stderr, /^error: PrepareLayer failed for .*scratch: 0x80070005 ERROR_ACCESS_DENIED/);
      assertEquals(heldAfter(stage.calls), []);

      stage.env.HCS_RECORD_FAIL = "";
      const missing = await run(stage, "unmount", `${scratch}x`);
      assertEquals([missing.code, missing.stdout], [1, ""]);
      assertStringIncludes(missing.stderr, `error: SCRATCH names a folder that doesn't exist: ${scratch}x`);
      assertEquals((await run(stage, "mount", scratch)).code, 2);

      assertEquals((await run(stage, "mount", ...layers, scratch)).code, 0);
      const stuck = await failing("UnprepareLayer#1=0x80070005", "unmount", scratch);
      assertEquals([stuck.code, stuck.stdout], [3, ""]);
      assertStringIncludes(stuck.stderr, `Still held:\n  activation  ${scratch}\n  filter      ${scratch}\n`);
      assertStringIncludes(stuck.stderr, `To release it: deno run … unmount.js ${scratch.replaceAll("\\", "/")}`);
      const json = await failing("UnprepareLayer#1=0x80070005", "unmount", "--json", scratch);
      assertEquals([json.code, json.stderr], [3, ""]);
      const { error } = JSON.parse(json.stdout);
      assertEquals(error.name, "ReleaseError");
      assertEquals(error.holds.map(({ kind }: { kind: string }) => kind), ["activation", "filter"]);

      stage.env.HCS_RECORD_FAIL = "";
      assertEquals((await run(stage, "unmount", scratch)).code, 0);
      assertEquals(heldAfter(stage.calls), []);
    },
  },
  {
    name: "in cmd, a \\ before a closing quotation mark is told, and paths with / need no quotes",
    async run(wine) {
      const stage = new Stage(wine);
      const deno = `${DENO_EXE} ${(await bundles(wine)).mount}`;
      const batch = async (line: string) => {
        const file = `${crypto.randomUUID()}.cmd`;
        await Deno.writeTextFile(`${wine.exchange}/bundles/${file}`, `@${line}\r\n`);
        return await wine.runProgram(`${SYSTEM32}\\cmd.exe`, ["/c", file], { cwd: SHARE, env: stage.env });
      };
      const [top, base] = stage.layers as [string, string];
      const trap = await batch(`${deno} "${top}\\" ${base} ${stage.scratch}`);
      assertEquals([trap.code, trap.stdout], [2, ""], trap.stderr);
      assertStringIncludes(trap.stderr, `An argument has a " in it: ${top}" ${base} ${stage.scratch}`);
      const mount = await batch(`${deno} ${[...stage.layers, stage.scratch].join(" ").replaceAll("\\", "/")}`);
      assertEquals([mount.code, mount.stderr], [0, ""]);
      assertEquals(heldAfter(stage.calls).length, 2);
    },
  },
];
