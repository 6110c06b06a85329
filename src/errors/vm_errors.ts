/**
 * The errors of VMs and their devices.
 *
 * @module
 */

import { hex, nameOf } from "./codes.ts";
import { LayerError } from "./windows_errors.ts";

/** How much of one kind of device a VM has, and how much of it is taken. */
export interface DeviceRoom {
  /** What it is, such as `SCSI slots`. */
  readonly device: string;
  /** How many there are. */
  readonly total: number;
  /** How many are taken. */
  readonly used: number;
  /** The largest file that one can hold, in bytes, where that is limited. */
  readonly maximumBytes?: number;
}

/** A VM has no place left for what is to be added. Nothing was changed. */
export class NoRoomError extends LayerError {
  /** The class name. */
  override readonly name = "NoRoomError";
  /** How many more SCSI slots it would take. */
  readonly missing: number;
  /** What the VM has. */
  readonly room: readonly DeviceRoom[];

  /** An error with the numbers. */
  constructor(what: string, missing: number, room: readonly DeviceRoom[]) {
    super(
      `The VM has no room for ${what}: ${missing} more SCSI slot${missing === 1 ? "" : "s"} needed. ` +
        room.map(({ device, total, used, maximumBytes }) =>
          `${used} of ${total} ${device} taken${maximumBytes === undefined ? "" : `, each up to ${maximumBytes} bytes`}`
        ).join("; "),
    );
    this.missing = missing;
    this.room = room;
  }
}

/** Why a VM can't do what is asked of it. */
export type VMStateReason = "notStarted" | "starting" | "exited" | "crashed" | "disconnected" | "closed";

const STATES: Readonly<Record<VMStateReason, string>> = {
  notStarted: "was not started: call start() first",
  starting: "is started already, or is being started",
  exited: "has exited",
  crashed: "has crashed",
  disconnected: "can't be reached any more: the connection to its guest or to the compute service is lost",
  closed: "was closed",
};

/** A VM isn't in the state for what is asked of it, or left that state while it was waited for. */
export class VMStateError extends LayerError {
  /** The class name. */
  override readonly name = "VMStateError";
  /** Id of the VM. */
  readonly vm: string;
  /** The state that it is in. */
  readonly reason: VMStateReason;
  /** The HRESULT with which it ended, where Windows told one. */
  readonly code: number | undefined;

  /** An error with the state, and what Windows said about the end of the VM. */
  constructor(
    vm: string,
    reason: VMStateReason,
    options: ErrorOptions & { code?: number | undefined; details?: readonly string[] } = {},
  ) {
    const { code, details = [] } = options;
    const told = code === undefined ? "" : ` (${[hex(code), nameOf(code)].filter(Boolean).join(" ")})`;
    super([`The VM ${vm} ${STATES[reason]}${told}`, ...details].join("\n  "), options);
    this.vm = vm;
    this.reason = reason;
    this.code = code;
  }
}
