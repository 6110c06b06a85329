/**
 * Many scratches on one host, and what is mounted with each.
 *
 * @module
 */

import { type Mounted, mountWCOWLayers } from "../../mod.ts";
import type { SimulatedHost, SimulatedHostOptions } from "../../src/simulated/mod.ts";
import { hostWith } from "../support/host.ts";
import { WHEN_UNKNOWN } from "./scenarios.ts";

const APP = "C:\\layers\\app";
const BASE = "C:\\layers\\base";
const IMAGE = "C:\\layers\\image";

/** A scratch, and what is mounted with it. */
export interface Slot {
  /** Id of the container. */
  readonly container: string;
  /** Folder of the scratch. */
  readonly scratch: string;
  /** Folders of the layers, and of the scratch. */
  readonly folders: readonly string[];
  /** A folder for the volume, which doesn't exist, in one that the slots share. */
  readonly volumeMountPath: string;
}

/** Returns so many slots. One in four has its layers in an image. */
export function slotsOf(count: number): Slot[] {
  return Array.from({ length: count }, (_, i) => {
    const scratch = `C:\\scratches\\${i}`;
    const layers = i % 4 === 0 ? [IMAGE, BASE] : [APP, BASE];
    return { container: `c${i}`, scratch, folders: [...layers, scratch], volumeMountPath: `C:\\mnt\\${i}` };
  });
}

/** Returns a host with the layers and scratches of slots. */
export function slotsHost(slots: readonly Slot[], options: SimulatedHostOptions = {}): SimulatedHost {
  const machine = hostWith(
    { layers: [APP], cimLayers: [IMAGE], scratches: slots.map(({ scratch }) => scratch) },
    { build: 26100, whenUnknown: WHEN_UNKNOWN, ...options },
  );
  machine.addLayer(BASE);
  return machine;
}

/** Mounts a slot. */
export function mountSlot(
  { container, folders, volumeMountPath }: Slot,
  host: SimulatedHost,
  recover = false,
): Promise<Mounted> {
  return mountWCOWLayers(container, folders, { host, volumeMountPath, recover });
}
