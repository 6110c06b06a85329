// VMs with whose guests this process talks itself.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { mountLCOWLayers } from "../../src/layers/lcow.ts";
import { mountWCOWLayers } from "../../src/layers/wcow.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { heldKinds } from "../support/calls.ts";
import { BOOT, createdDocument, IMAGE, SCRATCH, startedVM, vmHost } from "../support/vm_host.ts";

const LINUX = { os: "linux", id: "vm1", bootFolder: BOOT } as const;
const WINDOWS = { os: "windows", id: "vm1", layerFolders: [IMAGE, SCRATCH] } as const;

/** What the host and the guest were asked for, in order. */
function asked(host: SimulatedHost, from = 0): string[] {
  return host.calls.slice(from).flatMap(({ function: fn, args }) => {
    if (fn === "HcsModifyComputeSystem") {
      const { RequestType, ResourcePath } = JSON.parse(String(args.configuration));
      return [`host ${RequestType} ${ResourcePath.split("/")[2]}`];
    }
    if (!fn.startsWith("guest:")) return [];
    const { Request } = args.request as { Request?: { RequestType: string; ResourceType: string } };
    return [Request === undefined ? fn : `guest ${Request.RequestType} ${Request.ResourceType}`];
  });
}

function hostWithLayers(): SimulatedHost {
  const host = vmHost();
  host.addLinuxLayer("C:\\layers\\1.vhd", 2 ** 20);
  host.addFile("C:\\scratch.vhdx", 2 ** 24);
  host.addLayer("C:\\layers\\base");
  host.addScratch("C:\\scratches\\1");
  return host;
}

const LCOW = { layers: [{ vhdPath: "C:\\layers\\1.vhd" }], scratchVhdPath: "C:\\scratch.vhdx" };

Deno.test("a Linux VM starts, carries layers and ends over its own connection, in the order of the container tools", async () => {
  const host = hostWithLayers();
  const vm = await startedVM(host, LINUX);
  assertEquals(JSON.parse(createdDocument(host)).VirtualMachine.GuestConnection, undefined);
  assertEquals(vm.capabilities, {
    ProtocolVersion: 4,
    GuestDefinedCapabilities: {
      NamespaceAddRequestSupported: true,
      SignalProcessSupported: true,
      DumpStacksSupported: true,
      DeleteContainerStateSupported: true,
    },
  });
  assertEquals(asked(host), ["guest:NegotiateProtocol", "guest Add SecurityPolicy"]);
  const started = host.calls.length;
  const mounted = await mountLCOWLayers("c1", LCOW, { vm, guestRoot: "/run/c" });
  assertEquals(asked(host, started).sort(), [
    "guest Add CombinedLayers",
    "guest Add MappedVirtualDisk",
    "guest Add VPMemDevice",
    "host Add Scsi",
    "host Add VirtualPMem",
  ]);
  const from = host.calls.length;
  await mounted.release();
  assertEquals(asked(host, from), [
    "guest Remove CombinedLayers",
    "guest Remove MappedVirtualDisk",
    "guest Remove SCSIDevice",
    "host Remove Scsi",
    "guest Remove VPMemDevice",
    "host Remove VirtualPMem",
  ]);
  await vm.close();
  assertEquals(host.held(), []);
});

Deno.test("a Windows VM is created in its guest with the host's time zone, and carries layers", async () => {
  const host = hostWithLayers();
  const vm = await startedVM(host, WINDOWS);
  assertEquals(asked(host), ["guest:NegotiateProtocol", "guest:Create", "guest:Start", "guest Update HvSocket"]);
  const { request } = host.calls.find((call) => call.function === "guest:Create")!.args;
  const { TimeZoneInformation } = JSON.parse((request as { ContainerConfig: string }).ContainerConfig);
  assertEquals(TimeZoneInformation.StandardName, "W. Europe Standard Time");
  const from = host.calls.length;
  const mounted = await mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratches\\1"], { vm });
  await mounted.release();
  assertEquals(asked(host, from), [
    "host Add VirtualSmb",
    "host Add Scsi",
    "guest Add MappedVirtualDisk",
    "guest Add CombinedLayers",
    "guest Remove CombinedLayers",
    "guest Remove MappedVirtualDisk",
    "host Remove Scsi",
    "host Remove VirtualSmb",
  ]);
  await vm.close();
  assertEquals([host.held(), heldKinds(host)], [[], []]);
});
