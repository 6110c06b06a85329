/**
 * Plays the rules on a host, and compares.
 *
 * @module
 */

import { buildRevision } from "../../src/ffi/advapi32.ts";
import type { Host } from "../../src/ffi/host.ts";
import { createDirectory, fileAttributes } from "../../src/ffi/kernel32.ts";
import { buildNumber } from "../../src/ffi/ntdll.ts";
import { acquireFolder, folderOf } from "../../src/host_holds/mount_folder.ts";
import { messageOf } from "../../src/errors/printable.ts";
import { withHolds } from "../../src/holds/hold_list.ts";
import { CommandError } from "../support/errors.ts";
import { throwIfInterrupted } from "../support/interrupt.ts";
import { Bench, type Leftover } from "./bench.ts";
import { type Likeness, simulate, type Simulated } from "./reference.ts";
import { type Outcome, play, type Rule } from "./rule.ts";

/** How what was observed compares with what is simulated. */
export type Verdict =
  /** Both returned the same. */
  | "same"
  /** They differ. */
  | "different"
  /** Nobody knew, and Windows has answered. */
  | "learned"
  /** It couldn't be asked. */
  | "not asked";

/** One rule, played. */
export interface PlayedRule {
  /** Its name. */
  readonly rule: string;
  /** What it asks. */
  readonly asks: string;
  /** How the two compare. */
  readonly verdict: Verdict;
  /** What the simulated host returns. */
  readonly simulated?: Outcome;
  /** What the host returned. */
  readonly observed: Outcome;
  /** The simulated host's name for the situation, by which it takes the observed answer for its own. */
  readonly situation?: string;
  /** Milliseconds that things took on the host. */
  readonly times?: Readonly<Record<string, number>>;
}

/** What is written. */
export interface Report {
  /** What made it. */
  readonly tool: string;
  /** The version of Windows. */
  readonly windows: { readonly build: number; readonly revision: number };
  /** Whether the host is a simulated one. */
  readonly isSimulated: boolean;
  /** Whether Ctrl+C ended it before all rules were played. */
  readonly interrupted: boolean;
  /** The rules. */
  readonly rules: readonly PlayedRule[];
  /** What couldn't be cleaned up. */
  readonly left: readonly Leftover[];
}

/** What is asked of which host. */
export interface Request {
  /** The host. */
  readonly host: Host;
  /** The rules. */
  readonly rules: readonly Rule[];
  /** The folders of the layers, the topmost first. */
  readonly layers: readonly string[];
  /** The folder for all that is created. */
  readonly folder: string;
  /** The folder of Windows. */
  readonly systemRoot: string;
  /** The folder of a base layer that VMs boot from. */
  readonly vmBase?: string | undefined;
  /** Aborted by Ctrl+C. */
  readonly signal: AbortSignal;
  /** Is told of each rule before it is played. */
  readonly progress?: (rule: Rule, index: number) => void;
}

/** What the rules depend on. Looks, and changes nothing. */
function likenessOf({ host, layers, systemRoot, vmBase }: Request): Likeness {
  return {
    build: buildNumber(host),
    revision: buildRevision(host),
    layers,
    withImage: layers.filter((layer) => {
      const at = layer.lastIndexOf("\\");
      return fileAttributes(host, `${layer.slice(0, at)}\\cim-layers${layer.slice(at)}.cim`) !== undefined;
    }),
    systemRoot,
    vmBase,
  };
}

/** Plays all rules on the simulated host alone. */
export async function rehearse(request: Request): Promise<{ readonly rule: Rule; readonly simulated: Simulated }[]> {
  const likeness = likenessOf(request);
  const played = [];
  for (const [i, rule] of request.rules.entries()) {
    if (rule.never !== undefined) continue;
    played.push({ rule, simulated: await simulate(rule, likeness, folderFor(request, i)) });
  }
  return played;
}

/** Plays the rules on the host, each in a folder of its own, and cleans up after each. */
export async function observe(request: Request, about: Pick<Report, "tool" | "isSimulated">): Promise<Report> {
  const { host, signal, folder } = request;
  const likeness = likenessOf(request);
  if (fileAttributes(host, folder) !== undefined && !await folderOf(host, folder).release()) {
    throw new CommandError(
      `${folder} exists, and isn't an empty folder that this command has created. Name another one with --folder`,
    );
  }
  const rules: PlayedRule[] = [];
  const left: Leftover[] = [];
  let interrupted = false;
  const root = await withHolds((holds) => holds.acquire((expect) => acquireFolder(host, folder, expect)));
  try {
    for (const [i, rule] of request.rules.entries()) {
      const never = rule.never ?? (left.length > 0 ? "a rule before has left something" : undefined);
      try {
        await throwIfInterrupted(signal);
        request.progress?.(rule, i);
        rules.push(await playedRule(request, likeness, i, never, left));
      } catch (error) {
        if (!signal.aborted || error !== signal.reason) throw error;
        interrupted = true;
        break;
      }
    }
  } finally {
    const because = await stillThere(request, () => root.release());
    // What a rule left is in the folder, and listed already.
    if (because !== undefined && left.length === 0) left.push({ hold: root.hold, because });
  }
  return {
    ...about,
    windows: { build: likeness.build, revision: likeness.revision },
    interrupted,
    rules,
    left,
  };
}

/** Removes the folder for all. Returns why it is still there. */
async function stillThere({ host, folder }: Request, release: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await release();
    return fileAttributes(host, folder) === undefined ? undefined : `${folder} isn't empty`;
  } catch (error) {
    return messageOf(error);
  }
}

async function playedRule(
  request: Request,
  likeness: Likeness,
  index: number,
  never: string | undefined,
  left: Leftover[],
): Promise<PlayedRule> {
  const rule = request.rules[index]!;
  const { id, asks } = rule;
  const folder = folderFor(request, index);
  const reference = rule.ask.length === 0 ? undefined : await simulate(rule, likeness, folder);
  const about = { rule: id, asks, ...(reference && { simulated: reference.outcome }) };
  if (never !== undefined) return { ...about, verdict: "not asked", observed: { notAsked: never } };
  createDirectory(request.host, folder);
  const bench = new Bench(request, folder);
  let observed: Outcome;
  try {
    observed = await play(rule, bench);
  } finally {
    left.push(...await bench.cleanUp());
  }
  return {
    ...about,
    verdict: compare(reference?.outcome, observed),
    observed,
    ...(reference?.situation !== undefined && { situation: reference.situation }),
    ...(Object.keys(bench.times).length > 0 && { times: bench.times }),
  };
}

function compare(simulated: Outcome | undefined, observed: Outcome): Verdict {
  if (observed.notAsked !== undefined) return "not asked";
  if (simulated?.unknown !== undefined) return observed.unknown === undefined ? "learned" : "same";
  return simulated?.code === observed.code && simulated?.value === observed.value ? "same" : "different";
}

function folderFor({ folder }: Request, index: number): string {
  return `${folder}\\${index + 1}`;
}
