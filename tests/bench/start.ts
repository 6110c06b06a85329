/**
 * What the start of a program takes: CPU time of the process, against an empty program.
 *
 * @module
 */

import { argumentsOf, Stage } from "../wine/across.ts";
import { CHECKOUT, type WineRoot } from "../wine/prepare.ts";
import { type Figure, figure, inTurns } from "./figures.ts";

const ROOT = new URL("../../", import.meta.url);
const CPU = new URL("cpu_time.ts", import.meta.url).href;

/** Figures for an import of the library, and for the commands on a simulated host. */
export async function startFigures(rounds: number): Promise<Figure[]> {
  const folder = await Deno.makeTempDir();
  const bundle = `${folder}/bundle.js`;
  await succeed(["bundle", "--quiet", "-o", bundle, "mod.ts"]);
  const state = `--simulate=${folder}/host.state`;
  const empty = `${folder}/empty.ts`;
  await Deno.writeTextFile(empty, "");
  const samples = await inTurns(rounds, {
    empty: () => cpuTime(empty),
    mod: () => cpuTime(new URL("mod.ts", ROOT).href),
    bundle: () => cpuTime(bundle),
    help: () => cpuTime(new URL("scripts/mount.ts", ROOT).href, "--help"),
    mount: () => cpuTime(new URL("scripts/mount.ts", ROOT).href, state, "C:/layers/app", "C:/scratch"),
    unmount: () => cpuTime(new URL("scripts/unmount.ts", ROOT).href, state, "C:/scratch"),
  });
  await Deno.remove(folder, { recursive: true });
  const against = { name: "an empty program", samples: samples.empty };
  return [
    figure({ name: "import of mod.ts, CPU", unit: "ms", ours: samples.mod, against, goal: 1.5 }),
    figure({ name: "import of mod.ts as a bundle, CPU", unit: "ms", ours: samples.bundle, against, goal: 1.25 }),
    figure({ name: "mount --help, CPU", unit: "ms", ours: samples.help, against, goal: 1.6 }),
    figure({ name: "mount on a simulated host in a file, CPU", unit: "ms", ours: samples.mount, against }),
    figure({ name: "unmount on a simulated host in a file, CPU", unit: "ms", ours: samples.unmount, against }),
  ];
}

/** Figures for the commands under Wine, as a user runs them, by the clock. */
export async function wineStartFigures(wine: WineRoot, rounds: number): Promise<Figure[]> {
  const stage = new Stage(wine);
  await Deno.writeTextFile(`${stage.folder}/empty.ts`, "");
  const wall = async (args: readonly string[]): Promise<number> => {
    const start = performance.now();
    const { code, stderr } = await wine.run(args, { cwd: CHECKOUT });
    if (code !== 0) throw new Error(stderr);
    return performance.now() - start;
  };
  const samples = await inTurns(rounds, {
    empty: () => wall(["run", `${stage.inside}\\empty.ts`]),
    help: () => wall([...argumentsOf("mount"), "--help"]),
    mount: () => wall([...argumentsOf("mount"), ...stage.operands("mount")]),
    unmount: () => wall([...argumentsOf("unmount"), ...stage.operands("unmount")]),
  });
  const against = { name: "an empty program", samples: samples.empty };
  const figureOf = (name: string, ours: number[], goal: number) =>
    figure({ name: `${name} under Wine, by the clock`, unit: "ms", ours, against, goal });
  return [
    figureOf("mount --help", samples.help, 1.6),
    figureOf("mount", samples.mount, 1.4),
    figureOf("unmount", samples.unmount, 1.4),
  ];
}

/** Milliseconds of CPU time of all threads of a process that runs a program. */
async function cpuTime(program: string, ...args: string[]): Promise<number> {
  const { stderr } = await succeed(["run", "-A", "--no-check", `--preload=${CPU}`, program, ...args]);
  return Number(stderr.trim().split("\n").at(-1)) / 1e6;
}

async function succeed(args: string[]): Promise<{ stderr: string }> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT }).output();
  const text = new TextDecoder().decode(stderr);
  if (!success) throw new Error(text);
  return { stderr: text };
}
