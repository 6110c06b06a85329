/**
 * Privileges of the process.
 *
 * @module
 */

import { hostOptions, requireText } from "../checks/arguments.ts";
import { win32 } from "../errors/codes.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { MissingPrivilegeError, NativeError, PrivilegeRestoreError } from "../errors/windows_errors.ts";
import { enabledPrivilege, openProcessToken, setPrivilege } from "../ffi/advapi32.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { sessionOf } from "../session/session.ts";

/**
 * Enables privileges of the process, such as `SeBackupPrivilege` and `SeRestorePrivilege`, which import and export of
 * layers need. Disposing of what this returns restores them; a privilege that was enabled several times is restored with
 * the last of them.
 *
 * They are enabled for the whole process: Deno's thread pool makes calls on threads of its own.
 *
 * ```ts
 * import { enablePrivileges } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * using _ = enablePrivileges(["SeBackupPrivilege", "SeRestorePrivilege"], { host });
 * ```
 *
 * @returns Restores them when it is disposed of. If Windows refuses that, disposing of it again tries again.
 * @throws {InvalidInputError} if a name is empty or holds a NUL.
 * @throws {MissingPrivilegeError} if the process doesn't have one; none is enabled then.
 * @throws {NativeError} if Windows refuses, such as a name that it doesn't know.
 * @category Access and privileges
 */
export function enablePrivileges(privileges: readonly string[], options: Pick<HostOptions, "host"> = {}): Disposable {
  const { host } = hostOptions(options, {});
  if (!Array.isArray(privileges)) {
    throw new InvalidInputError("privileges", "is not a list of names", privileges);
  }
  privileges.forEach((name, i) => requireText(name, `privileges[${i}]`));
  const taken: string[] = [];
  const enabled = { [Symbol.dispose]: () => restoreAll(host, taken) };
  try {
    for (const name of new Set(privileges)) {
      taken.push(name);
      enable(host, name);
    }
    return enabled;
  } catch (error) {
    using _ = enabled;
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

// Those that are restored are gone from the list.
function restoreAll(host: Host, names: string[]): void {
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
    throw new PrivilegeRestoreError(names, errors);
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
