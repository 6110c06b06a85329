// Every single failure at every native call of every scenario: before its effect, in the middle of it, after it, and a
// success without it. Then what was acquired is released, and unmounted by another process: nothing is left, and nothing
// of others was touched.
import { assert, assertEquals } from "jsr:@std/assert@^1.0.0";
import { LayerError } from "../../mod.ts";
import type { CompletedCall, InjectedFailure, SimulatedHost } from "../../src/simulated/mod.ts";
import * as storage from "../../src/storage/mod.ts";
import { GIB, inAnotherProcess } from "../support/host.ts";
import { difference, failuresOf, isBeyondTheOwner, isRight, removeTold, type State, stateOf } from "./failures.ts";
import {
  BASE,
  BLANK,
  type Holder,
  HOST_SCENARIOS,
  hostOf,
  inVM,
  mountLinux,
  NEW,
  OURS,
  type Scenario,
  WINDOWS_VM,
} from "./scenarios.ts";

function helper(run: (host: SimulatedHost) => Promise<Holder | AsyncDisposable | void>, build = 20348): Scenario {
  return {
    prepare: () => hostOf("cimLayers", build),
    async acquire(host, holders) {
      const made = await run(host);
      if (made === undefined) return;
      holders.push("release" in made ? made : { release: async () => await made[Symbol.asyncDispose]() });
    },
  };
}

const LINUX = { os: "linux", id: "ours", bootFolder: "C:\\lcow" } as const;
const DISKS = { base: `${BASE}\\blank-base.vhdx`, differencing: `${BASE}\\blank.vhdx`, size: GIB };
const VM_DISKS = {
  base: `${BASE}\\UtilityVM\\Base.vhdx`,
  differencing: `${BASE}\\UtilityVM\\Template.vhdx`,
  size: GIB,
};

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  ...HOST_SCENARIOS,
  "a Windows VM": WINDOWS_VM,
  "a Linux VM that maps files": inVM(LINUX, mountLinux),
  "a Linux VM with a device for each file": inVM({ ...LINUX, vpmemMultiMapping: false }, mountLinux),
  "a Linux VM with disks alone": inVM({ ...LINUX, rootFile: "initrd.img", vpmemDeviceCount: 0 }, mountLinux),
  createVhdx: helper((host) => storage.createVhdx("C:\\disks\\new.vhdx", { size: GIB, host })),
  createDifferencingDisk: helper((host) =>
    storage.createDifferencingDisk("C:\\disks\\new.vhdx", `${OURS}\\sandbox.vhdx`, { host })
  ),
  attachDisk: helper((host) => storage.attachDisk(`${OURS}\\sandbox.vhdx`, { host })),
  formatWritableLayerDisk: helper((host) => storage.formatWritableLayerDisk(BLANK, { host })),
  mountWritableLayerDisk: helper((host) => storage.mountWritableLayerDisk(`${OURS}\\sandbox.vhdx`, { host })),
  setupContainerBaseLayer: helper((host) => storage.setupContainerBaseLayer(BASE, DISKS, { host })),
  setupUtilityVMBaseLayer: helper((host) => storage.setupUtilityVMBaseLayer(`${BASE}\\UtilityVM`, VM_DISKS, { host })),
  createScratch: helper((host) => storage.createScratch(NEW, [BASE], { size: 40 * GIB, host })),
  createUtilityVMScratch: helper((host) => storage.createUtilityVMScratch(NEW, BASE, { vmId: "vm1", host })),
  expandScratch: helper((host) => storage.expandScratch(OURS, 40 * GIB, { host })),
  grantVmGroupAccess: helper((host) => storage.grantVmGroupAccess(`${OURS}\\sandbox.vhdx`, { host })),
};

interface Played {
  readonly before: State;
  readonly after: State;
  /** The calls by which it was acquired and released. */
  readonly calls: readonly CompletedCall[];
  /** Errors of a wrong class, and of a release in which nothing failed. */
  readonly errors: readonly string[];
  /** Errors of unmounting. */
  readonly unmounting: readonly string[];
  readonly fired: number;
}

/** Acquires and releases with a failure, releases what is left without it, and unmounts in another process. */
async function play(scenario: Scenario, failure?: InjectedFailure): Promise<Played> {
  const host = await scenario.prepare();
  const before = stateOf(host);
  const from = host.calls.length;
  const injection = failure && host.fail(failure);
  const holders: Holder[] = [];
  const errors: string[] = [];
  const unmounting: string[] = [];
  const note = (error: unknown) => {
    if (!(error instanceof LayerError)) errors.push(`throws ${error}`);
    if (error instanceof Error && "release" in error) holders.push(error as unknown as Holder);
  };
  await scenario.acquire(host, holders).catch(note);
  for (const holder of holders.toReversed()) await holder.release().catch(note);
  const calls = host.calls.slice(from);
  host.failNothing();
  if (failure !== undefined) removeTold(host, holders, failure);
  for (const holder of holders.toReversed()) {
    await holder.release().catch((error) => errors.push(`release() without failures throws ${error}`));
  }
  await scenario.unmount?.(inAnotherProcess(host)).catch((error) => unmounting.push(`${error}`));
  return { before, after: stateOf(host), calls, errors, unmounting, fired: injection?.fired ?? 0 };
}

for (const [name, scenario] of Object.entries(SCENARIOS)) {
  Deno.test(`every single failure of every call: ${name}`, async () => {
    const clean = await play(scenario);
    assertEquals([clean.errors, clean.unmounting], [[], []]);
    const failures = failuresOf(clean.calls);
    const wrong: string[] = [];
    for (const failure of failures) {
      const { before, after, errors, unmounting, fired } = await play(scenario, failure);
      const complaints = [...unmounting, ...isBeyondTheOwner(failure) ? [] : errors];
      if (!isRight(after, before, clean.after, failure)) complaints.push(difference(after, before));
      if (fired !== 1) complaints.push(`came ${fired} times`);
      wrong.push(...complaints.map((complaint) => `${JSON.stringify(failure)}: ${complaint}`));
    }
    console.log(`${failures.length} failures`);
    assertEquals(wrong, []);
    assert(failures.length > 0);
  });
}
