/**
 * An entry of a layer beside that of the tar that it was made of.
 *
 * @module
 */

import { sddlOf } from "../sddl.ts";
import { type DifferingPart, isSameBytes } from "./diff_layers.ts";
import { ATTRIBUTE_FOLDER, ATTRIBUTE_REPARSE, type LayerEntry, type LayerEntryType } from "./entry.ts";
import { timeText } from "./file_time.ts";
import { caseless } from "./layer_path.ts";
import type { LayerForm } from "./layer_source.ts";

/**
 * What a tar may say that the layer doesn't tell. `contents` are those of files of layers below, `link` which names are
 * of one file, `removal` what the layer removes, and `extra` what may be of layers below that weren't named.
 */
export type UncomparedPart =
  | "attributes"
  | "security"
  | "extendedAttributes"
  | "streams"
  | "contents"
  | "link"
  | "removal"
  | "extra";

/** What differs of an entry. */
export interface Told {
  readonly severity: "error" | "warning";
  readonly part: DifferingPart;
  readonly problem: string;
}

/** What differs of two entries of one type, besides their contents, and what can't be compared. */
export function compareEntries(
  expected: LayerEntry,
  found: LayerEntry,
  form: LayerForm | undefined,
): { readonly mismatches: readonly Told[]; readonly uncompared: readonly UncomparedPart[] } {
  const mismatches: Told[] = [];
  const uncompared: UncomparedPart[] = [];
  // A stream has nothing but contents.
  if (expected.type === "stream") return { mismatches, uncompared };
  const tell = (part: DifferingPart, problem: string | undefined, severity = severityOf(expected.path, part)) => {
    if (problem !== undefined) mismatches.push({ severity, part, problem });
  };
  if (form === "folder") uncompared.push(...untold(expected));
  else {
    tell("attributes", attributesProblem(expected, found));
    if (isUnreadable(expected, found)) uncompared.push("security");
    else tell("security", securityProblem(expected, found));
    tell("extendedAttributes", extendedProblem(expected, found));
  }
  tell("target", targetProblem(expected, found, form));
  for (const [time, what] of form === "folder" ? [WRITTEN] : TIMES) {
    const [before, after] = [expected.times?.[time], found.times?.[time]];
    // Windows takes 0 for none, and leaves the time as it is.
    if (before === undefined || before === 0n || after === undefined || isSameTime(before, after, form)) continue;
    // Windows changes them whenever somebody reads a file, or anything of it changes.
    const severity = time === "access" || time === "change" ? "warning" : undefined;
    tell("times", `it was ${what} ${timeText(after)}, not ${timeText(before)}`, severity);
  }
  return { mismatches, uncompared };
}

// The boot files of a utility VM, which Windows changes, and keeps as they were beside it.
const CHANGED = /^UTILITYVM\/FILES\/EFI\/MICROSOFT\/BOOT\/BCD(\.LOG[12]?)?$/;

/** What a type of entries is called. */
export const TYPE_WORDS: Readonly<Record<LayerEntryType, string>> = {
  file: "file",
  folder: "folder",
  reparse: "reparse point",
  link: "further name of a file",
  stream: "stream",
  whiteout: "removal",
};

/** Whether it is an error that a part of an entry differs. */
export function severityOf(path: string, part: DifferingPart): Told["severity"] {
  const key = caseless(path);
  // Windows makes the two folders itself, and files beside the hives.
  const isMadeAnew = (key === "FILES" || key === "HIVES" || key.startsWith("HIVES/")) && part !== "contents" &&
    part !== "size" && part !== "type";
  return isMadeAnew || CHANGED.test(key) ? "warning" : "error";
}

function untold({ attributes, securityDescriptor, sddl, extendedAttributes = [] }: LayerEntry): UncomparedPart[] {
  const parts: UncomparedPart[] = [];
  if (attributes !== undefined) parts.push("attributes");
  if (securityDescriptor !== undefined || sddl !== undefined) parts.push("security");
  if (extendedAttributes.length > 0) parts.push("extendedAttributes");
  return parts;
}

// It says nothing.
const NORMAL = 0x80;

function attributesProblem(
  { type, attributes: before }: LayerEntry,
  { attributes: after }: LayerEntry,
): string | undefined {
  if (before === undefined) return undefined;
  if (after === undefined) return "it has no attributes";
  // Of links, Windows has some to folders and some to files.
  const untold = NORMAL | ATTRIBUTE_REPARSE | (type === "reparse" ? 0 : ATTRIBUTE_FOLDER);
  return (before & ~untold) === (after & ~untold)
    ? undefined
    : `its attributes are 0x${after.toString(16)}, not 0x${before.toString(16)}`;
}

// Only Windows can make bytes of the text in an old tar.
function isUnreadable(before: LayerEntry, after: LayerEntry): boolean {
  return before.sddl !== undefined && after.securityDescriptor !== undefined;
}

function securityProblem(before: LayerEntry, after: LayerEntry): string | undefined {
  const [bytes, others] = [before.securityDescriptor, after.securityDescriptor];
  if (bytes !== undefined && others !== undefined && isSameBytes(bytes, others)) return undefined;
  const [wanted, there] = [securityOf(before), securityOf(after)];
  if (wanted === undefined || wanted === there) return undefined;
  return there === undefined ? "it has no access rights" : `its access rights are ${there}, not ${wanted}`;
}

// As text, because Windows may put the same in another order.
function securityOf({ securityDescriptor, sddl }: LayerEntry): string | undefined {
  if (securityDescriptor === undefined) return sddl;
  try {
    return sddlOf(securityDescriptor);
  } catch {
    return securityDescriptor.toHex();
  }
}

function extendedProblem(before: LayerEntry, after: LayerEntry): string | undefined {
  const [wanted, there] = [attributesIn(before), attributesIn(after)];
  const names = [...new Set([...wanted.keys(), ...there.keys()])].filter((name) =>
    wanted.get(name) !== there.get(name)
  );
  return names.length === 0 ? undefined : `its extended attributes differ: ${names.join(", ")}`;
}

// Windows makes capital letters of their names.
function attributesIn({ extendedAttributes = [] }: LayerEntry): Map<string, string> {
  return new Map(extendedAttributes.map(({ name, value }) => [name.toUpperCase(), value.toHex()]));
}

function targetProblem(before: LayerEntry, after: LayerEntry, form: LayerForm | undefined): string | undefined {
  if (before.type !== "reparse") return undefined;
  const [wanted, there] = [before.reparse, after.reparse];
  // A folder tells where a link leads, and not of what kind it is.
  if (form !== "folder" && wanted?.tag !== there?.tag) {
    return `its reparse tag is ${tagText(there?.tag)}, not ${tagText(wanted?.tag)}`;
  }
  if (placeOf(wanted?.target) === placeOf(there?.target)) return undefined;
  return `it leads to ${there?.target}, not ${wanted?.target}`;
}

function tagText(tag = 0): string {
  return `0x${tag.toString(16)}`;
}

function placeOf(target: string | undefined): string | undefined {
  return target?.replaceAll("/", "\\").replace(/^\\(\\|\?\?)\?\\/, "").replace(/(?<=.)\\$/, "");
}

const WRITTEN = ["write", "written"] as const;
const TIMES = [["creation", "created"], WRITTEN, ["access", "last read"], ["change", "last changed"]] as const;

const PER_MS = 10_000n;

function isSameTime(a: bigint, b: bigint, form: LayerForm | undefined): boolean {
  return form === "folder" ? a / PER_MS === b / PER_MS : a === b;
}
