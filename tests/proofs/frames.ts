/**
 * A guest that sends frames of all kinds, good and bad, whole and torn, in pieces of all sizes, while requests wait for
 * answers, and some are given up. A second reading of the same bytes says how each request has to end, and the connection. Nothing waits after
 * that, and nothing is left open.
 *
 * Then whole VMs live with guests that answer at random, one for each 200 frames.
 *
 * `deno task test:frames` sends some frames, with `--full` it is a million.
 *
 * @module
 */

import { UnexpectedAnswerError } from "../../src/errors/state_errors.ts";
import { GuestConnectionError, GuestError } from "../../src/errors/vm_errors.ts";
import { UTC } from "../../src/hcsschema/guest_messages.ts";
import { answerTo, GUEST_CAPABILITIES, guestMessage } from "../../src/simulated/bridge_guest.ts";
import { BridgeConnection } from "../../src/uvm/bridge/connection.ts";
import { MOUNT } from "../support/bridge.ts";
import type { Random } from "../support/random.ts";
import { streamPair } from "../support/streams.ts";
import { randomGuests } from "./random_guest.ts";
import { type Findings, type ProofOptions, randomOf, report } from "./report.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const FRAMES = 20_000;
const ALL_FRAMES = 1_000_000;
const FRAMES_PER_LIFE = 60;
const FRAMES_PER_VM = 200;

const GIVEN_UP = new Error("given up");

const BODIES = [
  ...[
    "{}",
    "null",
    '{"Result":0}',
    '{"Result":0,"ActivityId":""}',
    '{"result":-1,"Result":null}',
    " { } \r\n",
    '{"Result":-0}',
  ],
  ...[
    '{"Result":-2147024891}',
    '{"Result":2147942405,"ErrorMessage":"no"}',
    '{"RESULT":5}',
    '{"Result":0,"result":-1}',
  ],
  ...[
    '{"Result":-1,"ErrorRecords":[null,5,{},{"Message":"why"}]}',
    '{"Result":-1,"ErrorRecords":{},"ErrorMessage":[]}',
  ],
  ...["", "{", "[]", "5", '"x"', '{"Result":"0"}', '{"Result":1.5}', '{"Result":[0]}', '{"Result":4294967296}', "\0"],
  ...[
    '{"ContainerId":"c1"}',
    '{"ContainerId":"c2"}',
    '{"ContainerId":null}',
    '{"__proto__":{"Result":5}}',
    "[".repeat(999),
  ],
];
const TYPES = [0x20100a01, 0x20100a01, 0x20100a01, 0x20100101, 0x20000000, 0x30100101, 0x30100101, 0x30100201];
const RARE_TYPES = [0, 0x10100a01, 0x40100101, 0xffffffff];

function frame(random: Random, requests: number): Bytes {
  const pick = <T>(items: readonly T[]) => items[random(items.length)]!;
  const type = random(400) === 0 ? pick(RARE_TYPES) : pick(TYPES);
  const id = random(20) === 0 ? pick([0n, 4711n, 0xffffffffffffffffn, 1n << 63n]) : BigInt(random(requests + 2));
  const body = random(50) === 0 ? `{"X":"${"x".repeat(random(0xffff))}"}` : pick(BODIES);
  const bytes = guestMessage(type, id, body);
  if (random(300) === 0) bytes[random(bytes.length)]! ^= 1 << random(8);
  if (random(1000) === 0) return bytes.subarray(0, random(bytes.length));
  return bytes;
}

interface Reading {
  /** How each request ends, by its id. */
  readonly outcomes: ReadonlyMap<number, string>;
  readonly ended: ReadonlySet<string>;
  readonly end: string;
}

// What is in bytes, read in the plainest way.
function readingOf(bytes: Bytes, requests: number): Reading {
  const outcomes = new Map<number, string>();
  const ended = new Set<string>();
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  let at = 0;
  for (; bytes.length - at >= 16;) {
    const size = view.getUint32(at + 4, true);
    if (size < 16 || size > 65536) return { outcomes, ended, end: "invalid" };
    if (bytes.length - at < size) break;
    const type = view.getUint8(at + 3) >> 4;
    const id = view.getBigInt64(at + 8, true);
    const document = documentIn(bytes.subarray(at + 16, at + size));
    if (type === 3) {
      const container = document && valueOf(document, "containerid");
      if (view.getUint32(at, true) === 0x30100101 && typeof container === "string") ended.add(container);
    } else if (type !== 2) {
      return { outcomes, ended, end: "invalid" };
    } else if (id >= 1n && id <= BigInt(requests) && !outcomes.has(Number(id))) {
      outcomes.set(Number(id), outcomeOf(document));
    }
    at += size;
  }
  return { outcomes, ended, end: at === bytes.length ? "ended" : "torn" };
}

function documentIn(body: Bytes): object | undefined {
  try {
    const document = JSON.parse(new TextDecoder("utf-8", { ignoreBOM: true }).decode(body));
    if (document === null) return {};
    return typeof document === "object" && !Array.isArray(document) ? document : undefined;
  } catch {
    return undefined;
  }
}

function valueOf(document: object, name: string): unknown {
  return Object.entries(document).findLast(([key, value]) => key.toLowerCase() === name && value !== null)?.[1];
}

function outcomeOf(document: object | undefined): string {
  if (document === undefined) return "unreadable";
  const result = valueOf(document, "result") ?? 0;
  if (typeof result !== "number" || result % 1 !== 0 || Math.abs(result) > 2 ** 32 - 1 || result < -(2 ** 31)) {
    return "unreadable";
  }
  return result === 0 ? "good" : `code ${result >>> 0}`;
}

function outcomeOfError(error: unknown): string {
  if (error === GIVEN_UP) return "given up";
  if (error instanceof GuestError) return `code ${error.code}`;
  if (error instanceof GuestConnectionError) return error.reason;
  return error instanceof UnexpectedAnswerError ? "unreadable" : `${error}`;
}

async function live(random: Random, frames: number): Promise<string | undefined> {
  const [host, far] = streamPair();
  const waits = new Set<AbortSignal>();
  const deadline = (_: number, signal: AbortSignal) => {
    waits.add(signal);
    return new Promise<void>(() => {});
  };
  const requests = 1 + random(20);
  const connecting = BridgeConnection.connect(host, { vm: "vm1", deadline, timeZone: UTC });
  const negotiated = { Version: 4, Capabilities: GUEST_CAPABILITIES.Linux };
  await far.write(answerTo({ type: 0x10100b01, id: 0n, text: "" }, negotiated));
  const vm = await connecting;
  // Some are questions, which can be given up.
  const aborts = Array.from({ length: requests }, () => random(3) === 0 ? new AbortController() : undefined);
  const outcomes = aborts.map((abort) => {
    const request = abort
      ? vm.request("GetProperties", "c1", {}, { signal: abort.signal, abandons: true })
      : vm.modify(MOUNT);
    return request.then(() => "good", outcomeOfError);
  });
  const ends = ["c1", "c2"].map((id) => vm.watch(id).ended.then(() => "done", outcomeOfError));
  // All are sent before the first answer.
  await turn();
  const bytes = joined(Array.from({ length: frames }, () => frame(random, requests)));
  const reading = readingOf(bytes, requests);
  for (let at = 0, size; at < bytes.length; at += size) {
    size = 1 + random(random(10) === 0 ? 40 : 20_000);
    await far.write(bytes.subarray(at, at + size)).catch(() => {});
    if (random(5) === 0) aborts[random(requests)]?.abort(GIVEN_UP);
  }
  // Whoever closes does it when all was read.
  while (!far.isDrained) await turn();
  far.close();
  const end = (await vm.ended).reason;
  const actual = { end, outcomes: await Promise.all(outcomes), ends: await Promise.all(ends) };
  const expected = {
    end: reading.end,
    outcomes: aborts.map((abort, i) =>
      abort?.signal.aborted && actual.outcomes[i] === "given up"
        ? "given up"
        : reading.outcomes.get(i + 1) ?? reading.end
    ),
    ends: ["c1", "c2"].map((id) => reading.ended.has(id) ? "done" : reading.end),
  };
  if (JSON.stringify(actual) !== JSON.stringify(expected)) {
    return `${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`;
  }
  if (host.closed !== 1) return `closed ${host.closed} times`;
  return [...waits].every(({ aborted }) => aborted) ? undefined : "something waits";
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

function joined(parts: readonly Bytes[]): Bytes {
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** The proof. `count` is that of the frames. */
export async function frames(options: ProofOptions): Promise<Findings> {
  const random = randomOf(options);
  const leaks: string[] = [];
  const count = options.full ? ALL_FRAMES : options.count ?? FRAMES;
  let lives = 0;
  for (let sent = 0; sent < count; sent += FRAMES_PER_LIFE) {
    const problem = await live(random, FRAMES_PER_LIFE);
    if (problem !== undefined) leaks.push(`connection ${lives}: ${problem}`);
    lives++;
  }
  const guests = await randomGuests(Math.ceil(count / FRAMES_PER_VM), options);
  return {
    covered: [`${count} frames on ${lives} connections`, ...guests.covered],
    leaks: [...leaks, ...guests.leaks],
  };
}

if (import.meta.main) await report(frames);
