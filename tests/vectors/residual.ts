/**
 * What a list of calls took and did not give back: the accounting by which `result.residual` was made.
 *
 * @module
 */

import { pathKey } from "./disk.ts";
import { type Call, type Residual, succeeded } from "./run.ts";

interface Entry {
  readonly kind: string;
  /** The argument that names what is taken or given back. */
  readonly by: string;
}

const TAKES: Readonly<Record<string, Entry>> = {
  ActivateLayer: { kind: "active", by: "id" },
  PrepareLayer: { kind: "prepared", by: "id" },
  CimMountImage: { kind: "cim", by: "volumeId" },
  HcsAttachOverlayFilter: { kind: "overlay", by: "volumePath" },
  SetVolumeMountPointW: { kind: "mountpoint", by: "volumeMountPoint" },
};

const GIVES: Readonly<Record<string, Entry>> = {
  DeactivateLayer: { kind: "active", by: "id" },
  UnprepareLayer: { kind: "prepared", by: "id" },
  CimDismountImage: { kind: "cim", by: "volumeId" },
  HcsDetachOverlayFilter: { kind: "overlay", by: "volumePath" },
  DeleteVolumeMountPointW: { kind: "mountpoint", by: "volumeMountPoint" },
};

/** The key under which what was given back without having been held is listed. */
export const NEVER_ADDED = "removed-but-never-added";

/** Whether a function gives something back. */
export function givesBack(fn: string): boolean {
  return Object.hasOwn(GIVES, fn);
}

/** What is held after these calls. */
export function residualOf(calls: readonly Call[]): Residual {
  const held = new Map<string, [kind: string, what: string]>();
  const strays: string[] = [];
  for (const call of calls.filter(succeeded)) {
    const take = TAKES[call.fn];
    const entry = take ?? GIVES[call.fn];
    if (entry === undefined) continue;
    const what = String(call.args[entry.by]);
    const key = `${entry.kind} ${pathKey(what)}`;
    if (take !== undefined) held.set(key, [entry.kind, what]);
    else if (!held.delete(key)) strays.push(`${entry.kind}:${what}`);
  }
  const residual: Record<string, string[]> = {};
  for (const [kind, what] of held.values()) (residual[kind] ??= []).push(what);
  if (strays.length > 0) residual[NEVER_ADDED] = strays;
  return residual;
}
