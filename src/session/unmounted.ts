/**
 * Mounts of this process that another process has unmounted.
 *
 * @module
 */

import { isDiskInUse } from "../checks/existing.ts";
import { isWithin } from "../checks/windows_path.ts";
import type { Host } from "../ffi/host.ts";
import { sessionOf } from "./session.ts";

/**
 * Forgets mounts that are in use by nobody any more, of those whose scratch, or one of whose layers, is a folder or in it: first that
 * of the folder itself, then the others up to one that is in use, as that keeps the folder in use.
 */
export function forgetUnmounted(host: Host, folder: string): void {
  const { mounts } = sessionOf(host);
  if (!mounts.isActivated(folder) && !mounts.isShown(folder)) return;
  if (mounts.mountOf(folder) !== undefined && !isDiskInUse(host, folder)) mounts.forget(folder);
  for (const { mount, scratch, layers } of mounts.list()) {
    if (mount === undefined || ![scratch, ...layers].some((path) => isWithin(path, folder))) continue;
    if (isDiskInUse(host, scratch)) return;
    mounts.forget(scratch);
  }
}
