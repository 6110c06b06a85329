import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "jsr:@std/assert@^1.0.0";
import { messageOf } from "../../src/errors/printable.ts";
import { MissingPermissionError } from "../../src/errors/windows_errors.ts";
import { LayerError } from "../../src/errors/layer_error.ts";
import { InvalidInputError } from "../../src/errors/input_error.ts";
import { ReleaseError, UnwindError } from "../../src/holds/release_errors.ts";
import type { Held, HoldOf } from "../../src/holds/hold.ts";
import { HoldList, withHolds } from "../../src/holds/hold_list.ts";

const thing = (path: string): HoldOf<"newFile"> => ({ kind: "newFile", path });
const reason = new Error("aborted");

/** Holds that write down what happens; `failing` says what fails, `on` what else happens meanwhile. */
function things() {
  const log: string[] = [];
  const failing = new Set<string>();
  const on: Record<string, () => unknown> = {};
  const step = async (text: string): Promise<void> => {
    log.push(text);
    await on[text]?.();
    if (failing.has(text)) throw new Error(`${text} failed`);
  };
  const acquire = (name: string, restsOn: readonly Held[] = []) => async (): Promise<Held> => {
    await step(`+${name}`);
    return {
      hold: thing(name),
      restsOn,
      async release() {
        await step(`-${name}`);
        return name !== "gone";
      },
    };
  };
  const names = (holds: HoldList) => holds.holds.map((hold) => (hold as HoldOf<"newFile">).path);
  const list = async (...taken: string[]): Promise<HoldList> => {
    const holds = new HoldList();
    for (const name of taken) await holds.acquire(acquire(name));
    log.length = 0;
    return holds;
  };
  return { log, failing, on, acquire, names, list };
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
  const error = await assertRejects(() => holds.release(), ReleaseError, "2 holds could not be released");
  assertEquals(error.errors.map(messageOf), ["-c failed", "-a failed"]);
  assertEquals(error.holds, [thing("a"), thing("c")]);
  assertEquals(names(holds), ["a", "c"]);
  failing.clear();
  await holds.release();
  assertEquals(log, ["-c", "-b", "-a", "-c", "-a"]);
});

Deno.test("HoldList.release() leaves alone what something stuck rests on", async () => {
  const { log, failing, acquire, names } = things();
  const holds = new HoldList();
  await holds.acquire(acquire("other"));
  const file = await holds.acquire(acquire("file"));
  const disk = await holds.acquire(acquire("disk", [file]));
  await holds.acquire(acquire("filter", [disk]));
  log.length = 0;
  failing.add("-filter");
  const error = await assertRejects(() => holds.release(), ReleaseError);
  assertEquals(error.errors.map(messageOf), ["-filter failed"]);
  assertEquals([log, names(holds)], [["-filter", "-other"], ["file", "disk", "filter"]]);
  failing.clear();
  await holds.release();
  assertEquals(log.slice(2), ["-filter", "-disk", "-file"]);
});

Deno.test("HoldList.release() takes what is under something that may be gone, though that fails", async () => {
  const { log, failing, acquire, names } = things();
  const holds = new HoldList();
  const disk = await holds.acquire(acquire("disk"));
  holds.adopt(await acquire("overlay", [disk])(), { mayBeGone: () => true });
  log.length = 0;
  failing.add("-overlay");
  await assertRejects(() => holds.release(), ReleaseError, "-overlay failed");
  assertEquals([log, names(holds)], [["-overlay", "-disk", "-overlay"], ["overlay"]]);
});

Deno.test("HoldList.release() keeps what may be gone with what it rests on, if the error says something else", async () => {
  const { log, acquire, names } = things();
  const holds = new HoldList();
  const disk = await holds.acquire(acquire("disk"));
  const overlay = await acquire("overlay", [disk])();
  const release = () => Promise.reject(new MissingPermissionError(["--allow-ffi=computestorage.dll"]));
  holds.adopt({ ...overlay, release }, { mayBeGone: (error) => !(error instanceof MissingPermissionError) });
  log.length = 0;
  await assertRejects(() => holds.release(), ReleaseError, "--allow-ffi");
  assertEquals([log, names(holds)], [[], ["disk", "overlay"]]);
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

Deno.test("ReleaseError.release() stops between two steps when its signal is aborted, and refuses what is no signal", async () => {
  const { log, on, failing, list } = things();
  const holds = await list("a", "b");
  failing.add("-b");
  failing.add("-a");
  const error = await assertRejects(() => holds.release(), ReleaseError);
  failing.clear();
  const controller = new AbortController();
  on["-b"] = () => controller.abort(reason);
  log.length = 0;
  assertStrictEquals(await assertRejects(() => error.release({ signal: controller.signal })), reason);
  await assertRejects(() => error.release({ signal: 1 as unknown as AbortSignal }), InvalidInputError, "signal");
  await error.release();
  assertEquals([log, error.holds], [["-b", "-a"], []]);
});

Deno.test("HoldList.release() aborted rejects with the reason, whatever it is", async () => {
  const { list } = things();
  for (const odd of [NaN, null, 0, "", Object.create(null)]) {
    const holds = await list("a");
    const outcome = await holds.release({ signal: AbortSignal.abort(odd) }).then(
      () => "released",
      (thrown) => [thrown],
    );
    assertEquals(Object.is((outcome as unknown[])[0], odd), true);
    assertEquals(holds.holds.length, 1);
  }
});

Deno.test("HoldList.release() aborted after a failure reports both", async () => {
  const { failing, on, names, list } = things();
  const holds = await list("a", "b");
  const controller = new AbortController();
  failing.add("-b");
  on["-b"] = () => controller.abort(reason);
  const error = await assertRejects(() => holds.release({ signal: controller.signal }), ReleaseError);
  assertEquals(error.errors.map(messageOf), ["-b failed", "aborted"]);
  assertEquals(names(holds), ["a", "b"]);
});

Deno.test("HoldList.acquire() takes nothing when the signal is aborted before, and keeps what it took when aborted after", async () => {
  const { log, on, acquire, names, list } = things();
  const holds = await list();
  await assertRejects(() => holds.acquire(acquire("a"), AbortSignal.abort(reason)), Error, "aborted");
  assertEquals(log, []);
  const controller = new AbortController();
  on["+a"] = () => controller.abort(reason);
  assertStrictEquals(await assertRejects(() => holds.acquire(acquire("a"), controller.signal)), reason);
  assertEquals(names(holds), ["a"]);
});

Deno.test("HoldList.acquireAll() keeps what was taken beside what failed", async () => {
  const { failing, acquire, names, list } = things();
  const holds = await list();
  failing.add("+b");
  await assertRejects(() => holds.acquireAll(["a", "b", "c"].map((name) => acquire(name))), Error, "+b failed");
  assertEquals(names(holds), ["a", "c"]);
});

Deno.test("HoldList.release() releases together what was acquired so, tries each of them, and leaves alone what they rest on", async () => {
  const { log, failing, on, acquire, names } = things();
  const holds = new HoldList();
  const disks = await holds.acquireAll(["disk1", "disk2"].map((name) => acquire(name)), { releasedTogether: true });
  const mounts = disks.map((disk, i) => acquire(`mount${i + 1}`, [disk]));
  await holds.acquireAll([...mounts, acquire("mount3")], { releasedTogether: true });
  log.length = 0;
  failing.add("-mount3").add("-mount1");
  for (const name of ["mount1", "mount2", "mount3"]) {
    // Each waits until all have begun.
    on[`-${name}`] = async () => {
      while (log.length < 3) await Promise.resolve();
    };
  }
  const error = await assertRejects(() => holds.release(), ReleaseError);
  assertEquals(error.errors.map(messageOf).toSorted(), ["-mount1 failed", "-mount3 failed"]);
  assertEquals(log, ["-mount3", "-mount2", "-mount1", "-disk2"]);
  assertEquals(names(holds), ["disk1", "mount1", "mount3"]);
  failing.clear();
  assertEquals((await holds.release()).map(({ hold }) => hold), ["mount3", "mount1", "disk1"].map(thing));
});

Deno.test("HoldList.release() ends what it releases together before it stops for its signal", async () => {
  const { log, on, acquire, names } = things();
  const holds = new HoldList();
  await holds.acquire(acquire("under"));
  await holds.acquireAll(["a", "b"].map((name) => acquire(name)), { releasedTogether: true });
  log.length = 0;
  const controller = new AbortController();
  on["-b"] = () => controller.abort(reason);
  assertStrictEquals(await holds.release({ signal: controller.signal }).catch((error) => error), reason);
  assertEquals([log, names(holds)], [["-b", "-a"], ["under"]]);
});

Deno.test("withHolds() gives back in reverse what was taken before a failure, and throws that failure", async () => {
  const { log, failing, acquire } = things();
  failing.add("+c");
  const acquiring = () =>
    withHolds(async (holds) => {
      for (const name of ["a", "b", "c", "d"]) await holds.acquire(acquire(name));
    });
  await assertRejects(acquiring, Error, "+c failed");
  assertEquals(log, ["+a", "+b", "+c", "-b", "-a"]);
});

Deno.test("withHolds() throws an UnwindError where giving back fails as well, which can try again", async () => {
  const { log, failing, acquire } = things();
  failing.add("+c").add("-a");
  const error = await assertRejects(
    () =>
      withHolds(async (holds) => {
        for (const name of ["a", "b", "c"]) await holds.acquire(acquire(name));
      }),
    UnwindError,
    "+c failed. Undoing it failed as well: ",
  );
  assertEquals((error.cause as Error).message, "+c failed");
  assertEquals(error.errors.map(messageOf), ["+c failed", "-a failed"]);
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

Deno.test("withHolds() lets the list live on where nothing fails", async () => {
  const { log, acquire, names } = things();
  const holds = await withHolds(async (holds) => {
    await holds.acquire(acquire("a"));
    return holds;
  });
  assertEquals([names(holds), log], [["a"], ["+a"]]);
  assert((await holds.release()).length === 1);
});

Deno.test("HoldList.disown() takes holds out of the list without releasing them", async () => {
  const { log, list, names } = things();
  const holds = await list("a", "b");
  holds.disown([holds.held[0]!]);
  assertEquals(names(holds), ["b"]);
  await holds.release();
  assertEquals(log, ["-b"]);
});

Deno.test("ReleaseError gives access to what is left, survives JSON, and is a LayerError", async () => {
  const { log, failing, list } = things();
  const holds = await list("a");
  failing.add("-a");
  const error = await assertRejects(() => holds.release(), ReleaseError);
  assertInstanceOf(error, LayerError);
  assertEquals((error.cause as Error).message, "-a failed");
  const { holds: left, errors, name } = JSON.parse(JSON.stringify(error));
  assertEquals([name, left, errors], ["ReleaseError", [thing("a")], [{ name: "Error", message: "-a failed" }]]);
  failing.clear();
  await error.release();
  assertEquals([log, error.holds], [["-a", "-a"], []]);
});
