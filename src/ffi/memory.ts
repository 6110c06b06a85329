/**
 * Native memory, for structs that hold pointers and for strings that Windows allocates. Addresses are `bigint`s.
 *
 * @module
 */

import { fromWin32, win32 } from "../errors/codes.ts";
import type { Host } from "./host.ts";
import { errorOf, kernel32 } from "./kernel32.ts";
import { fromWide, wideList } from "./wide.ts";

/** A block of native memory, freed by `using`. */
export interface NativeBlock extends Disposable {
  /** Address of its first byte. */
  readonly address: bigint;
}

/** Allocates native memory and copies `bytes` into it. */
export function nativeCopy(host: Host, bytes: Uint8Array<ArrayBuffer>): NativeBlock {
  const { LocalAlloc, LocalFree, copyIn } = host.symbols(kernel32);
  const size = BigInt(bytes.byteLength);
  const address = LocalAlloc(0, size);
  if (address === 0n) {
    throw errorOf(host, "LocalAlloc", fromWin32(win32.ERROR_NOT_ENOUGH_MEMORY));
  }
  copyIn(address, bytes, size);
  return { address, [Symbol.dispose]: () => void LocalFree(address) };
}

/** Strings in native memory, freed by `using`. */
export interface NativeTexts extends Disposable {
  /** Their addresses, in order. */
  readonly addresses: readonly bigint[];
}

/** Copies strings into native memory, for structs that point to them. */
export function nativeTexts(host: Host, texts: readonly string[]): NativeTexts {
  const block = nativeCopy(host, wideList(texts));
  let next = block.address;
  const addresses = texts.map((text) => {
    const address = next;
    next += BigInt(2 * (text.length + 1));
    return address;
  });
  return { addresses, [Symbol.dispose]: () => block[Symbol.dispose]() };
}

/** Reads the wide string at an address. */
export function readWide(host: Host, address: bigint): string {
  const { lstrlenW, copyOut } = host.symbols(kernel32);
  const text = new Uint8Array(2 * lstrlenW(address));
  copyOut(text, address, BigInt(text.byteLength));
  return fromWide(text);
}

/** Returns the address that a function stored in an 8-byte out parameter. */
export function addressIn(out: Uint8Array<ArrayBuffer>): bigint {
  return new DataView(out.buffer, out.byteOffset).getBigUint64(0, true);
}

/**
 * Calls `fn` with an out parameter for a string that Windows allocates, returns the string and frees its memory, even if
 * `fn` fails. Returns `""` if Windows allocated no string.
 */
export async function takeWide(
  host: Host,
  free: (address: bigint) => unknown,
  fn: (out: Uint8Array<ArrayBuffer>) => Promise<void>,
): Promise<string> {
  const out = new Uint8Array(8);
  try {
    await fn(out);
    return addressIn(out) === 0n ? "" : readWide(host, addressIn(out));
  } finally {
    if (addressIn(out) !== 0n) free(addressIn(out));
  }
}

const SECURITY_ATTRIBUTES_BYTES = 24;

/** Returns a SECURITY_ATTRIBUTES that points to a security descriptor in native memory. */
export function securityAttributes({ address }: NativeBlock): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(SECURITY_ATTRIBUTES_BYTES));
  view.setUint32(0, SECURITY_ATTRIBUTES_BYTES, true);
  view.setBigUint64(8, address, true);
  return new Uint8Array(view.buffer);
}
