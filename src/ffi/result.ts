/**
 * The one rule for HRESULTs.
 *
 * @module
 */

import type { Host } from "./host.ts";
import { errorOf } from "./kernel32.ts";

/**
 * Throws where a function answered with an error.
 *
 * @throws {NativeError} if `code` is negative, which is what makes an HRESULT an error.
 */
export function check(host: Host, fn: string, code: number, path?: string): void {
  if ((code | 0) < 0) {
    throw errorOf(host, fn, code, path);
  }
}
