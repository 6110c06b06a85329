/**
 * Rules of the compute service that can be asked without a VM.
 *
 * @module
 */

import { closeSystem, createSystem, enumerateSystems, openSystem } from "../../../src/ffi/vmcompute_hcs.ts";
import { known, type Rule, type Step } from "../rule.ts";

const ID = "hcs-layers-observe-none";

const create = (document: object): Step => async (bench) => {
  const { system } = await createSystem(bench.host, ID, document);
  // It should have been refused. Closing its only handle ends it.
  await closeSystem(bench.host, system, ID);
};

/** Rules of compute systems. */
export const systemRules: readonly Rule[] = [
  {
    id: "HcsOpenComputeSystem.missing",
    asks: "What does HcsOpenComputeSystem return for a compute system that there isn't?",
    ask: [async (bench) => await closeSystem(bench.host, await openSystem(bench.host, ID), ID)],
    known: known(0xc037010e),
  },
  {
    id: "HcsCreateComputeSystem.unknown-key",
    asks: "What does HcsCreateComputeSystem return for a document with a key that doesn't exist?",
    ask: [create({ ShouldTerminateOnLastHandleClosed: true, SchemaVersion: { Major: 2, Minor: 1 }, Chips: {} })],
    known: known(0xc037010d),
  },
  {
    id: "HcsEnumerateComputeSystems.id",
    asks: "Is the list of compute systems empty for an id that there isn't?",
    ask: [async (bench) => (JSON.parse(await enumerateSystems(bench.host, { Ids: [ID] })) as unknown[]).length === 0],
  },
];
