/**
 * The machine of tier 1: the simulated host.
 *
 * @module
 */

import { SimulatedHost } from "../../src/simulated/mod.ts";
import type { AnsweredCall } from "../../src/simulated/mod.ts";
import { type Machine, type MachineMaker, UNSEEN } from "./machine.ts";
import type { Call } from "./run.ts";

/** A simulated machine. The recordings have mount paths with a closing `\`. */
export const simulatedMachine: MachineMaker = (windows): Machine => {
  const host = new SimulatedHost({ ...windows, mountPathSeparator: true });
  return {
    host,
    addFolder: (path) => host.addFolder(path),
    addFile: (path, size) => host.addFile(path, size),
    addVolume: (guid) => void host.addVolume(guid),
    fail(injections) {
      host.failNothing();
      for (const { fn, ...failure } of injections) host.fail({ function: fn, ...failure });
    },
    trace: () => host.calls.map(asRecorded),
    held: () => host.held().map(({ kind, target }) => `${kind} ${target}`),
    [Symbol.dispose]() {},
  };
};

function asRecorded({ dll, function: fn, args, result }: AnsweredCall): Call {
  const decoded = Object.entries(args).map(([name, value]) => [name, value === "buffer" ? "non-null" : value]);
  const call = { dll: dll.toLowerCase(), fn, args: Object.fromEntries(decoded), hr: result };
  // The length goes in and out by one buffer, which the simulation doesn't show.
  if (fn === "GetLayerMountPath") call.args.length = UNSEEN;
  return call;
}
