/**
 * The files of the runs.
 *
 * @module
 */

import { givesBack } from "./residual.ts";
import { type Call, type Run, succeeded } from "./run.ts";
import { type ImageRun, isImageRun } from "./image_run.ts";
import { isTarCase, type TarCase } from "./tar_case.ts";
import { isTransportRun, type TransportRun } from "./transport_run.ts";
import { isWireRun, type WireRun } from "./wire_run.ts";

/** The folders with the runs of this checkout. */
export const RECORDINGS: readonly string[] = ["v0.12.3", "head", "handmade"]
  .map((name) => `${import.meta.dirname}/${name}`);

/** The runs of some folders, by name. A file has one, or a list. */
export async function readRuns(
  folders: readonly string[],
): Promise<(Run | WireRun | TarCase | ImageRun | TransportRun)[]> {
  const files = (await Promise.all(folders.map(filesIn))).flat().sort((a, b) => a.name < b.name ? -1 : 1);
  const runs = await Promise.all(files.map(async ({ path }) => [JSON.parse(await Deno.readTextFile(path))].flat()));
  return runs.flat().map((run) =>
    isWireRun(run) || isTarCase(run) || isImageRun(run) || isTransportRun(run) ? run : asRun(run)
  );
}

/** The files with runs in a folder. */
export async function filesIn(folder: string): Promise<{ readonly name: string; readonly path: string }[]> {
  const entries = await Array.fromAsync(Deno.readDir(folder));
  return entries.filter(({ name }) => name.endsWith(".json")).map(({ name }) => ({ name, path: `${folder}/${name}` }));
}

// The files of head's runs don't say whether it does right.
function asRun(file: Omit<Run, "upstream" | "isHead"> & { readonly upstream?: Run["upstream"] }): Run {
  const { upstream = isDefect(file) ? "defect" : "right" } = file;
  return { ...file, trace: file.trace.map(withNumbers), upstream, isHead: file.upstream === undefined };
}

// A pointer to no layer is a number in ours.
function withNumbers(call: Call): Call {
  return call.args.parent === null ? { ...call, args: { ...call.args, parent: 0 } } : call;
}

function isDefect({ result: { residual }, trace }: Pick<Run, "result" | "trace">): boolean {
  // A share that is mapped directly stays until the VM ends, as its files may be open.
  const left = Object.values(residual).flat().filter((what) => !what.startsWith("vsmb:"));
  return left.length > 0 || trace.some((call) => givesBack(call) && !succeeded(call));
}
