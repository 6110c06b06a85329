/**
 * The GUID of a virtual machine, and what Windows makes of it.
 *
 * @module
 */

import { generate } from "jsr:@std/uuid@^1.0.0/v5";
import { guidBytes, isGuid } from "./guid.ts";
import { wide } from "./wide.ts";

const NAMESPACE = "cab70344-facb-41e4-b5e5-ab6592283e6e";

/**
 * Returns the GUID that Windows gives a VM with an id: the id itself if it is a GUID, as WSL relies on, or else the version 5
 * UUID of the id in upper case and UTF-16LE.
 */
export async function vmGuid(id: string): Promise<string> {
  return isGuid(id) ? id.toLowerCase() : await generate(NAMESPACE, wide(upper(id)).subarray(0, -2));
}

// To Windows, a letter that has no single large one is large itself.
function upper(id: string): string {
  return Array.from(id, (letter) => {
    const large = letter.toUpperCase();
    return large.length === letter.length ? large : letter;
  }).join("");
}

// The start of S-1-5-83-1-…, with six parts, and the numbers of the authority and of its first two parts.
const VIRTUAL_MACHINE = [1, 6, 0, 0, 0, 0, 0, 5, 83, 0, 0, 0, 1, 0, 0, 0];

/** Returns the SID of a VM in its binary form: `NT VIRTUAL MACHINE`, and the VM's GUID as four numbers. */
export function vmSid(guid: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array([...VIRTUAL_MACHINE, ...guidBytes(guid)]);
}
