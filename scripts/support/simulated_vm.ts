/**
 * VMs on a simulated host, for commands that show them.
 *
 * @module
 */

import type { LayerDevice, LayerPlacement } from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { openHost } from "./command.ts";
import { createUtilityVM, type UtilityVM } from "../../src/uvm/utility_vm.ts";

const BOOT_FOLDER = "C:\\Program Files\\Linux Containers";
const IMAGE = "C:\\image\\nanoserver";
const VM_SCRATCH = "C:\\vms\\scratch";

/** A simulated machine, in memory or in a file; where it is new, with the layers and the scratch on its disk. */
export async function simulatedHost(
  simulate: string,
  os: "linux" | "windows",
  paths: readonly string[],
): Promise<SimulatedHost> {
  const layers = paths.slice(0, -1);
  const scratch = paths.at(-1)!;
  const host = await openHost(simulate, (machine) => {
    layers.forEach((path) => os === "linux" ? machine.addLinuxLayer(path, 2 ** 22) : machine.addLayer(path));
    if (os === "linux") machine.addFile(scratch, 2 ** 24);
    else machine.addScratch(scratch);
  });
  return host as SimulatedHost;
}

/** Creates and starts a VM, with the files on the host's disk that it boots from. */
export async function simulatedVM(
  host: SimulatedHost,
  os: "linux" | "windows",
  signal?: AbortSignal,
): Promise<UtilityVM> {
  host.addLinuxBootFolder(BOOT_FOLDER);
  host.addWindowsBootLayer(IMAGE);
  host.addFolder(VM_SCRATCH);
  const id = `${os}-vm`;
  const vm = await createUtilityVM(
    os === "linux" ? { os, id } : { os, id, layerFolders: [IMAGE, VM_SCRATCH] },
    { host, signal },
  );
  try {
    await vm.start({ signal });
    return vm;
  } catch (error) {
    await vm.close();
    throw error;
  }
}

/** Where each layer of a mount is in its VM: device, file or folder of the host, path in the guest. */
export function placementRows(
  { path, placements }: { readonly path: string; readonly placements: readonly LayerPlacement[] },
): string[][] {
  return [
    ["device", "on the host", "in the guest"],
    ...placements.map(({ layer, device, path }) => [nameOf(device), layer, path]),
    ["layers", "", path],
  ];
}

function nameOf(device: LayerDevice): string {
  switch (device.kind) {
    case "vpmem":
      return `vPMem ${device.device}`;
    case "scsi":
      return `SCSI ${device.controller}:${device.lun}`;
    case "vsmb":
      return `VSMB ${device.share}`;
    default:
      return device.kind;
  }
}
