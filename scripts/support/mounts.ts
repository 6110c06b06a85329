/**
 * Mounts as people see them.
 *
 * @module
 */

import type { MountInfo } from "../../mod.ts";

/** A mount: container, state, scratch, where it is mounted, process or tool, since when. */
export function mountRow(
  { containerId, kind, state, scratch, image, mountPoints, volume, owner, permanent, since }: MountInfo,
): string[] {
  const place = mountPoints.length > 0 ? mountPoints.join(" ") : volume ?? "-";
  return [
    containerId ?? kind ?? "-",
    state,
    scratch || (image?.path ?? volume ?? "-"),
    place,
    who(owner, permanent === true && state === "mounted"),
    since ?? "-",
  ];
}

function who({ tool, pid, state }: MountInfo["owner"], isMeantToStay: boolean): string {
  if (tool !== "hcs-layers") return tool;
  return isMeantToStay ? "left on purpose" : `process ${pid} ${state}`;
}
