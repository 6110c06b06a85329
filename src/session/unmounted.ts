/**
 * Mounts of this process that another process has unmounted.
 *
 * @module
 */

import { isDiskInUse } from "../checks/existing.ts";
import { isWithin } from "../checks/windows_path.ts";
import type { Host } from "../ffi/host.ts";
import { sessionOf } from "./session.ts";

/** Forgets the mounts whose scratch, or one of whose layers, is a folder or in it, if their disks are in use by nobody any more. */
export function forgetUnmounted(host: Host, folder: string): void {
  const { mounts } = sessionOf(host);
  const concerned = mounts.list().filter(({ mount, scratch, layers }) =>
    mount !== undefined && [scratch, ...layers].some((path) => isWithin(path, folder))
  );
  for (const { scratch } of concerned) if (!isDiskInUse(host, scratch)) mounts.forget(scratch);
}
