// The simulated guest does what guests were seen to do, or nothing.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { GuestConnectionError, GuestError } from "../../src/errors/vm_errors.ts";
import { THE_VM, UTC } from "../../src/hcsschema/guest_messages.ts";
import { answerTo, guestMessage } from "../../src/simulated/bridge_guest.ts";
import { Failure, SimulationError } from "../../src/simulated/simulation_error.ts";
import { connect, guestWith, MOUNT, settled } from "../support/bridge.ts";

Deno.test("a guest tells how it ended", async () => {
  using closed = guestWith();
  (await connect(closed))[Symbol.dispose]();
  assertEquals(await closed.served, "closed");

  using reset = guestWith();
  await connect(reset);
  reset.host.reset();
  assertEquals(await reset.served, "closed");

  using off = guestWith();
  await assertRejects(async () => await (await connect(off)).shutdown(THE_VM), GuestConnectionError);
  assertEquals(await off.served, "off");

  // As it was seen to do.
  using crashed = guestWith({ os: "Windows" });
  await assertRejects(() => connect(crashed, { timeZone: null }), GuestConnectionError);
  assertEquals(await crashed.served, "crashed");
});

Deno.test("a guest answers requests side by side, as soon as each is done", async () => {
  const slow = Promise.withResolvers<void>();
  let requests = 0;
  using guest = guestWith({ modify: () => ++requests === 1 ? slow.promise : undefined });
  using vm = await connect(guest);
  const order: number[] = [];
  const first = vm.modify(MOUNT).then(() => order.push(1));
  await vm.modify(MOUNT).then(() => order.push(2));
  slow.resolve();
  await first;
  assertEquals(order, [2, 1]);
});

Deno.test("a failure becomes the answer of its system", async () => {
  const modify = () => {
    throw new Failure(0x80070005);
  };
  for (const os of ["Linux", "Windows"] as const) {
    using guest = guestWith({ os, modify });
    using vm = await connect(guest);
    const error = await assertRejects(() => vm.modify(MOUNT), GuestError);
    assertEquals([error.code, error.guestText], [0x80070005, "HRESULT 0x80070005"]);
  }
});

Deno.test("a guest says nothing that nobody has heard", async () => {
  const asked: [os: "Linux" | "Windows", type: number, body: object][] = [
    ["Windows", 0x10100901, { ContainerId: "c1" }],
    ["Windows", 0x10100c01, { ContainerId: THE_VM }],
    ["Windows", 0x10100301, { ContainerId: THE_VM }],
    ["Windows", 0x10100a01, { Request: { ResourceType: "Nothing", Settings: {} } }],
    ["Windows", 0x10100a01, { Request: { ResourceType: "CombinedLayers", Settings: [] } }],
    ["Windows", 0x10100101, {
      ContainerId: THE_VM,
      ContainerConfig: '{"SystemType":"Container","TimeZoneInformation":{}}',
    }],
    ["Windows", 0x10100101, { ContainerId: THE_VM, ContainerConfig: "{}" }],
    ["Linux", 0x10100101, { ContainerId: "c1", ContainerConfig: "{}" }],
    ["Linux", 0x10100301, { ContainerId: "c1" }],
    ["Linux", 0x10100d01, { ContainerId: "c1" }],
  ];
  for (const [os, type, body] of asked) {
    using guest = guestWith({ os });
    using _ = await connect(guest, { timeZone: UTC });
    await guest.host.write(guestMessage(type, 9n, body));
    await assertRejects(() => guest.served, SimulationError);
  }
  using early = guestWith({ os: "Windows" });
  await early.host.write(guestMessage(0x10100a01, 0n, {}));
  await assertRejects(() => early.served, SimulationError);
  using small = guestWith();
  const frame = guestMessage(0x10100a01, 0n, "");
  frame[4] = 15;
  await small.host.write(frame);
  await assertRejects(() => small.served, SimulationError, "a message of 15 bytes");
});

Deno.test("a guest can hang, be hostile, and crash", async () => {
  using guest = guestWith({
    respond: async (message, usual) => {
      if (message.id === 2n) guest.guest.crash();
      return message.id === 1n ? answerTo(message, "{") : await usual();
    },
  });
  using vm = await connect(guest);
  await assertRejects(() => vm.modify(MOUNT), Error, "is not JSON");
  await assertRejects(() => vm.modify(MOUNT), GuestConnectionError);
  using deaf = guestWith({}, 10);
  using other = await connect(deaf);
  deaf.guest.deafen();
  let isOver = false;
  const wait = other.modify(MOUNT).finally(() => isOver = true);
  await settled();
  assertEquals(isOver, false);
  other[Symbol.dispose]();
  await assertRejects(() => wait, GuestConnectionError);
});
