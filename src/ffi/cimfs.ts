/**
 * CimFS.dll: images of files (CIMs), mounted as read-only volumes. It exists from build 19041 on; process-isolated
 * containers can use it from build 20348.2031 on.
 *
 * @module
 */

import { guidBytes } from "./guid.ts";
import type { Host } from "./host.ts";
import { checked } from "./kernel32.ts";
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
} as const;

/** Mounts the image `folder\name` as the volume `\\?\Volume{volumeId}\`. `flags` is a sum of {@linkcode cimMountFlag}. */
export async function mountImage(
  host: Host,
  image: { folder: string; name: string },
  volumeId: string,
  flags: number,
): Promise<void> {
  const { CimMountImage } = host.symbols(cimfs);
  await checked(
    host,
    "CimMountImage",
    CimMountImage(wide(withoutSeparator(image.folder)), wide(image.name), flags, guidBytes(volumeId)),
    `${image.folder.replace(/\\+$/, "")}\\${image.name}`,
  );
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
