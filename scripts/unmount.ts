/**
 * `deno task unmount`: unmounts what `deno task mount` mounted.
 *
 * @module
 */

import { unmountWCOWLayers } from "../mod.ts";
import { type Arguments, columns, holdRow, main, openHost, SHARED_HELP, UsageError } from "./support/command.ts";

const help = `\
Unmounts the layers of a process-isolated Windows container, whoever mounted them, also after a crash.
Prints what was given back. What is gone already counts as done, so it can be called twice. The activation, which is
the attached disk, is always among it, as Windows doesn't tell whether it was there.

Usage: deno task unmount [OPTION]... SCRATCH

  SCRATCH              folder of the scratch layer, an absolute Windows path

  --mount-point=FOLDER a folder that shows the volume; only needed where Windows has lost track of it
${SHARED_HELP}`;

async function run({ values, positionals, signal }: Arguments) {
  const [scratch, ...others] = positionals;
  if (scratch === undefined || others.length > 0) {
    throw new UsageError("unmount needs the folder of the scratch, and nothing else. --help tells the usage");
  }
  const host = await openHost(values.simulate);
  const released = await unmountWCOWLayers(scratch, { host, signal, volumeMountPath: values["mount-point"] });
  const rows = released.filter(({ wasHeld }) => wasHeld).map(({ hold }) => holdRow(hold));
  return { text: columns(rows), json: { scratch, released } };
}

if (import.meta.main) await main({ help, options: ["mount-point"], run });
