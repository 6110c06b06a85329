/**
 * Tests of tier 2 about VMs in processes of their own: notifications take `--allow-ffi` without a path, and a process
 * with a VM has to end by itself.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "jsr:@std/assert@^1.0.0";
import type { AcrossTest } from "./across.ts";
import { parseTrace, type RecordedCall } from "./inside/trace.ts";
import { CHECKOUT, EXCHANGE, SYSTEM32, type WineRoot } from "./prepare.ts";

interface Ran {
  readonly lines: string[];
  readonly calls: readonly RecordedCall[];
}

/** Runs `inside/vm.ts` to its end, which has to come by itself. */
async function runVM(wine: WineRoot, kind: string, env: Record<string, string>, grant = "--allow-ffi"): Promise<Ran> {
  const folder = Deno.makeTempDirSync({ dir: wine.exchange });
  Deno.writeTextFileSync(`${folder}/trace`, "");
  const result = await wine.run([
    ...[
      "run",
      "--no-prompt",
      "--allow-env=SystemRoot",
      "--allow-read",
      "--allow-write",
      "--allow-net=127.0.0.1",
      grant,
    ],
    ...[`${CHECKOUT}\\tests\\wine\\inside\\vm.ts`, kind],
  ], {
    env: { HCS_RECORD_FILE: `${EXCHANGE}\\${folder.slice(wine.exchange.length + 1)}\\trace`, ...env },
    timeoutMs: 60_000,
  });
  assertEquals([result.timedOut, result.code, result.stderr], [false, 0, ""]);
  const lines = result.stdout.trim().split(/\r?\n/);
  return { lines, calls: parseTrace(Deno.readTextFileSync(`${folder}/trace`)) };
}

const short = ({ fn, hr }: RecordedCall) =>
  fn.replace(/^Hcs|ComputeSystem/g, "") + (hr === "0x00000000" ? "" : ` ${hr}`);

const PENDING = " 0xc0370103";
const CLOSED = ["UnregisterCallback", "Close", "RevokeVmAccess"];

function created(late: string): string[] {
  return ["GetServiceProperties", "GrantVmAccess", `Create${late}`, "RegisterCallback", "GetProperties"];
}

const cycles: AcrossTest[] = ["none", "internal"].flatMap((connection) =>
  [true, false].map((late) => ({
    name: `a VM with guest connection ${connection} lives and ends, told ${
      late ? "late, by another thread" : "at once"
    }`,
    async run(wine) {
      const { lines, calls } = await runVM(wine, connection, late ? { HCS_RECORD_LATE: "1" } : {});
      assertEquals(lines, ["created", "running 4", "ended"]);
      const pending = late ? PENDING : "";
      assertEquals(calls.map(short), [
        ...created(pending),
        `Start${pending}`,
        "GetProperties",
        "Modify",
        `Terminate${pending}`,
        ...CLOSED,
      ]);
      const { configuration } = calls[2]!.args;
      const document = JSON.parse(String(configuration));
      assertEquals("GuestConnection" in document.VirtualMachine, connection === "internal");
      assertEquals(JSON.parse(String(calls.find(({ fn }) => fn === "HcsModifyComputeSystem")!.args.configuration)), {
        RequestType: "Update",
        ResourcePath: "VirtualMachine/ComputeTopology/Processor/Limits",
        Settings: { Limit: 50_000 },
      });
      assert(calls.every(({ args }) => args.computeSystemId === undefined || args.computeSystemId === "vm1"));
    },
  }))
);

const failures: AcrossTest[] = [
  ["SystemCreateCompleted", [...created(PENDING).slice(0, 4)], /HcsCreateComputeSystem failed for vm1/],
  ["SystemStartCompleted", [...created(PENDING), `Start${PENDING}`], /HcsStartComputeSystem failed for vm1/],
].map(([event, before, message]) => ({
  name: `a VM whose ${event} tells of a failure is ended and closed, and its process ends`,
  async run(wine) {
    const env = { HCS_RECORD_LATE: "1", HCS_RECORD_FAIL: `${event}#1=0x80070005` };
    const { lines, calls } = await runVM(wine, "internal", env);
    assertMatch(lines.at(-1)!, message as RegExp);
    assertEquals(calls.map(short), [...before as string[], `Terminate${PENDING}`, ...CLOSED]);
  },
}));

const direct: AcrossTest[] = [
  ["windows", ["GrantVmAccess"], ["NegotiateProtocol", "Create", "Start", "ModifySettings", "ModifySettings"]],
  ["linux", [], ["NegotiateProtocol", "ModifySettings", "ModifySettings"]],
].map(([os, granted, asked]) => ({
  name: `a VM whose ${os} guest this process talks with lives and ends, over real sockets`,
  async run(wine) {
    const { lines, calls } = await runVM(wine, `direct-${os}`, { HCS_RECORD_LATE: "1" });
    const guest = `${os === "linux" ? 512 : 0} bytes of entropy; ${(asked as string[]).join(" ")}`;
    assertEquals(lines, ["created", "running 4", "ended", guest]);
    assertEquals(calls.map(short), [
      ...["GetServiceProperties", ...granted as string[], `Create${PENDING}`, "RegisterCallback", "GetProperties"],
      ...[`Start${PENDING}`, "Modify", `Terminate${PENDING}`, "UnregisterCallback", "Close"],
      ...os === "windows" ? ["RevokeVmAccess"] : [],
    ]);
    const { configuration } = calls.find(({ fn }) => fn === "HcsCreateComputeSystem")!.args;
    assertEquals("GuestConnection" in JSON.parse(String(configuration)).VirtualMachine, false);
  },
}));

/** All of them, one after another. */
export const acrossVM: readonly AcrossTest[] = [
  ...cycles,
  ...direct,
  ...failures,
  {
    name: "64 VMs at once live over real sockets, four times: handles and memory are as before",
    async run(wine) {
      const { code, stdout, stderr } = await wine.run([
        ...["test", "--no-check", "--no-prompt", "--v8-flags=--expose-gc", "--allow-read", "--allow-write"],
        ...["--allow-env=SystemRoot", "--allow-sys=osRelease", "--allow-net=127.0.0.1", "--allow-ffi"],
        `${CHECKOUT}\\tests\\wine\\inside\\many_vms.ts`,
      ], { timeoutMs: 300_000 });
      assertEquals(code, 0, `${stdout}${stderr}`);
    },
  },
  {
    name: "a VM can't be created under grants with paths: the error names --allow-ffi, and the process ends",
    async run(wine) {
      const { lines, calls } = await runVM(wine, "internal", {}, `--allow-ffi=${SYSTEM32}`);
      assertEquals(lines.length, 1);
      assertMatch(lines[0]!, /^MissingPermissionError: .* Start Deno with --allow-ffi\. /);
      assertEquals(calls.map(short), ["GetServiceProperties", "GrantVmAccess", "RevokeVmAccess"]);
    },
  },
  {
    name: "a Linux VM on a Windows without sockets to guests is created, and closed without having been started",
    async run(wine) {
      const { lines, calls } = await runVM(wine, "linux", { HCS_RECORD_LATE: "1" });
      assertEquals(lines.length, 2);
      assertMatch(lines[1]!, /^NativeError: socket failed/);
      assertEquals(calls.map(short), [
        "GetServiceProperties",
        `Create${PENDING}`,
        "RegisterCallback",
        "GetProperties",
        `Terminate${PENDING}`,
        "UnregisterCallback",
        "Close",
      ]);
    },
  },
];
