/**
 * `deno task layer`: looks into layers, on any system.
 *
 * @module
 */

import type { LayerFinding, LayerSource } from "../src/files/mod.ts";
import { type Arguments, type Job, main, type Result } from "./support/command.ts";
import { CommandError, UsageError } from "./support/errors.ts";
import { isTransfer, planTransfer, TRANSFER_HELP } from "./support/layer_transfer.ts";
import { entryJson, entryRow, entryText } from "./support/layer_entries.ts";
import { printBytes } from "./support/print_bytes.ts";
import { program } from "./support/program.ts";
import { layerOfInput } from "./support/standard_input.ts";
import { columns } from "./support/text.ts";

const help = `\
Looks into layers of Windows containers, on any system, and changes nothing. Imports and exports them on Windows.

Usage: ${program("layer")} [OPTION]... COMMAND ARGUMENT...

  ls LAYER...          list the entries of a layer, or what a container sees of several, topmost first
  cat PATH LAYER...    print the contents of a file
  stat PATH LAYER...   show what is known of a file or folder, and of its streams
  diff LAYER LAYER     list what the second layer adds (+), removes (-) and changes (~)
  owner PATH LAYER...  list the layers that have PATH or remove it, topmost first; * is what a container sees
  lint LAYER [PARENT]...
                       list what Windows wouldn't take, or would make something else of; exit code 1 if there is an
                       error. In layers below, topmost first, what LAYER links to and removes is looked for
  verify LAYER --against=TAR [PARENT]...
                       list what LAYER has otherwise than TAR says, such as after an import; exit code 1 if that is
                       more than Windows changes. PARENT is the tar of a layer below, the topmost first, by which what
                       LAYER has of those is told from what is too much; if LAYER is a folder, also a folder
  wrap [FILES.tar]     print the tar of a layer with all files of a plain tar; FILES.tar may be - for the standard input

LAYER is a tar, packed with gzip or not, the folder of a layer, mounted or copied, or a CIM image, whose name ends in
.cim; one of them may be - for a tar on the standard input, but not with cat. PATH is one in the layer, such as
Files/Windows/notepad.exe, in any case, with :NAME at the end for a stream.

  --base               lint, wrap: it is a base layer, which has no layers below. wrap without FILES.tar makes the
                       smallest one
  --not-base           lint: it is none
  --json               print JSON; a failure as {"error":{"name":…,"message":…}}. Not with cat and wrap
  --timeout=SECONDS    give up after SECONDS
  --version            print the version
  -h, --help           print this

${TRANSFER_HELP}

Exit codes: 0 done; 1 failed, or lint or verify has found an error; 2 wrong usage; 130 stopped by Ctrl+C. 3
after import and export: something is still held, and listed.

Examples:
  ${program("layer")} lint layer.tar.gz
  ${program("layer")} ls --json app.tar.gz base.tar.gz
  ${program("layer")} cat Files/License.txt base.tar.gz
  ${program("layer")} verify C:/layers/app --against=app.tar.gz
  ${program("layer")} wrap files.tar > layer.tar
  ${program("layer")} import C:/layers/app app.tar.gz C:/layers/servercore`;

const files = () => import("../src/files/mod.ts");

interface Work {
  readonly signal: AbortSignal;
  /** What `--base` and `--not-base` say. */
  readonly isBase: boolean | undefined;
}

interface Action {
  /** Whether a path comes first. */
  readonly takesPath?: boolean;
  /** How few and how many layers it takes. */
  readonly layers: readonly [least: number, most: number];
  /** Whether it prints bytes, and not a result. */
  readonly printsBytes?: boolean;
  run(layers: readonly LayerSource[], work: Work, path: string): Promise<Result>;
}

const ACTIONS: Readonly<Record<string, Action>> = {
  ls: {
    layers: [1, Infinity],
    async run(layers, { signal }) {
      const rows: string[][] = [];
      const entries: unknown[] = [];
      const isOne = layers.length === 1;
      for await (const { entry, layer } of seen(layers, signal)) {
        rows.push([...entryRow(entry), ...isOne ? [] : [layer]]);
        entries.push({ ...entryJson(entry), ...isOne ? {} : { layer } });
      }
      return { text: columns(rows), json: { entries } };
    },
  },
  cat: {
    takesPath: true,
    layers: [1, Infinity],
    printsBytes: true,
    async run(layers, { signal }, path) {
      const contents = await (await files()).openLayerFile(layers, path, { signal });
      if (contents === undefined) throw new CommandError(await withoutContents(layers, path, signal));
      return await printBytes(contents, signal);
    },
  },
  stat: {
    takesPath: true,
    layers: [1, Infinity],
    async run(layers, { signal }, path) {
      const wanted = path.toLowerCase();
      const texts: string[] = [];
      const entries: unknown[] = [];
      for await (const { entry, layer } of seen(layers, signal)) {
        const key = entry.path.toLowerCase();
        if (key !== wanted && !(entry.type === "stream" && key.startsWith(`${wanted}:`))) continue;
        texts.push(entryText(entry, layer));
        entries.push({ ...entryJson(entry), layer });
      }
      if (entries.length === 0) throw new CommandError(`There is no ${path} in ${namesOf(layers)}`);
      return { text: texts.join("\n\n"), json: { entries } };
    },
  },
  diff: {
    layers: [2, 2],
    async run([from, to], { signal }) {
      const rows: string[][] = [];
      const differences: unknown[] = [];
      for await (const { path, change, parts, ...sides } of (await files()).diffLayers(from!, to!, { signal })) {
        rows.push([{ added: "+", removed: "-", changed: "~" }[change], path, parts.join(", ")]);
        const [before, after] = [sides.from, sides.to].map((entry) => entry && entryJson(entry));
        differences.push({ path, change, parts, from: before, to: after });
      }
      return { text: columns(rows), json: { differences } };
    },
  },
  owner: {
    takesPath: true,
    layers: [1, Infinity],
    async run(layers, { signal }, path) {
      const traces = await (await files()).traceLayers(layers, path, { signal });
      if (traces.length === 0) throw new CommandError(`No layer has ${path} or removes it: ${namesOf(layers)}`);
      const rows = traces.map(({ layer, entry, isSeen }) => [
        isSeen ? "*" : "",
        layers[layer]!.name,
        entry?.type ?? "removed",
        entry === undefined ? "" : String(entry.size),
      ]);
      const json = traces.map(({ layer, entry, isSeen }) => ({
        layer: layers[layer]!.name,
        isSeen,
        isRemoved: entry === undefined,
        ...entry && { entry: entryJson(entry) },
      }));
      return { text: columns(rows), json: { path, layers: json } };
    },
  },
  lint: {
    layers: [1, Infinity],
    async run([layer, ...below], { signal, isBase }) {
      const parents = below.length > 0 ? below : undefined;
      const { lintLayer } = await files();
      const findings: LayerFinding[] = await Array.fromAsync(lintLayer(layer!, { signal, isBase, parents }));
      const errors = findings.filter(({ severity }) => severity === "error").length;
      if (errors > 0) Deno.exitCode = 1;
      const rows = findings.map(({ severity, rule, path, problem }) => [severity, rule, path ?? "", problem]);
      const sum = `${errors} errors, ${findings.length - errors} warnings`;
      return { text: [columns(rows), sum].filter((text) => text !== "").join("\n"), json: { findings } };
    },
  },
};

const VERIFY = "verify";

// Layer, tar, and those below.
async function verify([layer, ...against]: readonly LayerSource[], signal: AbortSignal): Promise<Result> {
  const { verifyLayer } = await files();
  const { isSame, mismatches, expected, found, uncompared } = await verifyLayer(layer!, against, { signal });
  if (!isSame) Deno.exitCode = 1;
  const rows = mismatches.map(({ severity, part, path, problem }) => [severity, part, path ?? "", problem]);
  const errors = mismatches.filter(({ severity }) => severity === "error").length;
  const totals = [[namesOf(against), expected], [layer!.name, found]] as const;
  const lines = [
    columns(rows),
    ...totals.map(([name, { entries, bytes }]) => `${name}: ${entries} entries, ${bytes} bytes`),
    ...Object.entries(uncompared).map(([part, count]) =>
      part === "extra"
        ? `${count} entries that the tar doesn't have may be of layers below, which weren't named`
        : `${part} of ${count} entries couldn't be compared`
    ),
    `${errors} errors, ${mismatches.length - errors} warnings`,
  ];
  const json = mismatches.map(({ expected, found, ...told }) => ({
    ...told,
    ...expected && { expected: entryJson(expected) },
    ...found && { found: entryJson(found) },
  }));
  return {
    text: lines.filter((line) => line !== "").join("\n"),
    json: { isSame, mismatches: json, expected, found, uncompared },
  };
}

/** All entries of a layer, or what a container sees of several, with the name of the layer. */
async function* seen(layers: readonly LayerSource[], signal: AbortSignal) {
  if (layers.length === 1) {
    const [{ name }] = layers as [LayerSource];
    for await (const entry of layers[0]!.entries({ signal })) yield { entry, layer: name };
  } else {
    const { mergeLayers } = await files();
    for await (const { entry, layer } of mergeLayers(layers, { signal })) yield { entry, layer: layers[layer]!.name };
  }
}

// Why there is nothing to print at a path.
async function withoutContents(layers: readonly LayerSource[], path: string, signal: AbortSignal): Promise<string> {
  const traces = await (await files()).traceLayers(layers, path, { signal });
  const entry = traces.find(({ isSeen }) => isSeen)?.entry;
  if (entry === undefined) return `There is no file ${path} in ${namesOf(layers)}`;
  const { type, target, reparse } = entry;
  if (type === "folder") return `${path} is a folder`;
  const place = target ?? reparse?.target;
  const nowhere = type === "link" ? ", which leads to no file" : "";
  return place === undefined ? `${path} is a reparse point` : `${path} is a link to ${place}${nowhere}`;
}

const WRAP = "wrap";

function plan(args: Arguments): Job {
  const { positionals, has, values } = args;
  const [name = "", ...operands] = positionals;
  if (operands.includes("")) throw new UsageError("An argument is empty");
  const json = has("json");
  if (has("base") && has("not-base")) throw new UsageError("--base and --not-base contradict each other");
  const isBase = has("base") ? true : has("not-base") ? false : undefined;
  if (name !== VERIFY && values.against !== undefined) throw new UsageError(`${name || "layer"} takes no --against`);
  if (isTransfer(name)) {
    if (isBase !== undefined) throw new UsageError(`${name} takes neither --base nor --not-base`);
    return planTransfer(name, operands, args);
  }
  if (values.form !== undefined) throw new UsageError(`${name || "layer"} takes no --form`);
  if (name === VERIFY) {
    const { against } = values;
    const [layer, ...parents] = operands;
    if (layer === undefined || against === undefined) {
      throw new UsageError("verify takes a layer, and --against with a tar");
    }
    if (isBase !== undefined) throw new UsageError("verify takes neither --base nor --not-base");
    const words = Object.fromEntries(
      [against, ...parents].map((_, i) => [`against[${i}]`, i === 0 ? "TAR" : "PARENT"]),
    );
    return { run: (signal) => onLayers([layer, against, ...parents], (layers) => verify(layers, signal)), words };
  }
  if (name === WRAP) {
    if (json) throw new UsageError("wrap prints the tar: --json is of no use");
    if (operands.length > 1) throw new UsageError("wrap takes one tar, or none");
    if (operands.length === 0 && !isBase) throw new UsageError("wrap takes a tar, or --base");
    return { run: (signal) => wrap(operands[0], { signal, isBase }) };
  }
  const action = Object.hasOwn(ACTIONS, name) ? ACTIONS[name]! : undefined;
  if (action === undefined) {
    throw new UsageError(
      `layer takes a command: ${[...Object.keys(ACTIONS), VERIFY, WRAP, "import", "export"].join(", ")}${
        name && `, not ${name}`
      }`,
    );
  }
  const { takesPath = false, layers: [least, most], printsBytes = false } = action;
  const paths = takesPath ? operands.slice(1) : operands;
  const [given = ""] = operands;
  const path = given.replaceAll("\\", "/").replace(/^(\.?\/)+|\/+$/g, "") || given;
  if (json && printsBytes) throw new UsageError(`${name} prints the contents: --json is of no use`);
  if (isBase !== undefined && name !== "lint") throw new UsageError(`${name} takes neither --base nor --not-base`);
  if (paths.length < least || paths.length > most) {
    const count = most === Infinity ? "one or more layers" : most === 1 ? "one layer" : `${most} layers`;
    throw new UsageError(`${name} takes ${takesPath ? "a path and " : ""}${count}`);
  }
  if (isBase && paths.length > 1) throw new UsageError("A base layer has no layers below");
  return { run: (signal) => onLayers(paths, (layers) => action.run(layers, { signal, isBase }, path)) };
}

async function onLayers(paths: readonly string[], work: (layers: LayerSource[]) => Promise<Result>): Promise<Result> {
  const { openLayer } = await files();
  if (paths.filter((path) => path === "-").length > 1) {
    throw new UsageError("Only one of them can be the standard input");
  }
  await using open = new AsyncDisposableStack();
  const layers: LayerSource[] = [];
  for (const path of paths) layers.push(open.use(await (path === "-" ? layerOfInput() : openLayer(path))));
  return await work(layers);
}

async function wrap(path: string | undefined, { signal, isBase }: Work): Promise<Result> {
  const { openFile, wrapFiles } = await files();
  using file = path === undefined || path === "-" ? undefined : await openFile(path);
  const source = path === "-" ? Deno.stdin.readable : file;
  return await printBytes(wrapFiles(source, { signal, base: isBase === true }), signal);
}

function namesOf(layers: readonly LayerSource[]): string {
  return layers.map(({ name }) => name).join(", ");
}

if (import.meta.main) {
  await main({
    help,
    options: {
      json: "boolean",
      base: "boolean",
      "not-base": "boolean",
      timeout: "string",
      against: "string",
      form: "string",
      simulate: "optional",
    },
    plan,
  });
}
