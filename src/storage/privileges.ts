/**
 * Privileges of the process.
 *
 * @module
 */

import { hostOptions, text } from "../checks/arguments.ts";
import { win32 } from "../errors/codes.ts";
import { MissingPrivilegeError, NativeError, PrivilegeRestoreError } from "../errors/windows_errors.ts";
import { enabledPrivilege, openProcessToken, setPrivilege } from "../ffi/advapi32.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { itemsOf } from "../options.ts";
import { sessionOf } from "../session/session.ts";

/**
 * Enables privileges of the process, such as `SeBackupPrivilege` and `SeRestorePrivilege`, which importing and exporting
 * layers need. Dispose of the returned object to restore them. If a privilege was enabled several times, it is restored
 * when the last of the returned objects is disposed of.
 *
 * Privileges are enabled for the whole process, because native calls run on threads of Deno's pool.
 *
 * ```ts
 * import { enablePrivileges } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * using _ = enablePrivileges(["SeBackupPrivilege", "SeRestorePrivilege"], { host });
 * ```
 *
 * @returns An object that restores the privileges when it is disposed of. If that fails, dispose of it again.
 * @throws {InvalidInputError} if a name is empty or contains a NUL character.
 * @throws {MissingPrivilegeError} if the process doesn't have one of them. None is enabled then.
 * @throws {NativeError} if Windows refuses, for instance because it doesn't know a name.
 * @throws {PrivilegeRestoreError} if one is refused, and those before it can't be restored. Its cause is the refusal.
 * @category Access and privileges
 */
export function enablePrivileges(privileges: readonly string[], options: Pick<HostOptions, "host"> = {}): Disposable {
  const { host } = hostOptions(options, {});
  const names = itemsOf(privileges, "privileges", text, { problem: "is not a list of names" });
  const acquired: string[] = [];
  const enabled = { [Symbol.dispose]: () => restoreAll(host, acquired) };
  try {
    for (const name of new Set(names)) {
      acquired.push(name);
      enable(host, name);
    }
    return enabled;
  } catch (error) {
    restoreAll(host, acquired, { cause: error });
    throw error;
  }
}

function enable(host: Host, name: string): void {
  const known = sessionOf(host).privileges.get(name);
  if (known !== undefined) {
    known.count++;
    return;
  }
  const state = enabledPrivilege(host, name);
  using token = openProcessToken(host);
  try {
    sessionOf(host).privileges.set(name, { count: 1, before: setPrivilege(host, token.value, state) });
  } catch (cause) {
    if (cause instanceof NativeError && cause.win32 === win32.ERROR_NOT_ALL_ASSIGNED) {
      throw new MissingPrivilegeError(name, { cause });
    }
    throw cause;
  }
}

// Removes from the list what is restored, so that another call continues with the rest.
function restoreAll(host: Host, names: string[], options?: ErrorOptions): void {
  const errors: unknown[] = [];
  for (const name of names.splice(0).reverse()) {
    try {
      restore(host, name);
    } catch (error) {
      errors.push(error);
      names.unshift(name);
    }
  }
  if (errors.length > 0) {
    throw new PrivilegeRestoreError(names, errors, options);
  }
}

function restore(host: Host, name: string): void {
  const known = sessionOf(host).privileges.get(name);
  if (known === undefined) return;
  if (known.count === 1 && known.before !== undefined) {
    using token = openProcessToken(host);
    setPrivilege(host, token.value, known.before);
  }
  if (--known.count === 0) sessionOf(host).privileges.delete(name);
}
