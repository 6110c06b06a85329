/**
 * CIM images as those who look into them see them: files in a folder.
 *
 * @module
 */

import { imageFiles } from "./cim_bytes.ts";
import { lastName } from "./names.ts";
import { SimulationError } from "./simulation_error.ts";
import type { Windows } from "./windows.ts";

/**
 * The files that a CIM image consists of, to be read by `openCim()` of the entry point `files`.
 *
 * @category Simulation
 */
export interface ImageFiles {
  /** The name of the file with the image, which names the others. */
  readonly name: string;
  /** Their folder. */
  readonly folder: {
    /** Opens one by its name. Undefined if there is none. */
    open(name: string): Promise<ImageFile | undefined>;
    /** The names of all. */
    names(): Promise<string[]>;
  };
}

/**
 * One of the files that a CIM image consists of.
 *
 * @category Simulation
 */
export interface ImageFile {
  /** Its name. */
  readonly name: string;
  /** Its length in bytes. */
  readonly size: number;
  /** Reads from the offset `at` on into `into`, and returns how many bytes. */
  read(at: number, into: Uint8Array): Promise<number>;
}

/** Returns the files of the image at a path. */
export function filesOfImage(windows: Windows, path: string): ImageFiles {
  const { image, isBlockImage, path: place } = windows.existing(path);
  if (image === undefined) throw new SimulationError(`${path} is no CIM image`);
  if (isBlockImage) throw new SimulationError(`${path} is an image in a file of its own, whose form isn't published`);
  const name = lastName(place);
  const files = imageFiles(image, name);
  return {
    name,
    folder: {
      open: (name) => Promise.resolve(fileOf(files, name)),
      names: () => Promise.resolve([...files.keys()]),
    },
  };
}

function fileOf(files: ReadonlyMap<string, Uint8Array>, name: string): ImageFile | undefined {
  const bytes = files.get(name);
  if (bytes === undefined) return undefined;
  return {
    name,
    size: bytes.byteLength,
    read(at, into) {
      const part = bytes.subarray(at, at + into.byteLength);
      into.set(part);
      return Promise.resolve(part.byteLength);
    },
  };
}
