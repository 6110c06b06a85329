/**
 * `layer import` and `layer export`: the two that need Windows.
 *
 * @module
 */

import type { Host, TransferProgress } from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import type { Arguments, Job, Result } from "./command.ts";
import { UsageError } from "./errors.ts";
import { openHost } from "./host.ts";
import { printBytes } from "./print_bytes.ts";
import { columns } from "./text.ts";
import { windowsPath } from "./windows_path.ts";

/** The part of `--help` about them. */
export const TRANSFER_HELP = `\
On Windows, elevated, and with grants for DLLs, which the task layer:host has:

  import LAYER TAR [PARENT]...  make the folder LAYER of a tar, packed with gzip or not; TAR may be - for the standard
                       input. PARENT is the folder of a layer below, the topmost first; none for a base layer
  export LAYER [PARENT]...      print the tar of a layer, or of what was written to a scratch that isn't mounted

  --form=FORM          import: folders (for the WCIFS filter, if not given), cim (an image beside those of the layers
                       below) or block (an image in a file of its own)
  --simulate           work on a simulated host in memory, or with --simulate=FILE in FILE`;

/** Whether a command is one of them. */
export function isTransfer(name: string): name is "import" | "export" {
  return name === "import" || name === "export";
}

const FORMS = ["folders", "cim", "block"] as const;
type Form = (typeof FORMS)[number];

/** Looks at the arguments behind the command. */
export function planTransfer(name: "import" | "export", operands: readonly string[], { values, has }: Arguments): Job {
  const { form = "folders", simulate } = values;
  if (!FORMS.includes(form as Form)) throw new UsageError(`--form is one of ${FORMS.join(", ")}, not ${form}`);
  if (name === "export") {
    if (has("json")) throw new UsageError("export prints the tar: --json is of no use");
    if (values.form !== undefined) throw new UsageError("export takes layers of plain folders only, and no --form");
    const [layer, ...parents] = operands;
    if (layer === undefined) throw new UsageError("export takes a layer, and those below it");
    const paths = pathsOf([layer], parents);
    return { run: (signal) => exported(paths, simulate, signal), words: wordsFor(parents) };
  }
  const [layer, tar, ...parents] = operands;
  if (layer === undefined || tar === undefined) {
    throw new UsageError("import takes a layer, a tar, and the layers below");
  }
  const paths = pathsOf([layer], parents);
  return {
    run: (signal) => imported({ ...paths, tar, form: form as Form }, simulate, signal),
    words: wordsFor(parents),
    isRecovered: true,
  };
}

function wordsFor(parents: readonly string[]): Readonly<Record<string, string>> {
  return { layer: "LAYER", ...Object.fromEntries(parents.map((_, i) => [`parents[${i}]`, "PARENT"])) };
}

interface Paths {
  readonly layer: string;
  readonly parents: readonly string[];
}

function pathsOf([layer]: readonly [string], parents: readonly string[]): Paths {
  return { layer: windowsPath(layer, "LAYER"), parents: parents.map((parent) => windowsPath(parent, "PARENT")) };
}

async function imported(
  { layer, parents, tar, form }: Paths & { readonly tar: string; readonly form: Form },
  simulate: string | undefined,
  signal: AbortSignal,
): Promise<Result> {
  const { importBlockCimLayer, importCimLayer, importLayer } = await import("../../mod.ts");
  const run = { folders: importLayer, cim: importCimLayer, block: importBlockCimLayer }[form];
  const { openFile } = await import("../../src/files/mod.ts");
  const host = await hostFor(simulate, (machine) => {
    for (const parent of parents) if (!machine.paths().includes(parent)) machine.addLayer(parent);
    machine.addFolder(folderOf(layer));
    if (form === "cim") machine.addFolder(`${folderOf(layer)}\\cim-layers`);
  });
  using file = tar === "-" ? undefined : await openFile(tar);
  using progress = progressLine();
  const source = file ?? Deno.stdin.readable;
  const done = await run(layer, source, parents, { host, signal, name: tar, onProgress: progress.tell });
  const rows = Object.entries(done).filter(([, value]) => value !== undefined)
    .map(([key, value]) => [key, value instanceof Uint8Array ? value.toHex() : value]);
  return { text: columns(rows.map((row) => row.map(String))), json: Object.fromEntries(rows) };
}

async function exported({ layer, parents }: Paths, simulate: string | undefined, signal: AbortSignal): Promise<Result> {
  const { exportLayer } = await import("../../mod.ts");
  const host = await hostFor(simulate, (machine) => {
    for (const path of [layer, ...parents]) if (!machine.paths().includes(path)) machine.addLayer(path);
  });
  using progress = progressLine();
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const printed = printBytes(readable, signal);
  printed.catch(() => {});
  try {
    await exportLayer(layer, parents, writable, { host, signal, onProgress: progress.tell });
  } catch (error) {
    // Of both that fail, the export says why, unless nobody takes what it writes any more.
    if (error === undefined) await printed;
    throw error;
  }
  return await printed;
}

function hostFor(simulate: string | undefined, populate: (machine: SimulatedHost) => void): Promise<Host> {
  return openHost({ command: "layer", simulate, call: () => Promise.resolve(), populate });
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("\\"));
}

// How far it is, on a terminal, in one line that is gone at the end.
function progressLine(): Disposable & { readonly tell: ((progress: TransferProgress) => void) | undefined } {
  if (!Deno.stderr.isTerminal()) return { tell: undefined, [Symbol.dispose]() {} };
  const print = (text: string) => Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[K${text}`));
  let last = 0;
  return {
    tell({ phase, entries, bytes }) {
      if (Date.now() - last < 100) return;
      last = Date.now();
      print(`${phase}: ${entries} entries, ${Math.round(bytes / 2 ** 20)} MiB`);
    },
    [Symbol.dispose]: () => void print(""),
  };
}
