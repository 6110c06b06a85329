/**
 * Tests of tier 2 of `deno task observe`, with the task's own grants: the recording DLLs keep no state, so that it finds
 * differences, and has to clean up all the same.
 *
 * @module
 */

import { assert, assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import type { Report } from "../../scripts/observe/observation.ts";
import { type AcrossTest, argumentsOf, plainPath, TracedFolder, withoutEachGrant } from "./across.ts";
import { onBuild } from "./across_cimfs.ts";
import { heldAfter } from "./inside/trace.ts";
import { CHECKOUT, type RunResult, type WineRoot } from "./prepare.ts";

/** Two layers that Windows programs see, and the trace of what is done with them. */
class Layers extends TracedFolder {
  constructor(wine: WineRoot) {
    super(wine, { "base/Layout": "" }, ["top", "base/Files"]);
  }

  /** Runs the command in the folder, where it may write its reports. */
  async run(args: readonly string[], ...options: string[]): Promise<RunResult> {
    const { inside } = this;
    const inFolder = args.map((arg) => arg.startsWith("scripts/") ? `${CHECKOUT}\\${arg.replace("/", "\\")}` : arg);
    const operands = [`--folder=${inside}\\observe`, ...options, `${inside}\\top`, `${inside}\\base`];
    let result: RunResult | undefined;
    // Wine has no revision of its own.
    await onBuild(this.wine, BUILD, async () => {
      result = await this.wine.run([...inFolder, ...operands], {
        cwd: inside,
        env: this.env,
        timeoutMs: 240_000,
      });
    });
    return result!;
  }

  /** The names of all files and folders. Wine keeps a stream of a folder as a file beside the folder, for ever. */
  files(folder = this.folder): string[] {
    return Array.from(Deno.readDirSync(folder)).filter(({ name }) => !name.includes(":")).flatMap(
      ({ name, isDirectory }) => {
        const path = `${folder}/${name}`;
        return [path.slice(this.folder.length + 1), ...isDirectory ? this.files(path) : []];
      },
    ).sort();
  }

  report(): Report {
    return JSON.parse(Deno.readTextFileSync(`${this.folder}/observe.json`));
  }

  markdown(): string {
    return Deno.readTextFileSync(`${this.folder}/observe.md`);
  }
}

const BUILD = "20348.2031";
const FILES = ["base", "base/Files", "base/Layout", "top", "trace"];

const works: AcrossTest = {
  name: "deno task observe plays its rules with its own grants, and leaves nothing but its report",
  async run(wine) {
    const layers = new Layers(wine);
    const { code, stdout, stderr } = await layers.run(argumentsOf("observe"));
    assertEquals([code, stderr], [0, ""], stdout);
    const { rules, windows, left, isSimulated, interrupted } = layers.report();
    assertEquals([windows, left, isSimulated, interrupted], [{ build: 20348, revision: 2031 }, [], false, false]);
    const verdicts = Map.groupBy(rules, ({ verdict }) => verdict);
    for (const verdict of ["same", "different", "learned", "not asked"] as const) {
      assert((verdicts.get(verdict)?.length ?? 0) > 5, `${verdict}: ${verdicts.get(verdict)?.length}`);
    }
    // The recording DLL prepares a layer as often as it is asked to.
    const outcome = (id: string) => {
      const { verdict, observed: { code, value } } = rules.find(({ rule }) => rule === id)!;
      return [verdict, code, value];
    };
    assertEquals(outcome("PrepareLayer.twice"), ["different", "0x00000000", undefined]);
    assertEquals(outcome("ActivateLayer.twice"), ["learned", "0x00000000", undefined]);
    assertEquals(outcome("DeactivateLayer.never-activated"), ["same", "0x00000000", undefined]);
    assertEquals(outcome("CreateSandboxLayer.disk"), ["same", "0x00000000", true]);
    assertEquals(outcome("GetLayerMountPath.active"), ["different", "0x00000000", "a volume and a separator"]);
    assertStringIncludes(layers.markdown(), `# What Windows ${BUILD} does`);
    assertEquals(layers.files(), [...FILES, "observe.json", "observe.md"].sort());
    assertEquals(heldAfter(layers.calls), []);
    const ours = plainPath(`${layers.inside}\\observe\\`);
    const strange = layers.calls.filter(({ dll, fn, args }) =>
      dll === "vmcompute" && !fn.startsWith("Hcs") && args.id !== undefined &&
      !plainPath(`${args.id}`).includes(ours.slice(3))
    );
    assertEquals(strange, [], "all layers that are activated or created are its own");
  },
};

const rehearsal: AcrossTest = {
  name: "deno task observe --dry-run makes no call that changes anything",
  async run(wine) {
    const layers = new Layers(wine);
    const { code, stdout, stderr } = await layers.run(argumentsOf("observe"), "--dry-run");
    assertEquals([code, stderr], [0, ""]);
    assertStringIncludes(stdout, "PrepareLayer.twice: What does a second PrepareLayer return?");
    assertEquals([layers.calls, layers.files()], [[], FILES]);
  },
};

const grants: AcrossTest[] = withoutEachGrant(argumentsOf("observe")).map(({ grant, rest }) => ({
  name: `deno task observe without ${grant} names that grant, and asks nothing`,
  async run(wine) {
    const layers = new Layers(wine);
    const { code, stdout, stderr } = await layers.run(rest);
    assertEquals([code, stdout], [1, ""]);
    assert(plainPath(stderr).includes(plainPath(grant)), stderr);
    assertEquals([layers.calls, layers.files()], [[], FILES]);
  },
}));

/** The tests. */
export const acrossObserve: readonly AcrossTest[] = [works, rehearsal, ...grants];
