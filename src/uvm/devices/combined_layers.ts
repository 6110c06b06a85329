/**
 * Layers that the guest has combined to the root of a container.
 *
 * A combination lives as any device does (see `device.ts`), but has one use. It takes one request to the guest to combine
 * and one to take apart; if combining fails, the guest is told to take apart what it may have combined.
 *
 * @module
 */

import { messageOf } from "../../errors/printable.ts";
import { type CombinedLayers as Settings, combineLayers, removeCombinedLayers } from "../../hcsschema/requests.ts";
import type { Held, HoldOf } from "../../holds/hold.ts";
import { log } from "../../log.ts";
import { removeFrom, type RunningVM } from "../running_vm.ts";
import { type Device, DeviceRegistry, type DeviceUse } from "./device.ts";

/** What is combined, and where. */
export interface CombinedLayersInit {
  /** What no two combinations in a VM have in common: the container's folder, and its part of the scratch. */
  readonly exclusiveKeys: readonly string[];
  /** The root of the container in the guest. */
  readonly guestPath: string;
  /** The layers; called when they are combined, as the names of shares are known only then. */
  readonly layers: () => Omit<Settings, "ContainerRootPath">;
}

/** The combined layers of a VM. */
export class CombinedLayers {
  readonly #vm: RunningVM;
  readonly #registry = new DeviceRegistry<Device<HoldOf<"layerTree">>>();
  readonly #keys = new Set<string>();

  /** None. */
  constructor(vm: RunningVM) {
    this.#vm = vm;
  }

  /** The use of a combination, which rests on its layers. Undefined if another one has an exclusive key of it. */
  reserve(
    { exclusiveKeys, guestPath, layers }: CombinedLayersInit,
    restsOn: readonly Held[],
  ): DeviceUse<Device<HoldOf<"layerTree">>> | undefined {
    if (exclusiveKeys.some((key) => this.#keys.has(key))) return undefined;
    exclusiveKeys.forEach((key) => this.#keys.add(key));
    const vm = this.#vm;
    const remove = () => removeFrom(vm, removeCombinedLayers(guestPath));
    return this.#registry.reserve(guestPath, () => ({
      hold: { kind: "layerTree", vm: vm.id, guestPath },
      async attach() {
        const { ContainerID, ...rest } = layers();
        try {
          await vm.modify(combineLayers({
            ...(ContainerID !== undefined && { ContainerID }),
            ContainerRootPath: guestPath,
            ...rest,
          }));
        } catch (error) {
          // Usually there is nothing to take apart, and the guest says so.
          await remove().catch((failure) => log("debug", () => `taking apart ${guestPath}: ${messageOf(failure)}`));
          throw error;
        }
      },
      removal: [remove],
      free: () => exclusiveKeys.forEach((key) => this.#keys.delete(key)),
    }), restsOn);
  }
}
