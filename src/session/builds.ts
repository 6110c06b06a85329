/**
 * All rules about the builds of Windows.
 *
 * @module
 */

import { UnsupportedBuildError } from "../errors/windows_errors.ts";
import { buildRevision } from "../ffi/advapi32.ts";
import type { Host } from "../ffi/host.ts";
import { sessionOf } from "./session.ts";

/** The first build of each feature. */
export const firstBuild = {
  /** The library: Server 2019, and Windows 10 version 1809. */
  library: 17763,
  /** Formatting a scratch disk that isn't attached. Earlier builds format only the device of an attached disk. */
  formatDetachedDisk: 17764,
  /** A Linux kernel that is booted without UEFI. */
  kernelDirect: 18286,
  /** Several files in one vPMem device. */
  vpmemMultiMapping: 18362,
  /** Hints about memory that the guest doesn't use. */
  enableColdDiscardHint: 18967,
  /** CimFS: images as volumes. */
  cimFs: 19041,
  /** Images that each have a file or a disk of their own, also merged. */
  blockImages: 27766,
  /** Such images, verified by their root hash. */
  verifiedImages: 27800,
  /** Setting up the volume of a base layer. */
  baseOSVolume: 19645,
  /** Groups of processors. */
  cpuGroup: 19043,
} as const;

/** Returns the build of Windows, which is read once per machine. */
export function buildOf(host: Host): number {
  return sessionOf(host).build(host);
}

/**
 * Throws if this Windows is older than a feature.
 *
 * @throws {UnsupportedBuildError} that names the feature as `what`.
 */
export function requireBuild(host: Host, feature: keyof typeof firstBuild, what: string): void {
  const build = buildOf(host);
  const first = firstBuild[feature];
  if (build < first) throw new UnsupportedBuildError(what, `${build}`, `build ${first}${NAMES[first] ?? ""} or later`);
}

const NAMES: Readonly<Record<number, string>> = {
  17763: " (Server 2019, Windows 10 version 1809)",
  19041: " (version 2004)",
};

const SERVER_2022 = 20348;
const SERVER_2022_REVISION = 2031;
const SERVER_2025 = 26100;

/** Returns whether support for containers on CIM images depends on the revision of this build. */
export function cimLayersDependOnRevision(host: Host): boolean {
  return buildOf(host) < SERVER_2025;
}

/**
 * Throws if this Windows can't run containers on CIM images, which needs more than {@linkcode firstBuild.cimFs}.
 *
 * @throws {UnsupportedBuildError} if the build is neither 20348.2031 or a later revision of it, nor 26100 or later.
 */
export function requireCimLayers(host: Host): void {
  if (!cimLayersDependOnRevision(host)) return;
  const build = buildOf(host);
  const revision = buildRevision(host);
  if (build === SERVER_2022 && revision >= SERVER_2022_REVISION) return;
  throw new UnsupportedBuildError(
    "CimFS for containers",
    `${build}.${revision}`,
    `build ${SERVER_2022}.${SERVER_2022_REVISION} (Server 2022) or a later revision of it, or build ${SERVER_2025} ` +
      "(Server 2025) or later",
  );
}

/** Returns whether files can be mapped into a VM only if their file system has 128-bit file ids. */
export function mapsByFileIdOnly(host: Host): boolean {
  const build = buildOf(host);
  return build >= 18362 && build <= 19042;
}
