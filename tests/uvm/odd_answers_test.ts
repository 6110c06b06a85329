// Each call about a VM, with each odd answer of Windows: a typed error or none, and nothing hangs, crashes, or is left.
import { assert, assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  createUtilityVM,
  LayerError,
  mountLCOWLayers,
  mountWCOWLayers,
  recover,
  ReleaseError,
  UnexpectedAnswerError,
  type UtilityVMOptions,
} from "../../mod.ts";
import { kernel32 } from "../../src/ffi/kernel32.ts";
import { notification, vmcomputeHcs } from "../../src/ffi/vmcompute_hcs.ts";
import { removeShare } from "../../src/hcsschema/requests.ts";
import { wide } from "../../src/ffi/wide.ts";
import type { NotificationName, SimulatedHost } from "../../src/simulated/mod.ts";
import { type Call, withFunction } from "../support/host.ts";
import { ComputeSystem } from "../../src/uvm/compute_system.ts";
import { TestVM } from "../support/vm.ts";
import { DISK, LINUX, startedVM, vmHost, WINDOWS } from "../support/vm_host.ts";

/** Result documents, properties and notifications that Windows wouldn't send. */
const DOCUMENTS: readonly string[] = [
  "",
  " ",
  "null",
  "7",
  "true",
  '"text"',
  "[]",
  "[null]",
  "{",
  "{}",
  '{"Properties":null}',
  '{"Properties":[]}',
  '{"Properties":[null]}',
  '{"Properties":{"0":{"LogicalProcessorCount":2}}}',
  ...['"8"', "-1", "0", "0.5", "1e999", "null", "[]"].map((n) => `{"Properties":[{"LogicalProcessorCount":${n}}]}`),
  '{"RuntimeId":null}',
  '{"RuntimeId":7}',
  '{"RuntimeId":"no GUID"}',
  '{"RuntimeId":"00000000-0000-0000-0000-000000000000"}',
  '{"RuntimeId":{"toString":1}}',
  '{"GuestConnectionInfo":7}',
  '{"GuestConnectionInfo":[]}',
  '{"Error":"x","ErrorMessage":{"a":1},"ErrorEvents":[null,7,"x",[],{"Data":{}},{"Data":[null,{"Value":{}}]}]}',
  '{"ErrorEvents":{"length":1e9}}',
  '{"__proto__":{"RuntimeId":"x"}}',
  "\ufeff{}",
  "\ud800",
];

const OUT: Readonly<Record<string, number>> = { HcsGetServiceProperties: 1, HcsGetComputeSystemProperties: 2 };
const WITH_RESULT: Readonly<Record<string, number>> = {
  HcsCreateComputeSystem: 4,
  HcsGetComputeSystemProperties: 3,
  HcsGetServiceProperties: 2,
  HcsModifyComputeSystem: 2,
  HcsStartComputeSystem: 2,
  HcsTerminateComputeSystem: 2,
};

/** A host on which a function puts `text` where a document goes. */
function answering(host: SimulatedHost, name: string, parameter: number, text: string, code?: number): SimulatedHost {
  const call = functionOf(host, name);
  return withFunction(host, name, async (...args: unknown[]) => {
    const result = code === undefined ? await call(...args) : code | 0;
    putText(host, args[parameter] as Uint8Array<ArrayBuffer>, text);
    return result;
  });
}

function functionOf(host: SimulatedHost, name: string): Call {
  return (host.symbols(vmcomputeHcs) as unknown as Record<string, Call>)[name]!;
}

// CoTaskMemFree frees what LocalAlloc allocates, on the simulated host.
function putText(host: SimulatedHost, out: Uint8Array<ArrayBuffer>, text: string): void {
  const { LocalAlloc, copyIn } = host.symbols(kernel32);
  const bytes = wide(text);
  const address = LocalAlloc(0, BigInt(bytes.byteLength));
  copyIn(address, bytes, BigInt(bytes.byteLength));
  new DataView(out.buffer, out.byteOffset).setBigUint64(0, address, true);
}

/** Creates, starts, uses and closes a VM. Returns the errors. */
async function live(host: SimulatedHost, options: UtilityVMOptions): Promise<unknown[]> {
  const errors: unknown[] = [];
  const note = (error: unknown) => void errors.push(error);
  const vm = await createUtilityVM(options, { host }).catch(note);
  if (!vm) return errors;
  await vm.start().catch(note);
  await vm.properties().catch(note);
  const mounting = options.os === "linux"
    ? mountLCOWLayers("c1", { layers: [{ vhdPath: "C:\\l\\1.vhd" }], scratchVhdPath: "C:\\s\\1.vhdx" }, {
      vm,
      guestRoot: "/run/c",
    })
    : mountWCOWLayers("c1", ["C:\\l\\1", "C:\\s\\1"], { vm });
  const mounted = await mounting.catch(note);
  if (mounted) await mounted.release().catch(note);
  await vm.close().catch(note);
  return errors;
}

function machine(): SimulatedHost {
  const host = vmHost();
  host.addLayer("C:\\l\\1");
  host.addScratch("C:\\s\\1");
  host.addLinuxLayer("C:\\l\\1.vhd", 2 ** 20);
  host.addFile("C:\\s\\1.vhdx", 2 ** 20);
  return host;
}

for (const options of [LINUX, WINDOWS]) {
  Deno.test(`properties in any form give a typed error or none: ${options.os}`, async () => {
    for (const [name, parameter] of Object.entries(OUT)) {
      for (const text of DOCUMENTS) {
        const host = machine();
        const errors = await live(answering(host, name, parameter, text), options);
        assert(errors.every((error) => error instanceof LayerError), `${name} ${text}: ${errors}`);
        assertEquals(host.held(), [], `${name} ${text}`);
      }
    }
  });

  Deno.test(`result documents in any form change neither a success nor a failure: ${options.os}`, async () => {
    for (const [name, parameter] of Object.entries(WITH_RESULT)) {
      for (const text of DOCUMENTS) {
        const host = machine();
        assertEquals(await live(answering(host, name, parameter, text), options), [], `${name} ${text}`);
        assertEquals([host.held(), host.allocations], [[], 0], `${name} ${text}`);
        const failing = machine();
        const errors = await live(answering(failing, name, parameter, text, 0x80070005), options);
        assert(errors.every((error) => error instanceof LayerError), `${name} ${text}: ${errors}`);
        assertEquals([failing.held(), failing.allocations], [[], 0], `${name} ${text}`);
      }
    }
  });
}

Deno.test("a VM whose GUID is said to be that of all isn't listened for", async () => {
  const host = vmHost();
  const all = '{"RuntimeId":"00000000-0000-0000-0000-000000000000"}';
  const options = { ...LINUX, guestConnection: "direct" } as const;
  const odd = answering(host, "HcsGetComputeSystemProperties", 2, all);
  await assertRejects(() => createUtilityVM(options, { host: odd }), UnexpectedAnswerError);
  assertEquals(host.held(), []);
});

Deno.test("recover() leaves a VM of which Windows doesn't tell whose it is, or that it has ended, with a typed error", async () => {
  const documents = [...DOCUMENTS, '{"Owner":7}', '{"Owner":{"toString":1}}', '{"Owner":"hcs-layers","Stopped":7}'];
  const host = machine();
  const [dead, other] = [host.otherProcess(), host.otherProcess()];
  await startedVM(dead, WINDOWS);
  await ComputeSystem.open(other, WINDOWS.id!);
  dead.endProcess();
  for (const text of documents) {
    const odd = answering(host, "HcsGetComputeSystemProperties", 2, text);
    const [{ outcome, error } = {}] = await recover({ host: odd });
    assert(outcome === "failed" && error instanceof ReleaseError, text);
    assert(error.errors.every((each) => each instanceof LayerError && !each.message.includes("undefined")), text);
    assertEquals(host.grantsOf(DISK), [WINDOWS.id!], text);
  }
  assertEquals((await recover({ host })).map(({ outcome }) => outcome), ["released"]);
});

Deno.test("a success without a handle is no system", async () => {
  const host = machine();
  const call = functionOf(host, "HcsCreateComputeSystem");
  const odd = withFunction(host, "HcsCreateComputeSystem", async (...args: unknown[]) => {
    const result = await call(...args);
    const out = args[3] as Uint8Array<ArrayBuffer>;
    const handle = new DataView(out.buffer, out.byteOffset).getBigUint64(0, true);
    out.fill(0);
    await functionOf(host, "HcsCloseComputeSystem")(handle);
    return result;
  });
  const errors = await live(odd, WINDOWS);
  assertEquals(errors.map((error) => (error as Error).name), ["UnexpectedAnswerError"]);
  assertEquals(host.held(), []);
});

Deno.test("a VM whose state forbids a removal counts as ended only where Windows says that it is", async () => {
  const states: readonly [properties: string, hasEnded: boolean][] = [
    ['{"State":"Stopped"}', true],
    ['{"Stopped":true,"ExitType":"ForcedExit"}', true],
    ...["Created", "Running", "Paused", "SavedAsTemplate", "Unknown", "Stopping"].map(
      (state): [string, boolean] => [JSON.stringify({ State: state }), false],
    ),
    ['{"State":7}', false],
    ['{"Stopped":"true"}', false],
    ["{}", false],
    ["[]", false],
  ];
  for (const [properties, hasEnded] of states) {
    const host = vmHost({ completion: 1 });
    let isAsked = false;
    const call = functionOf(host, "HcsGetComputeSystemProperties");
    const odd = withFunction(host, "HcsGetComputeSystemProperties", async (...args: unknown[]) => {
      const result = await call(...args);
      if (isAsked) putText(host, args[2] as Uint8Array<ArrayBuffer>, properties);
      return result;
    });
    await using vm = await createUtilityVM(WINDOWS, { host: odd });
    await vm.start();
    isAsked = true;
    host.fail({ function: "HcsModifyComputeSystem", code: 0xc0370105 });
    const error = await assertRejects(() => vm.modify(removeShare("s1")), LayerError);
    assertEquals([error.name, vm.state], hasEnded ? ["VMStateError", "ended"] : ["NativeError", "running"], properties);
  }
});

Deno.test("a status that is a success of an odd kind is a success", async () => {
  for (const name of ["HcsModifyComputeSystem", "HcsStartComputeSystem", "HcsTerminateComputeSystem"]) {
    for (const code of [1, 0x7fffffff]) {
      const host = machine();
      const call = functionOf(host, name);
      const odd = withFunction(host, name, async (...args: unknown[]) => (await call(...args), code));
      assertEquals(await live(odd, WINDOWS), [], `${name} ${code}`);
      assertEquals(host.held(), []);
    }
  }
});

Deno.test("a notification with any document, status or type settles what waits for it, and ends what it ends", async () => {
  const names = Object.keys(notification) as NotificationName[];
  const ends = ["SystemExited", "SystemCrashInitiated", "SystemCrashReport", "SystemGuestConnectionClosed"];
  for (const text of DOCUMENTS) {
    for (const status of [0, 1, 0x80070005, 0xc0370106]) {
      await using t = await TestVM.open({ os: "linux" });
      for (const name of names.filter((name) => !ends.includes(name) && name !== "ServiceDisconnect")) {
        t.host.notify("vm1", name, status, text);
      }
      assertEquals(t.vm.state, "running", text);
      const end = ends[text.length % ends.length] as NotificationName;
      t.host.notify("vm1", end, status, text);
      assertEquals(t.vm.state, "ended", `${end} ${text}`);
      await assertRejects(() => t.vm.properties(), LayerError);
    }
  }
});

Deno.test("a start that its notification reports as failed with any document is a typed error", async () => {
  for (const text of DOCUMENTS) {
    const host = vmHost({ completion: (fn) => fn === "HcsStartComputeSystem" ? "never" : "synchronous" });
    const vm = await createUtilityVM(WINDOWS, { host });
    const starting = vm.start();
    starting.catch(() => {});
    host.notify("vm1", "SystemStartCompleted", 0x80070002, text);
    const error = await assertRejects(() => starting, LayerError);
    assertEquals(error.name, "NativeError", text);
    await vm.close();
    assertEquals(host.held(), []);
  }
});
