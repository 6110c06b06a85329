/**
 * `deno task unmount`: unmounts what `deno task mount` mounted.
 *
 * @module
 */

import type { Host } from "../mod.ts";
import { type Arguments, HOST_HELP, HOST_OPTIONS, type Job, main, type Result } from "./support/command.ts";
import { CommandError, UsageError } from "./support/errors.ts";
import { holdRow } from "./support/holds.ts";
import { openHost } from "./support/host.ts";
import { program, shellArgument } from "./support/program.ts";
import { columns } from "./support/text.ts";
import { windowsPath } from "./support/windows_path.ts";

const help = `\
Unmounts the layers of a process-isolated Windows container, whoever mounted them, also after a crash.
Prints what was released, a line each; nothing if nothing was mounted. That is no failure, so it can be run twice.

Usage: ${program("unmount")} [OPTION]... SCRATCH

  SCRATCH              folder of the scratch layer

  --mount-point=FOLDER a folder at which the volume was mounted; only needed if Windows doesn't list it any more,
                       as after the disk was detached by something else
${HOST_HELP}

Examples:
  ${program("unmount")} C:/containers/web
  ${program("unmount")} --mount-point=C:/mnt/web C:/containers/web`;

interface UnmountRequest {
  readonly scratch: string;
  readonly volumeMountPath: string | undefined;
  readonly simulate: string | undefined;
}

function plan({ values, positionals }: Arguments): Job {
  const [folder, ...others] = positionals;
  if (folder === undefined || others.length > 0) {
    throw new UsageError("unmount needs the folder of the SCRATCH, and nothing else");
  }
  const { simulate, "mount-point": mountPoint } = values;
  const scratch = windowsPath(folder, "SCRATCH");
  const volumeMountPath = mountPoint === undefined ? undefined : windowsPath(mountPoint, "--mount-point");
  return {
    run: (signal) => unmount({ scratch, volumeMountPath, simulate }, signal),
    words: { scratchFolder: "SCRATCH", volumeMountPath: "--mount-point" },
    undo: `${program("unmount")} ${shellArgument(scratch)}`,
    mayHold: [{ kind: "activation", scratch }],
  };
}

async function unmount({ scratch, volumeMountPath, simulate }: UnmountRequest, signal: AbortSignal): Promise<Result> {
  const { unmountWCOWLayers } = await import("../mod.ts");
  const { isInUse, kindOf, requireKind } = await import("../src/checks/existing.ts");
  const call = (host: Host) => unmountWCOWLayers(scratch, { host, signal, volumeMountPath });
  const host = await openHost({ command: "unmount", simulate, call });
  const disk = `${scratch}\\sandbox.vhdx`;
  try {
    const released = await call(host);
    const held = released.filter(({ wasHeld }) => wasHeld);
    // Windows reports success for any path. One that leads nowhere is mistyped, unless a mount point was left; and one to a
    // folder without the disk of a scratch, if there was nothing to release.
    if (held.every(({ hold: { kind } }) => kind === "activation" || kind === "filter")) {
      requireKind(host, scratch, "SCRATCH", "folder");
    }
    if (held.length === 0) requireKind(host, disk, "SCRATCH", "file");
    return { text: columns(held.map(({ hold }) => holdRow(hold))), json: { scratch, released } };
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error;
    // Of the holds, the disk is released last.
    if (kindOf(host, disk) !== "file" || !isInUse(host, disk)) throw error;
    const holds = [{ kind: "activation", scratch }] as const;
    throw new CommandError("Interrupted, with the layers still mounted, or a part of it", { cause: error, holds });
  }
}

if (import.meta.main) {
  await main({ help, options: { ...HOST_OPTIONS, "mount-point": "string" }, plan });
}
