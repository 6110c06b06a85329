/**
 * Files and folders of the host that a VM is given.
 *
 * @module
 */

import { resolvePath } from "../ffi/final_path.ts";
import type { Host } from "../ffi/host.ts";

/** A file or folder of the host. */
export interface HostFile {
  /** The path by which the VM is to get it. */
  readonly path: string;
  /** The same for all paths that lead to it. */
  readonly key: string;
}

/**
 * The file or folder at an absolute path, to be given under that path.
 *
 * @throws {NativeError} if there is none.
 */
export function hostFile(host: Host, path: string): HostFile {
  return { path, key: resolvePath(host, path).toLowerCase() };
}

/**
 * The file or folder at an absolute path, to be given under the path that it leads to.
 *
 * @throws {NativeError} if there is none.
 */
export function resolvedFile(host: Host, path: string): HostFile {
  const resolved = resolvePath(host, path);
  return { path: resolved, key: resolved.toLowerCase() };
}
