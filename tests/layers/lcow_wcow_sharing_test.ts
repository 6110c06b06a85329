import { assert, assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { InUseError } from "../../src/errors/state_errors.ts";
import type { Hold } from "../../src/holds/hold.ts";
import type { Mounted } from "../../src/holds/mounted.ts";
import { mountLCOWLayers } from "../../src/layers/lcow.ts";
import { mountWCOWLayers } from "../../src/layers/wcow.ts";
import { type Random, randomTest } from "../support/random.ts";
import { TestVM } from "../support/vm.ts";

// Of each case.
const RUNS = 680;
// A host keeps a list of all calls.
const RUNS_A_VM = 340;
// More than it takes from the answer to a call, or from a mount, to the next call.
const TURNS = 150;
// How many turns a container runs at most.
const PAUSE = 60;

/** Answers the slow calls of a host one at a time, in a random order. */
class Scheduler {
  readonly #waiting: (() => void)[] = [];
  #active = false;

  /** `random` decides who is next. Set anew for each run, so that a run can be repeated alone. */
  constructor(public random: Random) {}

  /** For the option of the host. */
  readonly latency = (): Promise<void> | undefined =>
    this.#active ? new Promise((resolve) => this.#waiting.push(resolve)) : undefined;

  /** Runs until `work` is done; `check` is called between any two answers. */
  async run(work: () => Promise<unknown>, check: () => void): Promise<void> {
    this.#active = true;
    try {
      let done = false;
      const running = work().finally(() => done = true);
      running.catch(() => {});
      while (!done) {
        // Lets everything come to its next call.
        for (let turn = 0; turn < TURNS && !done; turn++) await null;
        check();
        assert(done || this.#waiting.length > 0, "everything waits, and not for an answer");
        const [next] = this.#waiting.splice(this.random(Math.max(this.#waiting.length, 1)), 1);
        next?.();
      }
      await running;
    } finally {
      this.#active = false;
      this.#waiting.forEach((answer) => answer());
    }
  }
}

/** What the host lists as held because of these holds. */
function expected(holds: readonly Hold[]): string[] {
  return holds.flatMap((hold) => {
    switch (hold.kind) {
      case "scsiAttachment":
        return [`scsiAttachment vm1 ${hold.controller}:${hold.lun} ${hold.hostPath}`];
      case "scsiMount":
      case "vpmemFile":
        return [`guestMount vm1 ${hold.guestPath}`];
      case "vsmbShare":
        return [`vsmbShare vm1 ${hold.name} ${hold.hostPath}`];
      case "layerTree":
        return [`layerTree vm1 ${hold.guestPath}`];
      default:
        return [];
    }
  });
}

interface Case {
  readonly name: string;
  readonly open: (scheduler?: Pick<Scheduler, "latency">) => Promise<TestVM>;
  readonly mount: (t: TestVM, container: number, signal?: AbortSignal) => Promise<Mounted>;
  /** Whether shares stay in the VM. */
  readonly staysShared?: boolean;
}

async function linux(vpmemMultiMapping: boolean, scheduler?: Pick<Scheduler, "latency">): Promise<TestVM> {
  const t = await TestVM.open({ os: "linux", vpmemMultiMapping, vpmemDeviceCount: 2 }, scheduler);
  [1, 2, 3].forEach((n) => t.host.addLinuxLayer(`C:\\layers\\${n}.vhd`, 2 ** 20));
  t.host.addFile("C:\\scratch.vhdx", 2 ** 20);
  return t;
}

async function windows(noDirectMap: boolean, scheduler?: Pick<Scheduler, "latency">): Promise<TestVM> {
  const t = await TestVM.open({ os: "windows", noDirectMap }, scheduler);
  [1, 2, 3].forEach((n) => t.host.addLayer(`C:\\layers\\${n}`));
  [1, 2].forEach((n) => t.host.addScratch(`C:\\scratch\\${n}`));
  return t;
}

const STACKS = [[3, 2, 1], [2, 1]];

const mountLCOW: Case["mount"] = ({ vm }, container, signal) =>
  mountLCOWLayers(`c${container}`, {
    layers: STACKS[container - 1]!.map((n) => ({ vhdPath: `C:\\layers\\${n}.vhd` })),
    scratchVhdPath: "C:\\scratch.vhdx",
  }, { vm, guestRoot: `/run/gcs/c/c${container}`, signal });

// The root of a Windows container is its scratch, so that two can't share one.
const mountWCOW: Case["mount"] = ({ vm }, container, signal) =>
  mountWCOWLayers("c", [...STACKS[container - 1]!.map((n) => `C:\\layers\\${n}`), `C:\\scratch\\${container}`], {
    vm,
    signal,
  });

const cases: readonly Case[] = [
  { name: "LCOW, mapped", open: (scheduler) => linux(true, scheduler), mount: mountLCOW },
  { name: "LCOW, vPMem and SCSI", open: (scheduler) => linux(false, scheduler), mount: mountLCOW },
  { name: "WCOW", open: (scheduler) => windows(true, scheduler), mount: mountWCOW },
  {
    name: "WCOW, mapped directly",
    open: (scheduler) => windows(false, scheduler),
    mount: mountWCOW,
    staysShared: true,
  },
];

for (const { name, open, mount, staysShared = false } of cases) {
  const held = (t: TestVM) => staysShared ? t.left() : t.held();

  randomTest(`two containers that share devices, at ${RUNS} random interleavings: ${name}`, async (random) => {
    for (let first = 0; first < RUNS; first += RUNS_A_VM) {
      const scheduler = new Scheduler(random(first));
      await using t = await open({ latency: scheduler.latency });
      const capacity = t.vm.capacity;
      for (let run = first; run < first + RUNS_A_VM; run++) {
        scheduler.random = random(run);
        await interleave(t, mount, scheduler, `run ${run}`);
        assertEquals(held(t), [], `run ${run}`);
        assertEquals(t.vm.capacity, capacity, `run ${run}`);
      }
      assertEquals(t.accesses.length % 2, 0);
    }
  });

  for (const order of [[1, 2, -1, -2], [1, 2, -2, -1], [2, 1, -1, -2], [2, 1, -2, -1], [1, -1, 2, -2]]) {
    Deno.test(`two containers that share devices, in the order ${order.join(", ")}: ${name}`, async () => {
      await using t = await open();
      const mounted = new Map<number, Mounted>();
      for (const step of order) {
        if (step > 0) {
          mounted.set(step, await mount(t, step));
        } else {
          await mounted.get(-step)!.release();
          mounted.delete(-step);
        }
        const want = [...mounted.values()].flatMap(({ holds }) => expected(holds));
        const counted = (held: string) => !held.startsWith("vpmem ") && !(staysShared && held.startsWith("vsmbShare "));
        assertEquals(new Set(held(t).filter(counted)), new Set(want.filter(counted)));
      }
      assertEquals(held(t), []);
    });
  }
}

// Two rounds of each container, so that a mount meets a release. One of four mounts is aborted at some time.
async function interleave(t: TestVM, mount: Case["mount"], scheduler: Scheduler, message: string): Promise<void> {
  const mounted = new Set<Mounted>();
  const betweenAnswers = new Map<number, () => void>();
  const live = async (container: number) => {
    for (let round = 0; round < 2; round++) {
      const stop = new AbortController();
      let patience = scheduler.random(4) === 0 ? scheduler.random(12) : Infinity;
      betweenAnswers.set(container, () => patience-- === 0 && stop.abort("stopped"));
      try {
        const mounting = await mount(t, container, stop.signal);
        mounted.add(mounting);
        for (let pause = scheduler.random(PAUSE); pause > 0; pause--) await null;
        mounted.delete(mounting);
        await mounting.release();
      } catch (error) {
        if (error !== "stopped") throw error;
      }
    }
  };
  await scheduler.run(() => Promise.all([live(1), live(2)]), () => {
    betweenAnswers.forEach((callback) => callback());
    if (mounted.size === 0) return;
    const held = t.held();
    for (const { holds } of mounted) {
      const missing = expected(holds).filter((key) => !held.includes(key));
      assertEquals(missing, [], `${message}: removed while in use`);
    }
  });
}

Deno.test("mountWCOWLayers() in a VM refuses a scratch that another container has there", async () => {
  await using t = await windows(true);
  const { vm } = t;
  await using first = await mountWCOWLayers("c", ["C:\\layers\\1", "C:\\scratch\\1"], { vm, signal: undefined });
  t.forget();
  const error = await assertRejects(
    () => mountWCOWLayers("c", ["C:\\layers\\2", "C:\\scratch\\1"], { vm, signal: undefined }),
    InUseError,
  );
  assertEquals([error.path, error.by], ["C:\\scratch\\1", "vm1"]);
  assertEquals(t.requests, []);
  assertEquals(first.path, "c:\\mounts\\scsi\\m0");
});
