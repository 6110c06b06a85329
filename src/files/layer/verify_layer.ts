/**
 * Whether a layer has what the tar says that it was made of.
 *
 * @module
 */

import { FormatError } from "../../errors/file_errors.ts";
import { InvalidInputError } from "../../errors/input_error.ts";
import { abortSignal, optionsOf } from "../../options.ts";
import { layerSource, layerSources } from "../option_checks.ts";
import { type DifferingPart, digestOf } from "./diff_layers.ts";
import type { LayerEntry } from "./entry.ts";
import { caseless } from "./layer_path.ts";
import type { LayerFinding, LayerSource } from "./layer_source.ts";
import { mergeLayers } from "./merge_layers.ts";
import { compareEntries, severityOf, TYPE_WORDS, type UncomparedPart } from "./verify_entry.ts";

/**
 * What is otherwise than the tar says: the layer lacks an entry (`missing`), has one that the tar hasn't (`extra`), has
 * what the tar removes, or lacks the removal (`removal`), keeps names of one file as files of their own, or the other
 * way round (`link`), has a name in another case (`name`), a part of an entry differs, or the entry can't be in a layer
 * (`format`).
 */
export type MismatchPart = DifferingPart | "missing" | "extra" | "removal" | "link" | "name" | "format";

/** Something that is otherwise than the tar says. */
export interface LayerMismatch {
  /** An error: something was lost, or is too much. A warning: Windows itself changes this, or doesn't care. */
  readonly severity: "error" | "warning";
  /** What it is about. */
  readonly part: MismatchPart;
  /** The path, as the tar has it; as the layer has it, if the tar hasn't. Undefined if it is about the layer. */
  readonly path?: string | undefined;
  /** What is wrong. */
  readonly problem: string;
  /** The entry that the tar has. Its contents can't be read. */
  readonly expected?: LayerEntry | undefined;
  /** The entry that the layer has. Its contents can't be read. */
  readonly found?: LayerEntry | undefined;
}

/** How much a layer has. */
export interface LayerTotals {
  /** How many entries, removals included. */
  readonly entries: number;
  /** How many bytes all files and streams have together. A file with several names counts once. */
  readonly bytes: number;
}

/** What {@linkcode verifyLayer} has found. */
export interface LayerVerification {
  /** Whether there is no error among the mismatches. What couldn't be compared is in `uncompared`. */
  readonly isSame: boolean;
  /** What is otherwise than the tar says, in the order of the layer, and then what is missing, in that of the tar. */
  readonly mismatches: readonly LayerMismatch[];
  /** What the tar has, with the layers below if they were given. */
  readonly expected: LayerTotals;
  /** What the layer has. */
  readonly found: LayerTotals;
  /** What the tar says, and the layer doesn't tell: of how many entries. */
  readonly uncompared: Readonly<Partial<Record<UncomparedPart, number>>>;
}

/**
 * Tells whether a layer, such as one that was imported, has exactly what a tar says: entries, sizes and bytes, times,
 * attributes, access rights, streams, links, reparse points, and nothing else. What Windows makes beside it isn't
 * counted, such as `Hives/System_Base`, and what it changes (the time of the last access, the boot files of a utility
 * VM) is a warning. Of a folder, times are compared to the millisecond, and only those of the last write.
 *
 * @param against The tar, and those of the layers below, the topmost first: an image that was forked from theirs has
 * what they have, and the folder of a layer may. Without them, what is theirs can't be told from what is too much.
 * Those below the folder of a layer may be folders.
 * @throws {FormatError} if the tar or the layer is cut or damaged.
 */
export async function verifyLayer(
  layer: LayerSource,
  against: readonly LayerSource[],
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<LayerVerification> {
  const { signal } = optionsOf(options, { signal: abortSignal });
  const source = layerSource(layer, "layer");
  const [top, ...below] = layerSources(against, "against");
  if (top === undefined) throw new InvalidInputError("against", "is empty", against);
  const isFolder = source.form === "folder";
  [top, ...below].forEach(({ form, name }, i) => {
    // Of layers below, the folder of a layer has nothing that is compared.
    if (form !== "folder" || (isFolder && i > 0)) return;
    throw new InvalidInputError(`against[${i}]`, "is a folder, which tells less than a tar", name);
  });
  const verification = new Verification(source);
  for await (const entry of top.entries({ signal, onFinding: verification.teller(top) })) {
    await verification.expect(entry);
  }
  if (below.length > 0) {
    verification.isBelowNamed = true;
    // Its findings were told.
    const again: LayerSource = { name: top.name, entries: () => top.entries({ signal, onFinding: () => {} }) };
    for await (const { entry, layer: index } of mergeLayers([again, ...below], { signal })) {
      if (index > 0) await verification.expectBelow(entry);
    }
  }
  for await (const entry of source.entries({ signal, onFinding: verification.teller(source) })) {
    await verification.find(entry);
  }
  return verification.finish();
}

interface Expected {
  readonly entry: LayerEntry;
  /** Undefined if its contents aren't compared. */
  readonly digest: string | undefined;
  /** Whether it is of a layer below, of which the folder of a layer may have something, or stand-ins of it. */
  readonly isOptional?: boolean;
  isFound: boolean;
  /** The first name under which its contents were found, of a file. */
  firstName?: string;
}

// What Windows, and the import into an image, put into a layer that no tar has.
const MADE =
  /^(LAYOUT|HIVES|HIVES\/(SYSTEM|SOFTWARE|SAM|SECURITY|DEFAULTUSER)_BASE|UTILITYVM\/SYSTEMTEMPLATE(BASE)?\.VHDX)$/;

class Verification {
  /** Whether the layers below were named. */
  isBelowNamed = false;
  readonly #layer: LayerSource;
  readonly #expected = new Map<string, Expected>();
  readonly #removals = new Map<string, Expected>();
  readonly #mismatches: LayerMismatch[] = [];
  readonly #uncompared = new Map<UncomparedPart, number>();
  /** Names of one file in the tar that are files of their own in the layer. */
  readonly #separate: LayerMismatch[] = [];
  readonly #totals = { expected: { entries: 0, bytes: 0 }, found: { entries: 0, bytes: 0 } };
  #areLinksClear = true;
  #hasRemovals = false;

  constructor(layer: LayerSource) {
    this.#layer = layer;
  }

  /** Who is told of what is wrong with a layer itself. */
  teller(source: LayerSource): (finding: LayerFinding) => void {
    return ({ severity, rule, problem, path, offset }) => {
      // What comes behind isn't known.
      if (rule === "format" && severity === "error") {
        throw new FormatError(source.name, problem, { entry: path, offset });
      }
      if (source === this.#layer && rule === "link" && path === undefined) this.#areLinksClear = false;
      this.#mismatches.push({ severity, part: "format", path, problem: `${source.name}: ${problem}` });
    };
  }

  async expect(entry: LayerEntry): Promise<void> {
    count(this.#totals.expected, entry);
    const key = caseless(entry.path);
    const digest = await digestOf(entry);
    // What contents are read from isn't kept.
    const expected = { entry: { ...entry, contents: unreadable }, digest, isFound: false };
    if (entry.type === "whiteout") return void this.#removals.set(removalKey(entry), expected);
    if (this.#expected.has(key)) this.#tell("format", entry, "the tar has it twice", { expected: entry });
    this.#expected.set(key, expected);
  }

  /** Expects an entry of a layer below. */
  async expectBelow(entry: LayerEntry): Promise<void> {
    if (this.#layer.form !== "folder") return await this.expect(entry);
    count(this.#totals.expected, entry);
    const kept = { ...entry, contents: unreadable };
    this.#expected.set(caseless(entry.path), { entry: kept, digest: undefined, isOptional: true, isFound: false });
  }

  async find(found: LayerEntry): Promise<void> {
    count(this.#totals.found, found);
    if (found.type === "whiteout") return this.#findRemoval(found);
    const key = this.#keyOf(found);
    const expected = this.#expected.get(key);
    if (expected === undefined) return this.#findExtra(found, key);
    expected.isFound = true;
    const { entry } = expected;
    if (entry.type !== "stream" && nameIn(entry.path) !== nameIn(found.path)) {
      this.#tell("name", entry, `the layer has it as ${found.path}`, { expected: entry, found, severity: "warning" });
    }
    const isFile = (type: LayerEntry["type"]) => type === "file" || type === "link";
    if (isFile(entry.type) && isFile(found.type)) await this.#findFile(expected, found);
    else if (entry.type !== found.type) {
      this.#tell("type", entry, `it is a ${TYPE_WORDS[found.type]}, not a ${TYPE_WORDS[entry.type]}`, {
        expected: entry,
        found,
      });
    } else if (!expected.isOptional) await this.#compare(expected, found);
  }

  // A stream follows the name of its file that comes first, which may be another one in the tar.
  #keyOf({ type, path }: LayerEntry): string {
    const key = caseless(path);
    if (type !== "stream") return key;
    const colon = key.lastIndexOf(":");
    const owner = this.#expected.get(key.slice(0, colon));
    const file = owner && this.#fileOf(owner);
    return file === undefined ? key : caseless(file.entry.path) + key.slice(colon);
  }

  // Names of a file are equal: which of them comes first, and is the file, depends on the form.
  async #findFile(expected: Expected, found: LayerEntry): Promise<void> {
    const { entry } = expected;
    const file = this.#fileOf(expected);
    if (found.type === "link") {
      const target = this.#expected.get(caseless(found.target!));
      const isSame = target === undefined || file === undefined
        ? caseless(entry.target ?? "") === caseless(found.target!)
        : this.#fileOf(target) === file;
      if (!isSame) {
        this.#tell("link", entry, `it is one file with ${found.target}, which it isn't in the tar`, {
          expected: entry,
          found,
        });
      }
    } else if (file?.digest === undefined) this.#skip("contents");
    else if (file.firstName === undefined) {
      file.firstName = found.path;
      await this.#compare(file, found, entry);
    } else {
      this.#separate.push({
        severity: "error",
        part: "link",
        path: entry.path,
        problem: `it is a file of its own, not another name of ${file.firstName}`,
        expected: entry,
        found,
      });
      await this.#compareContents(file, found, entry);
    }
  }

  // Undefined if it is a name of a file that the tar doesn't have.
  #fileOf(expected: Expected): Expected | undefined {
    let file: Expected | undefined = expected;
    for (let links = 0; file?.entry.type === "link"; links++) {
      file = links < MOST_LINKS ? this.#expected.get(caseless(file.entry.target!)) : undefined;
    }
    return file;
  }

  async #compare(expected: Expected, found: LayerEntry, named = expected.entry): Promise<void> {
    const { mismatches, uncompared } = compareEntries(expected.entry, found, this.#layer.form);
    for (const told of mismatches) this.#tell(told.part, named, told.problem, { expected: named, found, ...told });
    uncompared.forEach((part) => this.#skip(part));
    await this.#compareContents(expected, found, named);
  }

  async #compareContents({ entry, digest }: Expected, found: LayerEntry, named: LayerEntry): Promise<void> {
    const both = { expected: named, found, severity: severityOf(named.path, "contents") };
    if (entry.size !== found.size) {
      this.#tell("size", named, `it has ${found.size} bytes, not ${entry.size}`, both);
    } else if (digest !== await digestOf(found)) {
      this.#tell("contents", named, "its bytes are others", both);
    }
  }

  #findExtra(found: LayerEntry, key: string): void {
    const isRemoved = this.#removals.has(`-${key}`);
    if (isRemoved) this.#tell("removal", found, "it is there, and the tar removes it", { found });
    else if (this.#tellsAll) this.#tell("extra", found, "the tar doesn't have it", { found });
    else if (MADE.test(key)) return;
    else if (this.#isAbove && !this.isBelowNamed) this.#skip("extra");
    else this.#tell("extra", found, "the tar doesn't have it", { found });
  }

  #findRemoval(found: LayerEntry): void {
    this.#hasRemovals = true;
    const expected = this.#removals.get(removalKey(found));
    if (expected === undefined) this.#tell("extra", found, "it is removed, which it isn't in the tar", { found });
    else expected.isFound = true;
  }

  // A layer above others has this folder, and once it is imported, what is theirs may be in it.
  get #isAbove(): boolean {
    return this.#expected.has("HIVES");
  }

  // What is kept as it was made has all that the tar has.
  get #tellsAll(): boolean {
    return this.#layer.form === undefined || this.#layer.form === "tar";
  }

  finish(): LayerVerification {
    if (this.#areLinksClear) this.#mismatches.push(...this.#separate);
    else this.#separate.forEach(() => this.#skip("link"));
    for (const { entry, isFound, isOptional } of this.#expected.values()) {
      if (!isFound && !isOptional) this.#missing(entry);
    }
    for (const { entry, isFound } of this.#removals.values()) {
      if (!isFound) this.#missingRemoval(entry);
    }
    return {
      isSame: this.#mismatches.every(({ severity }) => severity === "warning"),
      mismatches: this.#mismatches,
      ...this.#totals,
      uncompared: Object.fromEntries(this.#uncompared),
    };
  }

  #missing(entry: LayerEntry): void {
    if (entry.type === "stream" && this.#layer.form === "folder") return this.#skip("streams");
    const size = entry.type === "file" || entry.type === "stream" ? `, which has ${entry.size} bytes` : "";
    this.#tell("missing", entry, `the layer lacks this ${TYPE_WORDS[entry.type]}${size}`, { expected: entry });
  }

  // An image shows what is left. So does a folder of what it has itself, unless it lists what it removes.
  #missingRemoval(entry: LayerEntry): void {
    if (this.#layer.form === "folder" && !this.#hasRemovals) this.#skip("removal");
    else if (this.#layer.form !== "image") {
      this.#tell("removal", entry, "the layer doesn't remove it, as the tar does", { expected: entry });
    }
  }

  #tell(
    part: MismatchPart,
    { path }: LayerEntry,
    problem: string,
    { expected, found, severity = "error" }: Partial<Pick<LayerMismatch, "expected" | "found" | "severity">>,
  ): void {
    this.#mismatches.push({ severity, part, path, problem, expected, found });
  }

  #skip(part: UncomparedPart): void {
    this.#uncompared.set(part, (this.#uncompared.get(part) ?? 0) + 1);
  }
}

// Names of names of a file.
const MOST_LINKS = 16;

// A layer may remove a path and add it.
function removalKey({ path, isOpaque }: LayerEntry): string {
  return `${isOpaque ? "*" : "-"}${caseless(path)}`;
}

function nameIn(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function unreadable(): never {
  throw new TypeError("the contents of an entry that was compared can't be read any more");
}

function count(totals: { entries: number; bytes: number }, { size }: LayerEntry): void {
  totals.entries++;
  totals.bytes += size;
}
