import { assertEquals, assertInstanceOf, assertRejects } from "jsr:@std/assert@^1.0.0";
import { BaseHandler, setup } from "jsr:@std/log@^0.224.14";
import { LayerError } from "../../src/errors/layer_error.ts";
import { NativeError } from "../../src/errors/windows_errors.ts";
import { closeSocket, createSocketEvent, listenForGuest, startWinsock, vsockService } from "../../src/ffi/ws2_32.ts";
import { type Connection, GuestNetwork } from "../../src/simulated/guest_network.ts";
import { runtimeIdOf } from "../../src/simulated/hcs.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { serveGuest } from "../../src/uvm/guest_sockets.ts";
import { createUtilityVM } from "../../src/uvm/utility_vm.ts";
import { mountLCOWLayers } from "../../src/layers/lcow.ts";
import { held, heldKinds, settle } from "../support/calls.ts";
import { GIB, withFunction } from "../support/host.ts";
import { LINUX, startedVM, vmHost, WINDOWS } from "../support/vm_host.ts";

function sockets(host: SimulatedHost): string[] {
  return host.calls.filter(({ dll }) => dll === "ws2_32").map((call) => call.function);
}

/** What is logged while `body` runs, with the level. */
async function logged(body: () => Promise<void>): Promise<string[]> {
  const lines: string[] = [];
  class Recorder extends BaseHandler {
    override log(line: string): void {
      lines.push(line);
    }
  }
  setup({
    handlers: { recorder: new Recorder("INFO", { formatter: ({ levelName, msg }) => `${levelName} ${msg}` }) },
    loggers: { "hcs-layers": { level: "INFO", handlers: ["recorder"] } },
  });
  try {
    await body();
  } finally {
    setup({});
  }
  return lines;
}

Deno.test("vsockService() is the id behind a port", () => {
  assertEquals(vsockService(1), "00000001-facb-11e6-bd58-64006a7986d3");
  assertEquals(vsockService(109), "0000006d-facb-11e6-bd58-64006a7986d3");
  assertEquals(vsockService(0x40000000), "40000000-facb-11e6-bd58-64006a7986d3");
});

Deno.test("start() gives a Linux guest its entropy and takes its log, and closes all with the VM", async () => {
  const host = vmHost();
  const lines = await logged(async () => {
    await using _vm = await startedVM(host, LINUX);
    await settle();
  });
  assertEquals(lines, ["INFO guest in vm1: GCS started"]);
  const calls = sockets(host);
  assertEquals(calls.filter((call) => call === "socket").length, 2);
  assertEquals(calls.filter((call) => call === "closesocket").length, 4, "two that listened, and two connections");
  assertEquals([calls.at(0), calls.at(-1)], ["WSAStartup", "WSACleanup"]);
  const sent = host.calls.find((call) => call.function === "send")!;
  assertEquals(sent.args["size"], 512);
});

Deno.test("no socket for a guest goes to the processes that this one starts", async () => {
  const host = vmHost();
  await using _vm = await startedVM(host, { ...LINUX, guestConnection: "direct" });
  const flags = host.calls.filter((call) => call.function === "SetHandleInformation")
    .map(({ args }) => [args.mask, args.flags]);
  assertEquals(flags, Array(6).fill([1, 0]), "three that listened, and three connections");
});

Deno.test("start() listens for a guest's log only where the guest writes one, and for nothing from Windows", async () => {
  const host = vmHost();
  {
    await using _vm = await startedVM(host, { ...LINUX, forwardStderr: false });
  }
  assertEquals(sockets(host).filter((call) => call === "socket").length, 1);
  const other = vmHost();
  {
    await using _vm = await startedVM(other, WINDOWS);
  }
  assertEquals(sockets(other), []);
});

Deno.test("start() fails where there are no sockets to guests, with all closed", async () => {
  for (const [fn, code] of [["WSAStartup", 10091], ["socket", 10047], ["bind", 10013], ["listen", 10048]] as const) {
    const host = vmHost();
    await using vm = await createUtilityVM(LINUX, { host });
    host.fail({ function: fn, code });
    const error = await assertRejects(() => vm.start(), NativeError);
    assertEquals([error.operation, error.win32], [fn, code]);
    assertEquals(heldKinds(host), ["computeSystem", "handle", "callback"], fn);
    assertEquals(host.calls.some((call) => call.function === "HcsStartComputeSystem"), false);
  }
});

Deno.test("start() passes on why it can't listen, also if the socket can't be closed after that", async () => {
  const host = vmHost();
  await using vm = await createUtilityVM(LINUX, { host });
  host.fail({ function: "listen", code: 10048 });
  host.fail({ function: "closesocket", code: 10036 });
  const error = await assertRejects(() => vm.start(), NativeError);
  assertEquals([error.operation, error.win32], ["listen", 10048]);
});

Deno.test("start() fails at once where the entropy can't be sent", async () => {
  const host = vmHost();
  await using vm = await createUtilityVM(LINUX, { host });
  host.fail({ function: "send", code: 10054 });
  const error = await assertRejects(() => vm.start(), NativeError);
  assertEquals(error.operation, "send");
  assertEquals(vm.state, "ended");
  assertEquals(heldKinds(host).filter((kind) => kind === "handle").length, 1);
});

/** A host, and a guest that connects to it. */
async function guestOf(host: SimulatedHost): Promise<(port: number) => Connection> {
  const runtimeId = await runtimeIdOf("vm1");
  const network = host.guests;
  return (port) => network.connect(`${runtimeId}/${vsockService(port)}`)!;
}

Deno.test("serveGuest() puts each line of a guest's log into the log, at its level", async () => {
  const host = new SimulatedHost();
  const connect = await guestOf(host);
  const encoder = new TextEncoder();
  const lines = await logged(async () => {
    await using _sockets = await serveGuest(host, { id: "vm1", runtimeId: await runtimeIdOf("vm1") }, { log: true });
    const guest = connect(109);
    const text = [
      '{"level":"warning","msg":"low memory","time":"now","free":12}',
      "",
      '{"level":"error","msg":"no disk: ü"}',
      '{"level":"debug","msg":"not shown at this level"}',
      '{"msg":"no level"}',
      '{"level":"fatal","msg":"out of memory"}',
      "panic: runtime error",
      '"text"',
      "goroutine 1 [running]:",
      '{"level":{"toString":1},"msg":{"toString":1}}',
      '{"level":"constructor","msg":null}',
      '{"level":"info","msg":"done\\nERROR not of a guest"}',
      "\u001b[2Jnothing happened",
    ].join("\n");
    // In pieces that fall anywhere, also into a character.
    const bytes = encoder.encode(text);
    for (let at = 0; at < bytes.length; at += 7) guest.write(bytes.subarray(at, at + 7));
    guest.close();
    await settle();
    // What still listens is for the entropy; the connection ends with the guest's log.
    assertEquals(held(host), ["handle an event for sockets", "handle AF_HYPERV"]);
  });
  assertEquals(lines, [
    'WARN guest in vm1: low memory {"free":12}',
    "ERROR guest in vm1: no disk: ü",
    "INFO guest in vm1: no level",
    "ERROR guest in vm1: out of memory",
    "ERROR guest in vm1: panic: runtime error",
    'ERROR guest in vm1: "text"',
    "ERROR guest in vm1: goroutine 1 [running]:",
    'ERROR guest in vm1: {"toString":1}',
    "ERROR guest in vm1: null",
    "INFO guest in vm1: done\\u000aERROR not of a guest",
    "ERROR guest in vm1: \\u001b[2Jnothing happened",
  ]);
  assertEquals(host.held(), []);
});

Deno.test("serveGuest() doesn't collect a line without an end for ever", async () => {
  const host = new SimulatedHost();
  const connect = await guestOf(host);
  const lines = await logged(async () => {
    await using _sockets = await serveGuest(host, { id: "vm1", runtimeId: await runtimeIdOf("vm1") }, { log: true });
    const guest = connect(109);
    const mebibyte = new Uint8Array(2 ** 20).fill(65);
    for (let i = 0; i < 3; i++) guest.write(mebibyte);
    await settle();
    await settle();
  });
  assertEquals(lines.length >= 2, true);
  assertEquals(lines.every((line) => line.length < 2 ** 21), true);
});

Deno.test("serveGuest() is closed while a guest is awaited, or writes its log", async () => {
  for (const connects of [false, true]) {
    const host = new SimulatedHost();
    const connect = await guestOf(host);
    const sockets = await serveGuest(host, { id: "vm1", runtimeId: await runtimeIdOf("vm1") }, { log: true });
    if (connects) connect(109).write(new TextEncoder().encode("half a line"));
    await settle();
    await sockets[Symbol.asyncDispose]();
    await sockets.served;
    assertEquals(host.held(), []);
  }
});

Deno.test("serveGuest() is closed twice as once", async () => {
  const host = new SimulatedHost();
  const sockets = await serveGuest(host, { id: "vm1", runtimeId: await runtimeIdOf("vm1") }, { log: true });
  await Promise.all([sockets[Symbol.asyncDispose](), sockets[Symbol.asyncDispose]()]);
  await sockets[Symbol.asyncDispose]();
  assertEquals(host.calls.filter((call) => call.function === "WSACleanup").length, 1);
});

Deno.test("a socket that isn't closed at the first try, whether it seems so or is so, ends neither start() nor close()", async () => {
  for (const effect of ["none", "full"] as const) {
    for (let nth = 1; nth <= 4; nth++) {
      const host = vmHost();
      const failure = host.fail({ function: "closesocket", code: 10022, nth, effect });
      const vm = await startedVM(host, LINUX);
      await settle();
      await vm.close();
      assertEquals([failure.fired, host.held()], [1, []], `${effect} ${nth}`);
      assertEquals(sockets(host).filter((call) => call === "WSACleanup").length, 1);
    }
  }
});

Deno.test("sockets that can't be closed don't keep the VM from its end, and the next close() closes them", async () => {
  const host = vmHost();
  const vm = await startedVM(host, LINUX);
  await settle();
  host.fail({ function: "closesocket", code: 10022 });
  const error = await assertRejects(() => vm.close(), NativeError);
  assertEquals([error.operation, error.win32, vm.state], ["closesocket", 10022, "ended"]);
  assertEquals(heldKinds(host).every((kind) => kind === "handle"), true, "only sockets");
  host.failNothing();
  await vm.close();
  assertEquals(host.held(), []);
});

Deno.test("listenForGuest() binds the address of the VM and its service", async () => {
  const host = new SimulatedHost();
  using _winsock = startWinsock(host);
  let address = new Uint8Array();
  const spying = withFunction(host, "bind", (_: bigint, bytes: Uint8Array<ArrayBuffer>) => {
    address = bytes.slice();
    return 0;
  });
  using event = createSocketEvent(host);
  const listener = listenForGuest(spying, event, "9110e989-1957-5bb5-84f5-2c6a80dc185c", vsockService(109));
  closeSocket(host, listener, "");
  assertEquals(
    address.toHex(),
    "22000000" + "89e910915719b55b84f52c6a80dc185c" + "6d000000cbfae611bd5864006a7986d3",
  );
  await Promise.resolve();
});

Deno.test("GuestNetwork refuses a second listener at an address", () => {
  const network = new GuestNetwork();
  assertEquals([network.listen("a"), network.listen("a")], [true, false]);
});

Deno.test("every single failure of a call for sockets leaves none open, and ends start() and close()", async () => {
  const clean = vmHost();
  {
    await using _vm = await startedVM(clean, LINUX);
    await settle();
  }
  const counts = new Map<string, number>();
  for (const call of sockets(clean)) counts.set(call, (counts.get(call) ?? 0) + 1);
  // What waits, and what sets it free, doesn't fail.
  for (const fn of ["WSAGetLastError", "WSASetEvent", "WSAResetEvent", "WSACloseEvent", "WSACleanup"]) {
    counts.delete(fn);
  }
  for (const [fn, count] of counts) {
    for (let nth = 1; nth <= count; nth++) {
      for (const effect of ["none", "full"] as const) {
        const host = vmHost();
        const vm = await createUtilityVM(LINUX, { host });
        host.fail({ function: fn, code: 10022, nth, effect });
        await vm.start().catch((error) => assertInstanceOf(error, LayerError));
        await settle();
        await vm.close().catch((error) => assertInstanceOf(error, LayerError));
        host.failNothing();
        await vm.close();
        assertEquals(held(host), [], `${fn} ${nth} ${effect}`);
      }
    }
  }
});

for (const guestConnection of ["internal", "direct"] as const) {
  Deno.test(`64 Linux VMs start, carry layers and end side by side on the threads of 2 processors, ${guestConnection}`, async () => {
    const host = vmHost({ poolThreads: 8 });
    const names = Array.from({ length: 64 }, (_, i) => `vm${i}`);
    for (const name of names) {
      host.addLinuxLayer(`C:\\layers\\${name}\\layer.vhd`, GIB / 1024);
      host.addFile(`C:\\scratches\\${name}\\sandbox.vhdx`, GIB / 1024);
    }
    await Promise.all(names.map(async (name) => {
      await using vm = await startedVM(host, { ...LINUX, guestConnection, id: name });
      const layers = {
        layers: [{ vhdPath: `C:\\layers\\${name}\\layer.vhd` }],
        scratchVhdPath: `C:\\scratches\\${name}\\sandbox.vhdx`,
      };
      await using _mounted = await mountLCOWLayers(name, layers, { vm, guestRoot: "/run/gcs/c" });
    }));
    assertEquals(held(host), []);
    assertEquals(sockets(host).filter((call) => call === "WSAStartup").length, 1);
    assertEquals([host.allocations, host.guests.started], [0, 0]);
  });

  Deno.test(`200 starts and closes leave no handle, no memory, and no thread taken, ${guestConnection}`, async () => {
    const host = vmHost({ poolThreads: 2 });
    for (let i = 0; i < 200; i++) {
      await using _vm = await startedVM(host, { ...(i % 2 === 0 ? LINUX : WINDOWS), guestConnection });
      host.clearCalls();
    }
    assertEquals([held(host), host.allocations, host.guests.started], [[], 0, 0]);
  });
}
