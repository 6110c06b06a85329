/**
 * The folders in which a container tool keeps its layers.
 *
 * @module
 */

import { isLink, kindOf } from "../checks/existing.ts";
import { diskOf } from "../checks/windows_path.ts";
import { LayerError } from "../errors/layer_error.ts";
import { messageOf } from "../errors/printable.ts";
import { UnexpectedAnswerError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import { attribute, directoryEntries } from "../ffi/kernel32.ts";
import { log } from "../log.ts";

/** A container tool. */
export type Tool = "docker" | "containerd";

/** What a tool has written down of a scratch. Undefined is what isn't known. */
export interface ScratchFacts {
  /** Id of the container. */
  readonly container: string | undefined;
  /** The namespace of containerd in which the container has this id. */
  readonly namespace?: string | undefined;
  /** Folders of the layers that it rests on, the topmost first. */
  readonly layers: readonly string[] | undefined;
  /** Path of the image that shows these layers, if they have one. */
  readonly image?: string | undefined;
}

/** The folders in which a tool keeps its layers. */
export interface LayerStore {
  /** The tool. */
  readonly tool: Tool;
  /** Folder of them all. */
  readonly folder: string;
  /** Returns what the tool has written down of a scratch, by the name of its folder. */
  facts(name: string): ScratchFacts;
  /** Returns the same for all scratches of containers whose layers have an image, also for those that are gone. */
  withImages(): (ScratchFacts & { readonly folder: string })[];
}

/** Returns what another tool tells. Undefined if it can't be read, which is logged: then it is unknown, and hides nothing else. */
export function ifReadable<T>(what: string, read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof LayerError)) throw error;
    log("warn", () => `${what} of another tool can't be read: ${messageOf(error)}`);
    return undefined;
  }
}

/** Returns the names of the folders in a store that have a disk, be they of scratches or of layers that were one. */
export function foldersWithDisk(host: Host, { folder }: LayerStore): string[] {
  const isFolder = (attributes: number) =>
    (attributes & (attribute.DIRECTORY | attribute.REPARSE_POINT)) === attribute.DIRECTORY;
  return [...directoryEntries(host, folder)].filter(({ attributes }) => isFolder(attributes)).map(({ name }) => name)
    .filter((name) => {
      const disk = diskOf(`${folder}\\${name}`);
      // A scratch of Linux can share the disk of another one by a link.
      return kindOf(host, disk) === "file" && !isLink(host, disk);
    });
}

/**
 * Returns the folder that the configuration of a tool names, in the form that is passed to Windows.
 *
 * @throws {UnexpectedAnswerError} if it isn't on a drive: nobody is sent elsewhere by a file that users may have made.
 */
export function localFolder(path: unknown, file: string): string {
  const folder = typeof path === "string" ? path.replaceAll("/", "\\").replace(/\\+$/, "") : "";
  if (!/^[a-z]:\\/i.test(folder)) throw new UnexpectedAnswerError(file, "is no folder on a drive", path);
  return folder;
}
