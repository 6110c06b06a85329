/**
 * Hosts on which somebody else has a mount, and what a program mounts on them.
 *
 * @module
 */

import {
  createUtilityVM,
  importBlockCimLayer,
  importCimLayer,
  mountLCOWLayers,
  mountSandboxVolume,
  mountWCOWLayers,
  recover,
  removeSandboxMountPoint,
  unmountWCOWLayers,
  type UtilityVM,
  type UtilityVMOptions,
} from "../../mod.ts";
import type { SimulatedHost, SimulatedHostOptions } from "../../src/simulated/mod.ts";
import { dismountCimImage, mountCimImage } from "../../src/storage/mod.ts";
import { GIB, hostWith, inAnotherProcess } from "../support/host.ts";
import { baseEntries, childEntries, tar } from "../support/layer_tars.ts";

/** What a scenario has acquired. */
export interface Holder {
  release(): Promise<unknown>;
}

/** What a program does on a host. */
export interface Scenario {
  /** Returns a host, on which somebody else already has something. */
  prepare(options?: SimulatedHostOptions): Promise<SimulatedHost>;
  /** Acquires something, and adds what releases it to `holders`. */
  acquire(host: SimulatedHost, holders: Holder[]): Promise<void>;
  /** Releases it in another process. */
  unmount?(host: SimulatedHost): Promise<unknown>;
  /** Whether it stays once its process has ended. */
  readonly lasts?: true;
  /** What stays once it is released, as it is meant to. */
  readonly made?: readonly string[];
}

export const APP = "C:\\layers\\app";
export const BASE = "C:\\layers\\base";
export const OURS = "C:\\scratches\\ours";
export const THEIRS = "C:\\scratches\\theirs";
export const NEW = "C:\\new\\scratch";
export const MOUNT = "C:\\mnt\\ours";
export const BLANK = "C:\\disks\\blank.vhdx";

const VOLUME_ID = "11111111-2222-3333-4444-555555555555";
const VOLUME = `\\\\?\\Volume{${VOLUME_ID}}\\`;

// What Windows might return where nobody knows.
const UNKNOWN: Readonly<Record<string, number | string>> = {
  // Was seen to report success for a disk that stayed attached; here, as its filter is still there.
  DeactivateLayer: 0,
  GetLayerMountPath: "ERROR_NOT_READY",
  HcsDetachOverlayFilter: "ERROR_FLT_FILTER_NOT_FOUND",
  RevokeVmAccess: 0,
  CimDismountImage: "ERROR_SHARING_VIOLATION",
};

/** What functions return where nobody knows what Windows does. */
export const WHEN_UNKNOWN: NonNullable<SimulatedHostOptions["whenUnknown"]> = ({ function: fn }) => UNKNOWN[fn];

/** Returns a host with layers of a kind, on which somebody else has mounted a scratch. */
export async function hostOf(
  kind: "cimLayers" | "layers",
  build: number,
  options: SimulatedHostOptions = {},
): Promise<SimulatedHost> {
  const host = hostWith({
    [kind]: [APP],
    scratches: [OURS, THEIRS],
    folders: ["C:\\data", "C:\\mnt"],
    files: { "C:\\data\\theirs.txt": 1, [`${BASE}\\UtilityVM\\SystemTemplate.vhdx`]: 8 * 2 ** 20 },
    disks: { [BLANK]: GIB },
  }, { build, whenUnknown: WHEN_UNKNOWN, ...options });
  host.addLayer(BASE);
  const theirs = { host: inAnotherProcess(host), volumeMountPath: "C:\\mnt\\theirs" };
  await mountWCOWLayers("theirs", [APP, BASE, THEIRS], theirs);
  return host;
}

function onHost(kind: "cimLayers" | "layers", build: number): Scenario {
  return {
    prepare: (options) => hostOf(kind, build, options),
    acquire: async (host, holders) => {
      holders.push(await mountWCOWLayers("ours", [APP, BASE, OURS], { host, volumeMountPath: MOUNT }));
    },
    unmount: (host) => unmountWCOWLayers(OURS, { host, volumeMountPath: MOUNT }),
  };
}

/** What is mounted on the host itself. */
export const HOST_SCENARIOS: Readonly<Record<string, Scenario>> = {
  "layers on the host": onHost("layers", 20348),
  "an image on the host": onHost("cimLayers", 26100),
  "a new scratch": {
    prepare: (options) => hostOf("layers", 20348, options),
    acquire: async (host, holders) => {
      holders.push(await mountWCOWLayers("ours", [APP, BASE, NEW], { host, createScratch: true }));
    },
    unmount: (host) => unmountWCOWLayers(NEW, { host }),
    made: ["C:\\new", NEW, `${NEW}\\sandbox.vhdx`],
  },
  "a volume by itself": {
    async prepare(options) {
      const host = await hostOf("layers", 20348, options);
      host.addVolume(VOLUME_ID);
      return host;
    },
    acquire: async (host, holders) => {
      holders.push(await mountSandboxVolume(MOUNT, VOLUME, { host }));
    },
    unmount: (host) => removeSandboxMountPoint(MOUNT, { host }),
  },
  "an image by itself": {
    prepare: (options) => hostOf("cimLayers", 26100, options),
    acquire: async (host, holders) => {
      holders.push(await mountCimImage("C:\\layers\\cim-layers\\app.cim", VOLUME, { host }));
    },
    unmount: (host) => dismountCimImage(VOLUME, { host }),
  },
};

// A layer that is imported stays: its user removes it.
function imported(how: typeof importCimLayer | typeof importBlockCimLayer, image: string): Scenario {
  const layer = "C:\\images\\new";
  const hives = ["", "\\SYSTEM_BASE", "\\System_Delta"].map((name) => `${layer}\\Hives${name}`);
  return {
    lasts: true,
    made: [image, layer, ...hives],
    async prepare(options) {
      const host = await hostOf("layers", 27900, options);
      host.addFolder("C:\\images\\cim-layers");
      await how("C:\\images\\base", tar(...baseEntries()), [], { host: inAnotherProcess(host) });
      return host;
    },
    async acquire(host, holders) {
      await how(layer, tar(...childEntries()), ["C:\\images\\base"], { host });
      holders.push({
        release: () => Promise.resolve([image, layer].forEach((path) => host.exists(path) && host.remove(path))),
      });
    },
  };
}

/** What is made of tars. All failures and kills of these are tried with `--full`. */
export const IMPORT_SCENARIOS: Readonly<Record<string, Scenario>> = {
  "a layer in an image": imported(importCimLayer, "C:\\images\\cim-layers\\new.cim"),
  "a layer in an image of its own": imported(importBlockCimLayer, "C:\\images\\new\\layer.bcim"),
};

/** What is mounted in a VM. */
export function inVM(options: UtilityVMOptions, mount: (vm: UtilityVM) => Promise<Holder>): Scenario {
  return {
    async prepare(hostOptions) {
      // A guest that never connects is waited for for two minutes.
      const host = await hostOf("layers", 20348, { clock: "automatic", completion: "synchronous", ...hostOptions });
      host.addWindowsBootLayer("C:\\boot");
      host.addScratch("C:\\bootScratch");
      host.addLinuxBootFolder("C:\\lcow", "rootfs.vhd");
      host.addLinuxBootFolder("C:\\lcow");
      ["a", "b"].forEach((name) => host.addLinuxLayer(`C:\\linux\\${name}.vhd`, 2 ** 20));
      host.addFile("C:\\linux\\scratch.vhdx", 2 ** 20);
      return host;
    },
    async acquire(host, holders) {
      const vm = await createUtilityVM(options, { host });
      holders.push({ release: () => vm.close() });
      await vm.start();
      holders.push(await mount(vm));
    },
    // A record that could not be removed.
    unmount(host) {
      const other = host.otherProcess();
      host.endProcess();
      return recover({ host: other }).finally(() => other.endProcess());
    },
  };
}

/** Mounts layers in a Linux VM of {@linkcode inVM}. */
export function mountLinux(vm: UtilityVM): Promise<Holder> {
  const layers = ["a", "b"].map((name) => ({ vhdPath: `C:\\linux\\${name}.vhd` }));
  return mountLCOWLayers("ours", { layers, scratchVhdPath: "C:\\linux\\scratch.vhdx" }, { vm, guestRoot: "/run/c" });
}

/** A Windows VM with layers. */
export const WINDOWS_VM: Scenario = inVM(
  { os: "windows", id: "ours", layerFolders: ["C:\\boot", "C:\\bootScratch"] },
  (vm) => mountWCOWLayers("ours", [APP, BASE, OURS], { vm }),
);

/** All of which a killed process can leave something. */
export const KILL_SCENARIOS: Readonly<Record<string, Scenario>> = {
  ...HOST_SCENARIOS,
  "a Windows VM with layers": inVM(
    { id: "ours", os: "windows", layerFolders: ["C:\\boot", "C:\\bootScratch"] },
    (vm) => mountWCOWLayers("ours", [APP, BASE, OURS], { vm }),
  ),
  "a Linux VM with layers": inVM({ id: "ours", os: "linux", bootFolder: "C:\\lcow" }, mountLinux),
};
