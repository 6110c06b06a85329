/**
 * The folder in which the files of an image are.
 *
 * @module
 */

import { UnreadableFileError } from "../../errors/file_errors.ts";
import { openFile } from "../bytes/open_file.ts";
import type { OpenBytes, RandomAccess } from "../bytes/random_access.ts";

/** A folder with files of images, wherever they are. */
export interface CimFolder {
  /**
   * Opens one of its files, as names of Windows are: whether letters are small doesn't matter. Undefined if it isn't there,
   * or an `UnreadableFileError` whose `cause` is a `Deno.errors.NotFound`. What is returned is disposed of if it can be.
   */
  open(name: string): Promise<RandomAccess & Partial<Disposable> | undefined>;
  /** The names of its files, to find what other images have. Left out where nobody can tell. */
  names?(): Promise<readonly string[]>;
}

/** Opens a file of an image, which errors call by its name. */
export async function openPart(folder: CimFolder, name: string): Promise<OpenBytes | undefined> {
  const source = await ifThere(() => folder.open(name));
  if (source === undefined) return undefined;
  return {
    name,
    size: source.size,
    read: (at, into) => source.read(at, into),
    [Symbol.dispose]: () => source[Symbol.dispose]?.(),
  };
}

/** A folder of this system, whose path ends with a slash, or is empty for the one that this process is in. */
export function diskFolder(path: string): CimFolder {
  let listed: Promise<ReadonlyMap<string, string>> | undefined;
  const names = () => listed ??= namesIn(path === "" ? "." : path);
  return {
    names: async () => [...(await names()).values()],
    async open(name) {
      const found = await ifThere(() => openFile(path + name));
      if (found !== undefined) return found;
      // On a disk that tells apart what Windows doesn't.
      const same = (await names()).get(name.toLowerCase());
      return same === undefined ? undefined : await ifThere(() => openFile(path + same));
    },
  };
}

/** Splits the path of an image of this system into its folder and its name. */
export function splitPath(path: string): readonly [folder: string, name: string] {
  const end = (Deno.build.os === "windows" ? /[^\\/]*$/ : /[^/]*$/).exec(path)!.index;
  return [path.slice(0, end), path.slice(end)];
}

async function ifThere<T>(open: () => Promise<T>): Promise<T | undefined> {
  try {
    return await open();
  } catch (error) {
    if (error instanceof UnreadableFileError && error.cause instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

// By their names in small letters. None of a folder that can't be listed: its files can be opened all the same.
async function namesIn(folder: string): Promise<ReadonlyMap<string, string>> {
  const names = new Map<string, string>();
  try {
    for await (const { name } of Deno.readDir(folder)) names.set(name.toLowerCase(), name);
  } catch {
    names.clear();
  }
  return names;
}
