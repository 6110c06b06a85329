/**
 * VMs whose process has ended. Nobody can talk to their guests any more, so they can only be ended.
 *
 * @module
 */

import { kindOf } from "../checks/existing.ts";
import { returnedJson } from "../checks/returned_json.ts";
import { InUseError, UnexpectedAnswerError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import { closeSystem, openSystem, stopSystem, systemProperties } from "../ffi/vmcompute_hcs.ts";
import { basicProperties, type SystemProperties } from "../hcsschema/queries.ts";
import type { Held, HoldOf } from "../holds/hold.ts";
import { waitUntil } from "../session/waiting.ts";
import { hasStopped } from "./compute_system.ts";
import { FileAccess } from "./file_access.ts";

/** Returns whether the compute service knows a VM with an id. */
export async function isVMThere(host: Host, id: string): Promise<boolean> {
  return await withSystem(host, id, () => Promise.resolve(true)) ?? false;
}

/** A VM that an ended process has created. */
export interface LeftVM {
  /** Its id. */
  readonly vm: string;
  /** Name of the program that created it. */
  readonly owner: string;
  /** Whether it can't be there any more, so that one with its id is another one. */
  readonly isGone: boolean;
}

/** Returns the hold on such a VM. Releasing it ends the VM. */
export function leftVMOf(host: Host, left: LeftVM, restsOn: readonly Held[]): Held<HoldOf<"computeSystem">> {
  return { hold: { kind: "computeSystem", id: left.vm }, restsOn, release: () => endVM(host, left) };
}

/** Returns the hold on the right of such a VM to open a file. */
export function leftAccessOf(host: Host, vm: string, hostPath: string): Held<HoldOf<"vmAccess">> {
  return {
    hold: { kind: "vmAccess", vm, hostPath },
    restsOn: [],
    release: () => FileAccess.left(host, vm, hostPath).revoke(),
  };
}

/** Returns whether a VM may open a file. */
export async function hasAccess(host: Host, vm: string, path: string): Promise<boolean> {
  return kindOf(host, path) !== undefined && await FileAccess.left(host, vm, path).isThere();
}

async function endVM(host: Host, { vm, owner, isGone }: LeftVM): Promise<boolean> {
  const ended = await withSystem(host, vm, async (system) => {
    const properties = await propertiesOf(host, system, vm);
    const { Owner } = properties;
    if (typeof Owner !== "string") throw new UnexpectedAnswerError(PROPERTIES, "has no Owner", properties);
    if (isGone || Owner !== owner) {
      throw new InUseError(vm, `is the id of another VM by now, of ${Owner}, which has the rights to files with it`);
    }
    await stopSystem(host, "HcsTerminateComputeSystem", system, vm);
    const isOver = async () => (await propertiesOf(host, system, vm)).Stopped === true;
    if (await waitUntil(host, `the VM ${vm} has ended`, () => unlessStopped(isOver, true))) return true;
    throw new InUseError(vm, "was terminated, and runs nevertheless");
  });
  return ended ?? false;
}

// Undefined if there is none, or it has ended.
async function withSystem<T>(host: Host, id: string, act: (system: bigint) => Promise<T>): Promise<T | undefined> {
  return await unlessStopped(async () => {
    const system = await openSystem(host, id);
    try {
      return await act(system);
    } finally {
      await closeSystem(host, system, id);
    }
  }, undefined);
}

async function unlessStopped<T, U>(act: () => Promise<T>, otherwise: U): Promise<T | U> {
  try {
    return await act();
  } catch (error) {
    if (hasStopped(error)) return otherwise;
    throw error;
  }
}

const PROPERTIES = "HcsGetComputeSystemProperties";

async function propertiesOf(host: Host, system: bigint, id: string): Promise<SystemProperties> {
  const text = await systemProperties(host, system, id, basicProperties);
  return returnedJson(PROPERTIES, text, (properties: SystemProperties) => ({ ...properties }));
}
