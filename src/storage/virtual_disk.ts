/**
 * Virtual disks: files that are attached to the host as disks.
 *
 * @module
 */

import { InvalidInputError } from "../errors/windows_errors.ts";
import { defaultHost, type Host } from "../ffi/host.ts";
import type { Handle } from "../ffi/kernel32.ts";
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
import type { Hold, HoldKind } from "../holds/hold.ts";
import { acquire, type HoldList } from "../holds/hold_list.ts";
import { log } from "../log.ts";
import { messageOf } from "../printable.ts";
import { diskBlockSize, diskSize, isInUse, requireAbsent, requireKind } from "../checks/existing.ts";
import { removeFile } from "../host_holds/new_file.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { pathKey, windowsPath } from "../checks/windows_path.ts";

/** How a disk is attached. */
export interface AttachOptions {
  /** Whether nothing can be written to it. Default: false. */
  readOnly?: boolean | undefined;
  /** Whether its volumes get drive letters. Default: false. */
  driveLetter?: boolean | undefined;
  /** Whether it stays attached when the last handle to it is closed, until it is detached. Default: false. */
  permanent?: boolean | undefined;
  /**
   * Whether a policy that protects fixed drives without encryption from writing (BitLocker) is not to be applied to it.
   * Default: false.
   */
  bypassEncryptionPolicy?: boolean | undefined;
}

/** What Windows knows of a disk. */
export interface DiskInfo extends DiskSizes {
  /** The disk that it differs from, `undefined` where it differs from none. */
  readonly parent: { readonly path: string; readonly found: boolean } | undefined;
}

/**
 * A virtual disk that is open. Disposing closes it, and detaches it where it was attached without
 * {@linkcode AttachOptions.permanent}: `await using` on a thread of Deno's pool, `using` on this one.
 */
export class Disk implements Disposable, AsyncDisposable {
  /** Path of its file. */
  readonly path: string;
  readonly #host: Host;
  #handle: Handle | undefined;
  #attached = false;

  /** A disk on a handle that is open. {@linkcode openDisk} opens one. */
  constructor(host: Host, path: string, handle: Handle) {
    this.#host = host;
    this.path = path;
    this.#handle = handle;
  }

  /**
   * Its HANDLE.
   *
   * @throws {InvalidInputError} if it is closed.
   */
  get handle(): bigint {
    if (this.#handle === undefined) {
      throw new InvalidInputError("disk", "is closed", this.path);
    }
    return this.#handle.value;
  }

  /**
   * Attaches it to the host.
   *
   * @throws {InvalidInputError} if it is closed.
   * @throws {NativeError} if Windows refuses; `ERROR_SHARING_VIOLATION` if it is attached already.
   */
  async attach(options: AttachOptions = {}): Promise<void> {
    await attachVirtualDisk(this.#host, this.handle, flagsOf(options), this.path);
    this.#attached = options.permanent !== true;
  }

  /**
   * Detaches it from the host.
   *
   * @throws {InvalidInputError} if it is closed.
   * @throws {NativeError} if Windows refuses.
   */
  async detach(): Promise<void> {
    await detachVirtualDisk(this.#host, this.handle, this.path);
    this.#attached = false;
  }

  /**
   * The device of the attached disk, `\\.\PhysicalDriveN`.
   *
   * @throws {InvalidInputError} if it is closed.
   * @throws {NativeError} if Windows doesn't tell.
   */
  physicalPath(): string {
    return physicalPath(this.#host, this.handle, this.path);
  }

  /**
   * Its sizes, and the disk that it differs from.
   *
   * @throws {InvalidInputError} if it is closed.
   * @throws {NativeError} if Windows doesn't tell.
   */
  info(): DiskInfo {
    const sizes = diskSizes(this.#host, this.handle, this.path);
    return { ...sizes, parent: diskParent(this.#host, this.handle, this.path) };
  }

  /** Closes it. Closing it again does nothing. */
  [Symbol.dispose](): void {
    this.#handle?.[Symbol.dispose]();
    this.#handle = undefined;
    this.#attached = false;
  }

  /** Detaches it, unless it is attached for good, and closes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#attached) {
      // Closing would do it too, but on this thread. It does it as well where somebody else was faster.
      await this.detach().catch((error) => log("debug", () => messageOf(error)));
    }
    this[Symbol.dispose]();
  }
}

function flagsOf(options: AttachOptions): number {
  return (options.readOnly ? attachFlag.READ_ONLY : 0) |
    (options.driveLetter ? 0 : attachFlag.NO_DRIVE_LETTER) |
    (options.permanent ? attachFlag.PERMANENT_LIFETIME : 0) |
    (options.bypassEncryptionPolicy ? attachFlag.BYPASS_DEFAULT_ENCRYPTION_POLICY : 0);
}

/** A disk file that was made. */
export interface NewDiskHold extends Hold {
  /** What is held. */
  readonly kind: "newDisk";
  /** Path of the file. */
  readonly path: string;
}

/** Makes a disk file, which is open until the answer is disposed of. Unwinding closes and deletes it. */
export async function takeNewDisk(
  host: Host,
  holds: HoldList,
  path: string,
  init: CreateVirtualDiskInit,
  signal: AbortSignal | undefined,
): Promise<Disk> {
  let disk: Disk | undefined;
  const newDisk: HoldKind<NewDiskHold> = {
    kind: "newDisk",
    async take(_, hold) {
      disk = new Disk(host, path, await createVirtualDisk(host, path, init));
      return hold;
    },
    async give() {
      await disk?.[Symbol.asyncDispose]();
      return removeFile(host, path);
    },
  };
  await holds.take(newDisk, { kind: "newDisk", path }, signal);
  return disk!;
}

/** A disk that this process has open. */
export interface OpenDiskHold extends Hold {
  /** What is held. */
  readonly kind: "openDisk";
  /** Path of the file. */
  readonly path: string;
}

/** Opens a disk. */
export async function takeOpenDisk(
  host: Host,
  holds: HoldList,
  path: string,
  signal: AbortSignal | undefined,
): Promise<Disk> {
  let disk: Disk | undefined;
  const openDisk: HoldKind<OpenDiskHold> = {
    kind: "openDisk",
    async take(_, hold) {
      disk = await open(host, path);
      return hold;
    },
    async give() {
      await disk?.[Symbol.asyncDispose]();
      return true;
    },
  };
  await holds.take(openDisk, { kind: "openDisk", path }, signal);
  return disk!;
}

/** Runs `use` with a disk that is open as long. */
export function withDisk<T>(
  host: Host,
  path: string,
  signal: AbortSignal | undefined,
  use: (disk: Disk) => T | Promise<T>,
): Promise<T> {
  return acquire(host, async (holds) => {
    const result = await use(await takeOpenDisk(host, holds, path, signal));
    await holds.release();
    return result;
  });
}

// A disk that differs from another is found also where both were moved together.
async function open(host: Host, path: string): Promise<Disk> {
  const flags = openFlag.CACHED_IO | openFlag.IGNORE_RELATIVE_PARENT_LOCATOR;
  return new Disk(host, path, await openVirtualDisk(host, path, flags));
}

/** Options of {@linkcode createVhdx}. */
export interface CreateVhdxOptions extends HostOptions {
  /** Size of the disk in bytes: a multiple of 512 between 3 MiB and 64 TiB. */
  size: number | bigint;
  /** Size of its blocks in bytes: a power of two between 1 MiB and 256 MiB. Default: 0, Windows chooses. */
  blockSize?: number | undefined;
}

/** Options of {@linkcode createDifferencingDisk}. */
export interface CreateDifferencingDiskOptions extends HostOptions {
  /** Size of its blocks in bytes: a power of two between 1 MiB and 256 MiB. Default: 0, Windows chooses. */
  blockSize?: number | undefined;
}

/**
 * Creates a virtual disk that grows with what is written to it. It has no partition and no volume.
 *
 * ```ts
 * import { createVhdx } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addFolder("C:\\disks");
 * await createVhdx("C:\\disks\\data.vhdx", { size: 20 * 2 ** 30, host });
 * ```
 *
 * @param path Absolute path of the file, which ends in `.vhdx` and must not exist.
 * @throws {InvalidInputError} if an argument is refused; nothing was changed then.
 * @throws {NativeError} if Windows refuses.
 */
export async function createVhdx(path: string, options: CreateVhdxOptions): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const file = vhdxPath(path, "path");
  const size = diskSize(options.size, "size");
  const blockSize = diskBlockSize(options.blockSize, "blockSize");
  signal?.throwIfAborted();
  requireAbsent(host, file, "path");
  await createDisk(host, file, { size, blockSize }, signal);
}

/**
 * Creates a virtual disk that holds what differs from another. The other must not be written to any more.
 *
 * @param path Absolute path of the file, which ends in `.vhdx` and must not exist.
 * @param parent Absolute path of the disk that it differs from.
 * @throws {InvalidInputError} if an argument is refused; nothing was changed then.
 * @throws {NativeError} if Windows refuses.
 */
export async function createDifferencingDisk(
  path: string,
  parent: string,
  options: CreateDifferencingDiskOptions = {},
): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const file = vhdxPath(path, "path");
  const from = vhdxPath(parent, "parent");
  const blockSize = diskBlockSize(options.blockSize, "blockSize");
  signal?.throwIfAborted();
  requireKind(host, from, "parent", "file");
  requireAbsent(host, file, "path");
  await createDisk(host, file, differencing(from, blockSize), signal);
}

/** What a disk is created from that differs from `parent`. */
export function differencing(parent: string, blockSize: number): CreateVirtualDiskInit {
  return { parent, parentFlags: openFlag.CACHED_IO, blockSize };
}

function createDisk(
  host: Host,
  path: string,
  init: CreateVirtualDiskInit,
  signal: AbortSignal | undefined,
): Promise<void> {
  return acquire(host, async (holds) => {
    const disk = await takeNewDisk(host, holds, path, init, signal);
    disk[Symbol.dispose]();
  });
}

/**
 * The path of a disk file. Windows goes by its name.
 *
 * @throws {InvalidInputError} if it isn't an absolute path that ends in `.vhdx`.
 */
export function vhdxPath(path: unknown, argument: string): string {
  const file = windowsPath(path, argument);
  if (!/\.vhdx$/i.test(file)) {
    throw new InvalidInputError(argument, "doesn't end in .vhdx", file);
  }
  return file;
}

/** Refuses two paths of files to be made that are one. */
export function requireDistinct(path: string, other: string, argument: string): void {
  if (pathKey(path) === pathKey(other)) {
    throw new InvalidInputError(argument, "names the same file twice", path);
  }
}

/** Options of {@linkcode openDisk}. */
export type OpenDiskOptions = HostOptions;

/**
 * Opens a virtual disk (VHD or VHDX).
 *
 * ```ts
 * import { openDisk } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addScratch("C:\\scratch");
 * await using disk = await openDisk("C:\\scratch\\sandbox.vhdx", { host });
 * await disk.attach();
 * console.log(disk.physicalPath());
 * ```
 *
 * @param path Absolute path of its file.
 * @throws {InvalidInputError} if there is no such file.
 * @throws {NativeError} if Windows refuses.
 */
export async function openDisk(path: string, options: OpenDiskOptions = {}): Promise<Disk> {
  const { host = defaultHost(), signal } = options;
  const file = windowsPath(path, "path");
  signal?.throwIfAborted();
  requireKind(host, file, "path", "file");
  return await open(host, file);
}

/** Options of {@linkcode attachDisk}. */
export interface AttachDiskOptions extends AttachOptions, HostOptions {}

/**
 * Opens a virtual disk and attaches it. Disposing of the answer detaches it, unless it was attached with
 * {@linkcode AttachOptions.permanent}; the end of the process does too.
 *
 * @param path Absolute path of its file.
 * @throws {InvalidInputError} if there is no such file, or it is in use.
 * @throws {NativeError} if Windows refuses.
 */
export async function attachDisk(path: string, options: AttachDiskOptions = {}): Promise<Disk> {
  const { host = defaultHost(), signal } = options;
  const file = windowsPath(path, "path");
  signal?.throwIfAborted();
  requireFreeFile(host, file, "path");
  return await acquire(host, async (holds) => {
    const disk = await takeOpenDisk(host, holds, file, signal);
    await disk.attach(options);
    return disk;
  });
}

/** Refuses a path at which there is no file, or one that somebody has open. */
export function requireFreeFile(host: Host, file: string, argument: string): void {
  requireKind(host, file, argument, "file");
  if (isInUse(host, file)) {
    throw new InvalidInputError(argument, "names a disk that is in use: attached, or mounted as a scratch", file);
  }
}

/** Options of {@linkcode detachDisk}. */
export type DetachDiskOptions = HostOptions;

/**
 * Detaches a virtual disk from the host, whoever attached it.
 *
 * @param path Absolute path of its file.
 * @returns False where it isn't attached.
 * @throws {InvalidInputError} if there is no such file.
 * @throws {NativeError} if Windows refuses.
 */
export async function detachDisk(path: string, options: DetachDiskOptions = {}): Promise<boolean> {
  const { host = defaultHost(), signal } = options;
  const file = windowsPath(path, "path");
  signal?.throwIfAborted();
  requireKind(host, file, "path", "file");
  // Nobody knows how Windows says that a disk isn't attached; one that is, is open.
  if (!isInUse(host, file)) return false;
  await withDisk(host, file, signal, (disk) => disk.detach());
  return true;
}

/** Options of {@linkcode isDiskInUse}. */
export type IsDiskInUseOptions = Omit<HostOptions, "signal">;

/**
 * Whether a virtual disk is in use: open, attached to the host, mounted as a scratch, or attached to a virtual machine.
 *
 * @param path Absolute path of its file.
 * @throws {InvalidInputError} if there is no such file.
 * @throws {NativeError} if Windows doesn't tell.
 */
export function isDiskInUse(path: string, options: IsDiskInUseOptions = {}): boolean {
  const { host = defaultHost() } = options;
  const file = windowsPath(path, "path");
  requireKind(host, file, "path", "file");
  return isInUse(host, file);
}
