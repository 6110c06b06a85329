/**
 * What the Windows at hand can do.
 *
 * @module
 */

import { UnsupportedBuildError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import { buildNumber } from "../ffi/ntdll.ts";

/** The first build with which this library works: Server 2019, and Windows 10 version 1809. */
export const MINIMUM_BUILD = 17763;

const builds = new WeakMap<object, number>();

/** The build of Windows, asked for once per machine. */
export function buildOf(host: Host): number {
  let build = builds.get(host.machine);
  if (build === undefined) {
    build = buildNumber(host);
    builds.set(host.machine, build);
  }
  return build;
}

/**
 * Refuses a Windows that is older than the library.
 *
 * @throws {UnsupportedBuildError} if the build is below 17763.
 */
export function requireMinimumBuild(host: Host): void {
  const build = buildOf(host);
  if (build < MINIMUM_BUILD) {
    throw new UnsupportedBuildError(
      "Mounting layers",
      `${build}`,
      `build ${MINIMUM_BUILD} (Server 2019, Windows 10 version 1809) or later`,
    );
  }
}
