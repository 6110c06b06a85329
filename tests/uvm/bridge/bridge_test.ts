// Requests, their answers, and all ways in which a connection ends.
import { assert, assertEquals, assertInstanceOf, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { BaseHandler, setup } from "jsr:@std/log@^0.224.14";
import { InUseError, UnexpectedAnswerError } from "../../../src/errors/state_errors.ts";
import { type GuestConnectionEnd, GuestConnectionError, GuestError } from "../../../src/errors/vm_errors.ts";
import { NativeError } from "../../../src/errors/windows_errors.ts";
import { answerTo, type GuestMessage, guestMessage } from "../../../src/simulated/bridge_guest.ts";
import { connect, guestWith, MOUNT, namesOf, settled, type TestGuest } from "../../support/bridge.ts";
import type { BridgeConnection } from "../../../src/uvm/bridge/connection.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Answer = (message: GuestMessage) => Bytes | undefined | Promise<Bytes | undefined>;

const MODIFY = 0x10100a01;

/** A guest that answers the changes as told, one after another, and connects. */
async function changing(...answers: Answer[]): Promise<TestGuest & { readonly vm: BridgeConnection }> {
  const guest = guestWith({
    respond: async (message, usual) =>
      message.type === MODIFY ? await (answers.shift() ?? usual)(message) : await usual(),
  });
  return { ...guest, vm: await connect(guest) };
}

const never: Answer = () => undefined;
const says = (body: object | string): Answer => (message) => answerTo(message, body);

async function assertLost(promise: Promise<unknown>, reason: GuestConnectionEnd, text = ""): Promise<void> {
  const error = await assertRejects(() => promise, GuestConnectionError, text);
  assertEquals(error.reason, reason);
}

Deno.test("answers belong to the requests with their ids, in whatever order they come", async () => {
  const open = Promise.withResolvers<void>();
  using guest = await changing(
    async (message) => {
      await open.promise;
      return answerTo(message, { Result: -2147024891, ErrorMessage: "late" });
    },
    says({}),
  );
  const [first, second] = [guest.vm.modify(MOUNT), guest.vm.modify(MOUNT)];
  await second;
  open.resolve();
  const error = await assertRejects(() => first, GuestError);
  assertEquals([error.code, error.guestText], [0x80070005, "late"]);
  assertEquals(namesOf(guest.received), ["0:10100b01", "1:10100a01", "2:10100a01"]);
});

Deno.test("the type of an answer doesn't matter as long as it is one", async () => {
  using guest = await changing(
    ({ id }) => guestMessage(0x20100101, id, {}),
    ({ id }) => guestMessage(0x20000000, id, { Result: -1, ErrorMessage: "denied by policy" }),
  );
  await guest.vm.modify(MOUNT);
  await assertRejects(() => guest.vm.modify(MOUNT), GuestError, "denied by policy");
});

Deno.test("an error has the code and the words of the guest", async () => {
  const record = { Message: "Message Type 270532865 unknown (215 byte)", ModuleName: "vmcomputeagent.exe", Line: -1 };
  const cases: [answer: object | string, code: number, text: string, win32?: number][] = [
    [{ Result: -1070137077, ErrorRecords: [record] }, 0xc037010b, record.Message],
    [{ Result: -2147024891 }, 0x80070005, "", 5],
    [{ Result: 2147942405 }, 0x80070005, "", 5],
    [{ result: -2147024891, ERRORMESSAGE: "no", ErrorRecords: [{ message: "no" }, null, 5, {}] }, 0x80070005, "no", 5],
    [{ Result: 5, ErrorMessage: "general", ErrorRecords: [{ Message: "special" }] }, 5, "general\nspecial"],
    [{ Result: -1, ErrorMessage: { not: "a text" }, ErrorRecords: "none" }, 0xffffffff, ""],
    ['{"Result":0,"Result":-1}', 0xffffffff, ""],
    ['{"Result":-1,"result":null}', 0xffffffff, ""],
    [{ Result: -1, ErrorMessage: "quoted ".repeat(9000) }, 0xffffffff, "quoted ".repeat(9000)],
  ];
  using guest = await changing(...cases.map(([answer]) => says(answer)));
  for (const [, code, text, win32] of cases) {
    const error = await assertRejects(() => guest.vm.modify(MOUNT), GuestError);
    assertInstanceOf(error, NativeError);
    assertEquals([error.operation, error.code, error.guestText, error.win32], ["ModifySettings", code, text, win32]);
    text.split("\n").forEach((line) => assertStringIncludes(error.message, line.slice(0, 4000)));
    assertEquals(error.message.length < 10_000, true);
    // What is known of this Windows says nothing about the guest.
    assertEquals(error.hint, undefined);
  }
});

Deno.test("answers are good with all that isn't needed in any form", async () => {
  const good: (object | string)[] = [
    "null",
    "{}",
    ' \r\n\t{ "Result" : 0 }\n\n',
    { Result: 0, ActivityId: "", ErrorMessage: "ignored", ErrorRecords: [{ Line: -1 }] },
    { Result: null, result: 0, ErrorRecords: null },
    '{"Result":-1,"Result":0}',
  ];
  using guest = await changing(...good.map(says));
  for (const _ of good) await guest.vm.modify(MOUNT);
});

Deno.test("an answer that can't be read fails its request alone", async () => {
  const bad = ["", "{", "not json", "\ufeff{}", "[]", "5", '"x"', '{"Result":"0"}', '{"Result":1.5}', '{"Result":true}']
    .concat('{"Result":4294967296}', '{"Result":-2147483649}', '{"Result":1e400}', "[".repeat(60_000));
  using guest = await changing(never, ...bad.map(says));
  const waits = guest.vm.modify(MOUNT);
  for (const body of bad) {
    const error = await assertRejects(() => guest.vm.modify(MOUNT), UnexpectedAnswerError);
    assertEquals(error.operation, "ModifySettings", body);
  }
  await guest.vm.modify(MOUNT);
  assertEquals(guest.vm.end, undefined);
  await guest.guest.send(guestMessage(0x20100a01, 1n, {}));
  await waits;
});

/** The lines that the library logs until it is disposed of. */
function logged() {
  class Recorder extends BaseHandler {
    readonly lines: string[] = [];

    override log(line: string): void {
      this.lines.push(line);
    }
  }
  const handler = new Recorder("DEBUG", { formatter: ({ msg }) => msg });
  setup({ handlers: { handler }, loggers: { "hcs-layers": { level: "DEBUG", handlers: ["handler"] } } });
  return Object.assign(handler, { [Symbol.dispose]: () => setup({ handlers: {}, loggers: {} }) });
}

Deno.test("what is addressed to nobody harms nobody", async () => {
  using log = logged();
  using guest = await changing();
  const { guest: far, vm } = guest;
  using c1 = vm.watch("c1");
  for (const id of [0n, 1n, 4711n, 0xffffffffffffffffn]) await far.send(guestMessage(0x20100a01, id, "{"));
  await far.send(guestMessage(0x30100201, 0n, { ContainerId: "c1" }));
  await far.send(guestMessage(0x30100101, 0n, "not json"));
  await far.send(guestMessage(0x30100101, 0n, { ContainerId: 5 }));
  for (let i = 0; i < 100; i++) await far.notify("other\u001b");
  await vm.modify(MOUNT);
  // A guest can't fill the log of the host.
  assertEquals(log.lines.slice(0, 4), [
    "the guest in vm1 answers the request 1, which was never sent",
    "the guest in vm1 answers the request 4711, which was never sent",
    "the guest in vm1 answers the request 18446744073709552000, which was never sent",
    "the guest in vm1 sent a notification of the type 0x30100201",
  ]);
  assertEquals(log.lines.length, 10);
  assertEquals(log.lines[9], 'the guest in vm1 reports the end of "other\\u001b"');
  await far.notify("c1");
  await c1.ended;
});

Deno.test("a message that is neither an answer nor a notification ends the connection", async () => {
  for (const type of [0, 0x10100a01, 0x40100a01, 0xf0100a01]) {
    using guest = await changing(never, () => guestMessage(type, 1n, "{}"));
    const waits = [guest.vm.modify(MOUNT), guest.vm.modify(MOUNT)];
    for (const wait of waits) await assertLost(wait, "invalid", `0x${type.toString(16).padStart(8, "0")}`);
    assertEquals(guest.host.closed, 1);
  }
});

Deno.test("the loss of the connection is told to all at once, and later calls are refused with it", async () => {
  const losses: [reason: GuestConnectionEnd, text: string, lose: (guest: TestGuest) => unknown][] = [
    ["ended", "by the guest", ({ far }) => far.close()],
    ["failed", "connection reset", ({ far }) => far.reset()],
    ["torn", "in the middle", async ({ guest, far }) => {
      await guest.send(guestMessage(0x20100a01, 1n, "{}").subarray(0, 7));
      far.close();
    }],
    ["invalid", "a message of 15 bytes", ({ guest }) => {
      const frame = guestMessage(0x20100a01, 1n, "");
      frame[4] = 15;
      return guest.send(frame);
    }],
    ["invalid", "a message of 65537 bytes", ({ guest }) => {
      return guest.send(guestMessage(0x20100a01, 1n, "x".repeat(65521)).subarray(0, 16));
    }],
  ];
  for (const [reason, text, lose] of losses) {
    using guest = await changing(never, never);
    const waits = [guest.vm.modify(MOUNT), guest.vm.modify(MOUNT), guest.vm.watch("c1").ended];
    await settled();
    await lose(guest);
    const end = await guest.vm.ended;
    for (const wait of waits) assertEquals(await assertRejects(() => wait), end);
    for (let i = 0; i < 2; i++) await assertLost(guest.vm.modify(MOUNT), reason, text);
    await assertLost((async () => await guest.vm.watch("c2").ended)(), reason);
    assertEquals([guest.vm.end, guest.host.closed], [end, 1]);
    // Closing what is lost is no failure.
    guest.vm[Symbol.dispose]();
    assertEquals([guest.vm.end, guest.host.closed], [end, 1]);
  }
});

Deno.test("a loss is noticed while nothing is asked for", async () => {
  using guest = await changing();
  guest.far.close();
  assertEquals((await guest.vm.ended).reason, "ended");
});

Deno.test("closing tells all who wait, and the guest", async () => {
  using guest = await changing(never);
  const wait = guest.vm.modify(MOUNT);
  await settled();
  guest.vm[Symbol.dispose]();
  await assertLost(wait, "closed");
  await assertLost(guest.vm.modify(MOUNT), "closed");
  await guest.served;
});

Deno.test("a loss at each byte of an answer reaches who waits, and leaves nothing open", async () => {
  const answer = guestMessage(0x20100a01, 1n, { Result: 0, ActivityId: "00000000-0000-0000-0000-000000000000" });
  for (const how of ["close", "reset"] as const) {
    for (let size = 0; size <= answer.length; size++) {
      using guest = await changing(never, never);
      const [first, second] = [guest.vm.modify(MOUNT), guest.vm.modify(MOUNT)];
      const outcome = Promise.allSettled([first, second]);
      await settled();
      await guest.guest.send(answer.subarray(0, size));
      if (how === "reset") await settled();
      guest.far[how]();
      const reason = how === "reset" ? "failed" : size % answer.length === 0 ? "ended" : "torn";
      if (size === answer.length) await first;
      else await assertLost(first, reason);
      await assertLost(second, reason);
      await outcome;
      assertEquals([guest.host.closed, guest.vm.end!.reason], [1, reason]);
    }
  }
});

Deno.test("a loss at each byte of a request reaches who waits, and leaves nothing open", async () => {
  using whole = await changing();
  await whole.vm.modify(MOUNT);
  const bytes = 16 + new TextEncoder().encode(whole.received[1]!.text).length;
  for (let size = 0; size < bytes; size++) {
    // The connection holds so many bytes that the request stops there.
    using guest = guestWith({}, Infinity);
    const vm = await connect(guest);
    guest.guest.deafen();
    let left = size;
    guest.host.write = async (frame) => {
      if ((left -= frame.length) < 0) throw new Error(`broke after ${size} bytes`);
      await Promise.resolve();
    };
    const waits = [vm.modify(MOUNT), vm.modify(MOUNT)];
    for (const wait of waits) await assertLost(wait, "failed", `broke after ${size} bytes`);
    assertEquals(guest.host.closed, 1);
  }
});

Deno.test("a request that has no JSON text fails alone, and takes no id", async () => {
  using guest = await changing(never);
  const wait = guest.vm.modify(MOUNT);
  const cyclic: Record<string, unknown> = {};
  cyclic.Settings = cyclic;
  for (const request of [{ Settings: { Lun: NaN } }, { Settings: { Lun: 5n } }, cyclic]) {
    await assertRejects(() => guest.vm.modify(request as typeof MOUNT), TypeError);
  }
  await guest.vm.modify(MOUNT);
  assertEquals(namesOf(guest.received), ["0:10100b01", "1:10100a01", "2:10100a01"]);
  guest.vm[Symbol.dispose]();
  await assertLost(wait, "closed");
});

Deno.test("a request that is aborted before it was sent isn't sent, and takes no id", async () => {
  using guest = await changing();
  const [before, queued] = [AbortSignal.abort(new Error("before")), new AbortController()];
  await assertRejects(() => guest.vm.modify(MOUNT, { signal: before }), Error, "before");
  // The second waits for its turn, as the first is being written.
  const first = guest.vm.modify(MOUNT);
  const second = guest.vm.modify(MOUNT, { signal: queued.signal });
  const third = guest.vm.modify(MOUNT);
  queued.abort(new Error("queued"));
  await assertRejects(() => second, Error, "queued");
  await Promise.all([first, third]);
  assertEquals(namesOf(guest.received), ["0:10100b01", "1:10100a01", "2:10100a01"]);
});

Deno.test("a change that was sent is waited for, also after it is aborted", async () => {
  const open = Promise.withResolvers<void>();
  using guest = await changing(async (message) => {
    await open.promise;
    return answerTo(message, {});
  });
  const abort = new AbortController();
  let outcome: unknown;
  const change = guest.vm.modify(MOUNT, { signal: abort.signal }).then(
    () => outcome = "done",
    () => outcome = "failed",
  );
  await settled();
  abort.abort();
  await settled();
  assertEquals(outcome, undefined);
  open.resolve();
  await change;
  assertEquals(outcome, "done");
});

Deno.test("a question is given up when it is aborted, and its late answer is dropped", async () => {
  const late = Promise.withResolvers<Bytes>();
  using guest = guestWith({
    respond: async (message, usual) => message.type === 0x10100901 ? await late.promise : await usual(),
  });
  const vm = await connect(guest);
  const abort = new AbortController();
  const question = vm.properties("c1", [], { signal: abort.signal });
  await settled();
  abort.abort(new Error("enough"));
  await assertRejects(() => question, Error, "enough");
  late.resolve(answerTo(guest.received[1]!, "{"));
  await vm.modify(MOUNT);
  assertEquals(vm.end, undefined);
});

Deno.test("a guest that doesn't answer, or doesn't read, is given up after five minutes", async () => {
  for (const isDeaf of [false, true]) {
    const limits: { ms: number; pass(): void; signal: AbortSignal }[] = [];
    const deadline = (ms: number, signal: AbortSignal) =>
      new Promise<void>((pass) => {
        limits.push({ ms, pass, signal });
      });
    using guest = guestWith(
      isDeaf ? {} : { respond: (message, usual) => message.id === 0n ? usual() : Promise.resolve(undefined) },
      300,
    );
    const vm = await connect(guest, { deadline });
    if (isDeaf) guest.guest.deafen();
    const waits = Array.from({ length: 8 }, () => vm.modify(MOUNT));
    const outcomes = Promise.allSettled(waits);
    await settled();
    assertEquals(limits.map(({ ms }) => ms), Array(isDeaf ? limits.length : 9).fill(300_000));
    assertEquals(limits[0]!.signal.aborted, true, "the wait for the answer of NegotiateProtocol is over");
    limits[0]!.pass();
    await settled();
    assertEquals(vm.end, undefined);
    limits.at(-1)!.pass();
    // A guest that doesn't read has read the first request already.
    for (const wait of isDeaf ? waits.slice(1) : waits) await assertLost(wait, "hung", "was sent 5 minutes ago");
    await outcomes;
    assert(limits.every(({ signal }) => signal.aborted));
    assertEquals(guest.host.closed, 1);
  }
});

Deno.test("a guest that stops reading in a question that was given up is noticed all the same", async () => {
  const limits: { pass(): void; signal: AbortSignal }[] = [];
  const deadline = (_: number, signal: AbortSignal) =>
    new Promise<void>((pass) => {
      limits.push({ pass, signal });
    });
  using guest = guestWith({}, 10);
  const vm = await connect(guest, { deadline });
  guest.guest.deafen();
  const abort = new AbortController();
  const question = vm.properties("c1", [], { signal: abort.signal });
  const outcomes = Promise.allSettled([question, vm.modify(MOUNT)]);
  await settled();
  abort.abort(new Error("enough"));
  await assertRejects(() => question, Error, "enough");
  assertEquals(limits.map(({ signal }) => signal.aborted), [true, false]);
  limits[1]!.pass();
  const [, change] = await outcomes;
  assertEquals(change.status === "rejected" && change.reason.reason, "hung");
  await settled();
  assertEquals(limits.map(({ signal }) => signal.aborted), [true, true]);
});

Deno.test("one message is written whole before the next, and no more than the guest takes", async () => {
  using guest = guestWith({}, 100);
  const vm = await connect(guest);
  let writing = 0;
  const write = guest.host.write.bind(guest.host);
  guest.host.write = async (frame) => {
    assertEquals(++writing, 1);
    await write(frame);
    writing--;
  };
  await Promise.all(Array.from({ length: 50 }, () => vm.modify(MOUNT)));
  assertEquals(namesOf(guest.received).slice(1), Array.from({ length: 50 }, (_, i) => `${i + 1}:10100a01`));
});

Deno.test("the end of a container is told to who waits for it, and only one waits", async () => {
  using guest = await changing();
  const { vm, guest: far } = guest;
  const first = vm.watch("c1");
  const error = await assertRejects(async () => await vm.watch("c1").ended, InUseError);
  assertStringIncludes(error.message, "c1 is waited for already");
  await far.notify("c1");
  await first.ended;
  using second = vm.watch("c1");
  first[Symbol.dispose]();
  await far.notify("c1");
  await second.ended;
});
