/**
 * Guests that answer at random: rightly, with any code, with any bytes, under another id, late, twice, in pieces, with
 * notifications in between, torn, or never; and VMs that end at any time. Whatever they do, a VM's life ends, with typed
 * errors; then nothing is left, and nothing waits.
 *
 * @module
 */

import { guestMessage } from "../../src/simulated/bridge_guest.ts";
import type { NotificationName, SimulatedHost } from "../../src/simulated/mod.ts";
import { runtimeIdOf } from "../../src/simulated/runtime_id.ts";
import type { Random } from "../support/random.ts";
import { type Answering, onWire, type Reaction } from "../support/wire_faults.ts";
import { type Findings, type ProofOptions, randomOf } from "./report.ts";
import { ID, live, VM_SCENARIOS } from "./vm_faults.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Answer = NonNullable<Reaction["answer"]>;

const ID_AT = 8;
const HEADER_BYTES = 16;
const RESPONSE = 0x20100a01;
const CONTAINER_ENDED = 0x30100101;
// Of these, the first tell of a success.
const SUCCESSES = ["{}", "null"];
const BODIES = [
  ...SUCCESSES,
  "",
  "[]",
  "{",
  '{"Result":5}',
  '{"Result":-1}',
  '{"Result":"0"}',
  '{"Result":-2147024809}',
];
const ENDS: readonly NotificationName[] = ["SystemExited", "SystemCrashInitiated"];

// Longer than anything is waited for.
const LATE_MS = 400_000;

function idOf(usual: Bytes): bigint {
  return new DataView(usual.buffer, usual.byteOffset).getBigUint64(ID_AT, true);
}

function isSuccess(usual: Bytes): boolean {
  return !/"Result": ?-?[1-9]/.test(new TextDecoder().decode(usual.subarray(HEADER_BYTES)));
}

// An answer under the id of another request is a lie about that one: it isn't done, or is done later, whatever was said. So is a
// success where nothing was done.
function answers(random: Random, host: SimulatedHost, lies: boolean): readonly Answer[] {
  const errors = BODIES.slice(SUCCESSES.length);
  const otherId = () => BigInt(random(40) + (lies ? 0 : 1_000));
  const damaged = (byte: number, at: number) =>
    random(8) === 0 && (lies || at < ID_AT || at >= HEADER_BYTES) ? random(256) : byte;
  const pick = <T>(items: readonly T[]): T => items[random(items.length)]!;
  const cut = (guest: Answering, bytes: Bytes) => {
    guest.send(bytes.slice(0, random(bytes.length)));
    guest.close();
  };
  return [
    (guest, usual) => guest.send(guestMessage(RESPONSE, idOf(usual), pick(errors))),
    (guest, usual) => guest.send(guestMessage(RESPONSE, idOf(usual), pick(lies || isSuccess(usual) ? BODIES : errors))),
    (guest) => guest.send(guestMessage(RESPONSE, otherId(), pick(errors))),
    (guest, usual) => {
      guest.send(usual);
      guest.send(usual.slice());
    },
    (guest, usual) => {
      guest.send(guestMessage(CONTAINER_ENDED, 0n, pick(['{"ContainerId":"c1"}', ...BODIES])));
      guest.send(usual);
    },
    (guest, usual) => void host.clock.after(1 + random(LATE_MS), () => guest.send(usual.slice())),
    (guest, usual) => {
      for (let at = 0, size; at < usual.length; at += size) {
        size = 1 + random(HEADER_BYTES * 2);
        guest.send(usual.slice(at, at + size));
      }
    },
    (guest, usual) => guest.send(Uint8Array.from(usual, damaged)),
    cut,
    (guest) => guest.close(),
    () => {},
  ];
}

function disturb(random: Random, os: "windows" | "linux", host: SimulatedHost, lies: boolean): void {
  // Some guests err all the time, and most of them once or twice.
  const rarity = 1 + random(12);
  const wrong = answers(random, host, lies);
  onWire(host, { id: ID, os }, {
    sending: (_, { length }) => random(rarity * 20) === 0 ? random(length + 1) : undefined,
    react: () => random(rarity) === 0 ? { answer: wrong[random(wrong.length)]! } : undefined,
  });
  if (random(4) > 0) return;
  const end = [...ENDS, undefined][random(ENDS.length + 1)];
  host.before("guest:ModifySettings", () => {
    if (end === undefined) host.guests.disconnect(runtimeIdOf(ID));
    else host.notify(ID, end, random(2) * 0xc0370106);
  }, { nth: 1 + random(8) });
}

/** The proof, in the size of so many lives. */
export async function randomGuests(lives: number, options: ProofOptions): Promise<Findings> {
  const random = randomOf(options);
  const leaks: string[] = [];
  const scenarios = Object.entries(VM_SCENARIOS);
  for (let i = 0; i < lives; i++) {
    const [name, scenario] = scenarios[i % scenarios.length]!;
    const isLied = random(4) === 0;
    const { complaints } = await live(scenario, (host) => disturb(random, scenario.os, host, isLied), { isLied });
    leaks.push(...complaints.map((complaint) => `${name}, life ${i}: ${complaint}`));
  }
  return { covered: [`${lives} lives of VMs with guests that answer at random`], leaks };
}
