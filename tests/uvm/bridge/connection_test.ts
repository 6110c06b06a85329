// How a connection begins, and what can be asked of a guest.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { UnexpectedAnswerError } from "../../../src/errors/state_errors.ts";
import { GuestConnectionError, GuestError } from "../../../src/errors/vm_errors.ts";
import { securityPolicy, socketAddresses, UTC } from "../../../src/hcsschema/guest_messages.ts";
import {
  answerTo,
  type BridgeGuestOptions,
  GUEST_CAPABILITIES,
  type GuestMessage,
} from "../../../src/simulated/bridge_guest.ts";
import { connect, guestWith, MOUNT, namesOf, settled } from "../../support/bridge.ts";

const VM = "00000000-0000-0000-0000-000000000000";

function respondsTo(type: number, answer: (message: GuestMessage) => object | string): Partial<BridgeGuestOptions> {
  return {
    respond: async (message, usual) => message.type === type ? answerTo(message, answer(message)) : await usual(),
  };
}

function bodies(received: readonly GuestMessage[]): unknown[] {
  return received.map(({ text }) => JSON.parse(text));
}

Deno.test("a Linux guest is asked for the protocol alone", async () => {
  using guest = guestWith();
  using vm = await connect(guest);
  assertEquals([vm.os, vm.end], ["linux", undefined]);
  assertEquals(vm.capabilities, {
    NamespaceAddRequestSupported: true,
    SignalProcessSupported: true,
    DumpStacksSupported: true,
    DeleteContainerStateSupported: true,
  });
  assertEquals(namesOf(guest.received), ["0:10100b01"]);
  assertEquals(
    guest.received[0]!.text,
    `{"ContainerId":"","ActivityId":"${VM}","MinimumVersion":4,"MaximumVersion":4}\n`,
  );
});

Deno.test("a Windows guest is created and started with a time zone", async () => {
  using guest = guestWith({ os: "Windows" });
  using vm = await connect(guest, { timeZone: { ...UTC, Bias: -60 } });
  assertEquals(vm.os, "windows");
  assertEquals(namesOf(guest.received), ["0:10100b01", "1:10100101", "2:10100201"]);
  const [, create, start] = bodies(guest.received) as Record<string, string>[];
  assertEquals(JSON.parse(create!.ContainerConfig!), {
    SystemType: "Container",
    TimeZoneInformation: { ...UTC, Bias: -60 },
  });
  assertEquals(start, { ContainerId: VM, ActivityId: VM });
});

Deno.test("what a later guest can do besides is no harm", async () => {
  const capabilities = {
    ...GUEST_CAPABILITIES.Windows,
    ModifyServiceSettingsSupported: true,
    GuestDefinedCapabilities: { SignalProcessSupported: true, LogForwardingSupported: true, Later: { Than: "this" } },
  };
  using guest = guestWith({ os: "Windows", capabilities });
  using vm = await connect(guest);
  assertEquals(vm.capabilities, { SignalProcessSupported: true });
});

Deno.test("a guest is sent no more than it asks for", async () => {
  const cases: [capabilities: object | undefined, sent: string[]][] = [
    [undefined, ["0:10100b01"]],
    [{}, ["0:10100b01"]],
    [{ SendHostStartMessage: true }, ["0:10100b01"]],
    [{ SendHostCreateMessage: true }, ["0:10100b01", "1:10100101"]],
    [{ SendHostCreateMessage: false, GuestDefinedCapabilities: null, RuntimeOsType: "" }, ["0:10100b01"]],
  ];
  for (const [capabilities, sent] of cases) {
    using guest = guestWith({ os: "Windows", capabilities });
    using vm = await connect(guest);
    assertEquals([vm.os, vm.capabilities], ["windows", {}]);
    assertEquals(namesOf(guest.received), sent);
    assertEquals(await vm.dumpStacks(), "");
    await vm.deleteContainerState("c1");
    assertEquals(namesOf(guest.received), sent);
  }
});

Deno.test("a connection that can't begin is closed", async () => {
  const negotiated = (answer: object) => respondsTo(0x10100b01, () => ({ Version: 4, ...answer }));
  const unreadable: Partial<BridgeGuestOptions>[] = [
    negotiated({ Version: 3 }),
    negotiated({ Version: null }),
    negotiated({ Version: "4" }),
    negotiated({ Capabilities: [] }),
    negotiated({ Capabilities: "all" }),
    negotiated({ Capabilities: { SendHostCreateMessage: "yes" } }),
    negotiated({ Capabilities: { RuntimeOsType: 5 } }),
    negotiated({ Capabilities: { GuestDefinedCapabilities: { DumpStacksSupported: 1 } } }),
    respondsTo(0x10100b01, () => "{"),
    { os: "Windows", ...respondsTo(0x10100101, () => '{"Result":"0"}') },
  ];
  for (const options of unreadable) {
    using guest = guestWith(options);
    await assertRejects(() => connect(guest), UnexpectedAnswerError);
    assertEquals(guest.host.closed, 1);
  }
  const refusing: [Partial<BridgeGuestOptions>, number][] = [
    [{ protocol: 3 }, 0xc037010c],
    [{ os: "Windows", ...respondsTo(0x10100201, () => ({ Result: -2147467259 })) }, 0x80004005],
  ];
  for (const [options, code] of refusing) {
    using guest = guestWith(options);
    assertEquals((await assertRejects(() => connect(guest), GuestError)).code, code);
    assertEquals(guest.host.closed, 1);
  }
});

Deno.test("a guest that ends while the connection begins is reported, and one that hangs can be given up", async () => {
  for (const type of [0x10100b01, 0x10100101, 0x10100201]) {
    using guest = guestWith({
      os: "Windows",
      respond: async (message, usual) => {
        if (message.type !== type) return await usual();
        guest.guest.crash();
        return undefined;
      },
    });
    const error = await assertRejects(() => connect(guest), GuestConnectionError);
    assertEquals([error.reason, guest.host.closed], ["ended", 1]);

    using hung = guestWith({
      os: "Windows",
      respond: async (message, usual) => message.type === type ? undefined : await usual(),
    });
    const abort = new AbortController();
    const connecting = connect(hung, { signal: abort.signal });
    await settled();
    abort.abort(new Error("too long"));
    await assertRejects(() => connecting, Error, "too long");
    assertEquals(hung.host.closed, 1);
  }
  using guest = guestWith();
  await assertRejects(() => connect(guest, { signal: AbortSignal.abort(new Error("before")) }), Error, "before");
  assertEquals([guest.received, guest.host.closed], [[], 1]);
});

Deno.test("a loss at each byte of what the guest says at the beginning ends it, and leaves nothing open", async () => {
  let whole = 0;
  for (let bytes = Infinity, at = -1; at < whole; bytes = ++at) {
    using guest = guestWith({ os: "Windows" });
    const write = guest.far.write.bind(guest.far);
    let left = bytes;
    guest.far.write = async (frame) => {
      if (at < 0) whole += frame.length;
      await write(frame.subarray(0, left));
      if ((left -= frame.length) < 0) guest.guest.crash();
    };
    if (at < 0) {
      (await connect(guest))[Symbol.dispose]();
    } else {
      const error = await assertRejects(() => connect(guest), GuestConnectionError);
      assertEquals(["ended", "torn"].includes(error.reason), true, error.message);
    }
    assertEquals(guest.host.closed, 1);
  }
});

Deno.test("addresses, the policy and changes are requests about resources", async () => {
  using windows = guestWith({ os: "Windows" });
  using vm = await connect(windows);
  await vm.modify(socketAddresses("9110e989-1957-5bb5-84f5-2c6a80dc185c"));
  assertEquals(bodies(windows.received).at(-1), {
    ContainerId: VM,
    ActivityId: VM,
    Request: {
      RequestType: "Update",
      ResourceType: "HvSocket",
      Settings: {
        LocalAddress: "9110e989-1957-5bb5-84f5-2c6a80dc185c",
        ParentAddress: "894cc2d6-9d79-424f-93fe-42969ae6d8d1",
      },
    },
  });
  const made: unknown[] = [];
  using linux = guestWith({ modify: (request) => void made.push(request) });
  using linuxVM = await connect(linux);
  const policy = securityPolicy({ EncodedSecurityPolicy: "<&>" });
  await linuxVM.modify(policy);
  await assertRejects(() => linuxVM.modify(policy), GuestError, "security policy has already been set");
  await linuxVM.modify(MOUNT);
  assertEquals(made, [policy, MOUNT]);
});

Deno.test("properties, stacks and services are asked for", async () => {
  const answers: (object | string)[] = [
    { Properties: '{"ProcessList":[]}' },
    { Properties: "{}" },
    { Properties: "{" },
    { Properties: {} },
    {},
  ];
  using guest = guestWith(respondsTo(0x10100901, () => answers.shift()!));
  using vm = await connect(guest);
  assertEquals(await vm.properties("c1", ["ProcessList"]), { ProcessList: [] });
  assertEquals(await vm.properties("c1"), {});
  for (let i = 0; i < 3; i++) await assertRejects(() => vm.properties("c1"), UnexpectedAnswerError);
  assertEquals(bodies(guest.received).slice(1, 3), [
    { ContainerId: "c1", ActivityId: VM, Query: '{"PropertyTypes":["ProcessList"]}' },
    { ContainerId: "c1", ActivityId: VM, Query: "{}" },
  ]);
  assertEquals(await vm.dumpStacks(), "goroutine 1 [running]:\nmain.main()\n");
  using windows = guestWith({ os: "Windows", capabilities: GUEST_CAPABILITIES.Windows });
  using windowsVM = await connect(windows);
  const error = await assertRejects(
    () => windowsVM.modifyService("LogForwardService", { RPCType: "StartLogForwarding" }),
    GuestError,
    "Message Type 270532865 unknown",
  );
  assertEquals(error.symbol, "ERROR_VMCOMPUTE_UNKNOWN_MESSAGE");
});

Deno.test("a container that isn't there counts as shut down", async () => {
  const results = [0, 0xc037010e, 0x80370110].map((code) => code | 0);
  using guest = guestWith({
    respond: async (message, usual) =>
      message.id === 0n ? await usual() : answerTo(message, { Result: results.shift(), ErrorMessage: "stopped" }),
  });
  using vm = await connect(guest);
  await vm.shutdown("c1");
  await vm.shutdown("c1", { force: true });
  await assertRejects(() => vm.shutdown("c1"), GuestError, "stopped");
  assertEquals(namesOf(guest.received).slice(1), ["1:10100301", "2:10100401", "3:10100301"]);
});

Deno.test("a Linux VM that is shut down through its guest ends the connection", async () => {
  using guest = guestWith();
  using vm = await connect(guest);
  const error = await assertRejects(() => vm.shutdown(VM), GuestConnectionError);
  assertEquals(error.reason, "ended");
  await guest.served;
});
