/**
 * Plays recorded runs that write CIM images on the simulated host, and compares the native calls: those of the DLL that writes
 * images, and of offreg.dll.
 *
 * @module
 */

import { importBlockCimLayer, importCimLayer, mergeBlockCims, writeBlockCim } from "../../mod.ts";
import { fromBytes } from "../../src/files/mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import type { CompletedCall } from "../../src/simulated/mod.ts";
import { IMAGE_DEVIATIONS } from "./image_deviations.ts";
import type { ImageCall, ImageRun } from "./image_run.ts";
import type { Verdict } from "./player.ts";
import { tarOf } from "./recorded_tar.ts";

/** A call in one form for both. */
export interface SeenCall {
  readonly fn: string;
  readonly args: Readonly<Record<string, unknown>>;
}

/** What is to come of a run. */
export interface ImageOutcome {
  readonly calls: readonly SeenCall[];
  /** Whether it fails. Then only the calls before `CimCloseImage` that are there are compared with the first of `calls`. */
  readonly fails: boolean;
  /** Whether the failure is one of ours: how far it comes is its own matter. */
  readonly isRefused?: boolean;
}

const BUILD = 27900;
// What the layers below have in the runs, for removals and links.
const BELOW = { "data\\a.txt": "a", "data\\empty.txt": "", f: "f", "dir\\x": "x" };

/** Plays a run. */
export async function playImage(run: ImageRun): Promise<Verdict> {
  const host = new SimulatedHost({ build: BUILD });
  await prepare(host, run);
  const before = host.calls.length;
  const held = new Set(host.held().map(({ target }) => target));
  inject(host, run);
  const error = await play(host, run).then(() => undefined, (error: Error) => error);
  host.failNothing();
  const made = host.calls.slice(before).filter(isRecorded);
  const actual = made.map(seen);
  const met = IMAGE_DEVIATIONS.filter(({ runs }) => runs.includes(run.name));
  const recorded: ImageOutcome = {
    calls: withWholeStreams(run.calls.map(recordedCall)),
    fails: run.result.startsWith("error"),
  };
  const expected = met.reduce((outcome, { apply }) => apply(outcome), recorded);
  const left = host.held().map(({ target }) => target).filter((target) => !held.has(target));
  const reason = differenceOf(expected, withWholeStreams(actual), error, left) ?? unclosed(made);
  return reason === undefined
    ? { outcome: "passed", deviations: met.map(({ ours }) => ours) }
    : { outcome: "failed", reason, deviations: [] };
}

async function prepare(host: SimulatedHost, run: ImageRun): Promise<void> {
  const [kind, ...rest] = run.arguments;
  host.addFolder("C:\\snap");
  for (const file of run.filesBefore ?? []) host.addFile(`C:\\snap\\${file}`, file);
  if (kind === "forked") {
    host.addFolder("C:\\snap\\cim-layers");
    for (let i = 2; i < rest.length; i += 2) host.addCimLayer(rest[i]!, { files: BELOW });
    return;
  }
  const [block] = rest;
  if (kind === "merge") host.addFolder(parent(block!));
  for (let i = 2; i < rest.length; i += 2) {
    const file = rest[i]!;
    host.addFolder(parent(file));
    if (kind === "block") host.addFile(file, "C");
    else await emptyBlock(host, file);
  }
}

async function emptyBlock(host: SimulatedHost, file: string): Promise<void> {
  await using image = await writeBlockCim(file, { host });
  await image.commit();
}

function inject(host: SimulatedHost, { fail }: ImageRun): void {
  const [fn, nth, code] = fail?.split(":") ?? [];
  // What returns nothing can't fail.
  if (fn === undefined || fn === "CimCloseStream") return;
  host.fail({ function: fn, nth: Number(nth), code: Number(code) });
}

async function play(host: SimulatedHost, run: ImageRun): Promise<unknown> {
  const [kind, target, name, ...below] = run.arguments as [string, string, string];
  const pairs = Array.from({ length: below.length / 2 }, (_, i) => [below[2 * i]!, below[2 * i + 1]!] as const);
  const { integrity: verified } = run.options ?? {};
  if (kind === "merge") {
    const sources = pairs.map(([block, name]) => ({ block, name }));
    return await mergeBlockCims(target, sources, { host, name, verified });
  }
  const tar = fromBytes(await tarOf(run.entries ?? []));
  if (kind === "forked") {
    return await importCimLayer(target, tar, pairs.map(([parent]) => parent), { host, image: name });
  }
  const parents = pairs.map(([block]) => parent(block));
  return await importBlockCimLayer(parent(target), tar, parents, { host, block: target, imageName: name, verified });
}

function parent(path: string): string {
  return path.slice(0, path.lastIndexOf("\\"));
}

function isRecorded({ dll, function: fn }: CompletedCall): boolean {
  return dll === "offreg" ||
    dll === "cimfs" && /^Cim(Create|Write|Close|Commit|Delete|Tomb|AddFs|Seal|GetVer)/.test(fn);
}

// The name that an image has until it is complete.
const MARK = /\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const plain = (text: unknown) => typeof text === "string" ? text.replace(MARK, "") : text;

function seen({ function: fn, args: all }: CompletedCall): SeenCall {
  const args = all as Record<string, unknown>;
  switch (fn) {
    case "CimCreateImage":
      return { fn, args: { folder: args.folder, from: args.oldName, name: plain(args.newName) } };
    case "CimCreateImage2":
      return { fn, args: { folder: plain(args.block), flags: args.flags, from: args.oldName, name: args.newName } };
    case "CimCreateFile": {
      const { size, securityDescriptor, reparse, extendedAttributes, ...rest } = args.metadata as Record<
        string,
        string
      >;
      const [sd, reparseData, ea] = [securityDescriptor, reparse, extendedAttributes].map(hexOf);
      return { fn, args: { path: args.path, size: Number(size), ...rest, sd, reparse: reparseData, ea } };
    }
    case "CimCreateAlternateStream":
      return { fn, args: { path: args.path, size: Number(args.size) } };
    case "CimWriteStream":
      return { fn, args: { size: args.size } };
    case "CimCreateHardLink":
      return { fn, args: { path: args.newPath, existing: args.oldPath } };
    case "CimDeletePath":
    case "CimTombstoneFile":
      return { fn, args: { path: args.path } };
    case "CimSealImage":
    case "CimGetVerificationInformation":
      return { fn, args: { folder: plain(args.block) } };
    default:
      return alikeCall({ fn, args });
  }
}

/** A call whose arguments are named alike, made or recorded. */
function alikeCall({ fn, args }: SeenCall): SeenCall {
  switch (fn) {
    case "CimCreateMergeLink":
      return { fn, args: { path: args.newPath, existing: args.oldPath } };
    case "CimAddFsToMergedImage2":
      return { fn, args: { path: args.path, flags: args.flags } };
    case "OROpenHive":
    case "ORSaveHive":
      return { fn, args: { path: String(args.path).toUpperCase() } };
    case "ORMergeHives":
      return { fn, args: { count: args.count } };
    default:
      return { fn, args: {} };
  }
}

function hexOf(base64: string | undefined): string | null {
  return base64 === undefined ? null : Uint8Array.fromBase64(base64).toHex();
}

function recordedCall({ fn, args }: ImageCall): SeenCall {
  switch (fn) {
    case "CimCreateImage":
      return { fn, args: { folder: args.imageContainingPath, from: args.existingImageName, name: args.newImageName } };
    case "CimCreateImage2": {
      const { imageContainingPath: folder, flags, existingImageName: from, newImageName: name } = args;
      return { fn, args: { folder, flags, from, name } };
    }
    case "CimCreateFile": {
      const metadata = args.fileMetadata as Record<string, unknown>;
      const { fileSize, securityDescriptor: sd, reparseData: reparse, ea, attributes, ...rest } = metadata;
      const { creationTime, lastWriteTime, changeTime, lastAccessTime } = rest;
      const times = { creationTime, lastWriteTime, changeTime, lastAccessTime };
      return {
        fn,
        args: { path: args.imageRelativePath, size: Number(fileSize), attributes, ...times, sd, reparse, ea },
      };
    }
    case "CimCreateAlternateStream":
      // Without the type, which is that of all data.
      return { fn, args: { path: plainStream(args.imageRelativePath), size: Number(args.streamSize) } };
    case "CimWriteStream":
      return { fn, args: { size: args.bufferSize } };
    case "CimCreateHardLink":
      return { fn, args: { path: args.imageRelativePath, existing: args.existingImageRelativePath } };
    case "CimDeletePath":
      return { fn, args: { path: args.imageRelativePath } };
    case "CimTombstoneFile":
      return { fn, args: { path: args.path } };
    case "CimSealImage":
    case "CimGetVerificationInformation":
      return { fn, args: { folder: args.blockPath } };
    default:
      return alikeCall({ fn, args });
  }
}

function plainStream(path: unknown): string {
  return String(path).replace(/:\$DATA$/, "");
}

// In how many pieces contents are written, and when a stream is closed, is each one's own matter; how long a merged hive is, that of
// the stand-in of offreg.dll.
function withWholeStreams(calls: readonly SeenCall[]): SeenCall[] {
  const whole: SeenCall[] = [];
  for (const call of calls) {
    if (call.fn === "CimCloseStream") continue;
    if (/_BASE$/.test(String(whole.at(-1)?.args.path)) && call.fn === "CimWriteStream") continue;
    if (/_BASE$/.test(String(call.args.path)) && call.fn === "CimCreateFile") {
      whole.push({ ...call, args: { ...call.args, size: "?" } });
      continue;
    }
    const last = whole.at(-1);
    if (call.fn === "CimWriteStream" && last?.fn === call.fn) {
      whole[whole.length - 1] = { ...last, args: { size: Number(last.args.size) + Number(call.args.size) } };
    } else {
      whole.push(call);
    }
  }
  return whole;
}

function differenceOf(
  { calls, fails, isRefused }: ImageOutcome,
  actual: readonly SeenCall[],
  error: Error | undefined,
  left: readonly string[],
): string | undefined {
  if (fails !== (error !== undefined)) {
    return error === undefined ? "an error was expected" : `failed: ${error.message}`;
  }
  if (error !== undefined && left.length > 0) return `left after the error: ${left.join()}`;
  if (actual.some(({ fn }) => fn === "CimCommitImage") && isRefused) return "an image was committed after an error";
  const own = isRefused ? actual.filter(({ fn }) => fn !== "CimCloseImage") : actual;
  const theirs = isRefused ? calls.slice(0, own.length) : calls;
  for (let i = 0; i < Math.max(own.length, theirs.length); i++) {
    const [ours, expected] = [own[i], theirs[i]].map(printed);
    if (ours !== expected) return `call ${i + 1}\nexpected ${expected}\nactual   ${ours}`;
  }
  return undefined;
}

const OPENS = {
  CimCloseImage: /^CimCreateImage2?$/,
  CimCloseStream: /^CimCreate(File|AlternateStream)$/,
  ORCloseHive: /^OR(OpenHive|MergeHives)$/,
};

function unclosed(calls: readonly CompletedCall[]): string | undefined {
  for (const [close, open] of Object.entries(OPENS)) {
    const opened = calls.filter(({ function: fn, result }) => open.test(fn) && Number(result) === 0).length;
    const closed = calls.filter(({ function: fn }) => fn === close).length;
    if (opened !== closed) return `${close} was called ${closed} times, for ${opened} handles`;
  }
  return undefined;
}

function printed(call: SeenCall | undefined): string {
  if (call === undefined) return "nothing";
  const sorted = Object.fromEntries(Object.entries(call.args).sort(([a], [b]) => a < b ? -1 : 1));
  return `${call.fn} ${JSON.stringify(sorted)}`;
}
