/**
 * What a list of calls took and did not give back: the accounting by which `result.residual` was made.
 *
 * @module
 */

import { pathKey } from "./disk.ts";
import { changeOf, removes } from "./requests.ts";
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
  CimMergeMountImage: { kind: "cim", by: "volumeId" },
  HcsAttachOverlayFilter: { kind: "overlay", by: "volumePath" },
  SetVolumeMountPointW: { kind: "mountpoint", by: "volumeMountPoint" },
  GrantVmAccess: { kind: "access", by: "filepath" },
};

const GIVES: Readonly<Record<string, Entry>> = {
  DeactivateLayer: { kind: "active", by: "id" },
  UnprepareLayer: { kind: "prepared", by: "id" },
  CimDismountImage: { kind: "cim", by: "volumeId" },
  HcsDetachOverlayFilter: { kind: "overlay", by: "volumePath" },
  DeleteVolumeMountPointW: { kind: "mountpoint", by: "volumeMountPoint" },
  RevokeVmAccess: { kind: "access", by: "filepath" },
};

/** The key under which what was given back without having been held is listed. */
export const NEVER_ADDED = "removed-but-never-added";

interface Change {
  readonly takes: boolean;
  readonly kind: string;
  readonly what: string;
}

function change(call: Call): Change | undefined {
  const entry = TAKES[call.fn] ?? GIVES[call.fn];
  if (entry === undefined) return changeOf(call);
  return { takes: Object.hasOwn(TAKES, call.fn), kind: entry.kind, what: String(call.args[entry.by]) };
}

/** Whether a call gives something back, or is one step of that. */
export function givesBack(call: Call): boolean {
  return change(call)?.takes === false || removes(call);
}

/**
 * What is held after these calls. What is taken several times is given back as often; with `isMaybe`, what a call failed to
 * take may be given back as well.
 */
export function residualOf(calls: readonly Call[], { isMaybe = false } = {}): Residual {
  const held: { key: string; kind: string; what: string }[] = [];
  // What was refused may have been done, at least in part.
  const uncertain = new Set<string>();
  const strays: string[] = [];
  for (const call of calls) {
    const changed = change(call);
    if (changed === undefined) continue;
    const { takes, kind, what } = changed;
    const key = `${kind} ${pathKey(what)}`;
    if (!succeeded(call)) {
      if (takes && (kind === "guest" || isMaybe)) uncertain.add(key);
    } else if (takes) {
      held.push({ key, kind, what });
    } else {
      const at = held.findLastIndex((other) => other.key === key);
      if (at >= 0) held.splice(at, 1);
      else if (!uncertain.delete(key)) strays.push(`${kind}:${what}`);
    }
  }
  const residual: Record<string, string[]> = {};
  for (const { kind, what } of held) (residual[kind] ??= []).push(what);
  if (strays.length > 0) residual[NEVER_ADDED] = strays;
  return residual;
}

/** Whether a volume is mounted at a folder, or in it. */
export function isMountedAt(held: Residual, folder: string): boolean {
  const key = pathKey(folder);
  return (held.mountpoint ?? []).map(pathKey).some((other) => other === key || other.startsWith(`${key}\\`));
}

/** What is held, as one text to compare and to read. */
export function listed(held: Residual): string {
  const kinds = Object.entries(held).filter(([kind]) => kind !== NEVER_ADDED);
  return kinds.flatMap(([kind, names]) => names.map((name) => `${kind} ${pathKey(name)}`)).sort().join();
}
