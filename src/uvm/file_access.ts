/**
 * The right of a VM to open a file of the host, which is an entry in the file's access list. It outlives the VM.
 *
 * @module
 */

import { kindOf } from "../checks/existing.ts";
import { InUseError } from "../errors/state_errors.ts";
import { MissingExportError } from "../errors/windows_errors.ts";
import { isAllowed } from "../ffi/advapi32.ts";
import type { Host } from "../ffi/host.ts";
import { access, isNotFound, openFile } from "../ffi/kernel32.ts";
import { vmGuid, vmSid } from "../ffi/vm_guid.ts";
import { grantVmAccess, revokeVmAccess } from "../ffi/vmcompute.ts";
import type { OwnVMRecord } from "../session/vm_records.ts";

/** The right of one VM to open one file. */
export class FileAccess {
  readonly #host: Host;
  readonly #vm: string;
  readonly #path: string;
  readonly #record: OwnVMRecord | undefined;
  // Whether the VM may have the right through us: not if it had it before.
  #state: "none" | "maybe" | "granted" = "none";
  #wasThere = false;

  /** The right of the VM with an id. It is written down in the record of the VM before it is granted. */
  constructor(host: Host, vm: string, path: string, record?: OwnVMRecord) {
    this.#host = host;
    this.#vm = vm;
    this.#path = path;
    this.#record = record;
  }

  /** Returns a right that a VM may have through a process that has ended. */
  static left(host: Host, vm: string, path: string): FileAccess {
    const access = new FileAccess(host, vm, path);
    access.#state = "maybe";
    return access;
  }

  /** Looks whether the VM has the right already. Must be called before it is granted. */
  async look(): Promise<void> {
    this.#wasThere = await this.isThere();
  }

  /** Grants it. If that fails, the VM may have it nevertheless. */
  async grant(): Promise<void> {
    if (!this.#wasThere) {
      await this.#record?.willOpen(this.#path);
      this.#state = "maybe";
    }
    await grantVmAccess(this.#host, this.#vm, this.#path);
    if (!this.#wasThere) this.#state = "granted";
  }

  /**
   * Revokes it. Returns false if there is nothing to revoke: the VM had the right before, the file is gone, or this Windows
   * can't revoke it, so that it stays without an effect once there is no such VM.
   */
  async revoke(): Promise<boolean> {
    const wasHeld = await this.#revoke();
    await this.#record?.cantOpen(this.#path);
    return wasHeld;
  }

  async #revoke(): Promise<boolean> {
    try {
      if (this.#state === "none" || this.#state === "maybe" && !await this.isThere()) return false;
      this.#state = "maybe";
      await revokeVmAccess(this.#host, this.#vm, this.#path);
      if (!await this.isThere()) return true;
      await revokeVmAccess(this.#host, this.#vm, this.#path);
      if (!await this.isThere()) return true;
    } catch (error) {
      if (error instanceof MissingExportError) return false;
      // Only a file that can't be found by its name either is gone.
      if (isNotFound(error) && kindOf(this.#host, this.#path) === undefined) return false;
      throw error;
    }
    throw new InUseError(
      this.#path,
      `can still be opened by the VM ${this.#vm}, though RevokeVmAccess reported success`,
      this.#vm,
    );
  }

  /** Returns whether the VM has the right. */
  async isThere(): Promise<boolean> {
    const sid = vmSid(await vmGuid(this.#vm));
    using file = openFile(this.#host, this.#path, { access: access.READ_CONTROL });
    return isAllowed(this.#host, file.value, sid, this.#path);
  }
}
