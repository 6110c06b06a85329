/**
 * The DLLs that each operation calls, and the check before it begins that Deno may load them.
 *
 * @module
 */

import { advapi32 } from "../ffi/advapi32.ts";
import { cimfs } from "../ffi/cimfs.ts";
import { computestorage } from "../ffi/computestorage.ts";
import { type Host, type PossibleDlls, requireGrants } from "../ffi/host.ts";
import { kernel32 } from "../ffi/kernel32.ts";
import { ntdll } from "../ffi/ntdll.ts";
import { offreg } from "../ffi/offreg.ts";
import { ole32 } from "../ffi/ole32.ts";
import type { Dll } from "../ffi/table.ts";
import { virtdisk } from "../ffi/virtdisk.ts";
import { vmcompute } from "../ffi/vmcompute.ts";

const LAYERS = [kernel32, ntdll, vmcompute];
const IMAGES = [...LAYERS, cimfs, computestorage];

/** The DLLs that each operation calls. */
export const dllsOf = {
  baseLayer: [kernel32, ntdll, virtdisk, computestorage, advapi32],
  disk: [kernel32, virtdisk],
  files: [kernel32],
  find: LAYERS,
  hcsLayer: [kernel32, computestorage],
  image: IMAGES,
  imageByRevision: [...IMAGES, advapi32],
  layer: [kernel32, vmcompute],
  list: [...LAYERS, virtdisk],
  mount: LAYERS,
  mountPoint: [kernel32, ntdll],
  scratchDisk: [kernel32, virtdisk, vmcompute],
  unmount: LAYERS,
  vm: [...LAYERS, advapi32, ole32],
  writeImage: [kernel32, ntdll, cimfs],
  importLayer: [...LAYERS, advapi32],
  importImage: [kernel32, ntdll, cimfs, offreg],
} satisfies Record<string, readonly Dll[]>;

/** An operation. */
export type Operation = keyof typeof dllsOf;

// Whether layers have a CIM image can be found out only with kernel32.dll.
const POSSIBLE: Readonly<Partial<Record<Operation, PossibleDlls>>> = {
  mount: { when: "With CIM images", dlls: [cimfs, computestorage, advapi32] },
  unmount: { when: "With CIM images", dlls: [cimfs, computestorage] },
};

/**
 * Throws if Deno lacks a permission for an operation.
 *
 * @throws {MissingPermissionError} with the flags for all missing permissions.
 */
export function requireGrantsFor(host: Host, operation: Operation): void {
  requireGrants(host, dllsOf[operation], POSSIBLE[operation]);
}
