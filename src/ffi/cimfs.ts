/**
 * CimFS.dll: images of files (CIMs), mounted as read-only volumes. It exists from build 19041 on; process-isolated
 * containers can use it from build 20348.2031 on.
 *
 * @module
 */

import { guidBytes } from "./guid.ts";
import type { Host } from "./host.ts";
import { checked } from "./kernel32.ts";
import { nativeTexts } from "./memory.ts";
import type { Dll } from "./table.ts";
import { wide } from "./wide.ts";

/** The functions of CimFS.dll that are used. */
export const cimfsSymbols = {
  CimDismountImage: {
    parameters: ["buffer" /* const GUID* volume id */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  CimMountImage: {
    parameters: [
      "buffer", /* PCWSTR folder of the image */
      "buffer", /* PCWSTR file name of the image */
      "u32", /* CIM_MOUNT_IMAGE_FLAGS */
      "buffer", /* const GUID* volume id */
    ],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  CimMergeMountImage: {
    parameters: [
      "u32", /* UINT32 images */
      "buffer", /* const CIMFS_IMAGE_PATH*: the merged one, then those that it merges, topmost first */
      "u32", /* CIM_MOUNT_IMAGE_FLAGS */
      "buffer", /* const GUID* volume id */
    ],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  CimMergeMountVerifiedImage: {
    parameters: [
      "u32", /* UINT32 images */
      "buffer", /* const CIMFS_IMAGE_PATH*: the merged one, then those that it merges, topmost first */
      "u32", /* CIM_MOUNT_IMAGE_FLAGS */
      "buffer", /* const GUID* volume id */
      "u16", /* UINT16 bytes of the hash */
      "buffer", /* const BYTE* root hash */
    ],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  CimMountVerifiedImage: {
    parameters: [
      "buffer", /* PCWSTR file or disk of the image */
      "buffer", /* PCWSTR name of the image */
      "u32", /* CIM_MOUNT_IMAGE_FLAGS */
      "buffer", /* const GUID* volume id */
      "u16", /* UINT16 bytes of the hash */
      "buffer", /* const BYTE* root hash */
    ],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** CimFS.dll. */
export const cimfs: Dll<typeof cimfsSymbols> = {
  file: "cimfs.dll",
  symbols: cimfsSymbols,
  remedy: "It comes with Windows build 19041 and later",
};

/** How an image is mounted. */
export const cimMountFlag = {
  NONE: 0x0,
  CHILD_ONLY: 0x1,
  ENABLE_DAX: 0x2,
  CACHE_FILES: 0x4,
  CACHE_REGIONS: 0x8,
  /** The image is on a disk of its own. */
  BLOCK_DEVICE: 0x10,
  /** The image is in a file of its own. */
  SINGLE_FILE: 0x20,
} as const;

/** Where an image is: in a folder with the files of others, or in a file or on a disk of its own. */
export interface ImagePath {
  /** The folder, the file or the disk. */
  readonly folder: string;
  /** Its name there. */
  readonly name: string;
}

/**
 * Mounts the image `folder\name` as the volume `\\?\Volume{volumeId}\`. `flags` is a sum of {@linkcode cimMountFlag}. With a root
 * hash, of 32 bytes, Windows verifies what is read.
 */
export async function mountImage(
  host: Host,
  image: ImagePath,
  volumeId: string,
  flags: number,
  rootHash?: Uint8Array<ArrayBuffer>,
): Promise<void> {
  const { CimMountImage, CimMountVerifiedImage } = host.symbols(cimfs);
  const [folder, name, id] = [wide(withoutSeparator(image.folder)), wide(image.name), guidBytes(volumeId)];
  await checked(
    host,
    rootHash === undefined ? "CimMountImage" : "CimMountVerifiedImage",
    rootHash === undefined
      ? CimMountImage(folder, name, flags, id)
      : CimMountVerifiedImage(folder, name, flags, id, rootHash.byteLength, rootHash),
    pathOf(image),
  );
}

/** Mounts an image that merges others, which come after it, the topmost first. */
export async function mountMergedImage(
  host: Host,
  images: readonly ImagePath[],
  volumeId: string,
  flags: number,
  rootHash?: Uint8Array<ArrayBuffer>,
): Promise<void> {
  const { CimMergeMountImage, CimMergeMountVerifiedImage } = host.symbols(cimfs);
  const texts = images.flatMap(({ folder, name }) => [withoutSeparator(folder), name]);
  // The structs point to the texts, which must stay in memory until the call has settled.
  using memory = nativeTexts(host, texts);
  const [paths, id] = [new Uint8Array(new BigUint64Array(memory.addresses).buffer), guidBytes(volumeId)];
  await checked(
    host,
    rootHash === undefined ? "CimMergeMountImage" : "CimMergeMountVerifiedImage",
    rootHash === undefined
      ? CimMergeMountImage(images.length, paths, flags, id)
      : CimMergeMountVerifiedImage(images.length, paths, flags, id, rootHash.byteLength, rootHash),
    pathOf(images[0]!),
  );
}

function pathOf({ folder, name }: ImagePath): string {
  return `${folder.replace(/\\+$/, "")}\\${name}`;
}

// A closing `\` on the folder makes Windows fail, but `C:` without one is the current folder of that drive.
function withoutSeparator(folder: string): string {
  return /^[A-Za-z]:\\+$/.test(folder) ? `${folder.slice(0, 2)}\\` : folder.replace(/\\+$/, "");
}

/** Dismounts the volume `\\?\Volume{volumeId}\` of an image. */
export async function dismountImage(host: Host, volumeId: string): Promise<void> {
  const { CimDismountImage } = host.symbols(cimfs);
  await checked(host, "CimDismountImage", CimDismountImage(guidBytes(volumeId)), `\\\\?\\Volume{${volumeId}}\\`);
}
