import { assertEquals, assertRejects, assertStrictEquals } from "jsr:@std/assert@^1.0.0";
import { Mutex } from "../../src/session/mutex.ts";
import { settle } from "../support/calls.ts";

Deno.test("Mutex.run() lets one through at a time, in the order of arrival, also after a failure", async () => {
  const mutex = new Mutex();
  const log: string[] = [];
  const go = [1, 2, 3].map(() => Promise.withResolvers<void>());
  const passing = go.map(({ promise }, i) =>
    mutex.run(async () => {
      log.push(`in ${i}`);
      await promise;
      log.push(`out ${i}`);
      return i;
    })
  );
  await settle();
  assertEquals(log, ["in 0"]);
  const failed = assertRejects(() => passing[1]!, Error, "no");
  go[2]!.resolve();
  go[1]!.reject(new Error("no"));
  go[0]!.resolve();
  await failed;
  assertEquals([await passing[0], await passing[2]], [0, 2]);
  assertEquals(log, ["in 0", "out 0", "in 1", "in 2", "out 2"]);
});

Deno.test("Mutex.refuse() rejects who waits and who comes, until who is inside has left", async () => {
  const mutex = new Mutex();
  const { promise, resolve } = Promise.withResolvers<void>();
  const first = mutex.run(() => promise);
  const waiting = [1, 2].map(() => assertRejects(() => mutex.run(() => Promise.resolve())));
  const reason = new Error("hung");
  mutex.refuse(() => reason);
  assertEquals(await Promise.all(waiting), [reason, reason]);
  assertStrictEquals(await assertRejects(() => mutex.run(() => Promise.resolve())), reason);
  resolve();
  await first;
  const again = Promise.withResolvers<string>();
  const inside = mutex.run(() => again.promise);
  const behind = mutex.run(() => Promise.resolve("behind"));
  again.resolve("inside");
  assertEquals([await inside, await behind], ["inside", "behind"]);
});

Deno.test("Mutex.run() lets go who is aborted while waiting, and who comes next still waits for who is inside", async () => {
  const mutex = new Mutex();
  const log: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const reason = new Error("aborted");
  const controller = new AbortController();
  const first = mutex.run(() => promise);
  const second = mutex.run(() => Promise.resolve(log.push("second")), controller.signal);
  const third = mutex.run(() => Promise.resolve(log.push("third")), new AbortController().signal);
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => second), reason);
  await settle();
  assertEquals(log, []);
  resolve();
  await Promise.all([first, third]);
  assertEquals(log, ["third"]);
  assertStrictEquals(
    await assertRejects(() => mutex.run(() => Promise.resolve(log.push("fourth")), controller.signal)),
    reason,
  );
  assertEquals(await mutex.run(() => Promise.resolve("free")), "free");
  assertEquals(log, ["third"]);
});
