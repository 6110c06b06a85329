/**
 * Layers that the guest has combined to the root of a container.
 *
 * A combination has the life of a device (see `device.ts`), but only one use. One request to the guest combines layers, and
 * another removes the combination. If combining fails, the removal is requested too, in case the guest did part of it.
 *
 * @module
 */

import { type CombinedLayers as Settings, combineLayers, removeCombinedLayers } from "../../hcsschema/requests.ts";
import type { Held, HoldOf } from "../../holds/hold.ts";
import { removalFrom } from "../removal.ts";
import type { RunningVM } from "../running_vm.ts";
import { type Device, DeviceRegistry, type DeviceUse } from "./device.ts";

/** The layers to combine, and the path of the result. */
export interface CombinedLayersInit {
  /**
   * What no other combination in the VM may have: the container's folder, and its part of the scratch. If it is a path in a
   * Linux guest, no other may have anything in it either.
   */
  readonly exclusiveKeys: readonly string[];
  /** The root of the container in the guest. */
  readonly guestPath: string;
  /** Returns the layers. Called when they are combined, because the names of shares are known only then. */
  readonly layers: () => Omit<Settings, "ContainerRootPath">;
}

/** The combined layers of a VM. */
export class CombinedLayers {
  readonly #vm: RunningVM;
  readonly #registry = new DeviceRegistry<Device<HoldOf<"layerTree">>>();
  readonly #keys = new Set<string>();

  /** Starts with no combinations. */
  constructor(vm: RunningVM) {
    this.#vm = vm;
  }

  /** Returns whether a path in a Linux guest is in or around what a combination has. */
  isUsed(path: string): boolean {
    return [...this.#keys].some((key) => meet(path, key));
  }

  /**
   * Reserves a combination, which rests on its layers. Returns undefined if its exclusive keys and those of another one
   * meet.
   */
  reserve(
    { exclusiveKeys, guestPath, layers }: CombinedLayersInit,
    restsOn: readonly Held[],
  ): DeviceUse<Device<HoldOf<"layerTree">>> | undefined {
    if ([...this.#keys].some((other) => exclusiveKeys.some((key) => meet(key, other)))) return undefined;
    exclusiveKeys.forEach((key) => this.#keys.add(key));
    const vm = this.#vm;
    return this.#registry.reserve(guestPath, () => {
      // A Linux guest succeeds if there are no layers, and a Windows guest says that there are none.
      const { removal, undo } = removalFrom(vm, {
        requests: [() => removeCombinedLayers(guestPath)],
        canRemoveNothing: true,
      });
      let requested = false;
      return {
        hold: { kind: "layerTree", vm: vm.id, guestPath },
        async attach() {
          const { ContainerID, ...rest } = layers();
          requested = true;
          await vm.modify(combineLayers({
            ...(ContainerID !== undefined && { ContainerID }),
            ContainerRootPath: guestPath,
            ...rest,
          }));
        },
        undo: async (error) => {
          if (requested) await undo(error);
        },
        removal,
        free: () => exclusiveKeys.forEach((key) => this.#keys.delete(key)),
      };
    }, restsOn);
  }
}

/** Returns whether two paths in a Linux guest are the same, or one is in the other. */
export function meet(key: string, other: string): boolean {
  return key === other || key.startsWith(`${other}/`) || other.startsWith(`${key}/`);
}
