/**
 * Records that are torn, damaged, planted, copied or foreign, and folders of records that aren't what they should be.
 *
 * @module
 */

import { findMounts, listMounts, mountWCOWLayers, recover, unmountWCOWLayers } from "../../../mod.ts";
import type { SimulatedHost } from "../../../src/simulated/mod.ts";
import type { Random } from "../../support/random.ts";
import { type Case, type Part, pick } from "./case.ts";
import { FILES, FOLDERS, LINES, PLANTED, TEXTS } from "./record_data.ts";
import { attempt, LAYERS, limited, MINE, MOUNTS, OURS, place, World } from "./world.ts";

/** What is there to change records with. */
export interface Setting {
  readonly host: SimulatedHost;
  readonly world: World;
}

const ALL = ["list", "mount", "recover", "unmount", "mount again"] as const;
type Step = typeof ALL[number];

// What users do on such a machine, in another process.
async function use({ host, world }: Setting, steps: readonly Step[]): Promise<string[]> {
  const process = host.otherProcess();
  const on = limited(process);
  const cycle = (scratch: string) => async () => {
    const mounted = await mountWCOWLayers("new", [...LAYERS, scratch], { host: on, volumeMountPath: place("new") });
    await mounted.release();
  };
  const all: Readonly<Record<Step, () => Promise<unknown>>> = {
    list: async () => {
      await listMounts({ host: on });
      await findMounts("C:\\data", { host: on });
      await recover({ host: on, dryRun: true });
    },
    mount: cycle(MINE),
    recover: () => recover({ host: on }),
    unmount: () => unmountWCOWLayers(OURS, { host: on }),
    "mount again": cycle(OURS),
  };
  const wrongs: string[] = [];
  for (const step of steps) {
    wrongs.push(...await attempt({ [step]: all[step] }), ...world.wrongs(step));
  }
  process.endProcess();
  return wrongs;
}

function caseOf(
  world: World,
  what: string,
  change: (setting: Setting) => void,
  steps: readonly Step[] = ALL,
): Case {
  return {
    what: `records: ${what}`,
    run: async () => {
      const setting = { world, host: world.begin() };
      change(setting);
      const wrongs = await use(setting, steps);
      // As the errors say: delete it, and then unmount the scratch.
      if (setting.host.exists(FOLDER_OF_ALL)) setting.host.remove(FOLDER_OF_ALL);
      return [...wrongs, ...await world.clean(setting.host)];
    },
  };
}

const FOLDER_OF_ALL = "C:\\ProgramData\\hcs-layers";

/** Puts a text in place of a record. */
export function put(host: SimulatedHost, path: string, text: string | Uint8Array<ArrayBuffer>): void {
  if (typeof text === "string") host.writeTextFile(path, text);
  else host.writeFile(path, text);
}

/** Changes fields of the first line of a record. */
export function withFields(text: string, fields: Readonly<Record<string, unknown>>): string {
  const [first, ...later] = text.split("\n");
  return [JSON.stringify({ ...JSON.parse(first!), ...fields }), ...later].join("\n");
}

const ODD: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  2 ** 53,
  1e308,
  0.5,
  "",
  "\0",
  "x",
  [],
  {},
  [null],
  "C:\\",
  "C:\\data",
  "C:\\Windows\\System32",
  "\\\\server\\share\\x",
  "\\\\.\\PhysicalDrive0",
  place("theirs"),
  place("foreign"),
  "C:\\scratches\\theirs",
  "C:\\scratches\\foreign",
  "C:\\scratches\\ours\\..\\theirs",
  "C:\\scratches\\theirs:x",
];
const FIELDS = ["version", "id", "container", "scratch", "scratchId", "isNewScratch", "layers", "cim"]
  .concat("volumeMountPath", "isPermanent", "process", "since", "__proto__", "other");

function drawnText(
  text: string,
  world: World,
  random: Random,
): { text: string | Uint8Array<ArrayBuffer>; what: string } {
  const bytes = new TextEncoder().encode(text);
  switch (random(7)) {
    case 0: {
      const length = random(bytes.byteLength + 1);
      return { what: `cut to ${length} bytes`, text: bytes.slice(0, length) };
    }
    case 1: {
      const flips = Array.from({ length: 1 + random(4) }, () => [random(bytes.byteLength), random(8)] as const);
      flips.forEach(([at, bit]) => bytes[at]! ^= 1 << bit);
      return { what: `with flipped bits ${JSON.stringify(flips)}`, text: bytes };
    }
    case 2: {
      const lines = text.split("\n").slice(0, -1);
      const order = Array.from({ length: random(6) }, () => random(lines.length + LINES.length));
      return {
        what: `with the lines ${order}`,
        text: order.map((at) => `${lines[at] ?? LINES[at - lines.length]}\n`).join(""),
      };
    }
    case 3: {
      const [from, to, value] = [random(bytes.byteLength), random(bytes.byteLength), random(256)];
      bytes.fill(value, Math.min(from, to), Math.max(from, to));
      return { what: `with ${value} from ${from} to ${to}`, text: bytes };
    }
    case 4: {
      const volume = pick([...Object.values(world.volumes), "C:\\", "", "\\\\?\\Volume{x}\\"], random);
      const fields = { volumeMountPath: pick(ODD, random), scratch: pick([OURS, ...ODD], random) };
      return {
        what: `of ${JSON.stringify(fields)} at ${volume}`,
        text: `${withFields(text, fields).split("\n")[0]}\n${JSON.stringify({ mounted: true, volume })}\n`,
      };
    }
    default: {
      const fields = Object.fromEntries(
        Array.from({ length: 1 + random(3) }, () => [pick(FIELDS, random), pick(ODD, random)]),
      );
      return { what: `with ${JSON.stringify(fields)}`, text: withFields(text, fields) };
    }
  }
}

/** The part of the proof. */
export async function recordsPart(): Promise<Part> {
  const worlds = [await World.create("folders"), await World.create("image")] as const;
  const [folders, image] = worlds;
  const byHand = [
    ...TEXTS.map(([what, change]) =>
      caseOf(folders, what, ({ host, world: { records: { ours } } }) => put(host, ours.path, change(ours.text)))
    ),
    ...PLANTED.map(([what, fields, ofImage]) =>
      caseOf(ofImage ? image : folders, what, ({ host, world }) => {
        const { ours } = world.records;
        put(host, ours.path, withFields(ours.text, typeof fields === "function" ? fields(world) : fields));
      })
    ),
    ...FILES.map(([what, change]) => caseOf(folders, what, change)),
    ...FOLDERS.map(([what, change]) => caseOf(folders, what, change)),
  ];
  return {
    name: "records",
    byHand,
    share: 5,
    generated(random) {
      const world = pick(worlds, random);
      const [from, to] = [pick(["ours", "theirs", "foreign"] as const, random), random(4)];
      const { text, what } = drawnText(world.records[from].text, world, random);
      // Whatever an administrator has written of what he unmounts by that isn't planted.
      const path = to === 0 ? `${MOUNTS}\\x.jsonl` : world.records.ours.path;
      const steps = ALL.filter(() => random(2) === 0);
      return caseOf(world, `${from}, ${what}, at ${path}; ${steps}`, ({ host }) => put(host, path, text), steps);
    },
  };
}
