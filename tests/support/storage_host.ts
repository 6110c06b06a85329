import type { SimulatedHost, SimulatedHostOptions } from "../../src/simulated/mod.ts";
import { GIB, hostWith } from "./host.ts";

export const BASE = "C:\\layers\\base";
export const TOP = "C:\\layers\\top";
export const SCRATCH = "C:\\scratch";
export const DISK = `${SCRATCH}\\sandbox.vhdx`;
export const BLANK = "C:\\disks\\blank.vhdx";

/** A host with two layers, a scratch of 20 GiB, and a disk of 1 GiB that isn't formatted. */
export function storageHost(options?: SimulatedHostOptions): SimulatedHost {
  return hostWith({ layers: [BASE, TOP], scratches: [SCRATCH], disks: { [BLANK]: GIB } }, options);
}
