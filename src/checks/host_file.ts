/**
 * Files and folders of the host that a VM uses.
 *
 * @module
 */

import { resolvePath } from "../ffi/final_path.ts";
import type { Host } from "../ffi/host.ts";
import { pathKey } from "./windows_path.ts";

/** A file or folder of the host. */
export interface HostFile {
  /** The path that is passed to the VM. */
  readonly path: string;
  /** A key that is the same for all paths of the file. */
  readonly key: string;
}

/**
 * Returns the file or folder at an absolute path, which is passed to the VM under that path.
 *
 * @throws {NativeError} if there is none.
 */
export function hostFile(host: Host, path: string): HostFile {
  return { path, key: pathKey(resolvePath(host, path)) };
}

/**
 * Returns the file or folder at an absolute path, which is passed to the VM under its resolved path.
 *
 * @throws {NativeError} if there is none.
 */
export function resolvedFile(host: Host, path: string): HostFile {
  const resolved = resolvePath(host, path);
  return { path: resolved, key: pathKey(resolved) };
}
