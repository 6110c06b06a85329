/**
 * The machine of tier 1: the simulated host.
 *
 * @module
 */

import { SimulatedHost } from "../../src/simulated/mod.ts";
import type { CompletedCall, NativeCall } from "../../src/simulated/mod.ts";
import { resolved } from "../support/paths.ts";
import { failsRequest } from "./injections.ts";
import { type Machine, type MachineMaker, UNSEEN } from "./machine.ts";
import { MODIFY, requestKey } from "./requests.ts";
import { RecordedGuest } from "./recorded_guest.ts";
import { type Call, GUEST } from "./run.ts";
import { guestCall } from "./vm_run.ts";

/** A simulated machine. The recordings have mount paths with a closing `\`. */
export const simulatedMachine: MachineMaker = ({ late, guest: recorded, ...windows }): Machine => {
  const completion = late ? LATE_MS : "synchronous";
  // Guests are waited for by the clock.
  const clock = recorded && "automatic";
  const host = new SimulatedHost({
    ...windows,
    completion,
    mountPathSeparator: true,
    ...(clock && { clock }),
    // A recorded guest refuses nothing but what is in its recording. Ours has it remove what that one had refused to add.
    ...(recorded && { whenUnknown: ({ dll, args }) => dll === GUEST && isRemoval(args) ? 0 : undefined }),
  });
  const guest = recorded && new RecordedGuest(host, recorded);
  return {
    host,
    resolvedDrive: resolved("C:\\"),
    addFolder: (path) => host.addFolder(path),
    addFile(path, size) {
      // All VMs may read the disks of Linux layers: the tools that make them see to that.
      if (/\.vhd$/i.test(path)) host.addLinuxLayer(path, size);
      else host.addFile(path, size);
    },
    addVolume: (guid) => void host.addVolume(guid),
    fail(injections) {
      host.failNothing();
      const keys = () => host.calls.map(asRecorded).filter((call) => call.fn === MODIFY).map(requestKey);
      for (const injection of injections) {
        const { fn, code, nth, request } = injection;
        if (request !== undefined) {
          const when = (call: NativeCall) =>
            failsRequest(injection, keys(), requestKey(asRecorded({ ...call, result: "" })));
          host.fail({ function: fn, code, when });
          if (recorded) host.fail({ function: "guest:ModifySettings", code, when });
          continue;
        }
        // The recordings count from the start of a run, and the host counts from now.
        const made = host.calls.filter((call) => call.function === fn).length;
        if (nth === undefined) host.fail({ function: fn, code });
        else if (nth > made) host.fail({ function: fn, code, nth: nth - made });
      }
    },
    beforeStep: async (cancel) => await guest?.beforeStep(cancel),
    guestDifference: () => guest?.difference(),
    trace: () => host.calls.map(asRecorded),
    held: () => host.held().map(({ kind, target }) => `${kind} ${target}`),
    [Symbol.dispose]() {},
  };
};

const LATE_MS = 3;

function isRemoval({ request }: NativeCall["args"]): boolean {
  return (request as { Request?: { RequestType?: string } }).Request?.RequestType === "Remove";
}

function asRecorded({ dll, function: fn, args, result }: CompletedCall): Call {
  if (dll === GUEST) return guestCall(fn.replace(/^guest:/, ""), args.request as Record<string, unknown>, result);
  const decoded = Object.entries(args).map(([name, value]) => [name, value === "buffer" ? "non-null" : value]);
  const call = { dll: dll.toLowerCase(), fn, args: Object.fromEntries(decoded), hr: result };
  // The length goes in and out by one buffer, which the simulation doesn't show.
  if (fn === "GetLayerMountPath") call.args.length = UNSEEN;
  if (fn === "CimMergeMountImage") call.args = mergeArguments(call.args);
  if (/^Hcs.*(ComputeSystem|ServiceProperties)/.test(fn)) call.args = systemArguments(call.args);
  return call;
}

function mergeArguments({ images, ...args }: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const paths = (images as { imageDir: string; imageName: string }[]).flatMap(({ imageDir, imageName }, i) => [
    [`imageDir${i}`, imageDir],
    [`imageName${i}`, imageName],
  ]);
  return { ...args, ...Object.fromEntries(paths) };
}

// Without the buffers for answers. Handles are not the same from one machine to the other, and have no name here.
function systemArguments(args: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { id, configuration, identity, options, propertyQuery, callback, computeSystem, callbackHandle } = args;
  const shown = {
    id,
    configuration,
    options,
    propertyQuery,
    ...(identity !== undefined && { identity: identity || null }),
    ...(callback !== undefined && { callback: "non-null" }),
    ...(typeof computeSystem === "number" && { computeSystem: UNSEEN, computeSystemId: UNSEEN }),
    ...(typeof callbackHandle === "number" && { callbackHandle: UNSEEN }),
  };
  return Object.fromEntries(Object.entries(shown).filter(([, value]) => value !== undefined));
}
