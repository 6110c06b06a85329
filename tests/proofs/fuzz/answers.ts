/**
 * Answers of Windows that make no sense: results, numbers, texts and structs in out parameters.
 *
 * @module
 */

import { listMounts, mountWCOWLayers, recover, unmountWCOWLayers } from "../../../mod.ts";
import type { SimulatedHost } from "../../../src/simulated/mod.ts";
import { withWrapped } from "../../support/host.ts";
import type { Random } from "../../support/random.ts";
import { ANSWERS, filled, number, NUMBERS, type Odd, OUT, result, STATUSES, text, TEXTS } from "./answer_data.ts";
import { callLimit, type Case, complaintAbout, type Part, pick } from "./case.ts";
import { LAYERS, MINE, OURS, place, World } from "./world.ts";

interface Answer {
  readonly fn: string;
  /** Which call of the function, from 1 on; 0 for all. */
  readonly nth: number;
  readonly odd: Odd;
}

/** A process to which a function answers oddly until it is told to stop. */
function answering(host: SimulatedHost, { fn, nth, odd }: Answer): { readonly on: SimulatedHost; stop(): void } {
  let calls = 0;
  let isOver = false;
  const count = callLimit();
  const on = withWrapped(host, (name, call) => (...args) => {
    count();
    const answer = call(...args);
    if (name !== fn || isOver || nth !== 0 && ++calls !== nth) return answer;
    return answer instanceof Promise ? answer.then((value) => odd(args, value)) : odd(args, answer);
  });
  return { on, stop: () => isOver = true };
}

interface Releasable {
  release(): Promise<unknown>;
}

function isReleasable(value: unknown): value is Releasable {
  return typeof value === "object" && value !== null && "release" in value;
}

// What users do, and then once more without odd answers.
async function use(world: World, answer: Answer): Promise<string[]> {
  const host = world.begin();
  const process = host.otherProcess();
  const { on, stop } = answering(process, answer);
  const wrongs: string[] = [];
  const left: Releasable[] = [];
  const attempt = async (doing: string, step: () => Promise<unknown>) => {
    try {
      const made = await step();
      if (isReleasable(made)) left.push(made);
    } catch (error) {
      wrongs.push(...complaintAbout(doing, error));
      if (isReleasable(error)) left.push(error);
    }
    wrongs.push(...world.wrongs(doing, false));
  };
  await attempt("list", () => listMounts({ host: on }));
  await attempt(
    "mount",
    () => mountWCOWLayers("mine", [...LAYERS, MINE], { host: on, volumeMountPath: place("mine") }),
  );
  for (const one of left.splice(0)) await attempt("release", () => one.release());
  await attempt("recover", () => recover({ host: on }));
  await attempt("unmount", () => unmountWCOWLayers(OURS, { host: on }));
  stop();
  for (const one of left.toReversed()) {
    try {
      await one.release();
    } catch (error) {
      // Its record was read as none each time, and so removed: the error says what to do.
      if (answer.nth !== 0) wrongs.push(`release() without odd answers throws ${error}`);
      const options = { host: process, containerId: world.kind === "image" ? "mine" : undefined };
      await unmountWCOWLayers(MINE, { ...options, volumeMountPath: place("mine") });
    }
  }
  process.endProcess();
  const next = host.otherProcess();
  for (const { outcome, error } of await recover({ host: next })) {
    if (outcome === "failed") wrongs.push(`recover() without odd answers fails: ${error}`);
  }
  next.endProcess();
  return [...wrongs, ...world.wrongs("in the end"), ...await world.clean(host)];
}

function caseOf(worlds: readonly World[], what: string, answers: readonly Answer[]): Case {
  return {
    what: `answers: ${what}`,
    async run() {
      const wrongs: string[] = [];
      for (const world of worlds) {
        for (const answer of answers) {
          const found = await use(world, answer);
          wrongs.push(...found.map((wrong) => `${answer.nth === 0 ? "each" : answer.nth}: ${wrong}`));
        }
      }
      return wrongs;
    },
  };
}

function drawn(fn: string, random: Random): { readonly odd: Odd; readonly what: string } {
  const { text: textAt, structs = [], counts = [], result: kind } = OUT[fn]!;
  const seed = random(2 ** 32);
  const ways: (() => { odd: Odd; what: string })[] = [];
  if (textAt !== undefined) {
    ways.push(() => {
      const value = pick(fn === "GetEnvironmentVariableW" ? TEXTS.filter((text) => !isFolder(text)) : TEXTS, random);
      return { what: JSON.stringify(value.slice(0, 80)), odd: text(textAt, value) };
    });
    ways.push(() => ({ what: "a text without an end", odd: filled(textAt, 1 + random(255)) }));
  }
  for (const at of structs) {
    ways.push(() => {
      const byte = random(256);
      return { what: `${byte} everywhere in ${at}`, odd: filled(at, byte) };
    });
    ways.push(() => {
      const [offset, value] = [4 * random(12), pick(NUMBERS, random)];
      return { what: `${value} at ${offset} of ${at}`, odd: inside(at, offset, value) };
    });
  }
  for (const at of counts) {
    const value = pick(NUMBERS, random);
    ways.push(() => ({ what: `the count ${value}`, odd: number(at, 0, value) }));
  }
  if (kind !== undefined) {
    ways.push(() => {
      const value = kind === "bool" ? random(2) : pick(kind === "status" ? STATUSES : NUMBERS, random);
      return { what: `${value} as its result`, odd: result(kind === "status" ? value | 0 : value) };
    });
  }
  return pick(ways, () => seed % ways.length)();
}

// Where records are kept if the environment says so: their folder stays.
function isFolder(text: string): boolean {
  return /^C:(\\[\w\\]*)?$/.test(text);
}

function inside(at: number, offset: number, value: number): Odd {
  return (args, answer) => {
    const out = args[at] as Uint8Array | null;
    return out === null || out.byteLength < offset + 4 ? answer : number(at, offset, value)(args, answer);
  };
}

/** The part of the proof. */
export async function answersPart(): Promise<Part> {
  const worlds = [await World.create("folders"), await World.create("image")] as const;
  const functions = Object.keys(OUT);
  return {
    name: "answers",
    byHand: ANSWERS.map(([what, fn, odd]) =>
      caseOf(worlds, `${fn} returns ${what}`, [{ fn, odd, nth: 1 }, { fn, odd, nth: 0 }])
    ),
    share: 5,
    generated(random) {
      const fn = pick(functions, random);
      const nth = random(12);
      const { odd, what } = drawn(fn, random);
      const world = pick(worlds, random);
      return caseOf([world], `${fn}, ${nth === 0 ? "each time" : `call ${nth}`}, returns ${what}`, [{ fn, odd, nth }]);
    },
  };
}
