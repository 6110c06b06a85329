/**
 * Paths as Windows resolves them.
 *
 * @module
 */

import { standInGuid } from "../../src/simulated/name_to_guid.ts";

/** What the simulated host takes for the volume of a drive. */
export function driveVolume(drive: string): string {
  return `\\\\?\\Volume{${standInGuid(`drive:${drive.toLowerCase()}`)}}`;
}

/** A path of `C:` as the simulated host resolves it: with the volume in place of the drive. */
export function resolved(path: string): string {
  return path.replace(/^C:/, driveVolume("C:"));
}
