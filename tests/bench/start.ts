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

/** What is timed, the command, and its operands if they aren't those of the stage. */
const COMMANDS: readonly (readonly [name: string, command: "mount" | "unmount", operands?: readonly string[]])[] = [
  ["mount --help", "mount", ["--help"]],
  ["mount", "mount"],
  ["unmount", "unmount"],
];

/** Figures for an import of the library, and for the commands on a simulated host. */
export async function startFigures(rounds: number): Promise<Figure[]> {
  const folder = await Deno.makeTempDir();
  const [bundle, helpBundle] = [`${folder}/bundle.js`, `${folder}/mount.js`];
  await succeed(["bundle", "--quiet", "-o", bundle, "mod.ts"]);
  await succeed(["bundle", "--quiet", "-o", helpBundle, "scripts/mount.ts"]);
  const state = `--simulate=${folder}/host.state`;
  const empty = `${folder}/empty.ts`;
  await Deno.writeTextFile(empty, "");
  const samples = await inTurns(rounds, {
    empty: () => cpuTime(empty),
    mod: () => cpuTime(new URL("mod.ts", ROOT).href),
    bundle: () => cpuTime(bundle),
    help: () => cpuTime(new URL("scripts/mount.ts", ROOT).href, "--help"),
    helpBundle: () => cpuTime(helpBundle, "--help"),
    mount: () => cpuTime(new URL("scripts/mount.ts", ROOT).href, state, "C:/layers/app", "C:/scratch"),
    unmount: () => cpuTime(new URL("scripts/unmount.ts", ROOT).href, state, "C:/scratch"),
  });
  await Deno.remove(folder, { recursive: true });
  const against = { name: "an empty program", samples: samples.empty };
  return [
    figure({ name: "import of mod.ts, CPU", unit: "ms", ours: samples.mod, against, goal: 1.5 }),
    figure({ name: "import of mod.ts as a bundle, CPU", unit: "ms", ours: samples.bundle, against, goal: 1.25 }),
    figure({ name: "mount --help, CPU", unit: "ms", ours: samples.help, against, goal: 1.6 }),
    figure({ name: "mount --help as a bundle, CPU", unit: "ms", ours: samples.helpBundle, against, goal: 1.25 }),
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
  const isScript = (arg: string) => /scripts.*\.ts$/.test(arg);
  const programs: Record<string, readonly string[]> = { "": ["run", `${stage.inside}\\empty.ts`] };
  for (const [name, command, operands] of COMMANDS) {
    const args = argumentsOf(command);
    await succeed(["bundle", "--quiet", "-o", `${stage.folder}/${command}.js`, `scripts/${command}.ts`]);
    const bundled = args.map((arg) => isScript(arg) ? `${stage.inside}\\${command}.js` : arg);
    programs[name] = [...args, ...operands ?? stage.operands(command)];
    programs[`${name} as a bundle`] = [...bundled, ...operands ?? stage.operands(command)];
  }
  const samples = await inTurns(
    rounds,
    Object.fromEntries(Object.entries(programs).map(([name, args]) => [name, () => wall(args)])),
  );
  const { "": empty, ...ours } = samples;
  const against = { name: "an empty program", samples: empty! };
  return Object.entries(ours).map(([name, ours]) => {
    const goal = name.endsWith("bundle") ? 1.25 : name.endsWith("--help") ? 1.6 : 1.4;
    return figure({ name: `${name} under Wine, by the clock`, unit: "ms", ours, against, goal });
  });
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
