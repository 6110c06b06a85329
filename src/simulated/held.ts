/**
 * What is held of a simulated machine.
 *
 * @module
 */

import { enabledPrivileges } from "./advapi32.ts";
import type { Process } from "./call.ts";
import type { VirtualMachine } from "./vm.ts";
import type { Acquirer, Windows } from "./windows.ts";

/**
 * What can be held of a simulated machine.
 *
 * @category Simulation
 */
export type HeldKind =
  | "activation"
  | "filter"
  | "cimVolume"
  | "overlay"
  | "attachedDisk"
  | "storageFilter"
  | "mountPoint"
  | "folder"
  | "file"
  | "computeSystem"
  | "vsmbShare"
  | "scsiAttachment"
  | "vpmem"
  | "guestMount"
  | "layerTree"
  | "handle"
  | "callback"
  | "privilege";

/**
 * Something that is held of the simulated machine.
 *
 * @category Simulation
 */
export interface HeldResource {
  /**
   * The kind of resource:
   *
   * - `activation`, `filter`, `cimVolume`, `overlay`, `attachedDisk`, `storageFilter`, `mountPoint`;
   * - `folder` and `file`, if a program created them;
   * - `computeSystem`, and in it `vsmbShare`, `scsiAttachment`, `vpmem`, `guestMount`, `layerTree`;
   * - `handle`, `callback`, and `privilege` (one that was enabled later) of this process.
   */
  readonly kind: HeldKind;
  /** Its path or name. */
  readonly target: string;
  /** The call that acquired it. Undefined for what only this process holds. */
  readonly by?: Acquirer;
}

/** What programs keep for themselves: nothing that they hold of the machine. */
export const PROGRAM_DATA = /^C:\\ProgramData(\\|$)/i;

/** Returns what is held of the machine, and what this process alone holds. */
export function heldOf({ state }: Windows, process: Process): HeldResource[] {
  const held: HeldResource[] = [];
  for (const { path, activatedBy, preparedBy } of Object.values(state.active)) {
    held.push({ kind: "activation", target: path, by: activatedBy });
    if (preparedBy !== undefined) held.push({ kind: "filter", target: path, by: preparedBy });
  }
  for (const { image, by } of Object.values(state.images)) {
    held.push({ kind: "cimVolume", target: image, by });
  }
  for (const { volume, by } of Object.values(state.overlays)) {
    held.push({ kind: "overlay", target: volume, by });
  }
  for (const { path, by } of Object.values(state.disks)) {
    held.push({ kind: "attachedDisk", target: path, by });
  }
  for (const { volume, by } of Object.values(state.storageFilters)) {
    held.push({ kind: "storageFilter", target: volume, by });
  }
  for (const { path, type, createdBy, mountedBy, isDeletePending } of Object.values(state.nodes)) {
    // What is deleted goes with the last handle to it.
    if (PROGRAM_DATA.test(path) || isDeletePending) continue;
    if (createdBy !== undefined) held.push({ kind: type, target: path, by: createdBy });
    if (mountedBy !== undefined) held.push({ kind: "mountPoint", target: path, by: mountedBy });
  }
  for (const vm of Object.values(state.systems)) held.push(...heldOfVM(vm));
  for (const { target } of process.handles.list()) {
    if (PROGRAM_DATA.test(target)) continue;
    held.push({ kind: "handle", target });
  }
  for (const target of enabledPrivileges(process)) {
    held.push({ kind: "privilege", target });
  }
  for (let i = 0; i < process.service.callbacks; i++) {
    held.push({ kind: "callback", target: "vmcompute.dll" });
  }
  // Copies, so that they stay as they are now.
  return held.map(({ by, ...thing }) => by === undefined ? thing : { ...thing, by: { ...by } });
}

// Returns the VM, and what was attached to it after its creation.
function heldOfVM(vm: VirtualMachine): HeldResource[] {
  const kinds = [
    ["vsmbShare", vm.shares],
    ["scsiAttachment", vm.disks],
    ["vpmem", vm.pmem],
    ["guestMount", vm.mounts],
    ["layerTree", vm.trees],
  ] as const;
  return [
    { kind: "computeSystem", target: vm.id, by: vm.by },
    ...kinds.flatMap(([kind, things]) =>
      Object.entries(things).flatMap(([key, thing]) => {
        const { by, path } = thing as { by?: Acquirer; path?: string };
        return by === undefined ? [] : [{ kind, target: [vm.id, key, path].filter(Boolean).join(" "), by }];
      })
    ),
  ];
}
