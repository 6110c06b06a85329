/**
 * The folder of a layer, as docker and containerd keep it (windowsfilter, snapshots), mounted or copied.
 *
 * @module
 */

import { FormatError, UnreadableFileError } from "../../errors/file_errors.ts";
import { text } from "../option_checks.ts";
import { type FileTimes, type LayerEntry, SYMLINK_TAG } from "./entry.ts";
import { caseless, nameProblem, parentOf, pathProblem } from "./layer_path.ts";
import type { EntriesOptions, LayerFinding, LayerRule, LayerSource } from "./layer_source.ts";

// What else is beside these belongs to the one who keeps the layer.
const ROOTS = ["Files", "Hives", "UtilityVM"];
const MOST_DEPTH = 1000;
const MOST_TOMBSTONE_BYTES = 2 ** 28;

/**
 * The layer in a folder that has `Files` in it, or `Hives` or `UtilityVM`; what it removes is in `tombstones.txt`. No link is
 * followed. Deno tells neither attributes nor security descriptors nor streams, and times to the millisecond only.
 */
export function layerOfFolder(path: string): LayerSource {
  text(path, "path");
  return {
    name: path,
    form: "folder",
    async *entries({ signal, onFinding } = {}) {
      const walk = new Walk(path, signal, onFinding);
      try {
        await walk.start();
        for (const root of ROOTS) yield* walk.entry(root, 1);
        yield* walk.rest();
        if (walk.unclearLinks > 0) onFinding?.(unclear(walk.unclearLinks));
      } catch (error) {
        if (onFinding === undefined || !(error instanceof FormatError)) throw error;
        onFinding({ severity: "error", rule: "format", problem: error.problem, path: error.entry });
      }
    },
  };
}

// Numbers of files that Deno rounds.
function unclear(count: number): LayerFinding {
  const problem = `which names are of one file can't be told of ${count} files: each is taken for a file of its own`;
  return { severity: "warning", rule: "link", problem };
}

class Walk {
  /** How many files have more than one name, and can't be told from others. */
  unclearLinks = 0;
  readonly #root: string;
  readonly #signal: AbortSignal | undefined;
  readonly #onFinding: EntriesOptions["onFinding"];
  // What is removed, by the folder that it was in, without case.
  #whiteouts = new Map<string, string[]>();
  // First names of files that have more, by what the system calls them.
  readonly #names = new Map<string, string>();

  constructor(root: string, signal: AbortSignal | undefined, onFinding: EntriesOptions["onFinding"]) {
    this.#root = root;
    this.#signal = signal;
    this.#onFinding = onFinding;
  }

  async start(): Promise<void> {
    const roots = await Promise.all(ROOTS.map((root) => this.#stat(root)));
    if (roots.every((root) => root === undefined)) {
      throw new FormatError(this.#root, "it is no layer: it has neither Files nor Hives nor UtilityVM");
    }
    const removed = await this.#tombstones();
    this.#whiteouts = Map.groupBy(removed, (path) => caseless(parentOf(path)));
  }

  async *entry(path: string, depth: number): AsyncGenerator<LayerEntry, void, undefined> {
    this.#signal?.throwIfAborted();
    const info = await this.#stat(path);
    if (info === undefined) return;
    if (depth > MOST_DEPTH) {
      throw new FormatError(this.#root, `a path has more than ${MOST_DEPTH} names`, { entry: path, reason: "limit" });
    }
    if (!info.isFile && !info.isDirectory && !info.isSymlink) {
      return this.#tell(path, "type", "it is neither a file nor a folder nor a link");
    }
    const problem = this.#onFinding && nameProblem(path.slice(path.lastIndexOf("/") + 1));
    if (problem !== undefined) this.#tell(path, "path", `its path ${problem}`);
    const entry = await this.#entryOf(path, info);
    if (entry === undefined) return;
    yield entry;
    if (!info.isDirectory || info.isSymlink) return;
    const key = caseless(path);
    yield* (this.#whiteouts.get(key) ?? []).map(whiteout);
    this.#whiteouts.delete(key);
    for (const name of await this.#namesIn(path)) yield* this.entry(`${path}/${name}`, depth + 1);
  }

  /** What is removed from folders that the layer itself hasn't. */
  *rest(): Generator<LayerEntry> {
    for (const removed of this.#whiteouts.values()) yield* removed.map(whiteout);
  }

  #tell(path: string, rule: LayerRule, problem: string): void {
    if (this.#onFinding === undefined) throw new FormatError(this.#root, problem, { entry: path });
    this.#onFinding({ severity: "error", rule, problem, path });
  }

  async #entryOf(path: string, info: Deno.FileInfo): Promise<LayerEntry | undefined> {
    const times = timesOf(info);
    const common = { path, size: 0, ...times && { times }, contents: empty };
    if (info.isSymlink) {
      const target = await this.#targetOf(path);
      return target === undefined ? undefined : { ...common, type: "reparse", reparse: { tag: SYMLINK_TAG, target } };
    }
    if (info.isDirectory) return { ...common, type: "folder" };
    const id = this.#idOf(info);
    const first = id === undefined ? undefined : this.#names.get(id);
    if (first !== undefined) return { ...common, type: "link", target: first };
    if (id !== undefined) this.#names.set(id, path);
    return { ...common, type: "file", size: info.size, contents: () => this.#contents(path) };
  }

  async #targetOf(path: string): Promise<string | undefined> {
    try {
      return await Deno.readLink(this.#full(path));
    } catch (cause) {
      // Deno has a class for all that may be in the way, and none for a link of a kind that it doesn't know.
      if (!(cause instanceof Error) || cause.name !== "Error") throw new UnreadableFileError(this.#full(path), cause);
      return void this.#tell(path, "type", "a reparse point of this kind, such as a link of WSL, can't be read");
    }
  }

  // What the names of a file have in common, if it has more than one.
  #idOf({ nlink, dev, ino }: Deno.FileInfo): string | undefined {
    if (nlink === 1) return undefined;
    if (nlink !== null && Number.isSafeInteger(ino)) return `${dev}:${ino}`;
    this.unclearLinks++;
    return undefined;
  }

  // Opened once somebody reads.
  #contents(path: string): ReadableStream<Uint8Array> {
    const open = () => this.#readable(path, () => Deno.open(this.#full(path)));
    return ReadableStream.from(async function* () {
      const file = await open();
      yield* file.readable;
    }());
  }

  async #namesIn(path: string): Promise<string[]> {
    const names = await this.#readable(path, () => Array.fromAsync(Deno.readDir(this.#full(path)), ({ name }) => name));
    const bytes = new TextEncoder();
    return names.map((name) => ({ name, key: bytes.encode(name).toHex() }))
      .sort((a, b) => a.key < b.key ? -1 : 1).map(({ name }) => name);
  }

  async #stat(path: string): Promise<Deno.FileInfo | undefined> {
    try {
      return await Deno.lstat(this.#full(path));
    } catch (cause) {
      if (cause instanceof Deno.errors.NotFound && !path.includes("/")) return undefined;
      // On other systems, names are bytes, and Deno replaces those that are no text.
      if (cause instanceof Deno.errors.NotFound && path.includes("\ufffd")) {
        return void this.#tell(path, "path", "its name isn't UTF-8");
      }
      throw new UnreadableFileError(this.#full(path), cause);
    }
  }

  async #tombstones(): Promise<string[]> {
    const name = "tombstones.txt";
    const file = this.#full(name);
    const info = await this.#stat(name);
    if (info === undefined) return [];
    // A link leads to a file of somebody else, and a pipe to nowhere.
    if (!info.isFile) throw new FormatError(file, "it is no file");
    if (info.size > MOST_TOMBSTONE_BYTES) {
      throw new FormatError(file, `it has ${info.size} bytes, more than ${MOST_TOMBSTONE_BYTES}`, { reason: "limit" });
    }
    const text = await this.#readable(name, () => Deno.readTextFile(file));
    const [version, ...lines] = text.replace(/^\ufeff/, "").split(/\r?\n/);
    if (version !== "Version 1.0") {
      throw new FormatError(file, `its version isn't known: ${version?.slice(0, 40)}`, { reason: "unsupported" });
    }
    return lines.filter((line) => line !== "").map((line) => {
      const path = `Files${line.replaceAll("\\", "/")}`;
      const problem = line.startsWith("\\") ? pathProblem(path) : "doesn't begin with \\";
      if (problem !== undefined) throw new FormatError(file, `a path in it ${problem}`, { entry: line });
      return path;
    });
  }

  #full(path: string): string {
    return `${this.#root}/${path}`;
  }

  async #readable<T>(path: string, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (cause) {
      throw new UnreadableFileError(this.#full(path), cause);
    }
  }
}

function whiteout(path: string): LayerEntry {
  return { path, type: "whiteout", size: 0, contents: empty };
}

function empty(): ReadableStream<Uint8Array> {
  return ReadableStream.from([]);
}

const EPOCH_MS = 11_644_473_600_000n;

function timesOf({ mtime, atime, birthtime, ctime }: Deno.FileInfo): FileTimes | undefined {
  if (mtime === null) return undefined;
  const time = (date: Date | null) => (BigInt((date ?? mtime).getTime()) + EPOCH_MS) * 10_000n;
  return { creation: time(birthtime), write: time(mtime), access: time(atime), change: time(ctime ?? null) };
}
