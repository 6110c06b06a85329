// Mounts, releases, unmounts, lists and recovers at random in the machine of a file, beside others, and prints a line for each
// step, and what is wrong: FILE SEED STEPS SCRATCHES. With "rogue" at the end, it unmounts what others have mounted.
import { InUseError, InvalidInputError, listMounts, type Mounted, recover, unmountWCOWLayers } from "../../mod.ts";
import { currentProcess } from "../../src/ffi/kernel32.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { hostInFront } from "../support/host.ts";
import { sequence } from "../support/random.ts";
import { WHEN_UNKNOWN } from "./scenarios.ts";
import { mountSlot, type Slot, slotsOf } from "./slots.ts";

const [file, seed, steps, scratches, isRogue] = Deno.args;
const machine = new SimulatedHost({ file: file!, whenUnknown: WHEN_UNKNOWN });
// The clock of the machine moves on at once, but the others that it is waited for are real.
const host = hostInFront(machine, {
  async sleep(ms, signal) {
    await machine.sleep(ms, signal);
    await new Promise((resolve) => setTimeout(resolve, ms));
  },
});
const random = sequence(Number(seed), 0);
const slots = slotsOf(Number(scratches));
const { pid } = currentProcess(host);

const mounts = new Map<Slot, { readonly mounted: Mounted; readonly held: readonly string[] }>();

/** Returns what this process has acquired, with the calls by which it did. */
const acquired = (): string[] =>
  host.held().filter(({ by }) => by?.process === pid).map((held) => JSON.stringify(held));

/** Returns what has changed that this process holds, except for `slot`. */
function check(slot?: Slot): string[] {
  const now = acquired();
  const expected = [...mounts].flatMap(([other, { held }]) => other === slot ? [] : held);
  const lost = expected.filter((held) => !now.includes(held));
  if (lost.length > 0) console.log(`WRONG somebody has touched what ${pid} has mounted: ${lost}`);
  return now.filter((held) => !expected.includes(held));
}

async function mount(slot: Slot): Promise<void> {
  try {
    const mounted = await mountSlot(slot, host, random(2) === 0);
    mounts.set(slot, { mounted, held: check(slot) });
  } catch (error) {
    // Somebody else has mounted the scratch, or is about to use the folder.
    if (!(error instanceof InUseError || error instanceof InvalidInputError && error.argument === "volumeMountPath")) {
      throw error;
    }
  }
}

async function release(slot: Slot, how: (mounted: Mounted) => Promise<unknown>): Promise<void> {
  await how(mounts.get(slot)!.mounted);
  mounts.delete(slot);
}

async function step(): Promise<void> {
  const own = [...mounts.keys()];
  const others = slots.filter((slot) => !mounts.has(slot));
  const mine = own[random(own.length || 1)];
  const free = others[random(others.length || 1)];
  const what = random(8);
  if (isRogue !== undefined && free !== undefined) await unmountWCOWLayers(free.scratch, { host });
  else if (what < 4 && free !== undefined) await mount(free);
  else if (what === 4 && mine !== undefined) await release(mine, (mounted) => mounted.release());
  else if (what === 5 && mine !== undefined) await release(mine, () => unmountWCOWLayers(mine.scratch, { host }));
  else if (what === 6) {
    const listed = (await listMounts({ host })).filter(({ owner }) => owner.state === "this process");
    const isAll = own.every(({ scratch }) =>
      listed.some((info) => info.scratch === scratch && info.state === "mounted")
    );
    if (!isAll || listed.length !== own.length) console.log(`WRONG lists ${JSON.stringify(listed)} for ${own.length}`);
  } else {
    const failed = (await recover({ host })).filter(({ outcome }) => outcome === "failed");
    failed.forEach(({ error }) => console.log(`WRONG recover() fails: ${error}`));
  }
}

const attempt = (body: () => Promise<void>) => body().catch((error) => console.log(`WRONG throws ${error}`));

for (let number = 0; number < Number(steps); number++) {
  await attempt(step);
  const more = check();
  if (more.length > 0) console.log(`WRONG holds what isn't mounted: ${more}`);
  console.log(`step ${number}`);
}
for (const slot of [...mounts.keys()]) await attempt(() => release(slot, (mounted) => mounted.release()));
