/**
 * The errors of VMs and their devices.
 *
 * @module
 */

import { hex, nameOf } from "./codes.ts";
import { LayerError } from "./layer_error.ts";
import { messageOf } from "./printable.ts";
import { NativeError } from "./windows_errors.ts";

/**
 * The number of devices of one kind that a VM has, and how many are used.
 *
 * @category Layers in a VM
 */
export interface DeviceCapacity {
  /** The kind of device, such as `SCSI slots`. */
  readonly device: string;
  /** How many there are. */
  readonly total: number;
  /** How many are used. */
  readonly used: number;
  /** Size in bytes of the largest file for one device, if that is limited. */
  readonly maximumBytes?: number;
}

/**
 * A VM has no free slots for the disks to attach. Nothing was changed.
 *
 * @category Errors
 */
export class NoRoomError extends LayerError {
  /** The class name. */
  override readonly name = "NoRoomError";
  /** How many more SCSI slots would be needed. */
  readonly missing: number;
  /** The capacity of the VM, for each kind of device. */
  readonly room: readonly DeviceCapacity[];

  /** An error with the numbers. */
  constructor(what: string, missing: number, room: readonly DeviceCapacity[]) {
    super(
      `The VM has no room for ${what}: ${missing} more SCSI slot${missing === 1 ? "" : "s"} needed. ` +
        room.map(({ device, total, used, maximumBytes }) =>
          `${used} of ${total} ${device} used${maximumBytes === undefined ? "" : `, each up to ${maximumBytes} bytes`}`
        ).join("; "),
    );
    this.missing = missing;
    this.room = room;
  }
}

const STATES: Readonly<Record<VMStateReason, string>> = {
  notStarted: "was not started, or isn't ready yet: await start() first",
  starting: "is started already, or is being started",
  exited: "has exited",
  crashed: "has crashed",
  disconnected: "can't be reached any more: the connection to its guest or to the compute service is lost",
  closed: "was closed",
};

/** The states that a {@linkcode VMStateError} reports. */
export type VMStateReason = VMStateError["reason"];

/**
 * A VM isn't in the required state for a call, or left that state during the call.
 *
 * @category Errors
 */
export class VMStateError extends LayerError {
  /** The class name. */
  override readonly name = "VMStateError";
  /** Id of the VM. */
  readonly vm: string;
  /** The state that it is in. */
  readonly reason: "notStarted" | "starting" | "exited" | "crashed" | "disconnected" | "closed";
  /** The HRESULT with which it ended, if Windows reported one. */
  readonly code: number | undefined;

  /** An error with the state, and the details that Windows reported. */
  constructor(
    vm: string,
    reason: VMStateReason,
    options: ErrorOptions & { code?: number | undefined; details?: readonly string[] } = {},
  ) {
    const { code, details = [] } = options;
    const reported = code === undefined ? "" : ` (${[hex(code), nameOf(code)].filter(Boolean).join(" ")})`;
    super([`The VM ${vm} ${STATES[reason]}${reported}`, ...details].join("\n  "), options);
    this.vm = vm;
    this.reason = reason;
    this.code = code;
  }
}

/**
 * A guest answered a request with an error. {@linkcode NativeError.operation} is the request, such as `ModifySettings`, and
 * {@linkcode NativeError.code} the HRESULT of the guest.
 *
 * @category Errors
 */
export class GuestError extends NativeError {
  /** The class name. */
  override readonly name = "GuestError";
  /** What the guest says about it, or `""`. */
  readonly guestText: string;

  /** An error with the code of the guest, and what it says, from the general to the specific; before that, what it was about. */
  constructor(request: string, code: number, texts: readonly string[], about: readonly string[] = []) {
    super({ function: request, code, details: [...about, ...texts.map(messageOf)], inGuest: true });
    this.guestText = texts.join("\n");
  }
}

const ENDS: Readonly<Record<GuestConnectionEnd, string>> = {
  closed: "was closed by this process",
  ended: "was closed by the guest",
  torn: "ended in the middle of a message",
  failed: "broke",
  invalid: "was given up, because the guest sent something that is no message",
  hung: "was given up, because the guest doesn't answer",
  late: "was given up, because the guest wasn't ready within two minutes",
};

/**
 * How a connection with a guest ended.
 *
 * @category Errors
 */
export type GuestConnectionEnd = "closed" | "ended" | "torn" | "failed" | "invalid" | "hung" | "late";

/**
 * The connection with the service in a guest is lost, or was never made. Whether the requests that wait for an answer have an effect, nobody
 * knows.
 *
 * @category Errors
 */
export class GuestConnectionError extends LayerError {
  /** The class name. */
  override readonly name = "GuestConnectionError";
  /** How it ended. */
  readonly reason: GuestConnectionEnd;

  /** An error that says how it ended, and more about that if it is known. */
  constructor(reason: GuestConnectionEnd, options: ErrorOptions & { detail?: string } = {}) {
    const { detail, cause } = options;
    const more = detail ?? (cause === undefined ? "" : messageOf(cause));
    super(`The connection with the guest ${ENDS[reason]}${more && `: ${more}`}`, options);
    this.reason = reason;
  }
}

/** Returns whether a VM that has ended for its users runs still: only its guest can't be reached any more. */
export function runsWithoutGuest({ state, end }: { readonly state: string; readonly end?: unknown }): boolean {
  return state === "ended" && end instanceof VMStateError && end.cause instanceof GuestConnectionError;
}
