/**
 * The records of VMs of this process: what outlives a VM is written down before it is there.
 *
 * @module
 */

import { InUseError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import type { HoldList } from "../holds/hold_list.ts";
import type { Records } from "../records/records.ts";
import { newStamp } from "../records/stamp.ts";
import { copiedLine, fileLine, lockOfId, type OwnedVM, type PlannedVM } from "../records/vm_record.ts";
import { HUNG_SECONDS, lockOf } from "./hung_call.ts";
import { Mutex } from "./mutex.ts";
import { sessionOf } from "./session.ts";
import { onceReachable } from "./waiting.ts";

// With the longest paths, these and those of all disks of a VM are half of what a record may have.
const MOST_LINES = 500;

/** The record of a VM of this process. It stays until all lists and files that it knows are released. */
export class OwnVMRecord {
  readonly #host: Host;
  readonly #records: Records;
  #plan: OwnedVM;
  #lines = 0;
  readonly #turns = new Mutex();
  readonly #files = new Set<string>();
  readonly #lists: HoldList[] = [];

  /** A record that is written down. */
  constructor(host: Host, records: Records, plan: OwnedVM) {
    this.#host = host;
    this.#records = records;
    this.#plan = plan;
  }

  /** Keeps the record until a list is empty. */
  coversHolds(holds: HoldList): void {
    this.#lists.push(holds);
    holds.guardReleases(async (release) => {
      const released = await release();
      await this.closeIfOver();
      return released;
    });
  }

  /** Writes down that the new disk is copied. Returns once that is on the disk. */
  async isCopied(): Promise<void> {
    await this.#add(copiedLine());
  }

  /** Writes down that the VM is about to be allowed to open a file. Returns once that is on the disk. */
  async willOpen(file: string): Promise<void> {
    if (this.#files.has(file)) return;
    await this.#turns.run(async () => {
      if (this.#lines >= MOST_LINES) await this.#renew();
      await this.#add(fileLine(file));
      this.#lines++;
      this.#files.add(file);
    });
  }

  // A VM that lives long opens more files than a record has room for. Until the new one is on the disk, the old one stays.
  async #renew(): Promise<void> {
    const old = this.#plan;
    const { newScratch: _copied, ...known } = old;
    const plan = { ...known, id: crypto.randomUUID() };
    const begin = () => this.#records.beginVM(this.#host, plan, [...this.#files]);
    using _lock = await lockVM(this.#host, this.#records, plan);
    try {
      await onceReachable(this.#host, this.#records.folder, begin);
    } catch (error) {
      await this.#records.closeVM(this.#host, plan);
      throw error;
    }
    this.#plan = plan;
    this.#lines = 0;
    await this.#records.closeVM(this.#host, old);
  }

  /** Notes that the VM can't open a file any more. */
  async cantOpen(file: string): Promise<void> {
    if (this.#files.delete(file)) await this.closeIfOver();
  }

  /** Removes the record if nothing is left of the VM. */
  async closeIfOver(): Promise<void> {
    if (this.#files.size > 0 || this.#lists.some(({ holds }) => holds.length > 0)) return;
    await this.#records.closeVM(this.#host, this.#plan);
  }

  async #add(line: string): Promise<void> {
    await onceReachable(this.#host, this.#records.folder, () => this.#records.addToVM(this.#host, this.#plan, line));
  }
}

/**
 * Keeps all processes from creating a VM with an id, and from recovering one, until the result is disposed of: its rights, and the
 * VM that Windows knows by it, are those of whoever has it.
 *
 * @throws {InUseError} if another process keeps this one from it for more than a minute.
 */
export function lockVM(
  host: Host,
  records: Records,
  { vm }: Pick<OwnedVM, "vm">,
  signal?: AbortSignal,
): Promise<Disposable> {
  const advice = `is the id of a VM that another process has been creating or recovering for ${HUNG_SECONDS} s`;
  const tooLong = () => new InUseError(vm, `${advice}. Try again later`);
  return lockOf(host, records, lockOfId(vm), { signal, tooLong });
}

/** Runs `create` with a record of the VM that it creates; with none if the host keeps none. */
export async function withVMRecord<T>(
  host: Host,
  planned: PlannedVM,
  signal: AbortSignal | undefined,
  create: (record: OwnVMRecord | undefined) => Promise<T>,
): Promise<T> {
  const records = sessionOf(host).records(host);
  if (records === undefined) return await create(undefined);
  const plan = { ...planned, ...newStamp(host) };
  const record = new OwnVMRecord(host, records, plan);
  try {
    {
      using _lock = await lockVM(host, records, plan, signal);
      await onceReachable(host, records.folder, () => records.beginVM(host, plan));
    }
    return await create(record);
  } catch (error) {
    await record.closeIfOver();
    throw error;
  }
}
