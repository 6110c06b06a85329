/**
 * A host and a guest with a bridge between them.
 *
 * @module
 */

import { UTC } from "../../src/hcsschema/guest_messages.ts";
import {
  BridgeGuest,
  type BridgeGuestOptions,
  type GuestEnd,
  type GuestMessage,
} from "../../src/simulated/bridge_guest.ts";
import { BridgeConnection, type ConnectOptions } from "../../src/uvm/bridge/connection.ts";
import { type StreamEnd, streamPair } from "./streams.ts";

/** A limit that is never reached. */
export function noDeadline(_: number, signal: AbortSignal): Promise<void> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
}

/** What a test needs of a guest. */
export interface TestGuest extends Disposable {
  readonly guest: BridgeGuest;
  /** What the guest has received. */
  readonly received: GuestMessage[];
  /** The host's end of the connection, and the guest's. */
  readonly host: StreamEnd;
  readonly far: StreamEnd;
  /** Settles when the guest has ended, with how. */
  readonly served: Promise<GuestEnd>;
}

/** A guest at the end of a connection in memory. */
export function guestWith(options: Partial<BridgeGuestOptions> = {}, capacity?: number): TestGuest {
  const [host, far] = streamPair(capacity);
  const received: GuestMessage[] = [];
  const guest = new BridgeGuest(far, {
    os: "Linux",
    ...options,
    respond(message, usual) {
      received.push(message);
      return options.respond?.(message, usual) ?? usual();
    },
  });
  const served = guest.serve();
  return { guest, received, host, far, served, [Symbol.dispose]: () => guest.crash() };
}

/** Connects with a guest. */
export function connect({ host }: TestGuest, options: Partial<ConnectOptions> = {}): Promise<BridgeConnection> {
  return BridgeConnection.connect(host, { vm: "vm1", deadline: noDeadline, timeZone: UTC, ...options });
}

/** A request for a Linux guest. */
export const MOUNT = {
  RequestType: "Add",
  ResourceType: "MappedVirtualDisk",
  Settings: { MountPath: "/run/mounts/scsi/m0", Lun: 1 },
} as const;

/** Lets everything that can go on go on. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setTimeout(resolve, 0));
}

/** The code that a request of the guest is named by, in the order in which they came. */
export function namesOf(received: readonly GuestMessage[]): string[] {
  return received.map(({ type, id }) => `${id}:${type.toString(16)}`);
}
