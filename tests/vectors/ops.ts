/**
 * What the steps of a run do, by the names that the recordings give them. A step that isn't here is not supported yet.
 *
 * @module
 */

import {
  mountSandboxVolume,
  mountWCOWLayers,
  releaseCimFSHostLayers,
  removeSandboxMountPoint,
  toHostHcsSchemaLayers,
  UnwindError,
} from "../../mod.ts";
import type { Host } from "../../src/ffi/host.ts";
import { attribute, fileAttributes } from "../../src/ffi/kernel32.ts";
import type { Run, Step } from "./run.ts";

/** Something that a step has to be able to give back. */
export interface Releasable {
  release(): Promise<void>;
}

/** What the steps of a run share. */
export interface Stage {
  readonly host: Host;
  /** What was mounted, by the step's `as`, or by the folder of a mount point. Stays here when it was released. */
  readonly mounts: Map<string, Releasable>;
}

/** Does a step, and answers what is to be compared with the keys of the recorded result. */
export type Op = (step: Step, stage: Stage) => Promise<Readonly<Record<string, unknown>>>;

/** The operations. */
export const OPS: Readonly<Record<string, Op>> = {
  async MountWCOWLayers({ as, containerID, layers, volumeMountPath }, { host, mounts }) {
    const options = { host, volumeMountPath: volumeMountPath || undefined };
    const mounted = await keep(mounts, as!, mountWCOWLayers(containerID!, layers!, options));
    return { path: mounted.path };
  },

  async MountSandboxVolume({ hostPath, volumeName }, { host, mounts }) {
    await keep(mounts, hostPath!, mountSandboxVolume(hostPath!, volumeName!, { host }));
    // From here on it is released by its path alone, as the recorded one was.
    mounts.set(hostPath!, { release: () => removeSandboxMountPoint(hostPath!, { host }) });
    return {};
  },

  async RemoveSandboxMountPoint({ hostPath }, { host }) {
    await removeSandboxMountPoint(hostPath!, { host });
    return {};
  },

  async Release({ of }, { mounts }) {
    await mounts.get(of!)?.release();
    return {};
  },

  async ReleaseCimFSHostLayers({ scratch, containerID }, { host }) {
    await releaseCimFSHostLayers(scratch!, containerID!, { host });
    return {};
  },

  async ToHostHcsSchemaLayers({ containerID, layers }, { host }) {
    return { layers: await toHostHcsSchemaLayers(containerID!, layers!, { host }) };
  },

  Stat({ path }, { host }) {
    const attributes = fileAttributes(host, path!);
    if (attributes === undefined) return Promise.resolve({ isDir: undefined });
    return Promise.resolve({ isDir: (attributes & attribute.DIRECTORY) !== 0 });
  },
};

/** The operations that give back. What they are asked to do may be done already. */
export const RELEASING: ReadonlySet<string> = new Set(["Release", "RemoveSandboxMountPoint", "ReleaseCimFSHostLayers"]);

/** Why a run can't be played yet. */
export function notSupported(run: Run): string | undefined {
  const op = run.steps.find((step) => !Object.hasOwn(OPS, step.op))?.op;
  if (op !== undefined) return `${op} is not supported yet`;
  return run.steps.some((step) => step.vm !== undefined) ? "utility VMs are not supported yet" : undefined;
}

/** Whether the run itself gives back what is mounted under `name`. */
export function isReleasedByRun(run: Run, name: string): boolean {
  return run.steps.some((step) => step.of === name || step.op === "RemoveSandboxMountPoint" && step.hostPath === name);
}

async function keep<T extends Releasable>(mounts: Stage["mounts"], name: string, mounting: Promise<T>): Promise<T> {
  try {
    const mounted = await mounting;
    mounts.set(name, mounted);
    return mounted;
  } catch (error) {
    if (error instanceof UnwindError) mounts.set(name, error);
    throw error;
  }
}
