/**
 * The holds on disk files that are open, or newly created and open.
 *
 * @module
 */

import { boolean } from "../checks/arguments.ts";
import { isBusy } from "../errors/outcomes.ts";
import { messageOf } from "../errors/printable.ts";
import { ClosedError, InUseError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import type { Handle } from "../ffi/kernel32.ts";
import { perform } from "../ffi/operation.ts";
import {
  attachFlag,
  attachVirtualDisk,
  createVirtualDisk,
  type CreateVirtualDiskInit,
  detachVirtualDisk,
  diskParent,
  type DiskSizes,
  diskSizes,
  openFlag,
  openVirtualDisk,
  physicalPath,
} from "../ffi/virtdisk.ts";
import type { Held, HoldOf } from "../holds/hold.ts";
import { type Expect, withHolds } from "../holds/hold_list.ts";
import { log } from "../log.ts";
import { type Check, LIMITS, limitsOf, optional, optionsOf } from "../options.ts";
import { createHeld, isOwn } from "../session/creations.ts";
import { isFree, onceFree, removeOnceFree } from "../session/waiting.ts";
import { removeFile } from "./new_file.ts";

/**
 * How a disk is attached.
 *
 * @category Virtual disks
 */
export interface AttachOptions {
  /** Attaches it read-only. Default: false. */
  readOnly?: boolean | undefined;
  /** Assigns drive letters to its volumes. Default: false. */
  driveLetter?: boolean | undefined;
  /** Keeps it attached after its last handle is closed, until it is detached. Default: false. */
  permanent?: boolean | undefined;
  /**
   * Exempts it from the BitLocker policy that makes fixed drives without encryption read-only. Default: false.
   */
  bypassEncryptionPolicy?: boolean | undefined;
}

/** The checks of {@linkcode AttachOptions}. */
export const ATTACH_OPTIONS = {
  readOnly: optional(boolean),
  driveLetter: optional(boolean),
  permanent: optional(boolean),
  bypassEncryptionPolicy: optional(boolean),
} as const satisfies Record<keyof AttachOptions, Check<unknown>>;

/**
 * What Windows knows of a disk.
 *
 * @category Virtual disks
 */
export interface DiskInfo extends DiskSizes {
  /** Its parent, and whether that was found. Undefined if it isn't a differencing disk. */
  readonly parent: { readonly path: string; readonly found: boolean } | undefined;
}

/**
 * An open virtual disk. Disposing of it closes it, and detaches it if it was attached without
 * {@linkcode AttachOptions.permanent}. `await using` does that on a thread of Deno's pool, `using` on the calling thread.
 *
 * @category Virtual disks
 */
export class Disk implements Disposable, AsyncDisposable {
  /** Path of its file. */
  readonly path: string;
  readonly #host: Host;
  #handle: Handle | undefined;
  #attached = false;
  /** Whether a call that failed or was cancelled may have attached it for good: yes, or undefined if somebody else may have. */
  #isLeft: boolean | undefined = false;

  /** A disk with an open handle. Use `openDisk` instead. */
  constructor(host: Host, path: string, handle: Handle) {
    this.#host = host;
    this.path = path;
    this.#handle = handle;
  }

  /**
   * Its HANDLE.
   *
   * @throws {ClosedError} if it was closed.
   */
  get handle(): bigint {
    if (this.#handle === undefined) {
      throw new ClosedError(this.path);
    }
    return this.#handle.value;
  }

  /**
   * Attaches it to the host.
   *
   * @throws {ClosedError} if it was closed.
   * @throws {NativeError} if Windows refuses: with `ERROR_SHARING_VIOLATION` if it is already attached. What it attached
   * nevertheless is detached, at the latest when the disk is disposed of by `await using`.
   */
  async attach(options: AttachOptions & Pick<HostOptions, "signal" | "timeout"> = {}): Promise<void> {
    const { signal, timeout, ...how } = optionsOf(options, { ...ATTACH_OPTIONS, ...LIMITS });
    await perform(this.#host, { signal, timeout }, [this.path], async (signal) => {
      signal?.throwIfAborted();
      try {
        await attachVirtualDisk(this.#host, this.handle, flagsOf(how), this.path);
      } catch (error) {
        // What is attached for good stays when it is closed.
        if (how.permanent && !isBusy(error)) this.#isLeft = isOwn(error, false);
        throw error;
      }
      this.#attached = how.permanent !== true;
      if (!signal?.aborted) return;
      if (how.permanent) this.#isLeft = true;
      await this.detach();
      throw signal.reason;
    });
  }

  /**
   * Detaches it from the host.
   *
   * @throws {ClosedError} if it was closed.
   * @throws {NativeError} if Windows refuses.
   */
  async detach(options: Pick<HostOptions, "signal" | "timeout"> = {}): Promise<void> {
    await perform(this.#host, limitsOf(options), [this.path], async (signal) => {
      signal?.throwIfAborted();
      await detachVirtualDisk(this.#host, this.handle, this.path);
      this.#attached = this.#isLeft = false;
    });
  }

  /**
   * Returns the device of the attached disk, `\\.\PhysicalDriveN`.
   *
   * @throws {ClosedError} if it was closed.
   * @throws {NativeError} if Windows refuses.
   */
  physicalPath(): string {
    return physicalPath(this.#host, this.handle, this.path);
  }

  /**
   * Returns its sizes and its parent.
   *
   * @throws {ClosedError} if it was closed.
   * @throws {NativeError} if Windows refuses.
   */
  info(): DiskInfo {
    const sizes = diskSizes(this.#host, this.handle, this.path);
    return { ...sizes, parent: diskParent(this.#host, this.handle, this.path) };
  }

  /** Closes it. Closing it again does nothing. */
  [Symbol.dispose](): void {
    this.#handle?.close();
    this.#handle = undefined;
    this.#attached = false;
  }

  /**
   * Detaches it, unless it is attached permanently, and closes it.
   *
   * @throws {InUseError} if it may be attached for good by an `attach()` that failed, or by somebody else.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#attached) {
      // Closing would detach it too, but on this thread. If this fails, closing follows anyway.
      await this.detach().catch((error) => log("debug", () => messageOf(error)));
    }
    this[Symbol.dispose]();
    if (this.#isLeft !== false) await this.#detachLeft(this.#isLeft);
  }

  async #detachLeft(isOurs: true | undefined): Promise<void> {
    if (!await isFree(this.#host, this.path)) {
      if (isOurs === undefined) {
        const problem =
          "may be attached for good by the call that failed, or by somebody else. Detach it if it isn't theirs";
        throw new InUseError(this.path, problem);
      }
      await withDisk(this.#host, this.path, undefined, (disk) => disk.detach());
    }
    this.#isLeft = false;
  }
}

function flagsOf(options: AttachOptions): number {
  return (options.readOnly ? attachFlag.READ_ONLY : 0) |
    (options.driveLetter ? 0 : attachFlag.NO_DRIVE_LETTER) |
    (options.permanent ? attachFlag.PERMANENT_LIFETIME : 0) |
    (options.bypassEncryptionPolicy ? attachFlag.BYPASS_DEFAULT_ENCRYPTION_POLICY : 0);
}

/** A held disk, which is open until it is released. */
export interface HeldDisk<K extends "newDisk" | "openDisk"> extends Held<HoldOf<K>> {
  /** The open disk. */
  readonly disk: Disk;
}

/** Creates a disk file, and opens it. Releasing it closes and deletes it, also one that a failed call left. */
export async function acquireNewDisk(
  host: Host,
  path: string,
  init: CreateVirtualDiskInit,
  expect: Expect,
): Promise<HeldDisk<"newDisk">> {
  let disk: Disk | undefined;
  const held: Held<HoldOf<"newDisk">> = {
    hold: { kind: "newDisk", path },
    restsOn: [],
    async release() {
      await disk?.[Symbol.asyncDispose]();
      return await removeOnceFree(host, path, () => removeFile(host, path));
    },
  };
  const create = async () => disk = new Disk(host, path, await createVirtualDisk(host, path, init));
  return { ...held, disk: await createHeld(host, { held, paths: [path] }, create, expect) };
}

/** Opens a disk. Releasing it closes it. */
export async function acquireOpenDisk(
  host: Host,
  path: string,
  signal: AbortSignal | undefined,
): Promise<HeldDisk<"openDisk">> {
  const disk = await openDisk(host, path, signal);
  return {
    disk,
    hold: { kind: "openDisk", path },
    restsOn: [],
    async release() {
      await disk[Symbol.asyncDispose]();
      return true;
    },
  };
}

/** Opens a disk. A differencing disk can be opened even if it was moved together with its parent. */
async function openDisk(host: Host, path: string, signal: AbortSignal | undefined): Promise<Disk> {
  const flags = openFlag.CACHED_IO | openFlag.IGNORE_RELATIVE_PARENT_LOCATOR;
  return new Disk(host, path, await onceFree(host, path, () => openVirtualDisk(host, path, flags), signal));
}

/** Opens a disk, runs `use` with it, and closes it. */
export function withDisk<T>(
  host: Host,
  path: string,
  signal: AbortSignal | undefined,
  use: (disk: Disk) => T | Promise<T>,
): Promise<T> {
  return withHolds(async (holds) => {
    const { disk } = await holds.acquire(() => acquireOpenDisk(host, path, signal), signal);
    const result = await use(disk);
    await holds.release();
    return result;
  });
}
