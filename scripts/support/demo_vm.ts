/**
 * `deno task demo --vm`: layers in a Linux and in a Windows VM, on a simulated host, and what was placed where.
 *
 * @module
 */

import { mountLCOWLayers, mountWCOWLayers } from "../../mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { placementRows, simulatedVM } from "./simulated_vm.ts";
import { type Demonstration, Transcript } from "./transcript.ts";

const MIB = 2 ** 20;

/** Mounts layers of two Linux containers and of a Windows container. */
export async function demoVMs(): Promise<Demonstration> {
  const shown = new Transcript();
  const host = new SimulatedHost();
  shown.scene("1. A Linux VM: small disks share a vPMem device, one of 5 GiB and one with partitions are SCSI disks");
  {
    await using vm = await simulatedVM(host, "linux");
    const sizes = { app: 3 * MIB, runtime: 80 * MIB, models: 5120 * MIB, tools: 40 * MIB, base: 30 * MIB };
    const layers = Object.entries(sizes).map(([name, size]) => {
      const vhdPath = `C:\\layers\\${name}.vhd`;
      host.addLinuxLayer(vhdPath, size);
      return { vhdPath, ...(name === "tools" && { partition: 2 }) };
    });
    host.addFile("C:\\pod\\scratch.vhdx", 20 * MIB);
    const mount = (id: string, count: number) =>
      mountLCOWLayers(id, { layers: layers.slice(-count), scratchVhdPath: "C:\\pod\\scratch.vhdx" }, {
        vm,
        guestRoot: `/run/gcs/c/${id}`,
      });
    const web = await mount("web", 5);
    shown.table(placementRows(web));
    shown.scene("2. A second container with the same base and scratch: both are in the VM already");
    const before = requests(host);
    const log = await mount("log", 1);
    shown.table(placementRows(log));
    shown.lines("", `  it took ${requests(host) - before} request of the VM`);
    await log.release();
    await web.release();
  }

  shown.scene("3. A Windows VM: layers are shared folders, and the scratch is a disk");
  {
    await using vm = await simulatedVM(host, "windows");
    const folders = ["C:\\layers\\site", "C:\\layers\\iis", "C:\\layers\\servercore"];
    folders.forEach((folder) => host.addLayer(folder));
    host.addScratch("C:\\containers\\site");
    await using site = await mountWCOWLayers("site", [...folders, "C:\\containers\\site"], { vm });
    shown.table(placementRows(site));
  }

  shown.scene("4. What is held now");
  // The VM's own scratch disk stays, as it is the VM's next time.
  const held = host.held().filter(({ target }) => target !== "C:\\vms\\scratch\\sandbox.vhdx").length;
  shown.lines(`  ${held} held`);
  return { text: shown.text, held };
}

function requests(host: SimulatedHost): number {
  const asked = ["HcsModifyComputeSystem", "guest:ModifySettings"];
  return host.calls.filter((call) => asked.includes(call.function)).length;
}
