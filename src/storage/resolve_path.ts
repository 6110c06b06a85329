/**
 * Paths as Windows resolves them.
 *
 * @module
 */

import { defaultHost } from "../ffi/host.ts";
import { resolvePath as resolve } from "../ffi/final_path.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { windowsPath } from "../checks/windows_path.ts";

/** Options of {@linkcode resolvePath}. */
export type ResolvePathOptions = Omit<HostOptions, "signal">;

/**
 * The path that a path leads to, with links and mount points resolved: `\\?\Volume{guid}\...`. Where a file system has no
 * volume GUID it is `\\?\C:\...` or `\\server\share\...`.
 *
 * @param path Absolute path of a file or folder.
 * @throws {InvalidInputError} if the path is of the wrong form.
 * @throws {NativeError} if there is nothing at the path.
 */
export function resolvePath(path: string, options: ResolvePathOptions = {}): string {
  const { host = defaultHost() } = options;
  return resolve(host, windowsPath(path, "path"));
}
