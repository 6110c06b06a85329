/**
 * Access lists in the memory of the simulated process. Only grants are in them.
 *
 * @module
 */

import { guidBytes } from "../ffi/guid.ts";
import { type AccessEntry, sidAt } from "../ffi/security.ts";
import { wide } from "../ffi/wide.ts";
import type { AddressSpace } from "./address_space.ts";
import { runtimeIdOf } from "./runtime_id.ts";

/** Who may open something. */
export interface AccessList {
  /** Ids of VMs, and SIDs. */
  readonly grants: readonly string[];
  /** Those of them that may open what is in the folder as well. */
  readonly inherited: readonly string[];
}

const ACL_REVISION = 2;
const ACL_BYTES = 8;
const ACE_HEADER_BYTES = 8;
const GENERIC_READ = 0x80000000;

/** Puts a list into memory: as Windows has it, and behind that in the form that {@linkcode readAccessList} reads. */
export function allocateAccessList(memory: AddressSpace, list: AccessList): bigint {
  const sids = list.grants.map(sidOf);
  const size = ACL_BYTES + sids.reduce((sum, sid) => sum + ACE_HEADER_BYTES + sid.byteLength, 0);
  const text = wide(JSON.stringify(list));
  const address = memory.allocate(size + text.byteLength);
  const bytes = memory.view(address);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint8(0, ACL_REVISION);
  view.setUint16(2, size, true);
  view.setUint16(4, sids.length, true);
  let at = ACL_BYTES;
  for (const sid of sids) {
    view.setUint16(at + 2, ACE_HEADER_BYTES + sid.byteLength, true);
    view.setUint32(at + 4, GENERIC_READ, true);
    bytes.set(sid, at + ACE_HEADER_BYTES);
    at += ACE_HEADER_BYTES + sid.byteLength;
  }
  bytes.set(text, size);
  return address;
}

/** Reads a list that {@linkcode allocateAccessList} has put into memory. */
export function readAccessList(memory: AddressSpace, address: bigint): AccessList {
  const bytes = memory.view(address);
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint16(2, true);
  return JSON.parse(memory.readWide(address + BigInt(size)));
}

/** Returns the entries of an access list that let VMs and groups open something. */
export function grantEntries(grants: readonly string[] = []): (AccessEntry & { readonly sid: string })[] {
  return grants.map((who) => ({ type: 0, flags: 0, mask: GENERIC_READ, sid: sidAt(sidOf(who), 0) }));
}

// A VM is S-1-5-83-1-, and its GUID as four numbers.
function sidOf(who: string): Uint8Array<ArrayBuffer> {
  const parts = /^s-1-5((?:-\d+)+)$/i.exec(who)?.[1]?.slice(1).split("-").map(Number);
  return parts === undefined
    ? new Uint8Array([...sidBytes([83, 1], 6), ...guidBytes(runtimeIdOf(who))])
    : sidBytes(parts, parts.length);
}

function sidBytes(parts: readonly number[], count: number): Uint8Array<ArrayBuffer> {
  const numbers = new Uint8Array(4 * parts.length);
  const view = new DataView(numbers.buffer);
  parts.forEach((part, i) => view.setUint32(4 * i, part, true));
  return new Uint8Array([1, count, 0, 0, 0, 0, 0, 5, ...numbers]);
}
