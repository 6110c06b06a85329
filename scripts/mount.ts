/**
 * `deno task mount`: mounts layers and leaves them mounted.
 *
 * @module
 */

import { win32 } from "node:path";
import { mountLCOWLayers, mountWCOWLayers } from "../mod.ts";
import { type Arguments, columns, main, openHost, SHARED_HELP, UsageError } from "./support/command.ts";

const help = `\
Mounts the layers of a process-isolated Windows container, and leaves them mounted.
Prints the root of the container's file system, \\\\?\\Volume{guid}\\, and nothing else.

Usage: deno task mount [OPTION]... LAYER... SCRATCH

  LAYER                folder of a read-only layer, the topmost first, the base layer last
  SCRATCH              folder of the scratch layer, with its disk sandbox.vhdx

Paths are absolute Windows paths. To undo it: deno task unmount SCRATCH

  --id=ID              id of the container; the scratch folder's name if not given
  --mount-point=FOLDER show the volume at this folder as well: a missing or empty one
  --create-scratch     make the scratch of the layers where its disk is missing
  --vm=windows|linux   with --simulate: show where the layers are placed in a VM, which ends with the command.
                       With linux, LAYER and SCRATCH are virtual disks
${SHARED_HELP}

A simulated machine that is new gets the folders named here; one that is in FILE already is taken as it is.`;

async function run({ values, has, positionals, signal }: Arguments) {
  if (positionals.length < 2) {
    throw new UsageError(
      "mount needs the folder of a layer or several, and that of the scratch. --help tells the usage",
    );
  }
  if (values.vm !== undefined) return await showVM(values, positionals, signal);
  const scratch = positionals.at(-1)!;
  const id = values.id ?? win32.basename(scratch);
  const volumeMountPath = values["mount-point"];
  const host = await openHost(values.simulate, (machine) => {
    positionals.slice(0, -1).forEach((layer) => machine.addLayer(layer));
    machine.addScratch(scratch);
  });
  const createScratch = has("create-scratch");
  const layers = await mountWCOWLayers(id, positionals, { host, signal, volumeMountPath, createScratch });
  // Calls on this thread keep the news of a Ctrl+C waiting: here is where it comes in. The clock of timers stood still as
  // well, so that the first one is over at once.
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setTimeout(resolve, 1));
  if (signal.aborted) {
    await layers.release();
    throw signal.reason;
  }
  const { path, holds } = layers;
  return { text: path, json: { id, path, volumeMountPath, holds } };
}

async function showVM(
  { vm: os, simulate, id = "c1", "mount-point": mountPoint }: Arguments["values"],
  positionals: readonly string[],
  signal: AbortSignal,
) {
  if (simulate === undefined || mountPoint !== undefined) {
    throw new UsageError("--vm goes with --simulate, and not with --mount-point. --help tells the usage");
  }
  if (os !== "windows" && os !== "linux") {
    throw new UsageError(`--vm takes windows or linux, not ${os}. --help tells the usage`);
  }
  const { placementRows, simulatedHost, simulatedVM } = await import("./support/simulated_vm.ts");
  const host = await simulatedHost(simulate, os, positionals);
  await using vm = await simulatedVM(host, os, signal);
  const scratch = positionals.at(-1)!;
  const layers = os === "windows" ? await mountWCOWLayers(id, positionals, { vm, signal }) : await mountLCOWLayers(id, {
    layers: positionals.slice(0, -1).map((vhdPath) => ({ vhdPath })),
    scratchVhdPath: scratch,
  }, { vm, guestRoot: `/run/gcs/c/${id}`, signal });
  const { path, holds } = layers;
  const text = `${path}\n\n${columns(placementRows(layers))}`;
  await layers.release();
  return { text, json: { id, path, holds } };
}

if (import.meta.main) await main({ help, options: ["id", "mount-point", "vm"], flags: ["create-scratch"], run });
