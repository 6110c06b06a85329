/**
 * Layers that the guest shows as one tree, which is the root of a container.
 *
 * A tree lives as any device does (see `device.ts`), but has one user. It takes one request to the guest to combine and
 * one to take apart; where combining fails, the guest is told to take apart what it may have made.
 *
 * @module
 */

import { type CombinedLayers, combineLayers, removeCombinedLayers } from "../../hcsschema/requests.ts";
import { log } from "../../log.ts";
import { messageOf } from "../../printable.ts";
import { type Device, DeviceRegistry, type DeviceUse } from "./device.ts";
import { type Modifier, takeAway } from "../running_vm.ts";

/** Layers that the guest shows as one tree. */
export interface LayerTree extends Device {
  /** Where the guest has it. */
  readonly guestPath: string;
}

const trees = new WeakMap<Modifier, DeviceRegistry<LayerTree>>();

/** What a tree is made of, and where. */
export interface LayerTreeInit {
  /** What no two trees of a VM can have in common: the container's folder, or its scratch. */
  readonly owns: string;
  /** Where the guest is to have the tree. */
  readonly guestPath: string;
  /** Its layers, asked for when they are combined. */
  readonly layers: () => Omit<CombinedLayers, "ContainerRootPath">;
}

/**
 * The use of a tree in a VM, `undefined` where another tree has what it is to own. It is combined once `ready()` is
 * called.
 */
export function placeLayerTree(
  vm: Modifier,
  { owns, guestPath, layers }: LayerTreeInit,
): DeviceUse<LayerTree> | undefined {
  let registry = trees.get(vm);
  if (registry === undefined) {
    trees.set(vm, registry = new DeviceRegistry());
  }
  if (registry.has(owns)) return undefined;
  const remove = () => takeAway(vm, removeCombinedLayers(guestPath));
  return registry.place(owns, () => ({
    guestPath,
    async add() {
      const { ContainerID, ...rest } = layers();
      try {
        await vm.modify(combineLayers({
          ...(ContainerID !== undefined && { ContainerID }),
          ContainerRootPath: guestPath,
          ...rest,
        }));
      } catch (error) {
        // Mostly there is nothing to take apart, and the guest says so.
        await remove().catch((failure) => log("debug", () => `taking apart ${guestPath}: ${messageOf(failure)}`));
        throw error;
      }
    },
    removal: [remove],
    free() {},
  }));
}
