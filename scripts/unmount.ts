/**
 * `deno task unmount`: unmounts what `deno task mount` mounted.
 *
 * @module
 */

import type { Host, MountInfo } from "../mod.ts";
import { type Arguments, HOST_HELP, HOST_OPTIONS, type Job, main, type Result } from "./support/command.ts";
import { CommandError, UsageError } from "./support/errors.ts";
import { type HeldRecord, holdRow } from "./support/holds.ts";
import { openHost } from "./support/host.ts";
import { named as nameOf } from "./support/mounts.ts";
import { program, shellArgument } from "./support/program.ts";
import { columns } from "./support/text.ts";
import { windowsPath } from "./support/windows_path.ts";

const help = `\
Unmounts the layers of a process-isolated Windows container, whoever mounted them, also after a crash.
Prints what was released, a line each; nothing if nothing was mounted. That is no failure, so it can be run twice.

Usage: ${program("unmount")} [OPTION]... SCRATCH

  SCRATCH              folder of the scratch layer; or what ${program("list")} finds one mount by: the id of the
                       container, the volume, a folder or drive letter at which it is mounted

  --mount-point=FOLDER a folder at which the volume was mounted; only needed if Windows doesn't list it any more,
                       as after the disk was detached by something else
${HOST_HELP}

Examples:
  ${program("unmount")} C:/containers/web
  ${program("unmount")} web
  ${program("unmount")} --mount-point=C:/mnt/web C:/containers/web`;

interface UnmountRequest {
  /** The folder of the scratch, or what belongs to its mount. */
  readonly named: string;
  readonly volumeMountPath: string | undefined;
  readonly simulate: string | undefined;
}

function plan({ values, positionals }: Arguments): Job {
  const [folder, ...others] = positionals;
  if (folder === undefined || others.length > 0) {
    throw new UsageError("unmount needs the folder of the SCRATCH, and nothing else");
  }
  const { simulate, "mount-point": mountPoint } = values;
  const named = isPath(folder) ? windowsPath(folder, "SCRATCH") : folder;
  const volumeMountPath = mountPoint === undefined ? undefined : windowsPath(mountPoint, "--mount-point");
  let left: readonly HeldRecord[] = [];
  const find = (held: readonly HeldRecord[]) => left = held;
  return {
    run: (signal) => unmount({ named, volumeMountPath, simulate }, find, signal),
    left: () => left,
    words: { scratchFolder: "SCRATCH", what: "SCRATCH", volumeMountPath: "--mount-point" },
    undo: `${program("unmount")} ${shellArgument(named)}`,
    mayHold: isPath(folder) ? [{ kind: "activation", scratch: named }] : [],
  };
}

function isPath(text: string): boolean {
  return /[\\/:]/.test(text);
}

function isRoot(path: string): boolean {
  return /^\\\\\?\\[^\\]*\\?$|^[A-Za-z]:\\?$/.test(path);
}

/** The folder of a scratch, if it isn't that which is named, but what belongs to its mount. */
async function scratchOf(host: Host, named: string, signal: AbortSignal): Promise<string> {
  const { findMounts } = await import("../mod.ts");
  const { kindOf } = await import("../src/checks/existing.ts");
  const { realPathIfTold } = await import("../src/checks/real_path.ts");
  const { pathKey } = await import("../src/checks/windows_path.ts");
  const folder = isPath(named) ? named : windowsPath(named, "SCRATCH");
  if (!isRoot(folder) && kindOf(host, `${folder}\\sandbox.vhdx`) === "file") return folder;
  const what = /^(\\\\\?\\)?[A-Za-z]:\\./.test(named) ? realPathIfTold(host, named) : named;
  const found = await findMounts(what, { host, signal });
  // What a layer or an image belongs to isn't meant: others may need it as well.
  const isShared = ({ layers, image }: MountInfo) =>
    [...layers, image?.path ?? "", image?.volume ?? ""].some((path) => pathKey(path) === pathKey(what));
  const [mount, ...others] = found.filter((mount) => mount.kind === undefined && !isShared(mount));
  if (mount !== undefined && others.length === 0) {
    if (mount.disk === undefined && mount.scratch !== "") return mount.scratch;
    if (mount.disk !== undefined && pathKey(mount.disk) === pathKey(what)) {
      const detach = `${program("vhd")} detach ${shellArgument(named)}`;
      throw new CommandError(`${named} is a disk, and no scratch with layers. To detach it: ${detach}`);
    }
    throw new CommandError(`${named} belongs to ${nameOf(mount)}, which is no scratch with layers`);
  }
  if (others.length > 0) {
    throw new CommandError(
      `${named} belongs to ${others.length + 1} mounts, which ${program("list")} tells. Name a scratch`,
    );
  }
  const other = found.find(({ kind }) => kind !== undefined);
  if (other !== undefined) {
    throw new CommandError(`${named} belongs to ${nameOf(other)} (${other.kind}), which is no scratch with layers`);
  }
  if (isPath(named) || kindOf(host, folder) !== undefined) return folder;
  throw new CommandError(
    `Nothing is mounted that ${named} belongs to, and there is no folder ${folder}. ${
      program("list")
    } tells what is mounted`,
  );
}

// Of a failure before the first release, `leave` is told what is held.
async function unmount(
  { named, volumeMountPath, simulate }: UnmountRequest,
  leave: (held: readonly HeldRecord[]) => void,
  signal: AbortSignal,
): Promise<Result> {
  const { findMounts, unmountWCOWLayers } = await import("../mod.ts");
  const { isInUse, kindOf, requireKind } = await import("../src/checks/existing.ts");
  const options = (host: Host) => ({ host, signal, volumeMountPath });
  const host = await openHost({
    command: "unmount",
    simulate,
    call: (host) =>
      isPath(named) && !isRoot(named) ? unmountWCOWLayers(named, options(host)) : findMounts(named, { host }),
  });
  const { requireGrantsFor } = await import("../src/checks/grants.ts");
  requireGrantsFor(host, "unmount");
  const scratch = await scratchOf(host, named, signal);
  const disk = `${scratch}\\sandbox.vhdx`;
  try {
    const released = await unmountWCOWLayers(scratch, options(host));
    const held = released.filter(({ wasHeld }) => wasHeld);
    // Windows reports success for any path. One that leads nowhere is mistyped, unless a mount point was left; and one to a
    // folder without the disk of a scratch, if there was nothing to release.
    if (held.every(({ hold: { kind } }) => kind === "activation" || kind === "filter")) {
      requireKind(host, scratch, "SCRATCH", "folder");
    }
    if (held.length === 0) requireKind(host, disk, "SCRATCH", "file");
    return { text: columns(held.map(({ hold }) => holdRow(hold))), json: { scratch, released } };
  } catch (error) {
    // Of the holds, the disk is released last. What a VM uses isn't mounted here; what is in use without being there has moved.
    const isRefused = (error as Error).name === "InUseError";
    const kind = kindOf(host, disk);
    const isHeld = isRefused ? kind === undefined : kind === "file" && isInUse(host, disk);
    if (!isHeld) throw error;
    const holds = [{ kind: "activation", scratch }] as const;
    leave(holds);
    if (!signal.aborted || error !== signal.reason) throw error;
    const message = `${(error as Error).message}, with the layers still mounted, or a part of it`;
    throw new CommandError(message, { cause: error, holds });
  }
}

if (import.meta.main) {
  await main({ help, options: { ...HOST_OPTIONS, "mount-point": "string" }, plan });
}
