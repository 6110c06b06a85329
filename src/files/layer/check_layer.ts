/**
 * What Windows wants of a layer as a whole: its top folders, the order of its entries, and what they have to do with
 * each other.
 *
 * @module
 */

import { FormatError } from "../../errors/file_errors.ts";
import { InvalidInputError } from "../../errors/input_error.ts";
import { abortSignal, optional, optionsOf } from "../../options.ts";
import { formatLink } from "../backup/reparse_buffer.ts";
import { flag, layerSource, layerSources, text } from "../option_checks.ts";
import { sddlOf } from "../sddl.ts";
import { ATTRIBUTE_FOLDER, ATTRIBUTE_REPARSE, type LayerEntry, type LayerEntryType } from "./entry.ts";
import { caseless, parentOf } from "./layer_path.ts";
import type { LayerFinding, LayerRule, LayerSource } from "./layer_source.ts";
import { mergeLayers } from "./merge_layers.ts";

/** Options for checking a layer. */
export interface CheckLayerOptions {
  /** Whether it is a base layer, which has no layers below. Default: unknown, so that what differs is not checked. */
  readonly isBase?: boolean | undefined;
}

/** Options of {@linkcode lintLayer}. */
export interface LintLayerOptions extends CheckLayerOptions {
  /**
   * The layers below, the topmost first. The paths that the layer links to and removes are then looked for in them.
   * Default: unknown, so that they are not.
   */
  readonly parents?: readonly LayerSource[] | undefined;
  /** Ends reading once it is aborted. */
  readonly signal?: AbortSignal | undefined;
}

const LINT = {
  signal: abortSignal,
  isBase: optional(flag),
  parents: optional((value: unknown, argument: string) => layerSources(value, argument)),
};

/**
 * Checks a layer, and goes on after each thing that is wrong.
 *
 * @throws {FormatError} if a layer below is damaged, or has an entry that can't be one.
 * @throws {UnreadableFileError} if it can't be read.
 */
export async function* lintLayer(
  layer: LayerSource,
  options: LintLayerOptions = {},
): AsyncGenerator<LayerFinding, void, undefined> {
  const source = layerSource(layer, "layer");
  const { signal, parents, isBase = parents && parents.length === 0 } = optionsOf(options, LINT);
  if (isBase && parents !== undefined && parents.length > 0) {
    throw new InvalidInputError("parents", "are given, and a base layer has none", parents);
  }
  const found: LayerFinding[] = [];
  const tell = (finding: LayerFinding) => found.push(finding);
  const below = parents && await typesIn(parents, signal);
  const check = new LayerCheck(isBase, tell, { below, tellsMetadata: source.form !== "folder" });
  for await (const entry of source.entries({ signal, onFinding: tell })) {
    check.add(entry);
    while (found.length > 0) yield found.shift()!;
  }
  check.finish();
  yield* found;
}

/**
 * Passes the entries of a layer on, and refuses the first with which something is wrong, and at the end a layer in
 * which something is missing. Warnings are not looked at.
 *
 * @throws {FormatError} that names the entry.
 */
export async function* checkedEntries(
  entries: AsyncIterable<LayerEntry>,
  options: CheckLayerOptions & { readonly name?: string | undefined } = {},
): AsyncGenerator<LayerEntry, void, undefined> {
  const { name = "layer", isBase } = optionsOf(options, { name: optional(text), isBase: optional(flag) });
  const check = new LayerCheck(isBase, ({ severity, problem, path, offset }) => {
    if (severity === "error") throw new FormatError(name, problem, { entry: path, offset });
  });
  for await (const entry of entries) {
    check.add(entry);
    yield entry;
  }
  check.finish();
}

const CONFIG = "FILES/WINDOWS/SYSTEM32/CONFIG/";
const HIVES = ["DEFAULT", "SAM", "SECURITY", "SOFTWARE", "SYSTEM"];
const DELTA = /^HIVES\/(SYSTEM|SOFTWARE|SAM|SECURITY|DEFAULTUSER)_DELTA$/;
const BCD = "UTILITYVM/FILES/EFI/MICROSOFT/BOOT/BCD";
const DEVICE = 0x40;
const MOST_ATTRIBUTES = 65535;
const MOST_SECURITY = 65535;

// What layers have at their paths, without case.
async function typesIn(
  layers: readonly LayerSource[],
  signal: AbortSignal | undefined,
): Promise<Map<string, LayerEntryType>> {
  const types = new Map<string, LayerEntryType>();
  for await (const { entry: { path, type } } of mergeLayers(layers, { signal })) types.set(caseless(path), type);
  return types;
}

class LayerCheck {
  readonly #isBase: boolean | undefined;
  readonly #below: ReadonlyMap<string, LayerEntryType> | undefined;
  // Nobody tells that of a folder.
  readonly #tellsMetadata: boolean;
  readonly #tell: (finding: LayerFinding) => void;
  // Paths as they were given, by their form without case.
  readonly #folders = new Map<string, string>();
  readonly #others = new Map<string, string>();
  readonly #reparsePoints = new Set<string>();
  readonly #whiteouts = new Set<string>();
  // Links to what may come behind them.
  readonly #links: LayerEntry[] = [];
  readonly #missing = new Map<string, { count: number; readonly first: LayerEntry }>();
  // The file, folder or reparse point that streams may follow, and their names.
  #owner = "";
  readonly #streams = new Set<string>();

  constructor(
    isBase: boolean | undefined,
    tell: (finding: LayerFinding) => void,
    { below, tellsMetadata = true }: {
      readonly below?: ReadonlyMap<string, LayerEntryType> | undefined;
      readonly tellsMetadata?: boolean;
    } = {},
  ) {
    this.#isBase = isBase;
    this.#tell = tell;
    this.#below = below;
    this.#tellsMetadata = tellsMetadata;
  }

  add(entry: LayerEntry): void {
    const key = caseless(entry.path);
    if (entry.type === "stream") return this.#stream(entry, key);
    this.#owner = ["file", "folder", "reparse"].includes(entry.type) ? key : "";
    this.#streams.clear();
    this.#root(entry, key);
    if (entry.type === "whiteout") return this.#whiteout(entry, key);
    this.#place(entry, key);
    if (entry.type === "link") this.#link(entry, key);
    else this.#metadata(entry);
    if (entry.type === "folder") this.#folders.set(key, entry.path);
    else this.#others.set(key, entry.path);
    if (entry.type === "reparse") this.#reparsePoints.add(key);
  }

  finish(): void {
    for (const link of this.#links) this.#linkBelow(link);
    for (const [what, { count, first: { path, offset } }] of this.#missing) {
      const others = count === 1 ? "" : `, and ${count - 1} more`;
      this.#tell({ severity: "warning", rule: "metadata", problem: `${what}${others}`, path, offset });
    }
    const absent = (rule: LayerRule, problem: string, severity: LayerFinding["severity"] = "error") =>
      this.#tell({ severity, rule, problem });
    if (this.#isBase === false && !this.#folders.has("HIVES")) {
      absent("root", "the folder Hives is missing, which all layers but the base have", "warning");
    }
    if (this.#isBase !== true) return;
    for (const hive of HIVES) {
      if (!this.#others.has(CONFIG + hive)) {
        absent("base", `Files/Windows/System32/config/${hive} is missing in a base layer`);
      }
    }
    if (this.#folders.has("UTILITYVM/FILES") && !this.#others.has(BCD)) {
      absent("base", "UtilityVM/Files/EFI/Microsoft/Boot/BCD is missing in a base layer with a utility VM");
    }
  }

  #error({ path, offset }: LayerEntry, rule: LayerRule, problem: string): void {
    this.#tell({ severity: "error", rule, problem, path, offset });
  }

  #warning({ path, offset }: LayerEntry, rule: LayerRule, problem: string): void {
    this.#tell({ severity: "warning", rule, problem, path, offset });
  }

  #root(entry: LayerEntry, key: string): void {
    const [root, second] = entry.path.split("/", 2) as [string, string?];
    if (!["Files", "Hives", "UtilityVM"].includes(root)) {
      this.#error(entry, "root", `a layer has Files, Hives and UtilityVM at its top, not ${root}`);
    } else if (root === "Hives" && key !== "HIVES" && (this.#isBase === true || !DELTA.test(key))) {
      this.#warning(entry, "root", this.#isBase ? "a base layer has no Hives" : "Windows doesn't know this hive");
    } else if (root === "UtilityVM" && second !== undefined && second !== "Files") {
      this.#warning(entry, "root", "only Files of UtilityVM is taken");
    } else if (!entry.path.includes("/") && entry.type !== "folder" && entry.type !== "whiteout") {
      this.#error(entry, "root", `${root} has to be a folder`);
    }
  }

  #place(entry: LayerEntry, key: string): void {
    const parent = parentOf(key);
    if (parent !== "" && !this.#folders.has(parent)) {
      if (this.#reparsePoints.has(parent)) {
        this.#error(entry, "link", "its folder is a link: it would get out of its place");
      } else if (this.#others.has(parent)) this.#error(entry, "collision", "its folder is a file");
      else this.#error(entry, "order", "its folder doesn't come before it");
    }
    const first = this.#folders.get(key) ?? this.#others.get(key);
    if (first === entry.path) this.#error(entry, "collision", "its path is there twice");
    else if (first !== undefined) this.#error(entry, "collision", `its path differs only by case from ${first}`);
    if (this.#whiteouts.has(key)) {
      this.#warning(entry, "whiteout", "the layer removes this path as well: hcsshim removes the new one");
    }
  }

  #stream(entry: LayerEntry, key: string): void {
    const colon = key.lastIndexOf(":");
    if (key.slice(0, colon) !== this.#owner) {
      this.#error(entry, "stream", "a stream has to follow its file directly");
    } else if (this.#streams.has(key)) this.#error(entry, "collision", "the stream is there twice");
    this.#streams.add(key);
  }

  #whiteout(entry: LayerEntry, key: string): void {
    if (this.#isBase === true) this.#error(entry, "whiteout", "a base layer has nothing below that it could remove");
    if (!isInFiles(key) && !(entry.isOpaque && (key === "FILES" || key === "UTILITYVM/FILES"))) {
      this.#error(entry, "whiteout", "only what is in Files or UtilityVM/Files can be removed");
    } else if (entry.isOpaque) {
      this.#warning(entry, "whiteout", "hcsshim doesn't know whiteouts of all that is in a folder: it removes nothing");
    } else if (this.#folders.has(key) || this.#others.has(key)) {
      this.#warning(entry, "whiteout", "the layer adds this path as well: hcsshim removes the new one");
    }
    if (this.#below !== undefined && !this.#below.has(key)) {
      this.#warning(entry, "whiteout", "no layer below has what it removes");
    }
    this.#whiteouts.add(key);
  }

  #link(entry: LayerEntry, key: string): void {
    const target = caseless(entry.target ?? "");
    if (target === key) this.#error(entry, "link", "it links to itself");
    else if (!isInFiles(key) || !isInFiles(target)) {
      this.#error(entry, "link", "only files in Files and UtilityVM/Files can have more than one name");
    } else if (this.#folders.has(target)) this.#error(entry, "link", "it links to a folder");
    else if (this.#isBase === true && !this.#others.has(target)) {
      this.#error(entry, "link", `the file that it links to doesn't come before it: ${entry.target}`);
    } else if (this.#below !== undefined) this.#links.push(entry);
  }

  #linkBelow(entry: LayerEntry): void {
    const target = caseless(entry.target!);
    if (this.#others.has(target)) return;
    const type = this.#folders.has(target) ? "folder" : this.#below!.get(target);
    if (type === "folder") this.#error(entry, "link", "it links to a folder");
    else if (type === undefined) {
      this.#error(entry, "link", `neither it nor a layer below has the file that it links to: ${entry.target}`);
    }
  }

  #metadata(entry: LayerEntry): void {
    const { type, attributes, securityDescriptor, sddl, extendedAttributes = [], reparse } = entry;
    const bad = (problem: string) => this.#error(entry, "metadata", problem);
    if (attributes === undefined) this.#lack("it has no attributes", entry);
    else {
      if ((attributes & DEVICE) !== 0) bad("its attributes are those of a device");
      if ((attributes & ATTRIBUTE_FOLDER) !== 0 && type === "file") bad("its attributes are those of a folder");
      if ((attributes & ATTRIBUTE_REPARSE) !== 0 && type !== "reparse") {
        bad("its attributes are those of a reparse point");
      }
    }
    if (securityDescriptor !== undefined) {
      const problem = faultIn(securityDescriptor);
      if (problem !== undefined) bad(problem);
    } else if (sddl !== undefined) this.#lack("its security descriptor is a text, which only Windows can read", entry);
    else if (isInFiles(caseless(entry.path))) this.#lack("it has no security descriptor", entry);
    let size = 0;
    for (const { name, value } of extendedAttributes) {
      if (name === "" || name.length > 254 || /[^\x20-\x7e]/.test(name)) {
        bad("the name of an extended attribute can't be");
      }
      size += 12 + name.length + value.byteLength;
    }
    if (size > MOST_ATTRIBUTES) bad(`its extended attributes have ${size} bytes, more than Windows allows`);
    if (type !== "reparse" || reparse?.data !== undefined) return;
    const { tag = 0, target = "" } = reparse ?? {};
    if (target === "") bad("it links to nothing");
    else if (!isLinkTarget(tag, target)) bad("what it links to is too long, or no path");
  }

  #lack(what: string, entry: LayerEntry): void {
    if (!this.#tellsMetadata) return;
    const lacking = this.#missing.get(what);
    if (lacking === undefined) this.#missing.set(what, { count: 1, first: entry });
    else lacking.count++;
  }
}

// One that is wrong fails deep in Windows.
function faultIn(securityDescriptor: Uint8Array): string | undefined {
  const { byteLength } = securityDescriptor;
  if (byteLength > MOST_SECURITY) return `its security descriptor has ${byteLength} bytes, more than Windows allows`;
  try {
    sddlOf(securityDescriptor);
    return undefined;
  } catch (error) {
    if (error instanceof FormatError) return error.problem;
    throw error;
  }
}

// Windows keeps the path twice, in 16 KiB.
function isLinkTarget(tag: number, target: string): boolean {
  try {
    formatLink({ tag, target });
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

function isInFiles(key: string): boolean {
  return key.startsWith("FILES/") || key.startsWith("UTILITYVM/FILES/");
}
