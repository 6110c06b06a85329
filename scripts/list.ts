/**
 * `deno task list`: lists what is mounted.
 *
 * @module
 */

import type { Host, MountInfo } from "../mod.ts";
import { type Arguments, HOST_HELP, HOST_OPTIONS, type Job, main, type Result } from "./support/command.ts";
import { UsageError } from "./support/errors.ts";
import { openHost } from "./support/host.ts";
import { mountRow } from "./support/mounts.ts";
import { program } from "./support/program.ts";
import { columns } from "./support/text.ts";

const help = `\
Lists the layers that are mounted on this host, by whichever process, and by docker and containerd, and all other virtual
disks and images that Windows has attached, and the VMs of this library, a line each: container, state, scratch (or disk,
image or VM), mount points or volume, process or tool, since when. Prints nothing if nothing is mounted.

Usage: ${program("list")} [OPTION]... [WHAT]

  WHAT                 list only what this belongs to: the id of a mount, container or VM, the folder of a scratch or
                       layer, the file of a disk or image, a volume, a folder or drive letter at which it is mounted,
                       or a disk as \\\\.\\PhysicalDrive3

${HOST_HELP}

States: mounted; partial: being mounted or unmounted, or that ended half-way, or a disk without volume, or an image
without scratch; gone: taken apart by something else. The tool is unknown where only Windows tells of a disk or image.
What ended processes left is released by ${program("recover")}.`;

function plan({ values, positionals }: Arguments): Job {
  const [what, ...others] = positionals;
  if (others.length > 0) throw new UsageError("list takes one thing to look for, or none");
  return { run: (signal) => list(what, values.simulate, signal), words: { what: "WHAT" } };
}

async function list(what: string | undefined, simulate: string | undefined, signal: AbortSignal): Promise<Result> {
  const { findMounts, listMounts } = await import("../mod.ts");
  (await import("./support/warnings.ts")).printWarnings();
  const call = (host: Host): Promise<MountInfo[]> =>
    what === undefined ? listMounts({ host, signal }) : findMounts(what, { host, signal });
  const mounts = await call(await openHost({ command: "list", simulate, call }));
  return { text: columns(mounts.map(mountRow)), json: { mounts } };
}

if (import.meta.main) {
  await main({ help, options: HOST_OPTIONS, plan });
}
