/**
 * Resolving paths.
 *
 * @module
 */

import { hostOptions } from "../checks/arguments.ts";
import { windowsPath } from "../checks/windows_path.ts";
import { resolvePath as resolve } from "../ffi/final_path.ts";
import type { HostOptions } from "../ffi/host_options.ts";

/**
 * Resolves the links and mount points in a path, and returns `\\?\Volume{guid}\...`. If the file system has no volume
 * GUID, it returns `\\?\C:\...` or `\\server\share\...`.
 *
 * ```ts
 * import { resolvePath } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * console.log(resolvePath("C:\\layers\\base", { host })); // \\?\Volume{…}\layers\base
 * ```
 *
 * @param path Absolute path of a file or folder.
 * @throws {InvalidInputError} if the path is of the wrong form.
 * @throws {NativeError} if there is nothing at the path.
 * @category Access and privileges
 */
export function resolvePath(path: string, options: Pick<HostOptions, "host"> = {}): string {
  const { host } = hostOptions(options, {});
  return resolve(host, windowsPath(path, "path"));
}
