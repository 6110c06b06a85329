/**
 * CimFS.dll, simulated.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import { define, guid, HRESULT, number, type SimulatedDll, text, win32Failure } from "./call.ts";
import { unknown } from "./simulation_error.ts";
import { indexOf } from "./state_index.ts";
import { volumeKey } from "./windows.ts";

const KNOWN_FLAGS = 0x1 | 0x2 | 0x4 | 0x8;

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
    ({ windows }, { imagePath, fsName, flags, volumeId }) => {
      if ((flags & ~KNOWN_FLAGS) !== 0) {
        throw win32Failure(win32.ERROR_INVALID_PARAMETER, "mounting an image with a flag that doesn't exist");
      }
      if (windows.node(imagePath)?.type !== "folder") {
        throw win32Failure(win32.ERROR_PATH_NOT_FOUND, "mounting an image in a folder that doesn't exist");
      }
      const image = `${imagePath}${/(^|\\)[A-Za-z]:\\$/.test(imagePath) ? "" : "\\"}${fsName}`;
      if (windows.node(image)?.type !== "file") {
        throw win32Failure(win32.ERROR_FILE_NOT_FOUND, "mounting an image that doesn't exist");
      }
      const volume = volumeName(volumeId);
      if (windows.state.images[volume] !== undefined) {
        throw win32Failure(win32.ERROR_ALREADY_EXISTS, "mounting an image with an id that is in use");
      }
      windows.state.images[volume] = { image: windows.place(image).path, by: windows.by };
      windows.addVolume(volume);
    },
  ),
};

function volumeName(id: string): string {
  return volumeKey(`\\\\?\\Volume{${id}}\\`);
}
