/**
 * Plays recorded runs that import and export layers of plain folders on the simulated host, and compares the native calls, what
 * Windows is given, what is in the layer, and the tars.
 *
 * @module
 */

import { exportLayer, importLayer } from "../../mod.ts";
import { fromBytes, readTar } from "../../src/files/mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import type { ImageEntry } from "./image_run.ts";
import type { Verdict } from "./player.ts";
import { tarOf } from "./recorded_tar.ts";
import { TRANSPORT_DEVIATIONS } from "./transport_deviations.ts";
import type { TransportedFile, TransportRun } from "./transport_run.ts";

/** What is to come of a run. Parts that are undefined aren't compared. */
export interface TransportOutcome {
  readonly fails: boolean;
  /** Functions with their paths and the names of the layers below. */
  readonly calls: readonly string[];
  readonly importFolder: readonly string[] | undefined;
  readonly layer: readonly string[] | undefined;
  readonly tar: readonly string[] | undefined;
}

interface Node {
  readonly path: string;
  readonly type: string;
  readonly text?: string;
  readonly base64?: string;
  readonly isPlaceholder?: true;
}

/** Plays a run. */
export async function playTransport(run: TransportRun): Promise<Verdict> {
  const [kind, layer, ...parents] = run.arguments as [string, string];
  const host = prepared(run, layer, parents);
  const [fn, nth, code] = run.fail?.split(":") ?? [];
  if (fn !== undefined) host.fail({ function: fn, nth: Number(nth), code: Number(code) });
  let importFolder: string[] | undefined;
  host.before("ImportLayer", ({ args }) => {
    importFolder = filesIn(host, String(args.path)).map(({ path, type, ...content }) =>
      type === "folder" ? path : `${path} ${bytesOf(content).toHex()}`
    );
  });
  if (run.exportFolder !== undefined) {
    host.before("ExportLayer", ({ args }) => put(host, String(args.path), run.exportFolder!));
    host.fail({ function: "ExportLayer", code: 0 });
  }
  const before = host.calls.length;
  let tar: string[] | undefined;
  let error: Error | undefined;
  try {
    if (kind === "import") {
      await importLayer(layer, fromBytes(await tarOf(run.entries ?? [])), parents, { host });
    } else {
      tar = await exported(host, layer, parents);
    }
  } catch (thrown) {
    error = thrown as Error;
  }
  const calls = once(
    host.calls.slice(before).filter(({ dll, function: fn }) => dll === "vmcompute" && fn !== "DestroyLayer")
      .map(({ function: fn, args }) => callText(fn, args)),
  );
  const names = error === undefined && kind === "import"
    ? filesIn(host, layer).filter(({ isPlaceholder }) => !isPlaceholder).map(({ path }) => path)
    : undefined;
  const actual: TransportOutcome = { fails: error !== undefined, calls, importFolder, layer: names, tar };
  const met = TRANSPORT_DEVIATIONS.filter(({ runs }) => runs.includes(run.name));
  const expected = met.reduce((outcome, { apply }) => apply(outcome), recorded(run));
  const left = host.held().filter(({ kind, target }) => /handle|privilege|activation/.test(kind) || MARK.test(target));
  const reason = differenceOf(expected, actual, error) ??
    (left.length === 0 ? undefined : `left: ${left.map(({ target }) => target).join()}`) ??
    (error !== undefined && kind === "import" && host.paths().includes(layer) ? `${layer} is left` : undefined);
  return reason === undefined
    ? { outcome: "passed", deviations: met.map(({ ours }) => ours) }
    : { outcome: "failed", reason, deviations: [] };
}

function prepared(run: TransportRun, layer: string, parents: readonly string[]): SimulatedHost {
  const host = new SimulatedHost();
  host.addFolder("C:\\snap");
  for (const parent of parents) host.addFolder(`${parent}\\Files`);
  for (const file of run.filesBefore ?? []) host.addFile(`C:\\snap\\${file}`, initialOf(file));
  if (run.arguments[0] === "export") host.addFolder(layer);
  return host;
}

// The first letter of its name.
function initialOf(path: string): string {
  return path.slice(path.lastIndexOf("\\") + 1)[0]!;
}

async function exported(host: SimulatedHost, layer: string, parents: readonly string[]): Promise<string[]> {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const read = new Response(readable).bytes().catch(() => new Uint8Array());
  await exportLayer(layer, parents, writable, { host });
  const entries: string[] = [];
  for await (const { name, type, size, linkName, pax, contents } of readTar(fromBytes(await read))) {
    const data = await new Response(contents()).bytes();
    // A file that was put on the simulated host is a normal one, and not to be archived.
    const kept = Object.fromEntries(
      [...pax].filter(([key]) => key.startsWith("MSWINDOWS.")).map((
        [key, value],
      ) => [key, value === "128" ? "32" : value]),
    );
    entries.push(
      entryText({ name, type, size, linkname: linkName, pax: kept as Record<string, string>, data: data.toHex() }),
    );
  }
  return entries;
}

function entryText({ name, type, size, linkname = "", pax = {}, data = "" }: ImageEntry): string {
  return `${type} ${name} ${size} ${linkname} ${JSON.stringify(Object.entries(pax).sort())} ${data}`;
}

function filesIn(host: SimulatedHost, folder: string): Node[] {
  const { state } = JSON.parse(JSON.stringify(host.snapshot())) as { state: { nodes: Record<string, Node> } };
  const prefix = `${folder}\\`;
  return Object.values(state.nodes).filter(({ path }) => path.startsWith(prefix))
    .map((node) => ({ ...node, path: node.path.slice(prefix.length) }))
    .sort((one, other) => one.path < other.path ? -1 : 1);
}

function bytesOf({ text = "", base64 }: Partial<Node>): Uint8Array {
  return base64 === undefined ? new TextEncoder().encode(text) : Uint8Array.fromBase64(base64);
}

function put(host: SimulatedHost, folder: string, files: readonly TransportedFile[]): void {
  for (const { path, folder: isFolder, bytes = "" } of files) {
    const at = `${folder}\\${path}`;
    if (isFolder) host.addFolder(at);
    else if (path.endsWith(".$wcidirs$")) host.addFolder(at.slice(0, -".$wcidirs$".length));
    if (!isFolder) host.addFile(at, Uint8Array.fromHex(bytes));
  }
}

const MARK = /\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

function callText(fn: string, args: Readonly<Record<string, unknown>>): string {
  const { id, path, name, layers } = args as { id?: string; path?: string; name?: string; layers?: { Path: string }[] };
  const target = id ?? name ?? path;
  return [fn, target, ...(layers ?? []).map((layer) => layer.Path)].join(" ");
}

function recorded({ calls, importFolder, layerAfter, tar, result }: TransportRun): TransportOutcome {
  const fails = /^(error|the process ends)/.test(result);
  return {
    fails,
    calls: once(calls.map(({ fn, args }) => {
      const { id, path, name, layers } = args as {
        id?: string;
        path?: string;
        name?: string;
        layers?: { path: string }[];
      };
      return [fn, id ?? name ?? path, ...(layers ?? []).map((layer) => layer.path)].join(" ");
    })),
    importFolder: importFolder?.map(({ path, folder, bytes }) => folder ? path : `${path} ${bytes}`).sort(byPath),
    // The stand-in left the files as it was given them.
    layer: fails ? undefined : layerAfter?.filter((name) => !name.endsWith(".$wcidirs$")).toSorted(byPath),
    tar: fails ? undefined : tar?.map(entryText),
  };
}

// An id that is known need not be asked for.
function once(calls: readonly string[]): string[] {
  return calls.filter((call, i) => !call.startsWith("NameToGuid") || calls.indexOf(call) === i);
}

function byPath(one: string, other: string): number {
  return one.split(" ")[0]! < other.split(" ")[0]! ? -1 : 1;
}

function differenceOf(
  expected: TransportOutcome,
  actual: TransportOutcome,
  error: Error | undefined,
): string | undefined {
  if (expected.fails !== actual.fails) {
    return error === undefined ? "an error was expected" : `failed: ${error.message}`;
  }
  for (const part of ["calls", "importFolder", "layer", "tar"] as const) {
    const [theirs, ours] = [expected[part], actual[part]];
    if (theirs === undefined || part === "importFolder" && ours === undefined && expected.fails) continue;
    for (let i = 0; i < Math.max(theirs.length, ours?.length ?? 0); i++) {
      if (theirs[i] !== ours?.[i]) return `${part} ${i + 1}\nexpected ${theirs[i]}\nactual   ${ours?.[i]}`;
    }
  }
  return undefined;
}
