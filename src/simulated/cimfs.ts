/**
 * CimFS.dll, simulated.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import {
  buffer,
  type Context,
  type Decoder,
  define,
  guid,
  HRESULT,
  number,
  type SimulatedDll,
  since,
  text,
  win32Failure,
} from "./call.ts";
import { unknown } from "./simulation_error.ts";
import { indexOf } from "./state_index.ts";
import { volumeKey, type Windows } from "./windows.ts";

const BLOCK_DEVICE = 0x10;
const SINGLE_FILE = 0x20;
const KNOWN_FLAGS = 0x1 | 0x2 | 0x4 | 0x8 | BLOCK_DEVICE | SINGLE_FILE;
// The first builds with images in files and on disks of their own, and with verified ones.
const BLOCK_IMAGES = 27766;
const VERIFIED = 27800;
const HASH_BYTES = 32;

/** The paths in an array of CIMFS_IMAGE_PATH, whose size determines how many there are. */
const imagePaths: Decoder<{ imageDir: string; imageName: string }[]> = (raw, memory) => {
  const { buffer, byteOffset, byteLength } = raw as Uint8Array;
  const view = new DataView(buffer, byteOffset, byteLength);
  return Array.from({ length: byteLength / 16 }, (_, i) => ({
    imageDir: memory.readWide(view.getBigUint64(16 * i, true)),
    imageName: memory.readWide(view.getBigUint64(16 * i + 8, true)),
  }));
};

/** CimFS.dll. */
export const cimfsFunctions: SimulatedDll = {
  CimDismountImage: define(HRESULT, { volumeId: guid }, ({ windows }, { volumeId }) => {
    const volume = volumeName(volumeId);
    const { images } = windows.state;
    if (images[volume] === undefined) {
      throw win32Failure(win32.ERROR_FILE_NOT_FOUND, "dismounting an image that isn't mounted");
    }
    if (indexOf(windows.state).overlaysOn(volume).length > 0) {
      unknown("dismounting an image that an overlay filter shows");
    }
    delete images[volume];
    windows.removeVolume(volume);
  }),

  CimMountImage: define(
    HRESULT,
    { imagePath: text, fsName: text, flags: number, volumeId: guid },
    (context, { imagePath, fsName, flags, volumeId }) => {
      mount(context, [{ imageDir: imagePath, imageName: fsName }], flags, volumeId);
    },
  ),

  ...since(BLOCK_IMAGES, {
    CimMergeMountImage: define(
      HRESULT,
      { numCimPaths: number, images: imagePaths, flags: number, volumeId: guid },
      (context, { images, flags, volumeId }) => mountMerged(context, images, flags, volumeId),
    ),
  }),

  ...since(VERIFIED, {
    CimMergeMountVerifiedImage: define(
      HRESULT,
      { numCimPaths: number, images: imagePaths, flags: number, volumeId: guid, hashSize: number, hash: buffer },
      (context, { images, flags, volumeId, hashSize }) => {
        requireHash(hashSize);
        mountMerged(context, images, flags, volumeId);
      },
    ),

    CimMountVerifiedImage: define(
      HRESULT,
      { imagePath: text, fsName: text, flags: number, volumeId: guid, hashSize: number, hash: buffer },
      (context, { imagePath, fsName, flags, volumeId, hashSize }) => {
        requireHash(hashSize);
        if ((flags & (BLOCK_DEVICE | SINGLE_FILE)) === 0) {
          unknown("verifying an image that shares its files with others");
        }
        mount(context, [{ imageDir: imagePath, imageName: fsName }], flags, volumeId);
      },
    ),
  }),
};

function requireHash(bytes: number): void {
  if (bytes !== HASH_BYTES) unknown(`verifying an image by a hash of ${bytes} bytes`);
}

function mountMerged(context: Context, images: readonly ImagePath[], flags: number, volumeId: string): void {
  if (images.length < 3) unknown(`merging ${images.length - 1} images`);
  if ((flags & (BLOCK_DEVICE | SINGLE_FILE)) === 0) unknown("merging images that share their files with others");
  mount(context, images, flags, volumeId);
}

type ImagePath = { readonly imageDir: string; readonly imageName: string };

function mount({ windows }: Context, images: readonly ImagePath[], flags: number, volumeId: string): void {
  if ((flags & ~KNOWN_FLAGS) !== 0) {
    throw win32Failure(win32.ERROR_INVALID_PARAMETER, "mounting an image with a flag that doesn't exist");
  }
  const [first] = images.map((image) => imageIn(windows, image, flags));
  const volume = volumeName(volumeId);
  if (windows.state.images[volume] !== undefined) {
    throw win32Failure(win32.ERROR_ALREADY_EXISTS, "mounting an image with an id that is in use");
  }
  windows.state.images[volume] = { image: first!, by: windows.by };
  windows.addVolume(volume);
}

// The path of the file with the image.
function imageIn(windows: Windows, { imageDir, imageName }: ImagePath, flags: number): string {
  if ((flags & (BLOCK_DEVICE | SINGLE_FILE)) !== 0) {
    if (windows.state.build < BLOCK_IMAGES) {
      unknown(`mounting an image of its own file or disk on build ${windows.state.build}`);
    }
    if (windows.node(imageDir)?.type !== "file") {
      throw win32Failure(win32.ERROR_FILE_NOT_FOUND, "mounting an image of a file or disk that doesn't exist");
    }
    return windows.place(imageDir).path;
  }
  if (windows.node(imageDir)?.type !== "folder") {
    throw win32Failure(win32.ERROR_PATH_NOT_FOUND, "mounting an image in a folder that doesn't exist");
  }
  const image = `${imageDir}${/(^|\\)[A-Za-z]:\\$/.test(imageDir) ? "" : "\\"}${imageName}`;
  if (windows.node(image)?.type !== "file") {
    throw win32Failure(win32.ERROR_FILE_NOT_FOUND, "mounting an image that doesn't exist");
  }
  return windows.place(image).path;
}

function volumeName(id: string): string {
  return volumeKey(`\\\\?\\Volume{${id}}\\`);
}
