/**
 * offreg.dll, simulated. A merged hive is a text that tells what it was made of.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import {
  big,
  buffer,
  define,
  number,
  type OpenHandle,
  put64,
  type SimulatedDll,
  text,
  viewOf,
  WIN32,
  win32Failure,
} from "./call.ts";
import { bytesOf, fileWith } from "./contents.ts";
import { parentOf } from "./names.ts";
import { unknown } from "./simulation_error.ts";

interface HiveHandle extends OpenHandle {
  readonly type: "hive";
  readonly content: string;
}

/** offreg.dll. */
export const offregFunctions: SimulatedDll = {
  ORCloseHive: define(WIN32, { hive: big }, ({ process }, { hive }) => {
    process.handles.get(hive, "hive");
    process.handles.close(hive);
  }),

  ORMergeHives: define(
    WIN32,
    { hives: buffer, count: number, merged: buffer },
    ({ process }, { hives, count, merged }) => {
      const view = viewOf(hives, 8 * count);
      const parts = Array.from(
        { length: count },
        (_, i) => process.handles.get<HiveHandle>(view.getBigUint64(8 * i, true), "hive").content,
      );
      put64(
        merged,
        process.handles.open({ type: "hive", target: "a merged hive", content: `${parts.join("+")}` } as HiveHandle),
      );
    },
  ),

  OROpenHive: define(WIN32, { path: text, hive: buffer }, ({ windows, process }, { path, hive }) => {
    const node = windows.existing(path);
    if (node.type !== "file") throw win32Failure(win32.ERROR_ACCESS_DENIED);
    const content = new TextDecoder().decode(bytesOf(node));
    put64(hive, process.handles.open({ type: "hive", target: node.path, content } as HiveHandle));
  }),

  ORSaveHive: define(
    WIN32,
    { hive: big, path: text, major: number, minor: number },
    ({ windows, process }, { hive, path, major, minor }) => {
      const { content } = process.handles.get<HiveHandle>(hive, "hive");
      if (major !== 10 || minor !== 0) unknown(`saving a hive for Windows ${major}.${minor}`);
      if (windows.node(path) !== undefined) throw win32Failure(win32.ERROR_FILE_EXISTS);
      if (windows.node(parentOf(path))?.type !== "folder") throw win32Failure(win32.ERROR_PATH_NOT_FOUND);
      windows.add({ ...fileWith(path, content), createdBy: windows.by });
    },
  ),
};
