/**
 * Layers of Windows containers.
 *
 * @module
 */

import { join } from "jsr:@std/path@^1.1.0/windows";
import { win32 } from "../ffi/codes.ts";
import { InvalidInputError, NativeError } from "../ffi/errors.ts";
import { defaultHost, type Host } from "../ffi/host.ts";
import { attribute, fileAttributes, mountPointsOfVolume } from "../ffi/kernel32.ts";
import { acquire, HoldList, type ReleasedHold } from "../holds/hold_list.ts";
import { logger } from "../log.ts";
import { activation, SCRATCH_DISK, scratchVolume } from "../storage/activation.ts";
import { requireMinimumBuild } from "../storage/build.ts";
import { filter } from "../storage/filter.ts";
import { checkMountable } from "../storage/folder.ts";
import { checkText, namedFolder, nameOf, pathKey } from "../storage/paths.ts";
import { mounted, type MountedLayers } from "./mounted.ts";
import { adoptMountPoint, type HostOptions, takeMountPoint } from "./sandbox_volume.ts";

/** Options of {@linkcode mountWCOWLayers}. */
export interface MountWCOWLayersOptions extends HostOptions {
  /** Absolute path of a folder at which the scratch volume is mounted as well: missing or empty. */
  volumeMountPath?: string | undefined;
}

/** Options of {@linkcode unmountWCOWLayers}. */
export interface UnmountWCOWLayersOptions extends HostOptions {
  /**
   * A folder at which the volume was mounted. Needed only where the disk is gone and the mount point isn't, so that
   * Windows can't tell any more.
   */
  volumeMountPath?: string | undefined;
}

/**
 * Mounts the layers of a process-isolated Windows container on the host.
 *
 * The scratch disk is attached (`ActivateLayer`), and the WCIFS filter put on its volume (`PrepareLayer`), which shows
 * the read-only layers through it. Both together are tried up to five times, 100 ms apart, where Windows says that the
 * disk isn't ready. A failure, or an aborted signal, gives back all that was taken before the call rejects.
 *
 * ```ts
 * import { mountWCOWLayers } from "./mod.ts";
 * import { SimulatedHost } from "./src/simulated/mod.ts";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * host.addScratch("C:\\scratch");
 * await using layers = await mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratch"], { host });
 * console.log(layers.path);
 * ```
 *
 * @param containerId Id of the container.
 * @param layerFolders Absolute paths of the layers' folders: read-only ones from the topmost to the base, the scratch
 * last. No two read-only folders may have the same name, as Windows knows a layer by it.
 * @throws {InvalidInputError} if an argument is refused; nothing was changed then.
 * @throws {UnsupportedBuildError} if Windows is older than build 17763.
 * @throws {NativeError} if Windows refuses.
 * @throws {UnwindError} if Windows refuses and what was taken before couldn't be given back.
 */
export async function mountWCOWLayers(
  containerId: string,
  layerFolders: readonly string[],
  options: MountWCOWLayersOptions = {},
): Promise<MountedLayers> {
  const { host = defaultHost(), signal } = options;
  checkText(containerId, "containerId");
  const { layers, scratch } = layerStack(layerFolders);
  const volumeMountPath = options.volumeMountPath === undefined
    ? undefined
    : namedFolder(options.volumeMountPath, "volumeMountPath");
  signal?.throwIfAborted();
  requireMinimumBuild(host);
  checkStack(host, layers, scratch);
  if (volumeMountPath !== undefined) {
    checkMountable(host, volumeMountPath, "volumeMountPath");
  }
  return await acquire(host, async (holds) => {
    await takeFilteredScratch(host, holds, { layers, scratch, signal });
    const path = await scratchVolume(host, scratch);
    if (volumeMountPath !== undefined) {
      await takeMountPoint(holds, volumeMountPath, path, signal);
    }
    return mounted(holds, { path, volumeMountPath });
  });
}

interface LayerStack {
  /** Folders of the read-only layers, topmost first. */
  readonly layers: readonly string[];
  /** Folder of the scratch. */
  readonly scratch: string;
}

function layerStack(layerFolders: readonly string[]): LayerStack {
  if (!Array.isArray(layerFolders) || layerFolders.length < 2) {
    throw new InvalidInputError(
      "layerFolders",
      "needs at least two folders, a base layer and the scratch",
      layerFolders,
    );
  }
  const folders = layerFolders.map((folder, i) => namedFolder(folder, `layerFolders[${i}]`));
  const scratch = folders.pop()!;
  const names = new Map<string, number>();
  folders.forEach((folder, i) => {
    if (pathKey(folder) === pathKey(scratch)) {
      throw new InvalidInputError(`layerFolders[${i}]`, "is the scratch as well", folder);
    }
    const name = nameOf(folder).toLowerCase();
    const twin = names.get(name);
    if (twin !== undefined) {
      throw new InvalidInputError(
        `layerFolders[${i}]`,
        `has the same folder name as layerFolders[${twin}], by which Windows would take them for one layer`,
        folder,
      );
    }
    names.set(name, i);
  });
  return { layers: folders, scratch };
}

function checkStack(host: Host, layers: readonly string[], scratch: string): void {
  [...layers, scratch].forEach((folder, i) => checkKind(host, folder, `layerFolders[${i}]`, "folder"));
  checkKind(host, join(scratch, SCRATCH_DISK), `layerFolders[${layers.length}]`, "file");
}

function checkKind(host: Host, path: string, argument: string, kind: "file" | "folder"): void {
  const attributes = fileAttributes(host, path);
  if (attributes === undefined) {
    throw new InvalidInputError(argument, `names a ${kind} that doesn't exist`, path);
  }
  if (((attributes & attribute.DIRECTORY) !== 0) !== (kind === "folder")) {
    throw new InvalidInputError(argument, `is not a ${kind}`, path);
  }
}

const ATTEMPTS = 5;
const ATTEMPT_PAUSE_MS = 100;

async function takeFilteredScratch(
  host: Host,
  holds: HoldList,
  { layers, scratch, signal }: LayerStack & { signal: AbortSignal | undefined },
): Promise<void> {
  for (let attempt = 1;; attempt++) {
    try {
      await holds.take(activation, { kind: "activation", scratch }, signal);
      await holds.take(filter, { kind: "filter", scratch, layers }, signal);
      return;
    } catch (error) {
      if (attempt === ATTEMPTS || !isNotReady(error)) throw error;
      const unwound = await holds.unwind(error);
      if (unwound !== error) throw unwound;
      logger().warn(`attempt ${attempt} of ${ATTEMPTS} to mount ${scratch}: ${error}`);
    }
    await host.sleep(ATTEMPT_PAUSE_MS, signal);
  }
}

// The volume of a disk that was just attached can be late, above all on Server 2019 under load.
function isNotReady(error: unknown): boolean {
  return error instanceof NativeError &&
    (error.win32 === win32.ERROR_NOT_READY || error.win32 === win32.ERROR_DEVICE_NOT_CONNECTED);
}

/**
 * Unmounts what {@linkcode mountWCOWLayers} mounted on the host, from this process or another, knowing the scratch folder
 * alone: mount points of its volume with the folders that were created for them, the filter, the disk. What is gone
 * already counts as done, so that it can be called after a crash, or twice.
 *
 * @param scratchFolder Absolute path of the scratch layer's folder.
 * @returns What was given back, in the order in which it was.
 * @throws {InvalidInputError} if the path is of the wrong form.
 * @throws {ReleaseError} if something is held still.
 */
export async function unmountWCOWLayers(
  scratchFolder: string,
  options: UnmountWCOWLayersOptions = {},
): Promise<ReleasedHold[]> {
  const { host = defaultHost(), signal } = options;
  const scratch = namedFolder(scratchFolder, "scratchFolder");
  const volumeMountPath = options.volumeMountPath === undefined
    ? undefined
    : namedFolder(options.volumeMountPath, "volumeMountPath");
  signal?.throwIfAborted();
  requireMinimumBuild(host);
  const holds = new HoldList(host);
  holds.adopt(activation, { kind: "activation", scratch });
  holds.adopt(filter, { kind: "filter", scratch, layers: [] });
  if (volumeMountPath !== undefined) {
    adoptMountPoint(holds, volumeMountPath);
  }
  const lookup = await adoptMountPoints(host, holds, scratch);
  const released = await holds.release({ signal });
  // Where the scratch wasn't mounted, Windows had no volume to tell.
  if (lookup !== undefined && released.some(({ hold, wasHeld }) => hold.kind === "filter" && wasHeld)) {
    throw lookup.error;
  }
  return released;
}

async function adoptMountPoints(
  host: Host,
  holds: HoldList,
  scratch: string,
): Promise<{ error: unknown } | undefined> {
  try {
    const volume = await scratchVolume(host, scratch);
    for (const path of mountPointsOfVolume(host, volume)) {
      adoptMountPoint(holds, path.replace(/\\$/, ""), volume);
    }
    return undefined;
  } catch (error) {
    return { error };
  }
}
