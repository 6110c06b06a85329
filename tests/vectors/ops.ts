/**
 * What the steps of a run do, by the names that the recordings give them.
 *
 * @module
 */

import {
  createUtilityVM,
  getHCSLayers,
  type LinuxVMOptions,
  makeMountedWCOWLayers,
  mountLCOWLayers,
  mountSandboxVolume,
  mountWCOWLayers,
  parseLCOWLayers,
  parseWCOWLayers,
  releaseCimFSHostLayers,
  removeSandboxMountPoint,
  toHostHcsSchemaLayers,
  UnwindError,
  type UtilityVM,
  type UtilityVMOptions,
} from "../../mod.ts";
import type { Host } from "../../src/ffi/host.ts";
import { attribute, fileAttributes } from "../../src/ffi/kernel32.ts";
import type { Layer } from "../../src/hcsschema/layer_document.ts";
import { pathKey } from "./disk.ts";
import type { Run, Step } from "./run.ts";

/** Something that a step has to be able to give back. */
export interface Releasable {
  release(): Promise<void>;
}

/** What one step mounted, or could not take apart again. */
export class Mount {
  /** Whether the run asked for its release. */
  isAskedFor = false;
  /** Whether it was released without an error. */
  isReleased = false;
  readonly #mounted: Releasable;

  constructor(mounted: Releasable) {
    this.#mounted = mounted;
  }

  /** Releases it as a step of the run does. */
  async release(): Promise<void> {
    this.isAskedFor = true;
    await this.#mounted.release();
    this.isReleased = true;
  }

  /** Releases it once more. */
  async releaseAgain(): Promise<void> {
    await this.#mounted.release();
  }
}

/** What the steps of a run share. */
export interface Stage {
  readonly host: Host;
  /** Whether the steps are those of the original's head. */
  readonly isHead: boolean;
  /** Whether the VMs talk with their guests themselves. */
  readonly isDirect: boolean;
  /** Cancels the step, if the recorder did that. */
  signal?: AbortSignal | undefined;
  /** What was mounted, by the step's `as`, or by the key of the folder of a mount point. Stays here when it is released. */
  readonly mounts: Map<string, Mount>;
  /** All that may have to be released at the end, also what has no name, or one that something else has now. */
  readonly leftovers: Mount[];
  /** The VMs that were created, by their ids. */
  readonly vms: Map<string, UtilityVM>;
}

/** Does a step, and returns what is to be compared with the keys of the recorded result. */
export type Op = (step: Step, stage: Stage) => Promise<Readonly<Record<string, unknown>>>;

/** The operations. */
export const OPS: Readonly<Record<string, Op>> = {
  CreateLCOW({ vm, path, options = {} }, stage) {
    const { vpmemNoMultiMapping, vpmemDeviceCount, vpmemSizeBytes, encryptScratch } = options;
    return createVM(stage, {
      ...commonOptions(vm!, options, stage),
      os: "linux",
      bootFolder: path!,
      // The log of guests that nobody talked to went nowhere.
      forwardStderr: stage.isDirect && options.forwardStderr !== "false",
      ...(encryptScratch === "true" && { encryptScratch: true }),
      ...(vpmemNoMultiMapping === "true" && { vpmemMultiMapping: false }),
      ...(vpmemDeviceCount !== undefined && { vpmemDeviceCount: Number(vpmemDeviceCount) }),
      ...(vpmemSizeBytes !== undefined && { vpmemSizeBytes: Number(vpmemSizeBytes) }),
    });
  },

  CreateWCOW({ vm, layers, options = {} }, stage) {
    const container = { kind: "folders", layers: layers!.slice(0, -1), scratch: layers!.at(-1)! } as const;
    return createVM(stage, {
      ...commonOptions(vm!, options, stage),
      os: "windows",
      layerFolders: stage.isHead ? container : layers!,
      ...(options.noDirectMap === "true" && { noDirectMap: true }),
    });
  },

  async StartVM({ vm }, { vms, signal, isDirect }) {
    await vms.get(vm!)?.start({ signal });
    return isDirect ? { capabilities: vms.get(vm!)?.capabilities.GuestDefinedCapabilities } : {};
  },

  async CloseVM({ vm }, { vms }) {
    await vms.get(vm!)?.close();
    return {};
  },

  async MountLCOWLayers({ as, vm, containerID, guestRoot, lcowLayers, scratch }, stage) {
    const layers = lcowLayers!.map(({ vhd, partition }) => ({ vhdPath: vhd, partition }));
    const { path, scratchPath } = await keep(
      stage,
      as!,
      mountLCOWLayers(containerID!, { layers, scratchVhdPath: scratch! }, {
        vm: stage.vms.get(vm!)!,
        guestRoot: guestRoot!,
        scratchAtRoot: stage.isHead,
        signal: stage.signal,
      }),
    );
    return { rootfs: path, scratch: scratchPath };
  },

  async MountWCOWLayers({ as, vm, containerID, layers, mounts, volumeMountPath }, stage) {
    const { host, vms, isHead } = stage;
    const options = { host, vm: vms.get(vm!), volumeMountPath: volumeMountPath || undefined };
    if (!isHead) {
      const mounted = await keep(stage, as!, mountWCOWLayers(containerID!, layers!, options));
      return { path: mounted.path };
    }
    const parsed = parseWCOWLayers({ mounts, layerFolders: layers });
    const createScratch = parsed.kind === "folders";
    const { path, placements } = await keep(
      stage,
      as!,
      mountWCOWLayers(containerID!, parsed, { ...options, createScratch }),
    );
    const documents = parsed.kind === "folders" && options.vm !== undefined
      ? await getHCSLayers(options.vm, parsed.layers)
      : await makeMountedWCOWLayers(parsed, parsed.kind === "folders" ? path : placements[0]!.path, { host });
    return { path, layers: asRecorded(documents) };
  },

  async MakeMountedWCOWLayers({ layers, mounts, path }, { host }) {
    const parsed = parseWCOWLayers({ mounts, layerFolders: layers });
    return { layers: asRecorded(await makeMountedWCOWLayers(parsed, path!, { host })) };
  },

  // deno-lint-ignore require-await
  async ParseLCOWLayers({ layers, mounts }) {
    const parsed = parseLCOWLayers({ mounts, layerFolders: layers });
    return {
      layers: {
        Layers: parsed.layers.map(({ vhdPath, partition = 0 }) => ({ VHDPath: vhdPath, Partition: partition })),
        ScratchVHDPath: parsed.scratchVhdPath,
      },
    };
  },

  async Parallel({ steps }, stage) {
    await Promise.all(steps!.map((step) => OPS[step.op]!(step, stage)));
    return {};
  },

  async GetHCSLayers({ vm, layers }, { vms }) {
    return { layers: await getHCSLayers(vms.get(vm!)!, layers!) };
  },

  async MountSandboxVolume({ hostPath, volumeName }, stage) {
    const { host } = stage;
    // From here on it is released by its path alone, as the recorded one was.
    const byPath = { release: () => removeSandboxMountPoint(hostPath!, { host }) };
    await keep(stage, pathKey(hostPath!), mountSandboxVolume(hostPath!, volumeName!, { host }).then(() => byPath));
    return {};
  },

  async RemoveSandboxMountPoint({ hostPath }, { host, mounts }) {
    const mount = mounts.get(pathKey(hostPath!));
    await (mount?.release() ?? removeSandboxMountPoint(hostPath!, { host }));
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

/** Whether a step goes by names, and not by what was mounted: it may give back what isn't held. */
export function releasesByName(step: Step): boolean {
  return RELEASING.has(step.op) && step.of === undefined;
}

function asRecorded(layers: readonly Layer[]): Record<string, string | undefined>[] {
  return layers.map(({ Id, Path }) => ({ LayerID: Id, MountedPath: Path }));
}

/** Why a run can't be played. */
export function notSupported(run: Run): string | undefined {
  if (run.steps.some(({ options }) => options?.securityPolicy)) return "the library has no security policies";
  const op = run.steps.find((step) => !Object.hasOwn(OPS, step.op))?.op;
  return op && `${op} is not supported`;
}

async function keep<T extends Releasable>(stage: Stage, name: string, mounting: Promise<T>): Promise<T> {
  try {
    const mounted = await mounting;
    const mount = new Mount(mounted);
    stage.mounts.set(name, mount);
    stage.leftovers.push(mount);
    return mounted;
  } catch (error) {
    // The run has no name for it.
    if (error instanceof UnwindError) stage.leftovers.push(new Mount(error));
    throw error;
  }
}

type CommonOptions = Pick<LinuxVMOptions, "id" | "owner" | "guestConnection" | "fullyPhysicallyBacked">;

function commonOptions(
  id: string,
  { fullyPhysicallyBacked }: Readonly<Record<string, string>>,
  { isDirect }: Stage,
): CommonOptions {
  const backed = fullyPhysicallyBacked === "true" && { fullyPhysicallyBacked: true };
  // The other recorded VMs talked to nobody.
  return { id, ...(isDirect ? { owner: "witness" } : { owner: "oracle", guestConnection: "none" }), ...backed };
}

async function createVM({ host, vms }: Stage, options: UtilityVMOptions): Promise<Readonly<Record<string, unknown>>> {
  vms.set(options.id!, await createUtilityVM(options, { host }));
  return {};
}
