/**
 * Mounts as people see them.
 *
 * @module
 */

import type { MountInfo } from "../../mod.ts";

/** A mount: container, state, scratch, where it is mounted, process, since when. */
export function mountRow(
  { containerId, state, scratch, mountPoints, volume, owner, permanent, since }: MountInfo,
): string[] {
  const place = mountPoints.length > 0 ? mountPoints.join(" ") : volume ?? "-";
  const process = permanent && state === "mounted" ? "left on purpose" : `process ${owner.pid} ${owner.state}`;
  return [containerId, state, scratch, place, process, since];
}
