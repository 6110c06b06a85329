/**
 * The record of a mount: what it is about to take, who takes it, and since when. It is written down before the first change,
 * as lines of JSON that are only added to, so that a process that dies leaves a record that can be read.
 *
 * @module
 */

import { RecordError } from "../errors/state_errors.ts";
import type { ProcessId } from "../ffi/kernel32.ts";
import { type Check, fieldsOf, itemsOf, optional } from "../options.ts";
import { boolean, string, text, wholeNumber } from "../checks/arguments.ts";
import { windowsPath } from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";

/** The record of a mount on the host. */
export interface MountRecord {
  /** Its id: a UUID, drawn for each mount. */
  readonly id: string;
  /** Id of the container. */
  readonly container: string;
  /** Folder of the scratch. */
  readonly scratch: string;
  /** What no other folder has, see `fileId()`. Undefined if the folder didn't exist, or its file system has no ids. */
  readonly scratchId: string | undefined;
  /** Whether the mount creates the scratch, its folder and its disk. */
  readonly isNewScratch: boolean;
  /** Folders of the read-only layers, topmost first. */
  readonly layers: readonly string[];
  /** The image of the layers, and the volume that shows it. Undefined for plain folders. */
  readonly cim: { readonly image: string; readonly volume: string } | undefined;
  /** The folder at which the scratch volume is also mounted. */
  readonly volumeMountPath: string | undefined;
  /** Whether the mount is meant to outlive the process that mounts. */
  readonly isPermanent: boolean;
  /** The process that mounts. */
  readonly process: ProcessId;
  /** When Windows was started before that, see `bootTime()`. Undefined in records of earlier versions of this library. */
  readonly boot?: string | undefined;
  /** When it began, in ISO 8601 and UTC. */
  readonly since: string;
  /** The volume of the scratch, once everything is mounted. */
  readonly volume: string | undefined;
}

/** What is known before the first change. */
export type MountPlan = Omit<MountRecord, "volume">;

const VERSION = 1;

/** Returns the first line of a record. */
export function firstLine(plan: MountPlan): string {
  return `${JSON.stringify({ version: VERSION, ...plan })}\n`;
}

/** Returns the line that says that everything is mounted. */
export function mountedLine(volume: string): string {
  return `${JSON.stringify({ mounted: true, volume })}\n`;
}

/** Returns the line that says that nothing is mounted any more, for a record that can't be deleted. */
export function closedLine(): string {
  return `${JSON.stringify({ closed: true })}\n`;
}

const MOST_PID = 2 ** 32 - 1;

/** Checks a process. */
export const processIn: Check<ProcessId> = (value, argument) =>
  fieldsOf(value, { pid: wholeNumber(0, MOST_PID), start: text }, argument);
// The longest path that a mount takes, behind the volume that it is on, has a third of it. Each part would be looked at.
const LONGEST_FOLDER = 1024;

const folder: Check<string> = (value, argument) => {
  const path = windowsPath(value, argument);
  if (path === value && path.length <= LONGEST_FOLDER) return path;
  throw new InvalidInputError(argument, "is no path that a mount has", value);
};
/** Checks a time in units of 100 ns since 1601. */
export const units: Check<string> = (value, argument) => `${BigInt(text(value, argument))}`;
const cim = (value: unknown, argument: string) => fieldsOf(value, { image: text, volume: text }, argument);
const version: Check<number> = wholeNumber(VERSION, VERSION);

const PLAN = {
  version,
  id: text,
  container: text,
  scratch: folder,
  scratchId: optional(text),
  isNewScratch: boolean,
  layers: (value: unknown, argument: string) => itemsOf(value, argument, text),
  cim: optional(cim),
  volumeMountPath: optional(folder),
  isPermanent: boolean,
  process: processIn,
  boot: optional(units),
  since: string,
};
const LATER = { mounted: optional(boolean), volume: optional(text), closed: optional(boolean) };

/**
 * Returns the record in a text. `undefined` if it was closed, or its first line was never written as a whole, before which
 * nothing was changed. Later lines that make no sense are ignored: what is mounted is asked of Windows anyway.
 *
 * @throws {RecordError} if it is no record, or one of another version.
 */
export function recordIn(content: string, path: string): MountRecord | undefined {
  const [first, ...later] = content.split("\n").slice(0, -1);
  // Its first line could not be written, and then it could not be deleted.
  if (first === undefined || content === closedLine()) return undefined;
  const { version: _version, boot, ...plan } = planIn(first, path);
  const events = later.flatMap((line) => {
    try {
      return [fieldsOf(JSON.parse(line), LATER, "line")];
    } catch {
      return [];
    }
  });
  if (events.some(({ closed }) => closed)) return undefined;
  return { ...plan, ...(boot !== undefined && { boot }), volume: events.find(({ mounted }) => mounted)?.volume };
}

function planIn(line: string, path: string): MountPlan & { readonly version: number } {
  try {
    return fieldsOf(JSON.parse(line), PLAN, "record");
  } catch (cause) {
    throw new RecordError(path, { cause });
  }
}
