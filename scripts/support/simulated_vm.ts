/**
 * VMs on a simulated host, for commands that show them.
 *
 * @module
 */

import { createUtilityVM, mountLCOWLayers, mountWCOWLayers } from "../../mod.ts";
import type { LayerDevice, LayerPlacement, UtilityVM } from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { openHost } from "./host.ts";

const BOOT_FOLDER = "C:\\Program Files\\Linux Containers";
const IMAGE = "C:\\image\\nanoserver";
const VM_SCRATCH = "C:\\vms\\scratch";

/** Layers to be placed in a VM. */
export interface VMLayers {
  /** Id of the container. */
  readonly id: string;
  /** Folders or disks of the read-only layers, topmost first. */
  readonly layers: readonly string[];
  /** Folder or disk of the scratch. */
  readonly scratch: string;
  /** The file of the simulated machine, or nothing for one in memory. */
  readonly simulate: string;
  /** Stops it. */
  readonly signal: AbortSignal;
}

/** Where layers are in a VM. */
export interface VMPlacements {
  /** The root of the container's file system in the guest. */
  readonly path: string;
  /** Where each layer is. */
  readonly placements: readonly LayerPlacement[];
}

/** Mounts layers in a VM of a simulated machine, ends the VM, and tells where the layers were. */
export async function mountInVM(os: "linux" | "windows", wanted: VMLayers): Promise<VMPlacements> {
  const { id, layers, scratch, simulate, signal } = wanted;
  const host = await openHost({
    command: "mount",
    simulate,
    // Nothing of the library takes layers for a VM that doesn't exist yet. Windows layers are those of the host.
    call: async (host) => os === "windows" ? await mountWCOWLayers(id, [...layers, scratch], { host }) : undefined,
    populate(machine) {
      const add = (path: string, adding: () => void) => machine.exists(path) ? undefined : adding();
      for (const layer of layers) {
        add(layer, () => os === "linux" ? machine.addLinuxLayer(layer, 2 ** 22) : machine.addLayer(layer));
      }
      if (os === "linux") add(scratch, () => machine.addFile(scratch, 2 ** 24));
      else add(`${scratch}\\sandbox.vhdx`, () => machine.addScratch(scratch));
    },
  }) as SimulatedHost;
  await using vm = await simulatedVM(host, os, signal);
  await using mounted = os === "windows"
    ? await mountWCOWLayers(id, [...layers, scratch], { vm, signal })
    : await mountLCOWLayers(id, { layers: layers.map((vhdPath) => ({ vhdPath })), scratchVhdPath: scratch }, {
      vm,
      guestRoot: `/run/gcs/c/${id}`,
      signal,
    });
  const { path, placements } = mounted;
  return { path, placements };
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
export function placementRows({ path, placements }: VMPlacements): string[][] {
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
