/**
 * The holds on a new scratch: its folder and its disk.
 *
 * @module
 */

import { diskOf } from "../checks/windows_path.ts";
import type { Host } from "../ffi/host.ts";
import { createSandboxLayer } from "../ffi/vmcompute.ts";
import type { Held, HoldOf } from "../holds/hold.ts";
import type { HoldList } from "../holds/hold_list.ts";
import { parentLayers } from "../session/session.ts";
import { acquireFolder } from "./mount_folder.ts";
import { acquireNewFile } from "./new_file.ts";

/** A scratch to create. */
export interface NewScratch {
  /** Its folder, which is created if it is missing. */
  readonly scratch: string;
  /** Folders of the read-only layers, topmost first. */
  readonly layers: readonly string[];
}

/** Creates the folder and the disk of a scratch, and never replaces existing ones. Returns the hold on the disk. */
export async function acquireNewScratch(
  host: Host,
  holds: HoldList,
  { scratch, layers }: NewScratch,
  signal: AbortSignal | undefined,
): Promise<Held<HoldOf<"newFile">>> {
  const folder = await holds.acquire((expect) => acquireFolder(host, scratch, expect), signal);
  const how = {
    by: "CreateSandboxLayer",
    make: () => createSandboxLayer(host, scratch, parentLayers(host, layers)),
  };
  return await holds.acquire(
    (expect) => acquireNewFile(host, diskOf(scratch), how, { restsOn: [folder], expect }),
    signal,
  );
}
