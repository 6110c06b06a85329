/**
 * A machine with mounts of others, of another tool without records, and one of ours that a dead process left.
 *
 * @module
 */

import { mountWCOWLayers, unmountWCOWLayers } from "../../../mod.ts";
import { Records } from "../../../src/records/records.ts";
import type { MachineSnapshot, SimulatedHost } from "../../../src/simulated/mod.ts";
import { hostInFront, hostWith, withWrapped } from "../../support/host.ts";
import { difference, type State } from "../failures.ts";
import { WHEN_UNKNOWN } from "../scenarios.ts";
import { callLimit, complaintAbout } from "./case.ts";

export const LAYERS = ["C:\\layers\\app", "C:\\layers\\base"];
export const OURS = "C:\\scratches\\ours";
export const MINE = "C:\\scratches\\mine";
export const THEIRS = "C:\\scratches\\theirs";
export const FOREIGN = "C:\\scratches\\foreign";
export const FOLDER = "C:\\ProgramData\\hcs-layers";
export const MOUNTS = `${FOLDER}\\mounts`;
export const place = (of: string) => `C:\\mnt\\${of}`;

/** How the read-only layers are there. */
export type Kind = "folders" | "image";

function newHost(kind: Kind): SimulatedHost {
  return hostWith({
    layers: kind === "folders" ? LAYERS : LAYERS.slice(1),
    cimLayers: kind === "folders" ? [] : LAYERS.slice(0, 1),
    scratches: [OURS, MINE, THEIRS, FOREIGN],
    folders: ["C:\\mnt", "C:\\empty", "C:\\Windows\\System32"],
    files: { "C:\\data\\theirs.txt": 1 },
  }, { build: 26100, whenUnknown: (call) => WHEN_UNKNOWN(call) ?? "ERROR_ACCESS_DENIED" });
}

/** Files of records, by their names. */
export type RecordTexts = Readonly<
  Record<"ours" | "theirs" | "foreign", { readonly path: string; readonly text: string }>
>;

/** The machine. */
export class World {
  readonly #host: SimulatedHost;
  readonly #snapshot: MachineSnapshot;
  /** What others have. */
  readonly others: State;
  /** What others and the dead process have. */
  readonly all: State;
  /** The records, and one that there could be of what the other tool has mounted. */
  readonly records: RecordTexts;
  /** The volumes of the mounts. */
  readonly volumes: Readonly<Record<"ours" | "theirs" | "foreign", string>>;
  /** How the layers are there. */
  readonly kind: Kind;

  private constructor(init: {
    readonly kind: Kind;
    readonly host: SimulatedHost;
    readonly others: State;
    readonly records: RecordTexts;
    readonly volumes: World["volumes"];
  }) {
    this.kind = init.kind;
    this.#host = init.host;
    this.#snapshot = init.host.snapshot();
    this.others = init.others;
    this.all = stateOf(init.host);
    this.records = init.records;
    this.volumes = init.volumes;
  }

  static async create(kind: Kind): Promise<World> {
    const host = newHost(kind);
    const mount = async (name: string, scratch: string, options: { permanent?: boolean; records?: false }) => {
      const process = host.otherProcess();
      const { path } = await mountWCOWLayers(name, [...LAYERS, scratch], {
        host: options.records === false ? hostInFront(process, { records: false }) : process,
        volumeMountPath: place(name),
        permanent: options.permanent,
      });
      process.endProcess();
      return path;
    };
    const recordOf = (name: string) => {
      const file = host.readDir(MOUNTS).map((entry) => `${MOUNTS}\\${entry.name}`)
        .find((path) => host.readTextFile(path).includes(`"container":"${name}"`))!;
      return { path: file, text: host.readTextFile(file) };
    };
    // A restored machine has no living processes.
    const theirs = await mount("theirs", THEIRS, { permanent: true });
    const plan = JSON.parse(recordOf("theirs").text.split("\n")[0]!);
    const foreign = await mount("foreign", FOREIGN, { records: false });
    const kept = new Records(FOLDER);
    await kept.begin(host, { ...plan, container: "foreign", scratch: FOREIGN, volumeMountPath: place("foreign") });
    const record = recordOf("foreign");
    await kept.close(host, FOREIGN);
    const others = stateOf(host);
    const ours = await mount("ours", OURS, {});
    const records = { ours: recordOf("ours"), theirs: recordOf("theirs"), foreign: record };
    return new World({ kind, host, others, records, volumes: { ours, theirs, foreign } });
  }

  /** Returns the machine as it was in the beginning. */
  begin(): SimulatedHost {
    this.#host.restore(this.#snapshot);
    this.#host.clearCalls();
    return this.#host;
  }

  /** Returns what is wrong now: something of others is gone, or something is there that wasn't. */
  wrongs(doing: string, isDone = true): string[] {
    const now = stateOf(this.#host);
    const lost = missing(this.others, now);
    const left = isDone ? missing(now, this.all) : [];
    return [...lost.map((what) => `${doing} loses ${what}`), ...left.map((what) => `${doing} leaves ${what}`)];
  }

  /** Unmounts as somebody does who has looked, and returns what is wrong after that: what is ours is left. */
  async clean(host: SimulatedHost): Promise<string[]> {
    const process = host.otherProcess();
    const containerId = this.kind === "image" ? "ours" : undefined;
    try {
      await unmountWCOWLayers(OURS, { host: process, containerId, volumeMountPath: place("ours") });
    } catch (error) {
      return [`the last unmount throws ${error}`];
    } finally {
      process.endProcess();
    }
    const now = stateOf(host);
    return difference(now, this.others) === NO_DIFFERENCE ? [] : [`in the end ${difference(now, this.others)}`];
  }
}

const NO_DIFFERENCE = difference({ held: [], paths: [] }, { held: [], paths: [] });

function missing(of: State, among: State): string[] {
  const all = new Set([...among.held, ...among.paths]);
  return [...of.held, ...of.paths].filter((what) => !all.has(what));
}

function stateOf(host: SimulatedHost): State {
  return { held: host.held().map(({ kind, target }) => `${kind} ${target}`), paths: host.paths() };
}

/** A process on a machine that ends if it makes too many calls. */
export function limited(host: SimulatedHost): SimulatedHost {
  const count = callLimit();
  return withWrapped(host, (_, call) => (...args) => {
    count();
    return call(...args);
  });
}

/** Runs steps of a program one after the other. Returns what is wrong with their errors. */
export async function attempt(steps: Readonly<Record<string, () => Promise<unknown>>>): Promise<string[]> {
  const complaints: string[] = [];
  for (const [doing, step] of Object.entries(steps)) {
    await step().catch((error) => complaints.push(...complaintAbout(doing, error)));
  }
  return complaints;
}
