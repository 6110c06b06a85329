/**
 * Mounts as people see them.
 *
 * @module
 */

import type { MountInfo } from "../../mod.ts";

/** A mount: container, state, scratch or other disk or image, where it is mounted, process or tool, since when. */
export function mountRow(mount: MountInfo): string[] {
  const { containerId, kind, state, mountPoints, volume, owner, permanent, since } = mount;
  const place = mountPoints.length > 0 ? mountPoints.join(" ") : volume ?? "-";
  return [
    containerId ?? kind ?? "-",
    state,
    named(mount),
    place,
    who(owner, permanent === true && state === "mounted"),
    since ?? "-",
  ];
}

/** The folder of a scratch; of what is none, the file of its disk, the volume of its image, the id of the VM, or the layer. */
export function named({ scratch, disk, image, volume, vm, layers }: MountInfo): string {
  return disk ?? vm?.id ?? (scratch || (image?.path || image?.volume || volume || layers[0] || "-"));
}

function who({ tool, pid, state }: MountInfo["owner"], isMeantToStay: boolean): string {
  if (tool !== "hcs-layers") return tool;
  return isMeantToStay ? "left on purpose" : `process ${pid} ${state}`;
}
