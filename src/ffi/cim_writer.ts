/**
 * The functions that write CIM images: of cimwriter.dll where it lies in System32, as it knows newer forms, or else of CimFS.dll.
 * Microsoft documents those of CimFS.dll from build 19041 on; block images need build 27766. A handle of one DLL means nothing
 * to the other, so an image is written by one of them from its first call to its last.
 *
 * @module
 */

import { MissingDllError, MissingPermissionError } from "../errors/windows_errors.ts";
import { viewOf } from "./buffer.ts";
import type { Host } from "./host.ts";
import { check, checked } from "./kernel32.ts";
import { addressIn, nativeCopy } from "./memory.ts";
import type { Dll, NativeSymbols } from "./table.ts";
import { wide } from "./wide.ts";

/** The functions that write images. */
export const cimWriterSymbols = {
  CimAddFsToMergedImage2: {
    parameters: ["usize", /* CIMFS_IMAGE_HANDLE */ "buffer", /* PCWSTR image */ "u32" /* CIM_MERGE_FLAGS */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  CimCloseImage: {
    parameters: ["usize" /* CIMFS_IMAGE_HANDLE */],
    result: "void",
    nonblocking: true,
    optional: true,
  },
  // Windows' header says that it returns nothing, so what is in the register afterwards says nothing.
  CimCloseStream: { parameters: ["usize" /* CIMFS_STREAM_HANDLE */], result: "void", optional: true },
  CimCommitImage: {
    parameters: ["usize" /* CIMFS_IMAGE_HANDLE */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  CimCreateAlternateStream: {
    parameters: [
      "usize", /* CIMFS_IMAGE_HANDLE */
      "buffer", /* PCWSTR file:stream */
      "u64", /* UINT64 bytes */
      "buffer", /* CIMFS_STREAM_HANDLE* */
    ],
    result: "i32", /* HRESULT */
    optional: true,
  },
  CimCreateFile: {
    parameters: [
      "usize", /* CIMFS_IMAGE_HANDLE */
      "buffer", /* PCWSTR path */
      "buffer", /* const CIMFS_FILE_METADATA* */
      "buffer", /* CIMFS_STREAM_HANDLE* */
    ],
    result: "i32", /* HRESULT */
    optional: true,
  },
  CimCreateHardLink: {
    parameters: ["usize", /* CIMFS_IMAGE_HANDLE */ "buffer", /* PCWSTR new path */ "buffer" /* PCWSTR existing path */],
    result: "i32", /* HRESULT */
    optional: true,
  },
  CimCreateImage: {
    parameters: [
      "buffer", /* PCWSTR folder */
      "buffer", /* PCWSTR name of the image to go on from, or NULL */
      "buffer", /* PCWSTR name of the new image */
      "buffer", /* CIMFS_IMAGE_HANDLE* */
    ],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  CimCreateImage2: {
    parameters: [
      "buffer", /* PCWSTR file or disk */
      "u32", /* CIM_CREATE_IMAGE_FLAGS */
      "buffer", /* PCWSTR name of the image to go on from, or NULL */
      "buffer", /* PCWSTR name of the new image */
      "buffer", /* CIMFS_IMAGE_HANDLE* */
    ],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  CimCreateMergeLink: {
    parameters: ["usize", /* CIMFS_IMAGE_HANDLE */ "buffer", /* PCWSTR new path */ "buffer" /* PCWSTR existing path */],
    result: "i32", /* HRESULT */
    optional: true,
  },
  CimDeletePath: {
    parameters: ["usize", /* CIMFS_IMAGE_HANDLE */ "buffer" /* PCWSTR path */],
    result: "i32", /* HRESULT */
    optional: true,
  },
  CimGetVerificationInformation: {
    parameters: [
      "buffer", /* PCWSTR file or disk */
      "buffer", /* UINT32* is sealed */
      "buffer", /* UINT64* bytes of the hash */
      "buffer", /* UINT64* bytes of the signature */
      "buffer", /* UINT64* bytes of the fixed header */
      "buffer", /* BYTE* hash */
      "buffer", /* BYTE* signature, or NULL */
    ],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  CimSealImage: {
    parameters: [
      "buffer", /* PCWSTR file or disk */
      "buffer", /* UINT64* bytes of the hash */
      "buffer", /* UINT64* bytes of the fixed header */
      "buffer", /* BYTE* hash */
    ],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  CimTombstoneFile: {
    parameters: ["usize", /* CIMFS_IMAGE_HANDLE */ "buffer" /* PCWSTR path */],
    result: "i32", /* HRESULT */
    optional: true,
  },
  CimWriteStream: {
    parameters: ["usize", /* CIMFS_STREAM_HANDLE */ "buffer", /* const VOID* */ "u32" /* UINT32 bytes */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** cimwriter.dll, which doesn't come with Windows. */
export const cimwriter: Dll<typeof cimWriterSymbols> = {
  file: "cimwriter.dll",
  symbols: cimWriterSymbols,
  remedy: "It is a package of its own, and need not be there",
};

/** CimFS.dll, for writing. */
export const cimfsWriter: Dll<typeof cimWriterSymbols> = {
  file: "cimfs.dll",
  symbols: cimWriterSymbols,
  remedy: "It comes with Windows build 19041 and later, and writes block images from build 27766 on",
};

/** How an image in a file or on a disk of its own is created. */
export const cimCreateFlag = { BLOCK_DEVICE: 0x4, SINGLE_FILE: 0x8, CONSISTENT: 0x10, VERIFIED: 0x40 } as const;

/** How an image is added to a merged one. */
export const cimMergeFlag = { SINGLE_FILE: 0x1, BLOCK_DEVICE: 0x2, VERIFIED: 0x4 } as const;

/** Bytes of the root hash of a verified image. */
export const ROOT_HASH_BYTES = 32;

/**
 * What a file or folder in an image is. Times are in units of 100 ns since 1601, in UTC.
 *
 * @category CIM images
 */
export interface CimMetadata {
  /** Its FILE_ATTRIBUTE bits. */
  readonly attributes: number;
  /** When it was created. */
  readonly creationTime: bigint;
  /** When it was written to. */
  readonly lastWriteTime: bigint;
  /** When anything about it was changed. */
  readonly changeTime: bigint;
  /** When it was read. */
  readonly lastAccessTime: bigint;
  /** Its self-relative security descriptor. Default: the one that allows all. */
  readonly securityDescriptor?: Uint8Array<ArrayBuffer> | undefined;
  /** Its REPARSE_DATA_BUFFER, if it is a reparse point. */
  readonly reparse?: Uint8Array<ArrayBuffer> | undefined;
  /** Its extended attributes, as a list of FILE_FULL_EA_INFORMATION. */
  readonly extendedAttributes?: Uint8Array<ArrayBuffer> | undefined;
}

/** The same with the size of a file. */
export interface CimFileMetadata extends CimMetadata {
  /** Bytes of its main stream. */
  readonly size: bigint;
}

/** An image that is being written. */
export interface OpenImage {
  /** Its path, for errors. */
  readonly path: string;
  /** The DLL that writes it. */
  readonly functions: NativeSymbols<typeof cimWriterSymbols>;
  /** A CIMFS_IMAGE_HANDLE. */
  readonly handle: bigint;
}

/** Returns the functions of the DLL that writes images here. */
export function writerOf(host: Host): NativeSymbols<typeof cimWriterSymbols> {
  try {
    return host.symbols(cimwriter);
  } catch (error) {
    if (error instanceof MissingDllError || error instanceof MissingPermissionError) return host.symbols(cimfsWriter);
    throw error;
  }
}

/** Begins an image `folder\name`. What it shows of the image `from` in the same folder is shared with that. */
export async function createImage(
  host: Host,
  { folder, name, from }: { readonly folder: string; readonly name: string; readonly from?: string | undefined },
): Promise<OpenImage> {
  const [functions, out, path] = [writerOf(host), new Uint8Array(8), `${folder}\\${name}`];
  const existing = from === undefined ? null : wide(from);
  await checked(host, "CimCreateImage", functions.CimCreateImage(wide(folder), existing, wide(name), out), path);
  return { path, functions, handle: addressIn(out) };
}

/** Begins an image in the file or on the disk `block`. `flags` is a sum of {@linkcode cimCreateFlag}. */
export async function createBlockImage(
  host: Host,
  { block, name, flags }: { readonly block: string; readonly name: string; readonly flags: number },
): Promise<OpenImage> {
  const [functions, out] = [writerOf(host), new Uint8Array(8)];
  await checked(host, "CimCreateImage2", functions.CimCreateImage2(wide(block), flags, null, wide(name), out), block);
  return { path: block, functions, handle: addressIn(out) };
}

/** Completes an image. After it, it can only be closed. */
export async function commitImage(host: Host, { functions, handle, path }: OpenImage): Promise<void> {
  await checked(host, "CimCommitImage", functions.CimCommitImage(handle), path);
}

/** Closes an image. What wasn't committed is discarded. */
export async function closeImage({ functions, handle }: OpenImage): Promise<void> {
  await functions.CimCloseImage(handle);
}

// A revision, a control of SE_DACL_PRESENT and SE_SELF_RELATIVE, and no list: everybody may do everything.
const NULL_DESCRIPTOR = Uint8Array.of(1, 0, 4, 0x80, ...new Uint8Array(16));
const METADATA_BYTES = 96;

/**
 * Creates a file or folder, in place of one at the same path. Returns its stream, a CIMFS_STREAM_HANDLE: only one may be open in
 * an image.
 */
export function createCimFile(host: Host, image: OpenImage, path: string, metadata: CimFileMetadata): bigint {
  const { securityDescriptor: security = NULL_DESCRIPTOR, reparse, extendedAttributes } = metadata;
  const parts = [security.byteLength === 0 ? NULL_DESCRIPTOR : security, reparse, extendedAttributes];
  using block = nativeCopy(host, joined(parts));
  const struct = new Uint8Array(METADATA_BYTES);
  const view = viewOf(struct);
  view.setUint32(0, metadata.attributes, true);
  view.setBigUint64(8, metadata.size, true);
  view.setBigInt64(16, metadata.creationTime, true);
  view.setBigInt64(24, metadata.lastWriteTime, true);
  view.setBigInt64(32, metadata.changeTime, true);
  view.setBigInt64(40, metadata.lastAccessTime, true);
  let address = block.address;
  for (const [i, part] of parts.entries()) {
    if (part === undefined || part.byteLength === 0) continue;
    view.setBigUint64(48 + 16 * i, address, true);
    view.setUint32(56 + 16 * i, part.byteLength, true);
    address += BigInt(aligned(part.byteLength));
  }
  const out = new Uint8Array(8);
  check(host, "CimCreateFile", image.functions.CimCreateFile(image.handle, wide(path), struct, out), path);
  return addressIn(out);
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

function joined(parts: readonly (Uint8Array | undefined)[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + aligned(part?.byteLength ?? 0), 0));
  let at = 0;
  for (const part of parts) {
    if (part === undefined) continue;
    all.set(part, at);
    at += aligned(part.byteLength);
  }
  return all;
}

/** Creates an alternate data stream, `file:stream`, and returns its handle. */
export function createCimStream(host: Host, image: OpenImage, path: string, bytes: bigint): bigint {
  const out = new Uint8Array(8);
  const { functions, handle } = image;
  check(host, "CimCreateAlternateStream", functions.CimCreateAlternateStream(handle, wide(path), bytes, out), path);
  return addressIn(out);
}

/** Writes the next bytes of a stream. */
export async function writeCimStream(
  host: Host,
  { functions }: OpenImage,
  { stream, path }: { readonly stream: bigint; readonly path: string },
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  await checked(host, "CimWriteStream", functions.CimWriteStream(stream, bytes, bytes.byteLength), path);
}

/** Gives an existing file one more path. */
export function createCimLink(host: Host, { functions, handle }: OpenImage, path: string, existing: string): void {
  check(host, "CimCreateHardLink", functions.CimCreateHardLink(handle, wide(path), wide(existing)), path);
}

/** Gives a file one more path that an image below this one has, once they are merged. */
export function createCimMergeLink(host: Host, { functions, handle }: OpenImage, path: string, existing: string): void {
  check(host, "CimCreateMergeLink", functions.CimCreateMergeLink(handle, wide(path), wide(existing)), path);
}

/** Removes a path, of a folder with all that is in it. */
export function deleteCimPath(host: Host, { functions, handle }: OpenImage, path: string): void {
  check(host, "CimDeletePath", functions.CimDeletePath(handle, wide(path)), path);
}

/** Hides what images below this one have at a path, once they are merged. */
export function tombstoneCimPath(host: Host, { functions, handle }: OpenImage, path: string): void {
  check(host, "CimTombstoneFile", functions.CimTombstoneFile(handle, wide(path)), path);
}

/** Adds an image to a merged one. `source` is `block\name`, `flags` a sum of {@linkcode cimMergeFlag}. */
export async function addToMergedImage(
  host: Host,
  { functions, handle }: OpenImage,
  source: string,
  flags: number,
): Promise<void> {
  const result = functions.CimAddFsToMergedImage2(handle, wide(source), flags);
  await checked(host, "CimAddFsToMergedImage2", result, source);
}

/** Seals a verified image, so that nothing in it can be changed unnoticed. */
export async function sealImage(host: Host, { functions, path }: OpenImage): Promise<void> {
  const hash = new Uint8Array(ROOT_HASH_BYTES);
  const result = functions.CimSealImage(wide(path), new Uint8Array(8), new Uint8Array(8), hash);
  await checked(host, "CimSealImage", result, path);
}

/** Returns the root hash of a sealed image; undefined if it isn't sealed. */
export async function rootHashOf(
  host: Host,
  { functions, path }: OpenImage,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const [isSealed, hashSize, hash] = [new Uint8Array(4), new Uint8Array(8), new Uint8Array(ROOT_HASH_BYTES)];
  viewOf(hashSize).setBigUint64(0, BigInt(ROOT_HASH_BYTES), true);
  const [signatureSize, headerSize] = [new Uint8Array(8), new Uint8Array(8)];
  const { CimGetVerificationInformation } = functions;
  const result = CimGetVerificationInformation(
    wide(path),
    isSealed,
    hashSize,
    signatureSize,
    headerSize,
    hash,
    null,
  );
  await checked(host, "CimGetVerificationInformation", result, path);
  return isSealed.some((byte) => byte !== 0) ? hash : undefined;
}
