/**
 * Locks that exclude each other across processes: bytes of one file, far beyond its end. Windows takes them away from a process
 * that dies.
 *
 * @module
 */

import { messageOf } from "../errors/printable.ts";
import type { Host } from "../ffi/host.ts";
import { access, disposition, type Handle, lockByte, openFile, share, unlockByte } from "../ffi/kernel32.ts";
import { log } from "../log.ts";

const FIRST_PAUSE_MS = 2;
const LONGEST_PAUSE_MS = 100;

/**
 * Waits for the lock with a number, which is held until the result is disposed of. Of those that wait, one at a time asks for the
 * lock, so that newcomers don't get it before.
 *
 * @param path The file, which is created if it is missing.
 * @param index The number of the lock, below 2^60.
 * @param onWait Called before each pause, with the milliseconds that were waited. What it throws ends the wait.
 * @throws the reason of `signal`.
 */
export async function fileLock(
  host: Host,
  path: string,
  index: bigint,
  { signal, onWait }: { readonly signal?: AbortSignal | undefined; readonly onWait?: (waited: number) => void } = {},
): Promise<Disposable> {
  using stack = new DisposableStack();
  // Nobody can replace the file while somebody has it open.
  const file = openFile(host, path, {
    access: (access.GENERIC_READ | access.GENERIC_WRITE) >>> 0,
    share: share.READ | share.WRITE,
    disposition: disposition.OPEN_ALWAYS,
  });
  stack.defer(() => close(file, path));
  const lock = 2n ** 62n + 2n * index;
  const turnstile = lock + 1n;
  let waited = 0;
  for (const offset of [turnstile, lock]) {
    for (
      let pause = FIRST_PAUSE_MS;
      !lockByte(host, file, offset, path);
      pause = Math.min(2 * pause, LONGEST_PAUSE_MS)
    ) {
      onWait?.(waited);
      await pauseFor(host, pause, signal);
      waited += pause;
    }
  }
  unlockByte(host, file, turnstile, path);
  return stack.move();
}

// What is waited for is done by another process, whose time can't be skipped.
async function pauseFor(host: Host, ms: number, signal: AbortSignal | undefined): Promise<void> {
  if (host.deadline === undefined) return await host.sleep(ms, signal);
  await host.deadline(ms, signal ?? new AbortController().signal);
  signal?.throwIfAborted();
}

// What was done under the lock stays done, so that a failure is no error of that. Closing it again can succeed.
function close(file: Handle, path: string): void {
  for (let attempt = 1; attempt <= 2; attempt++) {
    try {
      return file.close();
    } catch (error) {
      log("warn", () => `${path} stays locked: ${messageOf(error)}`);
    }
  }
}
