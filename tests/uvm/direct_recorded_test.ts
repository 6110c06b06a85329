// Recorded lives of VMs of the Go original with its own connection to the guest: what is sent to the host and the guest.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { createUtilityVM, mountLCOWLayers, mountWCOWLayers } from "../../mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { REQUESTS } from "../../src/simulated/bridge_guest.ts";
import { runtimeIdOf } from "../../src/simulated/runtime_id.ts";
import { held } from "../support/calls.ts";

interface Recorded {
  readonly guest: "lcow" | "wcow";
  readonly calls: readonly { readonly seq: number; readonly fn: string; readonly args: Record<string, unknown> }[];
  readonly sockets: readonly { readonly seq: number; readonly event?: string; readonly service?: string }[];
  readonly wire: readonly {
    readonly seq: number;
    readonly dir: string;
    readonly header?: { readonly type: string };
    readonly json?: Record<string, unknown>;
  }[];
  readonly steps: readonly { readonly op: string }[];
}

type Sent = readonly [what: string, document?: unknown];

const WITH_DOCUMENT = ["HcsCreateComputeSystem", "HcsModifyComputeSystem"];
const PLAIN = ["HcsStartComputeSystem", "HcsTerminateComputeSystem", "HcsCloseComputeSystem", "listen"];

// Wine named the scratch by its volume, as the simulated host does by another one.
function document(text: unknown): unknown {
  return JSON.parse(String(text).replace(/\\\\\\\\\?\\\\Volume\{[^}]*\}/g, "C:"));
}

// That of the recorded VM, and that of vm1.
const RUNTIME_IDS = new RegExp(`9110e989-1957-5bb5-84f5-2c6a80dc185c|${runtimeIdOf("vm1")}`, "g");

// Traces of calls are random, and each machine has its own time zone.
function message({ ocsc: _, ContainerConfig, ...body }: Record<string, unknown>): unknown {
  if (ContainerConfig === undefined) return JSON.parse(JSON.stringify(body).replace(RUNTIME_IDS, "the VM"));
  const { TimeZoneInformation: zone, ...config } = JSON.parse(String(ContainerConfig));
  return { ...body, config, zone: [zone.StandardDate, zone.DaylightDate].map((date) => typeof date) };
}

function recorded({ calls, sockets, wire }: Recorded): Sent[] {
  return [
    ...calls.map(({ seq, fn, args }) => ({
      seq,
      sent: WITH_DOCUMENT.includes(fn) ? [fn, document(args.configuration)] : [fn],
    })),
    ...sockets.map(({ seq, event }) => ({ seq, sent: [event] })),
    ...wire.filter(({ dir, json }) => dir.startsWith("host") && json !== undefined).map(({ seq, header, json }) => ({
      seq,
      sent: [REQUESTS[Number(header!.type) & 0x0fffffff], message(json!)],
    })),
  ].sort((a, b) => a.seq - b.seq).map(({ sent }) => sent as unknown as Sent).filter(isCompared);
}

function ours(host: SimulatedHost): Sent[] {
  return host.calls.map(({ dll, function: fn, args }): Sent =>
    dll === "guest"
      ? [fn.slice("guest:".length), message(args.request as Record<string, unknown>)]
      : WITH_DOCUMENT.includes(fn)
      ? [fn, document(args.configuration)]
      : [fn]
  ).filter(isCompared);
}

function isCompared([what]: Sent): boolean {
  return [...WITH_DOCUMENT, ...PLAIN, ...Object.values(REQUESTS)].includes(what);
}

// What is attached for a mount is attached side by side, so that its order isn't that of one after another.
function inOrder(sent: readonly Sent[]): unknown[] {
  const texts = sent.map((what) => JSON.stringify(what));
  const isAdded = (text: string) => /"RequestType":"Add"/.test(text) && !text.includes("SecurityPolicy");
  return [texts.filter((text) => !isAdded(text)), texts.filter(isAdded).sort()].map((list) =>
    list.map((text) => JSON.parse(text))
  );
}

for (const name of ["lcow-vm-lifecycle", "wcow-vm-lifecycle", "lcow-mm-1"]) {
  Deno.test(`a VM sends its host and its guest what was recorded: ${name}`, async () => {
    const run: Recorded = JSON.parse(Deno.readTextFileSync(new URL(`recorded/${name}.json`, import.meta.url)));
    const host = new SimulatedHost({ build: 19043 });
    host.addLinuxBootFolder("C:\\lcow");
    host.addWindowsBootLayer("C:\\layers\\uvmbase");
    ["uvmscratch", "s1"].forEach((scratch) => host.addScratch(`C:\\layers\\${scratch}`));
    host.addLinuxLayer("C:\\layers\\l01\\layer.vhd", 2 ** 20);
    host.addLayer("C:\\layers\\ro01");
    const vm = await createUtilityVM(
      run.guest === "lcow" ? { os: "linux", id: "vm1", owner: "witness", bootFolder: "C:\\lcow" } : {
        os: "windows",
        id: "vm1",
        owner: "witness",
        layerFolders: ["C:\\layers\\uvmbase", "C:\\layers\\uvmscratch"],
      },
      { host },
    );
    await vm.start();
    if (run.steps.some(({ op }) => op.startsWith("Mount"))) {
      const mounted = run.guest === "lcow"
        ? await mountLCOWLayers("container-1", {
          layers: [{ vhdPath: "C:\\layers\\l01\\layer.vhd" }],
          scratchVhdPath: "C:\\layers\\s1\\sandbox.vhdx",
        }, { vm, guestRoot: "/run/gcs/c/container-1" })
        : await mountWCOWLayers("container-1", ["C:\\layers\\ro01", "C:\\layers\\s1"], { vm });
      await mounted.release();
    }
    await vm.close();
    assertEquals(inOrder(ours(host)), inOrder(recorded(run)));
    assertEquals(held(host), []);
  });
}
