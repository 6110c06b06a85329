import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "jsr:@std/assert@^1.0.0";
import { ReleaseError, UnwindError } from "../../src/holds/release_errors.ts";
import type { Hold, HoldKind } from "../../src/holds/hold.ts";
import { acquire, HoldList } from "../../src/holds/hold_list.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";

interface Thing extends Hold {
  readonly kind: "thing";
  readonly name: string;
}

const thing = (name: string): Thing => ({ kind: "thing", name });
const reason = new Error("aborted");
const host = new SimulatedHost();

/** A kind of hold that writes down what happens; `failing` says what fails, `on` what else happens meanwhile. */
function things() {
  const log: string[] = [];
  const failing = new Set<string>();
  const on: Record<string, () => unknown> = {};
  const step = async (text: string): Promise<void> => {
    log.push(text);
    await on[text]?.();
    if (failing.has(text)) throw new Error(`${text} failed`);
  };
  const kind: HoldKind<Thing> = {
    kind: "thing",
    async take(_host, hold) {
      await step(`+${hold.name}`);
      return hold;
    },
    async give(_host, hold) {
      await step(`-${hold.name}`);
      return hold.name !== "gone";
    },
  };
  const names = (holds: HoldList) => holds.holds.map((hold) => (hold as Thing).name);
  const list = async (...taken: string[]): Promise<HoldList> => {
    const holds = new HoldList(host);
    for (const name of taken) await holds.take(kind, thing(name));
    log.length = 0;
    return holds;
  };
  return { log, failing, on, kind, names, list };
}

Deno.test("HoldList.release() gives back in reverse and answers what was held", async () => {
  const { log, list } = things();
  const holds = await list("a", "gone", "c");
  assertEquals(await holds.release(), [
    { hold: thing("c"), wasHeld: true },
    { hold: thing("gone"), wasHeld: false },
    { hold: thing("a"), wasHeld: true },
  ]);
  assertEquals(log, ["-c", "-gone", "-a"]);
  assertEquals(await holds.release(), []);
  assertEquals(log.length, 3);
});

Deno.test("HoldList.release() tries every step, keeps what failed with all errors, and goes on from there", async () => {
  const { log, failing, names, list } = things();
  const holds = await list("a", "b", "c");
  failing.add("-a").add("-c");
  const error = await assertRejects(() => holds.release(), ReleaseError, "2 of what was mounted could not be released");
  assertEquals(error.errors.map((each) => each.message), ["-c failed", "-a failed"]);
  assertEquals(error.holds, [thing("a"), thing("c")]);
  assertEquals(names(holds), ["a", "c"]);
  failing.clear();
  await holds.release();
  assertEquals(log, ["-c", "-b", "-a", "-c", "-a"]);
});

Deno.test("HoldList.release() leaves alone what carries something that is stuck", async () => {
  const { log, failing, kind, names } = things();
  const holds = new HoldList(host);
  const carrying = {
    ...kind,
    carries: (hold: Thing, other: Hold) => hold.name === "disk" && (other as Thing).name === "filter",
  };
  for (const name of ["other", "disk", "filter"]) await holds.take(carrying, thing(name));
  log.length = 0;
  failing.add("-filter");
  const error = await assertRejects(() => holds.release(), ReleaseError);
  assertEquals(error.errors.map((each) => each.message), ["-filter failed"]);
  assertEquals([log, names(holds)], [["-filter", "-other"], ["disk", "filter"]]);
  failing.clear();
  await holds.release();
  assertEquals(log.slice(2), ["-filter", "-disk"]);
});

Deno.test("HoldList.release() side by side is one release", async () => {
  const { log, failing, list } = things();
  const holds = await list("a", "b");
  failing.add("-a");
  const outcomes = await Promise.allSettled([holds.release(), holds.release(), holds.release()]);
  assertEquals(outcomes.map((outcome) => outcome.status), ["rejected", "rejected", "rejected"]);
  assertEquals(log, ["-b", "-a"]);
});

Deno.test("HoldList.release() stops between two steps when its signal is aborted, and goes on when called again", async () => {
  const { log, on, names, list } = things();
  const holds = await list("a", "b", "c");
  const controller = new AbortController();
  on["-b"] = () => controller.abort(reason);
  assertStrictEquals(await assertRejects(() => holds.release({ signal: controller.signal })), reason);
  assertEquals(names(holds), ["a"]);
  await holds.release();
  assertEquals(log, ["-c", "-b", "-a"]);
});

Deno.test("HoldList.release() aborted after a failure reports both", async () => {
  const { failing, on, names, list } = things();
  const holds = await list("a", "b");
  const controller = new AbortController();
  failing.add("-b");
  on["-b"] = () => controller.abort(reason);
  const error = await assertRejects(() => holds.release({ signal: controller.signal }), ReleaseError);
  assertEquals(error.errors.map((each) => each.message), ["-b failed", "aborted"]);
  assertEquals(names(holds), ["a", "b"]);
});

Deno.test("HoldList.take() takes nothing when the signal is aborted before, and keeps what it took when aborted after", async () => {
  const { log, on, kind, names, list } = things();
  const holds = await list();
  await assertRejects(() => holds.take(kind, thing("a"), AbortSignal.abort(reason)), Error, "aborted");
  assertEquals(log, []);
  const controller = new AbortController();
  on["+a"] = () => controller.abort(reason);
  assertStrictEquals(await assertRejects(() => holds.take(kind, thing("a"), controller.signal)), reason);
  assertEquals(names(holds), ["a"]);
});

Deno.test("HoldList.takeAll() keeps what was taken beside what failed", async () => {
  const { failing, kind, names, list } = things();
  const holds = await list();
  failing.add("+b");
  await assertRejects(() => holds.takeAll(kind, ["a", "b", "c"].map(thing)), Error, "+b failed");
  assertEquals(names(holds), ["a", "c"]);
});

Deno.test("acquire() gives back in reverse what was taken before a failure, and throws that failure", async () => {
  const { log, failing, kind } = things();
  failing.add("+c");
  const taking = () =>
    acquire(host, async (holds) => {
      for (const name of ["a", "b", "c", "d"]) await holds.take(kind, thing(name));
    });
  await assertRejects(taking, Error, "+c failed");
  assertEquals(log, ["+a", "+b", "+c", "-b", "-a"]);
});

Deno.test("acquire() throws an UnwindError where giving back fails as well, which can try again", async () => {
  const { log, failing, kind } = things();
  failing.add("+c").add("-a");
  const error = await assertRejects(
    () =>
      acquire(host, async (holds) => {
        for (const name of ["a", "b", "c"]) await holds.take(kind, thing(name));
      }),
    UnwindError,
    "+c failed. Undoing it failed as well: ",
  );
  assertEquals((error.cause as Error).message, "+c failed");
  assertEquals(error.errors.map((each) => each.message), ["+c failed", "-a failed"]);
  assertEquals(error.holds, [thing("a")]);
  await assertRejects(() => error.release(), ReleaseError);
  failing.clear();
  log.length = 0;
  {
    await using again = error;
    assertInstanceOf(again, UnwindError);
  }
  assertEquals(log, ["-a"]);
  assertEquals(error.holds, []);
});

Deno.test("acquire() lets the list live on where nothing fails", async () => {
  const { log, kind, names } = things();
  const holds = await acquire(host, async (holds) => {
    await holds.take(kind, thing("a"));
    return holds;
  });
  assertEquals([names(holds), log], [["a"], ["+a"]]);
  assert((await holds.release()).length === 1);
});
