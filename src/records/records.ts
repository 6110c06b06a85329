/**
 * Where the records of mounts are: a file for each scratch, in a folder that only the system and administrators can write to,
 * `C:\ProgramData\hcs-layers`, and how they are found, read and written.
 *
 * @module
 */

import { generate } from "jsr:@std/uuid@^1.0.0/v5";
import { attributesOf } from "../checks/existing.ts";
import { namedFolder, pathKey } from "../checks/windows_path.ts";
import { LayerError } from "../errors/layer_error.ts";
import { messageOf } from "../errors/printable.ts";
import { InUseError, RecordError, UnexpectedAnswerError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import {
  access,
  deleteFile,
  directoryEntries,
  disposition,
  flushFile,
  isNotFound,
  openFile,
  programData,
  readText,
  share,
  writeTo,
} from "../ffi/kernel32.ts";
import { wide } from "../ffi/wide.ts";
import { log } from "../log.ts";
import { fileLock } from "./file_lock.ts";
import { closedLine, firstLine, mountedLine, type MountPlan, type MountRecord, recordIn } from "./record.ts";
import { isPlaceLine, placeIn, placeLine, type PlaceRecord, subjectOf } from "./place.ts";
import { createTrustedFolder } from "./trusted_folder.ts";
import { fileLine, isVMLine, type OwnedVM, subjectOfVM, vmIn, vmLine, type VMRecord } from "./vm_record.ts";

const FOLDER = "hcs-layers";
const MOUNTS = "mounts";
const LOCKS = "locks";
const EXTENSION = ".jsonl";
// A hundred layers with the longest paths have a tenth of it.
const MOST_BYTES = 2 ** 20;
const KEY = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const NAMESPACE = "5b1c6c0e-6d0c-4e0b-9d0d-4d6f756e7473";

/**
 * Returns the folder of a host's records, or undefined if it keeps none.
 *
 * @throws {InvalidInputError} if the host names none that can be.
 */
export function recordsFolder(host: Host): string | undefined {
  if (host.records === false) return undefined;
  return host.records === undefined ? `${programData(host)}\\${FOLDER}` : namedFolder(host.records, "records");
}

/** All records of a machine. */
export interface ListedRecords {
  /** Those of layers. */
  readonly records: MountRecord[];
  /** Those of volumes and images that are mounted by themselves. */
  readonly places: PlaceRecord[];
  /** Those of VMs. */
  readonly vms: VMRecord[];
  /** What can't be read, and why. */
  readonly unreadable: { readonly path: string; readonly error: unknown }[];
}

/** The records of a machine, in one folder. */
export class Records {
  readonly #folder: string;
  #isTrusted = false;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The folder. */
  get folder(): string {
    return this.#folder;
  }

  /**
   * Waits for the lock of a scratch, or for another one with a name, see {@linkcode fileLock}.
   *
   * @throws {UntrustedFolderError} if others can write to the folder.
   */
  async lock(host: Host, name: string, options?: Parameters<typeof fileLock>[3]): Promise<Disposable> {
    return await this.#lockOf(host, await keyOf(name), options);
  }

  /**
   * Returns the record of a scratch, or undefined if there is none.
   *
   * @throws {NativeError} if it can't be read, so that it is unknown whether there is one.
   * @throws {RecordError} if it makes no sense.
   */
  async read(host: Host, scratch: string): Promise<MountRecord | undefined> {
    return readRecord(host, await this.#path(scratch));
  }

  /** Writes down what a mount is about to take, in place of an older record. Returns once that is on the disk. */
  async begin(host: Host, plan: MountPlan): Promise<void> {
    await this.#begin(host, plan.scratch, firstLine(plan));
  }

  async #begin(host: Host, subject: string, line: string): Promise<void> {
    const path = await this.#path(subject);
    await this.#inFolder(host, () => write(host, path, line, access.GENERIC_WRITE, disposition.CREATE_ALWAYS));
  }

  // Runs `attempt` with the folder there, once more if somebody has removed that since.
  async #inFolder<T>(host: Host, attempt: () => T | Promise<T>): Promise<T> {
    this.#prepare(host);
    try {
      return await attempt();
    } catch (error) {
      if (!isNotFound(error)) throw error;
      this.#isTrusted = false;
      this.#prepare(host);
      return await attempt();
    }
  }

  /** {@linkcode read} for a volume or an image that is mounted by itself, by what its record is about. */
  async readPlace(host: Host, subject: string): Promise<PlaceRecord | undefined> {
    const path = await this.#path(subject);
    return readFile(host, path, (content) => placeOf(content, path));
  }

  /** {@linkcode begin} for a volume or an image that is mounted by itself. */
  async beginPlace(host: Host, place: PlaceRecord): Promise<void> {
    await this.#begin(host, subjectOf(place), placeLine(place));
  }

  /** {@linkcode read} for a VM. */
  async readVM(host: Host, vm: Pick<OwnedVM, "id">): Promise<VMRecord | undefined> {
    const path = await this.#path(subjectOfVM(vm));
    return readFile(host, path, (content) => vmOf(content, path));
  }

  /** {@linkcode begin} for a VM, with the files that it may open already, while nobody else removes a record that is empty yet. */
  async beginVM(host: Host, plan: OwnedVM, files: readonly string[] = []): Promise<void> {
    const subject = subjectOfVM(plan);
    using _lock = await this.lock(host, subject);
    await this.#begin(host, subject, vmLine(plan) + files.map(fileLine).join(""));
  }

  /** Adds a line to the record of a VM. Returns once that is on the disk. */
  async addToVM(host: Host, vm: Pick<OwnedVM, "id">, line: string): Promise<void> {
    append(host, await this.#path(subjectOfVM(vm)), line);
  }

  /** {@linkcode close} for a VM of which nothing is left. */
  async closeVM(host: Host, vm: Pick<OwnedVM, "id">): Promise<void> {
    await this.close(host, subjectOfVM(vm));
  }

  /** Writes down that everything is mounted. Returns once that is on the disk. */
  async complete(host: Host, { scratch }: MountPlan, volume: string): Promise<void> {
    append(host, await this.#path(scratch), mountedLine(volume));
  }

  /** Removes the record of a scratch, of which nothing is mounted any more. Logs if that fails. */
  async close(host: Host, scratch: string): Promise<void> {
    const path = await this.#path(scratch);
    try {
      if (!isGone(host, path)) deleteFile(host, path);
    } catch (error) {
      if (isNotFound(error) && isGone(host, path)) return;
      log("warn", () => `${path}: ${messageOf(error)}`);
      try {
        append(host, path, closedLine());
      } catch (error) {
        log("warn", () => `${path} stays, although nothing is mounted: ${messageOf(error)}`);
      }
    }
  }

  /**
   * Removes files that are no records any more, as they could only be closed, or none yet, as their process died: those of
   * scratches that nobody is changing. Logs if that fails.
   */
  async removeEmpty(host: Host): Promise<void> {
    for (const { key, path } of this.#files(host)) {
      if (!KEY.test(key)) continue;
      try {
        if (!isEmpty(host, path)) continue;
        using _lock = await this.#lockOf(host, key, { onWait: refuseToWait });
        if (isEmpty(host, path)) deleteFile(host, path);
      } catch (error) {
        if (!(error instanceof LayerError)) throw error;
        log("debug", () => `${path} stays: ${messageOf(error)}`);
      }
    }
  }

  /** Returns all records, and the paths of those that can't be read, with the errors. */
  list(host: Host): ListedRecords {
    const listed: ListedRecords = { records: [], places: [], vms: [], unreadable: [] };
    for (const { path } of this.#files(host)) {
      try {
        readFile(host, path, (content) => addTo(listed, content, path));
      } catch (error) {
        listed.unreadable.push({ path, error });
      }
    }
    return listed;
  }

  #files(host: Host): { readonly key: string; readonly path: string }[] {
    const folder = `${this.#folder}\\${MOUNTS}`;
    if (isGone(host, folder)) return [];
    this.#prepare(host);
    return [...directoryEntries(host, folder)].filter(({ name }) => name.endsWith(EXTENSION))
      .map(({ name }) => ({ key: name.slice(0, -EXTENSION.length), path: `${folder}\\${name}` }));
  }

  async #lockOf(host: Host, key: string, options?: Parameters<typeof fileLock>[3]): Promise<Disposable> {
    const index = BigInt(`0x${key.replaceAll("-", "").slice(0, 15)}`);
    return await this.#inFolder(host, () => fileLock(host, `${this.#folder}\\${LOCKS}`, index, options));
  }

  async #path(scratch: string): Promise<string> {
    return `${this.#folder}\\${MOUNTS}\\${await keyOf(scratch)}${EXTENSION}`;
  }

  // Once for each process, which trusts what it has seen.
  #prepare(host: Host): void {
    if (this.#isTrusted) return;
    createTrustedFolder(host, this.#folder);
    createTrustedFolder(host, `${this.#folder}\\${MOUNTS}`);
    this.#isTrusted = true;
  }
}

function refuseToWait(): never {
  throw new InUseError(LOCKS, "has a lock of another process");
}

function keyOf(scratch: string): Promise<string> {
  return generate(NAMESPACE, bytesOf(pathKey(scratch)));
}

// UTF-8 has no half of a surrogate pair, so that names that have one would be the same.
function bytesOf(key: string): Uint8Array<ArrayBuffer> {
  return key.isWellFormed() ? new TextEncoder().encode(key) : wide(key);
}

function readRecord(host: Host, path: string): MountRecord | undefined {
  return readFile(host, path, (content) => {
    if (!isOfAKind(content)) return recordIn(content, path);
    // One of another kind that makes no sense is told as well.
    otherOf(content, path);
    return undefined;
  });
}

// What is closed or torn is none.
function placeOf(content: string, path: string): PlaceRecord | undefined {
  const [line] = openLines(content);
  return line === undefined || !isPlaceLine(line) || isVMLine(line) ? undefined : placeIn(line, path);
}

function vmOf(content: string, path: string): VMRecord | undefined {
  const lines = openLines(content);
  return lines[0] === undefined || !isVMLine(lines[0]) ? undefined : vmIn(lines, path);
}

function otherOf(content: string, path: string): PlaceRecord | VMRecord | undefined {
  return placeOf(content, path) ?? vmOf(content, path);
}

function addTo({ records, places, vms }: ListedRecords, content: string, path: string): void {
  const add = <T>(list: T[], record: T | undefined) => record !== undefined && list.push(record);
  if (isOfAKind(content)) {
    add(places, placeOf(content, path));
    add(vms, vmOf(content, path));
  } else {
    add(records, recordIn(content, path));
  }
}

// None of a record that is closed.
function openLines(content: string): string[] {
  const lines = content.split("\n").slice(0, -1);
  return lines.slice(1).some((line) => `${line}\n` === closedLine()) ? [] : lines;
}

function isOfAKind(content: string): boolean {
  const [line] = content.split("\n").slice(0, -1);
  return line !== undefined && isPlaceLine(line);
}

function isEmpty(host: Host, path: string): boolean {
  const read = (content: string) => isOfAKind(content) ? otherOf(content, path) : recordIn(content, path);
  return readFile(host, path, read) === undefined;
}

function isGone(host: Host, path: string): boolean {
  return attributesOf(host, path) === undefined;
}

function textOf(host: Host, path: string): string {
  try {
    return readText(host, path, MOST_BYTES);
  } catch (error) {
    if (!isNotFound(error) || isGone(host, path)) throw error;
    return readText(host, path, MOST_BYTES);
  }
}

function readFile<T>(host: Host, path: string, read: (content: string) => T | undefined): T | undefined {
  if (isGone(host, path)) return undefined;
  try {
    return read(textOf(host, path));
  } catch (error) {
    // Its process can have removed it since.
    if (isNotFound(error) && isGone(host, path)) return undefined;
    if (error instanceof UnexpectedAnswerError) throw new RecordError(path, { cause: error });
    throw error;
  }
}

function append(host: Host, path: string, line: string): void {
  write(host, path, line, access.FILE_APPEND_DATA, disposition.OPEN_EXISTING);
}

function write(host: Host, path: string, line: string, right: number, how: number): void {
  using file = openFile(host, path, { access: right, share: share.ALL, disposition: how });
  writeTo(host, file, line, path);
  flushFile(host, file, path);
}
