/**
 * The guest of a VM, with which this process talks itself: how that begins, and the guest's part of changes.
 *
 * @module
 */

import { messageOf } from "../errors/printable.ts";
import { GuestConnectionError, GuestError, VMStateError } from "../errors/vm_errors.ts";
import { NativeError } from "../errors/windows_errors.ts";
import { timeZone } from "../ffi/kernel32.ts";
import { deadline, noted } from "../ffi/operation.ts";
import { PROTOCOL_VERSION, securityPolicy, socketAddresses } from "../hcsschema/guest_messages.ts";
import type { GuestConnectionInfo } from "../hcsschema/queries.ts";
import type { GuestModificationRequest, ModifySettingRequest } from "../hcsschema/requests.ts";
import { log } from "../log.ts";
import { Mutex } from "../session/mutex.ts";
import { BridgeConnection } from "./bridge/connection.ts";
import type { ComputeSystem, WaitOptions } from "./compute_system.ts";
import type { GuestSockets } from "./guest_sockets.ts";
import type { GuestOS } from "./running_vm.ts";

/** What is known of a VM whose guest boots. */
export interface DirectGuestInit {
  /** The VM, which runs. */
  readonly system: ComputeSystem;
  /** The operating system in it. */
  readonly os: GuestOS;
  /** Its GUID in Hyper-V. */
  readonly runtimeId: string;
  /** The sockets to which its guest connects. */
  readonly sockets: GuestSockets;
  /** Whether its devices are changed side by side, also where the container tools never do that. */
  readonly concurrentChanges: boolean;
}

/** A guest that is connected. The connection is closed with its sockets. */
export class DirectGuest {
  readonly #system: ComputeSystem;
  readonly #connection: BridgeConnection;
  readonly #concurrentChanges: boolean;
  // For changes that don't overlap.
  readonly #turns = new Mutex();
  // The guest's parts of removals that are done, of which the host's isn't.
  readonly #removed = new Set<string>();
  #end: VMStateError | undefined;

  private constructor({ system, concurrentChanges }: DirectGuestInit, connection: BridgeConnection) {
    this.#system = system;
    this.#connection = connection;
    this.#concurrentChanges = concurrentChanges;
    connection.ended.then((end) => {
      if (end.reason !== "closed" && system.end === undefined) log("warn", () => `the VM ${system.id}: ${end.message}`);
    });
  }

  /**
   * Waits until the guest connects, and tells it what it needs to know. If that fails, its sockets have to be closed.
   *
   * @throws {GuestError} if the guest refuses.
   * @throws {VMStateError} if the VM ends meanwhile, or the connection is lost.
   * @throws the reason of `signal`.
   */
  static async connect(init: DirectGuestInit, signal?: AbortSignal): Promise<DirectGuest> {
    const { system, os, runtimeId, sockets } = init;
    const { host, id } = system;
    const stream = await system.during(sockets.accept(), signal);
    if (stream === undefined) throw new VMStateError(id, "closed");
    const connecting = BridgeConnection.connect(stream, {
      vm: id,
      deadline: (ms, signal) => deadline(host, ms, signal),
      timeZone: os === "windows" ? timeZone(host) : null,
      signal,
    });
    try {
      const guest = new DirectGuest(init, await system.during(connecting, signal));
      const first = os === "windows" ? socketAddresses(runtimeId) : securityPolicy({});
      await system.during(guest.#ask(first), signal);
      return guest;
    } catch (error) {
      throw error instanceof GuestConnectionError ? reasonOf(system, error) : error;
    }
  }

  /** Why the guest can't be reached any more; `undefined` while it can. */
  get end(): VMStateError | undefined {
    const { end } = this.#connection;
    return this.#end ??= end && lost(this.#system.id, end);
  }

  /** What it can do. */
  get capabilities(): GuestConnectionInfo {
    return { ProtocolVersion: PROTOCOL_VERSION, GuestDefinedCapabilities: this.#connection.capabilities };
  }

  /**
   * Changes the VM: the host's part, and then the guest's; a removal the other way round. If the guest refuses to add
   * something, the host's part is taken back. What has begun is made to its end, also after an abort.
   *
   * If the guest can't be reached any more, only removals are made, of what the host has.
   */
  async modify(request: ModifySettingRequest, { signal }: WaitOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    if (this.#system.end !== undefined) throw this.#system.end;
    const change = () => this.#change(request);
    const alone = isAlone(request, this.#concurrentChanges);
    await this.#system.during(alone ? this.#turns.run(change, signal) : change(), signal);
  }

  async #change({ GuestRequest, ...onHost }: ModifySettingRequest): Promise<void> {
    const removes = onHost.RequestType === "Remove" && onHost.ResourcePath !== undefined;
    if (!removes && this.end !== undefined) throw this.end;
    if (GuestRequest === undefined) return await this.#system.modify(onHost);
    if (onHost.ResourcePath === undefined) return await this.#ask(GuestRequest);
    if (removes) return await this.#remove(onHost, GuestRequest);
    await this.#system.modify(onHost);
    try {
      await this.#ask(GuestRequest);
    } catch (error) {
      const isUndone = error instanceof GuestError || this.end !== undefined;
      if (onHost.RequestType === "Add" && isUndone) await this.#takeBack(onHost);
      throw error;
    }
  }

  async #remove(onHost: ModifySettingRequest, inGuest: GuestModificationRequest): Promise<void> {
    const key = JSON.stringify([onHost.ResourcePath, inGuest]);
    if (!this.#removed.has(key)) {
      try {
        await this.#ask(inGuest);
      } catch (error) {
        // What nobody can reach is gone with its guest, and the host has its part still.
        if (this.end === undefined) throw error;
      }
      this.#removed.add(key);
    }
    await this.#system.modify(onHost);
    this.#removed.delete(key);
  }

  async #takeBack({ ResourcePath }: ModifySettingRequest): Promise<void> {
    if (this.#system.end !== undefined) return;
    try {
      await this.#system.modify({ ResourcePath: ResourcePath!, RequestType: "Remove" });
    } catch (error) {
      log("warn", () => `taking ${ResourcePath} back from the VM ${this.#system.id}: ${messageOf(error)}`);
    }
  }

  async #ask(request: GuestModificationRequest): Promise<void> {
    const { host, id } = this.#system;
    try {
      // Who cancels a mount is told of a guest that hangs, as of a Windows that does.
      await noted(host, "ModifySettings", id, this.#connection.modify(request));
    } catch (error) {
      throw error instanceof GuestConnectionError ? reasonOf(this.#system, error, this.end) : error;
    }
  }
}

// What of a VM the container tools never change twice at once: it was never tried with guests.
const ALONE = /^VirtualMachine\/Devices\/(VirtualPMem|VirtualSmb)\//;
const SLOT = /^VirtualMachine\/Devices\/Scsi\//;

/** Whether a change waits for others, and others for it. What mounts disks of different slots doesn't. */
function isAlone({ ResourcePath = "", RequestType, GuestRequest }: ModifySettingRequest, concurrent: boolean): boolean {
  if (GuestRequest?.ResourceType === "SecurityPolicy") return true;
  if (concurrent) return false;
  if (ALONE.test(ResourcePath) || GuestRequest?.ResourceType === "VPMemDevice") return true;
  if (SLOT.test(ResourcePath)) return RequestType === "Remove";
  const ofDisk = GuestRequest?.ResourceType === "MappedVirtualDisk" || GuestRequest?.ResourceType === "SCSIDevice";
  return ofDisk && GuestRequest?.RequestType === "Remove";
}

function lost(vm: string, end: GuestConnectionError): VMStateError {
  if (end.reason === "closed") return new VMStateError(vm, "closed");
  return new VMStateError(vm, "disconnected", { cause: end, details: [end.message] });
}

// Why a request has no answer, for those who asked.
function reasonOf(system: ComputeSystem, end: GuestConnectionError, reason = lost(system.id, end)): unknown {
  const { cause } = end;
  // Neither Windows nor the guest has done anything.
  if (cause !== undefined && !(cause instanceof NativeError)) return cause;
  return system.end ?? reason;
}
