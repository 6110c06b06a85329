/**
 * Setting up the base layers of containers and of utility VMs, with the disks that their scratch disks are based on.
 *
 * @module
 */

import { join } from "jsr:@std/path@^1.1.0/windows";
import { diskSize, withHostOptions } from "../checks/arguments.ts";
import { requireDistinct } from "../checks/windows_path.ts";
import { setupBaseOSLayer } from "../ffi/computestorage.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import type { Held, HoldOf } from "../holds/hold.ts";
import { type Expect, type HoldList, withHolds } from "../holds/hold_list.ts";
import { acquireNewDisk, type Disk } from "../host_holds/disk.ts";
import { removeFile, removeTree } from "../host_holds/new_file.ts";
import { fieldsOf } from "../options.ts";
import { claimAbsent, createHeld } from "../session/creations.ts";
import { removeOnceFree } from "../session/waiting.ts";
import { existingLayer } from "./layer.ts";
import { differencing, vhdxPath } from "./virtual_disk.ts";
import { grantGroup } from "./vm_access.ts";
import { formatDisk } from "./writable_disk.ts";

/**
 * The disks of a base layer.
 *
 * @category Scratches and base layers
 */
export interface BaseLayerDisks {
  /** Absolute path of the base disk: ends in `.vhdx`, must not exist. */
  base: string;
  /** Absolute path of the differencing disk on it, which is copied for each scratch: ends in `.vhdx`, must not exist. */
  differencing: string;
  /** Their size in bytes: a multiple of 512 between 3 MiB and 64 TiB. */
  size: number | bigint;
}

const BLOCK_SIZE = 2 ** 20;

/**
 * Sets up the base layer of containers: creates and formats its base disk, lets Windows create `Hives` and `Layout` in the
 * layer, creates the differencing disk, and lets VMs read both disks. If a step fails, everything created is removed.
 *
 * ```ts
 * import { setupContainerBaseLayer } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * await setupContainerBaseLayer("C:\\layers\\base", {
 *   base: "C:\\layers\\base\\blank-base.vhdx",
 *   differencing: "C:\\layers\\base\\blank.vhdx",
 *   size: 20 * 2 ** 30,
 * }, { host });
 * ```
 *
 * @param layer Absolute path of the layer's folder, with its `Files`.
 * @param disks The disks to create.
 * @throws {InvalidInputError} if the layer doesn't exist, or something to be created does. Nothing is ever replaced.
 * @throws {NativeError} if Windows refuses.
 * @throws {UnexpectedAnswerError} if Windows reports success, and has created nothing.
 * @throws {UnwindError} if Windows refuses, and what was created couldn't be removed, or may be another process's.
 * @category Scratches and base layers
 */
export async function setupContainerBaseLayer(
  layer: string,
  disks: BaseLayerDisks,
  options: HostOptions = {},
): Promise<void> {
  return await withHostOptions(options, {}, [layer], async ({ host, signal }) => {
    const wanted = wantedDisks(disks);
    const folder = existingLayer(host, layer, "layer", signal, "baseLayer");
    using claims = new DisposableStack();
    for (const part of [HIVES, LAYOUT]) claims.use(claimAbsent(host, join(folder, part), "layer"));
    claimDisks(host, claims, wanted);
    await withHolds(async (holds) => {
      const base = await acquireBaseDisk(host, holds, wanted, signal);
      await formatDisk(host, base);
      // Windows opens the disk itself in the next step, so it must be closed here.
      await base[Symbol.asyncDispose]();
      await holds.acquire((expect) => acquireBaseOSLayer(host, folder, expect), signal);
      await acquireDifferencingDisk(host, holds, wanted, signal);
    });
  });
}

/**
 * Sets up the base layer of utility VMs: creates its base disk, lets Windows fill it from the layer, creates the
 * differencing disk, and lets VMs read both. If a step fails, the disks are removed; what Windows changed in the boot
 * configuration of the layer stays.
 *
 * ```ts
 * import { setupUtilityVMBaseLayer } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addFolder("C:\\layers\\base\\UtilityVM\\Files");
 * await setupUtilityVMBaseLayer("C:\\layers\\base\\UtilityVM", {
 *   base: "C:\\layers\\base\\UtilityVM\\SystemTemplateBase.vhdx",
 *   differencing: "C:\\layers\\base\\UtilityVM\\SystemTemplate.vhdx",
 *   size: 10 * 2 ** 30,
 * }, { host });
 * ```
 *
 * @param layer Absolute path of the folder of the utility VM, `UtilityVM` of a layer.
 * @param disks The disks to create, usually `SystemTemplateBase.vhdx` and `SystemTemplate.vhdx` in that folder.
 * @throws {InvalidInputError} if the layer doesn't exist, or a disk does. Nothing is ever replaced.
 * @throws {NativeError} if Windows refuses.
 * @throws {UnwindError} if Windows refuses, and what was created couldn't be removed, or may be another process's.
 * @category Scratches and base layers
 */
export async function setupUtilityVMBaseLayer(
  layer: string,
  disks: BaseLayerDisks,
  options: HostOptions = {},
): Promise<void> {
  return await withHostOptions(options, {}, [layer], async ({ host, signal }) => {
    const wanted = wantedDisks(disks);
    const folder = existingLayer(host, layer, "layer", signal, "baseLayer");
    using claims = new DisposableStack();
    claimDisks(host, claims, wanted);
    await withHolds(async (holds) => {
      const base = await acquireBaseDisk(host, holds, wanted, signal);
      await base.attach({ bypassEncryptionPolicy: true });
      signal?.throwIfAborted();
      await setupBaseOSLayer(host, folder, base.handle, { Type: "Vm" });
      await base[Symbol.asyncDispose]();
      await acquireDifferencingDisk(host, holds, wanted, signal);
    });
  });
}

interface WantedDisks {
  readonly base: string;
  readonly differencing: string;
  readonly size: bigint;
}

function wantedDisks(disks: BaseLayerDisks): WantedDisks {
  const wanted = fieldsOf(disks, { base: vhdxPath, differencing: vhdxPath, size: diskSize }, "disks");
  requireDistinct(wanted.differencing, wanted.base, "disks.differencing", "is the base disk as well");
  return wanted;
}

function claimDisks(host: Host, claims: DisposableStack, { base, differencing }: WantedDisks): void {
  claims.use(claimAbsent(host, base, "disks.base"));
  claims.use(claimAbsent(host, differencing, "disks.differencing"));
}

async function acquireBaseDisk(
  host: Host,
  holds: HoldList,
  { base, size }: WantedDisks,
  signal: AbortSignal | undefined,
): Promise<Disk> {
  return (await holds.acquire((expect) => acquireNewDisk(host, base, { size, blockSize: BLOCK_SIZE }, expect), signal))
    .disk;
}

async function acquireDifferencingDisk(
  host: Host,
  holds: HoldList,
  disks: WantedDisks,
  signal: AbortSignal | undefined,
): Promise<void> {
  const init = differencing(disks.base, BLOCK_SIZE);
  const { disk } = await holds.acquire((expect) => acquireNewDisk(host, disks.differencing, init, expect), signal);
  disk[Symbol.dispose]();
  await grantGroup(host, disks.base);
  await grantGroup(host, disks.differencing);
}

const HIVES = "Hives";
const LAYOUT = "Layout";

/** Lets Windows create its part of a base layer, none of which existed before. Releasing it removes that part. */
async function acquireBaseOSLayer(host: Host, layer: string, expect: Expect): Promise<Held<HoldOf<"baseOSLayer">>> {
  const [layout, hives] = [join(layer, LAYOUT), join(layer, HIVES)];
  const held: Held<HoldOf<"baseOSLayer">> = {
    hold: { kind: "baseOSLayer", layer },
    restsOn: [],
    async release() {
      const removed = await removeOnceFree(host, layout, () => removeFile(host, layout));
      return await removeOnceFree(host, hives, () => removeTree(host, hives)) || removed;
    },
  };
  const create = () => setupBaseOSLayer(host, layer, 0n, { Type: "Container" });
  await createHeld(host, { held, paths: [layout, hives], by: "HcsSetupBaseOSLayer" }, create, expect);
  return held;
}
