/**
 * kernel32.dll, the functions that back up and restore files. They need the privileges `SeBackupPrivilege` and
 * `SeRestorePrivilege`, for what is audited also `SeSecurityPrivilege`.
 *
 * @module
 */

import { UnexpectedAnswerError } from "../errors/state_errors.ts";
import { viewOf } from "./buffer.ts";
import type { Host } from "./host.ts";
import { functionsOf, type Handle, lastError } from "./kernel32.ts";
import type { Dll } from "./table.ts";

/** The functions that back up and restore files. */
export const backupSymbols = {
  BackupRead: {
    parameters: [
      "usize", /* HANDLE */
      "buffer", /* LPBYTE, NULL to end */
      "u32", /* DWORD bytes */
      "buffer", /* LPDWORD bytes read */
      "i32", /* BOOL end */
      "i32", /* BOOL security */
      "buffer", /* LPVOID* context */
    ],
    result: "i32", /* BOOL */
  },
  BackupSeek: {
    parameters: [
      "usize", /* HANDLE */
      "u32", /* DWORD bytes, low */
      "u32", /* DWORD bytes, high */
      "buffer", /* LPDWORD bytes passed over, low */
      "buffer", /* LPDWORD bytes passed over, high */
      "buffer", /* LPVOID* context */
    ],
    result: "i32", /* BOOL */
  },
  BackupWrite: {
    parameters: [
      "usize", /* HANDLE */
      "buffer", /* LPBYTE, NULL to end */
      "u32", /* DWORD bytes */
      "buffer", /* LPDWORD bytes written */
      "i32", /* BOOL end */
      "i32", /* BOOL security */
      "buffer", /* LPVOID* context */
    ],
    result: "i32", /* BOOL */
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** kernel32.dll, for backups. */
export const backup: Dll<typeof backupSymbols> = {
  file: "kernel32.dll",
  symbols: backupSymbols,
  remedy: "It is part of every Windows",
};

/** Writes backup streams into an open file. Disposing of it frees what Windows remembers, and leaves the file open. */
export class BackupWriting implements Disposable {
  readonly #host: Host;
  readonly #file: Handle;
  readonly #path: string;
  readonly #security: number;
  readonly #context = new Uint8Array(8);
  readonly #written = new Uint8Array(4);

  /** Writes into a file with the path `path`; its security descriptor only if told to. */
  constructor(host: Host, file: Handle, path: string, { security = true } = {}) {
    this.#host = host;
    this.#file = file;
    this.#path = path;
    this.#security = security ? 1 : 0;
  }

  /** Writes the next bytes. */
  write(bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes.byteLength === 0) return;
    const { BackupWrite } = functionsOf(this.#host, backup);
    const { byteLength } = bytes;
    if (BackupWrite(this.#file.value, bytes, byteLength, this.#written, 0, this.#security, this.#context) === 0) {
      throw lastError(this.#host, "BackupWrite", this.#path);
    }
    const written = viewOf(this.#written).getUint32(0, true);
    if (written !== byteLength) {
      throw new UnexpectedAnswerError("BackupWrite", "is fewer bytes than were given", written);
    }
  }

  /** Ends the writing. */
  [Symbol.dispose](): void {
    if (viewOf(this.#context).getBigUint64(0, true) === 0n) return;
    const { BackupWrite } = functionsOf(this.#host, backup);
    BackupWrite(this.#file.value, null, 0, this.#written, 1, this.#security, this.#context);
    this.#context.fill(0);
  }
}

const CHUNK = 65536;

/** Reads the backup streams of an open file. Disposing of it frees what Windows remembers, and leaves the file open. */
export class BackupReading implements Disposable {
  readonly #host: Host;
  readonly #file: Handle;
  readonly #path: string;
  readonly #context = new Uint8Array(8);

  /** Reads a file with the path `path`. */
  constructor(host: Host, file: Handle, path: string) {
    this.#host = host;
    this.#file = file;
    this.#path = path;
  }

  /** The next bytes; undefined at the end. */
  next(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const [bytes, read] = [new Uint8Array(CHUNK), new Uint8Array(4)];
    const { BackupRead } = functionsOf(this.#host, backup);
    if (BackupRead(this.#file.value, bytes, CHUNK, read, 0, 1, this.#context) === 0) {
      return Promise.reject(lastError(this.#host, "BackupRead", this.#path));
    }
    const count = viewOf(read).getUint32(0, true);
    if (count > CHUNK) {
      return Promise.reject(new UnexpectedAnswerError("BackupRead", "is more than was asked for", count));
    }
    return Promise.resolve(count === 0 ? undefined : bytes.subarray(0, count));
  }

  /** Passes over bytes of the current stream. Returns how many, which can be fewer. */
  skip(count: number): number {
    const [low, high] = [new Uint8Array(4), new Uint8Array(4)];
    const { BackupSeek } = functionsOf(this.#host, backup);
    // It fails if it comes to the end of the stream, and tells how far it came.
    BackupSeek(this.#file.value, count >>> 0, Math.floor(count / 2 ** 32), low, high, this.#context);
    return viewOf(high).getUint32(0, true) * 2 ** 32 + viewOf(low).getUint32(0, true);
  }

  /** Ends the reading. */
  cancel(): Promise<void> {
    this[Symbol.dispose]();
    return Promise.resolve();
  }

  /** Ends the reading. */
  [Symbol.dispose](): void {
    if (viewOf(this.#context).getBigUint64(0, true) === 0n) return;
    const { BackupRead } = functionsOf(this.#host, backup);
    BackupRead(this.#file.value, null, 0, new Uint8Array(4), 1, 1, this.#context);
    this.#context.fill(0);
  }
}
