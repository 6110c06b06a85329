/**
 * What the simulated host returns in the situations of the rules, on a machine like the host that is asked.
 *
 * @module
 */

import { type CompletedCall, SimulatedHost } from "../../src/simulated/mod.ts";
import { Bench } from "./bench.ts";
import { type Outcome, play, type Rule } from "./rule.ts";

/** The host that is asked, as far as the rules depend on it. */
export interface Likeness {
  /** Build of Windows. */
  readonly build: number;
  /** Revision of that build. */
  readonly revision: number;
  /** The folders of the layers, the topmost first. */
  readonly layers: readonly string[];
  /** Those of them that have an image. */
  readonly withImage: readonly string[];
  /** The folder of Windows. */
  readonly systemRoot: string;
  /** The folder of a base layer that VMs boot from. */
  readonly vmBase?: string | undefined;
}

/** What the simulated host returned. */
export interface Simulated {
  /** The outcome of the rule. */
  readonly outcome: Outcome;
  /** The simulated host's name for the situation, by which it takes another answer. */
  readonly situation: string | undefined;
  /** All calls, those that clean up among them. */
  readonly calls: readonly CompletedCall[];
}

/** A simulated machine on which the rules can be played. */
export function machineLike({ build, revision, withImage, ...rest }: Likeness): SimulatedHost {
  const machine = new SimulatedHost({ build, revision });
  populate(machine, rest);
  for (const layer of withImage) machine.addCimLayer(layer);
  return machine;
}

/** Adds to a simulated machine what the rules need of Windows, and what is missing of the layers. */
export function populate(
  machine: SimulatedHost,
  { layers, systemRoot, vmBase }: Pick<Likeness, "layers" | "systemRoot" | "vmBase">,
): void {
  for (const layer of layers) if (!machine.exists(layer)) machine.addLayer(layer);
  if (!machine.exists(`${systemRoot}\\win.ini`)) machine.addFile(`${systemRoot}\\win.ini`, 92);
  if (vmBase !== undefined && !machine.exists(`${vmBase}\\UtilityVM`)) machine.addWindowsBootLayer(vmBase);
}

/** Plays a rule on a machine of its own. */
export async function simulate(rule: Rule, likeness: Likeness, folder: string): Promise<Simulated> {
  const host = machineLike(likeness);
  host.addFolder(folder);
  let asked: number | undefined;
  const asking = () => {
    asked = host.calls.length;
  };
  const bench = new Bench({ ...likeness, host, asking }, folder);
  const outcome = await play(rule, bench);
  // Of several calls in question, another one could fail on the host.
  const situation = asked === undefined || rule.ask.length !== 1
    ? undefined
    : host.calls.slice(asked).findLast((call) => call.situation !== undefined)?.situation;
  await bench.cleanUp();
  return { outcome, situation, calls: host.calls };
}
