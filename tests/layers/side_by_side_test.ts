import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { createUtilityVM, type LinuxVMOptions, mountLCOWLayers, mountWCOWLayers, type UtilityVM } from "../../mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";

const LAYERS = Array.from({ length: 20 }, (_, i) => i);
const REQUEST_MS = 5;

/** A host on which each request to a VM takes 5 ms of its clock, and how many of them pass one after another. */
function slowHost() {
  const latency = ({ function: fn }: { function: string }) =>
    fn === "HcsModifyComputeSystem" || fn === "guest:ModifySettings" ? REQUEST_MS : undefined;
  const host = new SimulatedHost({ clock: "automatic", latency, completion: "synchronous" });
  const requests = async <T>(body: () => Promise<T>): Promise<readonly [number, T]> => {
    const { now } = host.clock;
    const result = await body();
    return [(host.clock.now - now) / REQUEST_MS, result];
  };
  return { host, requests };
}

async function linux(options: Omit<LinuxVMOptions, "os">): Promise<{ mount: number; release: number }> {
  const { host, requests } = slowHost();
  host.addLinuxBootFolder("C:\\boot");
  const vhds = LAYERS.map((i) => `C:\\layers\\${i}.vhd`);
  vhds.forEach((vhd) => host.addLinuxLayer(vhd, 2 ** 20));
  host.addFile("C:\\scratch.vhdx", 2 ** 20);
  await using vm = await createUtilityVM({ ...options, os: "linux", bootFolder: "C:\\boot" }, { host });
  await vm.start();
  const layers = { layers: vhds.map((vhdPath) => ({ vhdPath })), scratchVhdPath: "C:\\scratch.vhdx" };
  const [mount, mounted] = await requests(() => mountLCOWLayers("c1", layers, { vm, guestRoot: "/run/gcs/c/c1" }));
  const [release] = await requests(() => mounted.release());
  return { mount, release };
}

async function windows(open: (host: SimulatedHost, folders: string[]) => Promise<UtilityVM>) {
  const { host, requests } = slowHost();
  host.addWindowsBootLayer("C:\\image");
  const layers = LAYERS.map((i) => `C:\\layers\\${i}`);
  layers.forEach((layer) => host.addLayer(layer));
  ["C:\\vm", "C:\\scratch"].forEach((scratch) => host.addScratch(scratch));
  await using vm = await open(host, ["C:\\image", "C:\\vm"]);
  await vm.start();
  const [mount, mounted] = await requests(() => mountWCOWLayers("c1", [...layers, "C:\\scratch"], { vm }));
  const [release] = await requests(() => mounted.release());
  return { mount, release };
}

// A layer as memory is two requests with the direct connection, one of the host and one of the guest.
for (
  const [name, options, expected] of [
    ["as persistent memory, concurrently", { concurrentChanges: true }, { mount: 2 + 1 + 1, release: 1 + 1 + 2 }],
    ["as persistent memory, by default", {}, { mount: 20 * 2 + 1 + 1, release: 1 + 1 + 20 * 2 + 2 }],
    ["as persistent memory, over the compute service", { guestConnection: "internal" }, { mount: 3, release: 4 }],
    ["as disks, concurrently", { fullyPhysicallyBacked: true, concurrentChanges: true }, { mount: 3, release: 4 }],
    ["as disks, by default", { fullyPhysicallyBacked: true }, { mount: 3, release: 1 + 21 + 21 * 2 }],
  ] as const satisfies readonly (readonly [string, Omit<LinuxVMOptions, "os">, object])[]
) {
  Deno.test(`20 Linux layers ${name}, take as long as the requests that wait for each other`, async () => {
    assertEquals(await linux(options), expected);
  });
}

Deno.test("20 shared layers take as long as the requests that wait for each other", async () => {
  const open = (concurrentChanges: boolean) => (host: SimulatedHost, layerFolders: string[]) =>
    createUtilityVM({ os: "windows", layerFolders, concurrentChanges }, { host });
  // Shares that are mapped directly stay.
  assertEquals(await windows(open(true)), { mount: 3, release: 3 });
  assertEquals(await windows(open(false)), { mount: 20 + 1 + 1, release: 3 });
});
