/**
 * What every record says: which one it is, who made it, and when.
 *
 * @module
 */

import type { Host } from "../ffi/host.ts";
import { currentProcess, now } from "../ffi/kernel32.ts";
import { bootTime } from "../ffi/ntdll.ts";
import type { MountRecord } from "./record.ts";

/** That part of a record. */
export type Stamp = Pick<MountRecord, "id" | "process" | "boot" | "since">;

/** Returns it for a new record of this process. */
export function newStamp(host: Host): Stamp {
  return { id: crypto.randomUUID(), process: currentProcess(host), boot: `${bootTime(host)}`, since: now(host) };
}
