/**
 * The record of a VM: which one it is, and what outlives it.
 *
 * @module
 */

import { string, text } from "../checks/arguments.ts";
import { RecordError } from "../errors/state_errors.ts";
import { fieldsOf, optional } from "../options.ts";
import { processIn, units } from "./record.ts";
import type { Stamp } from "./stamp.ts";

/** What is known before the first change. */
export interface PlannedVM {
  /** Id of the VM. */
  readonly vm: string;
  /** Name of the program that creates it, as Windows tells it of the VM. */
  readonly owner: string;
  /** The disk that is copied for it. Undefined if it is there already. */
  readonly newScratch?: string | undefined;
}

/** What its first line says. */
export type OwnedVM = PlannedVM & Stamp;

/** The record. */
export interface VMRecord extends OwnedVM {
  /** Whether its new disk was copied as a whole. */
  readonly isCopied: boolean;
  /** The files that it may open by now, or was about to be allowed to: not those that it could open before. */
  readonly files: readonly string[];
}

/** Returns what a record is about, in words: each VM has one file, also one with the id of another that has ended. */
export function subjectOfVM({ id }: Pick<OwnedVM, "id">): string {
  return `VM of ${id}`;
}

/** Returns the name of the lock that whoever creates or recovers a VM with an id has. */
export function lockOfId(vm: string): string {
  return `VMs with the id ${vm}`;
}

const KIND = "vm";
const VERSION = 1;

/** Returns the first line of a record. */
export function vmLine(plan: OwnedVM): string {
  return `${JSON.stringify({ version: VERSION, kind: KIND, ...plan })}\n`;
}

/** Returns the line that says that its new disk is copied. */
export function copiedLine(): string {
  return `${JSON.stringify({ copied: true })}\n`;
}

/** Returns the line that says that it is about to be allowed to open a file. */
export function fileLine(file: string): string {
  return `${JSON.stringify({ file })}\n`;
}

const PLAN = {
  vm: text,
  owner: text,
  newScratch: optional(text),
  id: text,
  process: processIn,
  boot: optional(units),
  since: string,
};

/** Returns whether the first line of a record is that of a VM. */
export function isVMLine(line: string): boolean {
  try {
    return JSON.parse(line).kind === KIND;
  } catch {
    return false;
  }
}

/**
 * Returns the record in lines. Later ones that make no sense are ignored: a torn one was written before anything was done.
 *
 * @throws {RecordError} if it makes no sense.
 */
export function vmIn([first, ...later]: readonly string[], path: string): VMRecord {
  const events = later.flatMap((line) => {
    try {
      return [JSON.parse(line) as Record<string, unknown> | null];
    } catch {
      return [];
    }
  });
  try {
    const { kind: _kind, version, ...rest } = JSON.parse(first!);
    if (version !== VERSION) throw new RangeError(`its version is ${version}`);
    return {
      ...fieldsOf(rest, PLAN, "record"),
      isCopied: events.some((event) => event?.copied === true),
      files: [...new Set(events.map((event) => event?.file).filter((file) => typeof file === "string"))],
    };
  } catch (cause) {
    throw new RecordError(path, { cause });
  }
}
