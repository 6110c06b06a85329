/**
 * `deno task recover`: releases what ended processes left mounted.
 *
 * @module
 */

import type { Host, RecoveredMount, RecoverOptions } from "../mod.ts";
import { type Arguments, HOST_HELP, HOST_OPTIONS, type Job, main, type Result } from "./support/command.ts";
import { CommandError, UsageError } from "./support/errors.ts";
import { openHost } from "./support/host.ts";
import { type HeldRecord, holdRow } from "./support/holds.ts";
import { mountRow, named } from "./support/mounts.ts";
import { program } from "./support/program.ts";
import { columns } from "./support/text.ts";
import { windowsPath } from "./support/windows_path.ts";

const help = `\
Releases what processes left mounted that have ended, and what is left of mounts that were taken apart by something else.
Ends VMs that such processes have created, and revokes their rights to files.
Leaves alone what living processes mounted, and what ${
  program("mount")
} left mounted on purpose. It can be run at any time.
Prints what was released, a line each; nothing if there was nothing.

Usage: ${program("recover")} [OPTION]...

  --adopt[=SCRATCH]    also unmount a scratch that has no record, of whichever tool; without SCRATCH all scratches that
                       Windows has attached to the host, except for those of docker, containerd and Windows. Other disks
                       stay attached. Windows doesn't tell whether a process needs them yet
  --dry-run            only print what would be released, with each step below its mount, in order
${HOST_HELP}`;

function plan({ values, has, positionals }: Arguments): Job {
  if (positionals.length > 0) throw new UsageError("recover takes no arguments but options");
  const { adopt, simulate } = values;
  // Without a value: all.
  const how = { dryRun: has("dry-run"), adopt: adopt === "" || adopt && windowsPath(adopt, "--adopt") };
  return { run: (signal) => recoverAll(how, simulate, signal), undo: program("recover"), words: { adopt: "--adopt" } };
}

async function recoverAll(
  how: Pick<RecoverOptions, "dryRun" | "adopt">,
  simulate: string | undefined,
  signal: AbortSignal,
): Promise<Result> {
  const { InUseError, recover, ReleaseError } = await import("../mod.ts");
  (await import("./support/warnings.ts")).printWarnings();
  const call = (host: Host): Promise<RecoveredMount[]> => recover({ host, signal, ...how });
  const recovered = await call(await openHost({ command: "recover", simulate, call }));
  const failed = recovered.filter(({ outcome }) => outcome === "failed");
  const done = recovered.filter(({ outcome }) => outcome === "released");
  const text = how.dryRun
    ? done.map(({ mount, planned }) => `${columns([mountRow(mount)])}\n${columns(planned.map(holdRow), "  ")}`).join(
      "\n",
    )
    : columns(done.map(({ mount }) => mountRow(mount)));
  if (failed.length === 0) return { text, json: { recovered } };
  const heldOf = ({ mount, released, error }: RecoveredMount): readonly HeldRecord[] => {
    if (error instanceof ReleaseError) return error.holds;
    // All was released, and the error is about a file that may be left.
    if (released.length > 0 && error instanceof InUseError) return [{ kind: "newFile", path: error.path }];
    return [{ kind: "mount", what: named(mount) }];
  };
  const errors = failed.map(({ error }) => error);
  const message = `${failed.length} of ${recovered.length} mounts could not be released: ` +
    failed.map(({ mount, error }) => `${named(mount)}: ${(error as Error).message}`).join("; ");
  const failure = new CommandError(message, { cause: new AggregateError(errors), holds: failed.flatMap(heldOf) });
  return { text, failure: Object.assign(failure, { recovered }) };
}

if (import.meta.main) {
  await main({ help, options: { ...HOST_OPTIONS, adopt: "optional", "dry-run": "boolean" }, plan });
}
