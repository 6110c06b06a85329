/**
 * The interface of a VM that its devices use.
 *
 * @module
 */

import type { VMStateError } from "../errors/vm_errors.ts";
import type { Host } from "../ffi/host.ts";
import type { ModifySettingRequest } from "../hcsschema/requests.ts";

/** The operating system in a VM. */
export type GuestOS = "windows" | "linux";

/** The state of a VM. `ended`: it exited, was closed, or its connection is lost; nothing in it is held any more. */
export type VMState = "created" | "running" | "ended";

/** A VM that can be changed while it runs. */
export interface RunningVM {
  /** Id of the VM, to which access to files is granted. */
  readonly id: string;
  /** The machine that it runs on. */
  readonly host: Host;
  /** The operating system in it. */
  readonly os: GuestOS;
  /** Its state. */
  readonly state: VMState;
  /** Why it has ended; undefined if it has not. */
  readonly end?: VMStateError | undefined;

  /**
   * Changes the VM: the host's part and the guest's part. Aborting ends the wait, not the change.
   *
   * @throws {NativeError} if the host or the guest refuses.
   */
  modify(request: ModifySettingRequest, options?: { signal?: AbortSignal | undefined }): Promise<void>;
}
