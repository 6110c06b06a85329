import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { InvalidInputError } from "../../src/ffi/errors.ts";
import type { Mounted } from "../../src/holds/mounted.ts";
import { mountLCOWLayers } from "../../src/layers/lcow.ts";
import { layerStack } from "../../src/layers/layer_stack.ts";
import { mountInVM } from "../../src/layers/wcow_vm.ts";
import type { DeviceHold } from "../../src/uvm/holds.ts";
import { RecordingVM } from "../uvm/device_vm.ts";

const SEEDS = 10_000;

/** Answers the requests of a VM one at a time, in an order that follows from a seed. */
class Scheduler {
  readonly #waiting: (() => void)[] = [];
  #seed: number;

  constructor(vm: RecordingVM, seed: number) {
    this.#seed = 1 + seed * 7919 % 2147483646;
    vm.before = () => new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  random(below: number): number {
    this.#seed = this.#seed * 48271 % 2147483647;
    return this.#seed % below;
  }

  /** Runs until `work` is done; `check` is called between any two answers. */
  async run(work: Promise<unknown>, check: () => void): Promise<void> {
    let done = false;
    work.finally(() => done = true).catch(() => {});
    while (!done) {
      // Lets everything come to its next request. The longest way there is some 20 turns.
      for (let turn = 0; turn < 40 && !done; turn++) await null;
      check();
      const [next] = this.#waiting.splice(this.random(Math.max(this.#waiting.length, 1)), 1);
      next?.();
    }
    await work;
  }
}

/** What is in the VM because of these holds, as the VM lists it. */
function expected(holds: readonly DeviceHold[]): string[] {
  return holds.flatMap((hold) => {
    const at = hold as DeviceHold & Record<string, unknown>;
    switch (hold.kind) {
      case "scsiAttachment":
        return [`host Scsi/df6d0690-79e5-55b6-a5ec-c1e2f77f580a/Attachments/${at.lun}`];
      case "scsiMount":
        return [`guest MappedVirtualDisk ${at.guestPath}`];
      case "vpmemFile":
        return [`guest VPMemDevice ${at.guestPath}`];
      case "vsmbShare":
        return [`host VirtualSmb/Shares/${at.name}`];
      case "layerTree":
        return [`guest CombinedLayers ${at.guestPath}`];
      default:
        return [];
    }
  });
}

interface Case {
  readonly name: string;
  readonly open: () => RecordingVM;
  readonly mount: (vm: RecordingVM, container: number, signal: AbortSignal) => Promise<Mounted>;
}

function linuxVM(multiMapping: boolean): RecordingVM {
  const vm = new RecordingVM("linux", { vpmem: { multiMapping, deviceCount: 2 } });
  [1, 2, 3].forEach((n) => vm.host.addFile(`C:\\layers\\${n}.vhd`, 2 ** 20));
  vm.host.addFile("C:\\scratch.vhdx", 2 ** 20);
  return vm;
}

function windowsVM(): RecordingVM {
  const vm = new RecordingVM("windows");
  [1, 2, 3].forEach((n) => vm.host.addLayer(`C:\\layers\\${n}`));
  [1, 2].forEach((n) => vm.host.addScratch(`C:\\scratch\\${n}`));
  return vm;
}

const STACKS = [[3, 2, 1], [2, 1]];

const mountLCOW: Case["mount"] = (vm, container, signal) =>
  mountLCOWLayers(`c${container}`, {
    layers: STACKS[container - 1]!.map((n) => ({ vhdPath: `C:\\layers\\${n}.vhd` })),
    scratchVhdPath: "C:\\scratch.vhdx",
  }, { vm, guestRoot: `/run/gcs/c/c${container}`, signal });

const cases: readonly Case[] = [
  { name: "LCOW, mapped", open: () => linuxVM(true), mount: mountLCOW },
  { name: "LCOW, vPMem and SCSI", open: () => linuxVM(false), mount: mountLCOW },
  {
    // The root of a Windows container is its scratch, so that two can't share one.
    name: "WCOW",
    open: windowsVM,
    mount: (vm, container, signal) =>
      mountInVM(layerStack([...STACKS[container - 1]!.map((n) => `C:\\layers\\${n}`), `C:\\scratch\\${container}`]), {
        vm,
        signal,
      }),
  },
];

Deno.test(`two containers that share devices, at ${SEEDS} random interleavings`, async () => {
  for (let seed = 0; seed < SEEDS; seed++) {
    const { name, open, mount } = cases[seed % cases.length]!;
    const vm = open();
    const scheduler = new Scheduler(vm, seed);
    const mounted = new Set<Mounted>();
    const betweenAnswers = new Map<number, () => void>();
    // Two rounds each, so that a mount meets a release. One of four mounts is aborted at some time.
    const live = async (container: number) => {
      for (let round = 0; round < 2; round++) {
        const stop = new AbortController();
        let patience = scheduler.random(4) === 0 ? scheduler.random(12) : Infinity;
        betweenAnswers.set(container, () => patience-- === 0 && stop.abort("stopped"));
        try {
          const mounting = await mount(vm, container, stop.signal);
          mounted.add(mounting);
          for (let pause = scheduler.random(60); pause > 0; pause--) await null;
          mounted.delete(mounting);
          await mounting.release();
        } catch (error) {
          if (error !== "stopped") throw error;
        }
      }
    };
    await scheduler.run(Promise.all([live(1), live(2)]), () => {
      betweenAnswers.forEach((callback) => callback());
      const held = vm.held();
      for (const { holds } of mounted) {
        const missing = expected(holds as DeviceHold[]).filter((key) => !held.includes(key));
        assertEquals(missing, [], `${name}, seed ${seed}: removed while in use`);
      }
    });
    assertEquals(vm.held(), [], `${name}, seed ${seed}`);
    assertEquals(vm.scsi.room.used, vm.os === "windows" ? 1 : 0, `${name}, seed ${seed}`);
    assertEquals(vm.vpmem.room.used, 0, `${name}, seed ${seed}`);
  }
});

for (const { name, open, mount } of cases) {
  for (const order of [[1, 2, -1, -2], [1, 2, -2, -1], [2, 1, -1, -2], [2, 1, -2, -1], [1, -1, 2, -2]]) {
    Deno.test(`two containers that share devices, in the order ${order.join(", ")}: ${name}`, async () => {
      const vm = open();
      const mounted = new Map<number, Mounted>();
      for (const step of order) {
        if (step > 0) {
          mounted.set(step, await mount(vm, step, new AbortController().signal));
        } else {
          await mounted.get(-step)!.release();
          mounted.delete(-step);
        }
        const want = new Set([...mounted.values()].flatMap(({ holds }) => expected(holds as DeviceHold[])));
        assertEquals(new Set(vm.held().filter((key) => !key.includes("host VirtualPMem"))), want);
      }
      assertEquals(vm.held(), []);
    });
  }
}

Deno.test("mountWCOWLayers() in a VM refuses a scratch that another container has there", async () => {
  const vm = windowsVM();
  await using first = await mountInVM(layerStack(["C:\\layers\\1", "C:\\scratch\\1"]), { vm, signal: undefined });
  const requests = vm.requests.length;
  const error = await assertRejects(
    () => mountInVM(layerStack(["C:\\layers\\2", "C:\\scratch\\1"]), { vm, signal: undefined }),
    InvalidInputError,
  );
  assertEquals(error.argument, "layerFolders[1]");
  assertEquals(vm.requests.length, requests);
  assertEquals(first.path, "c:\\mounts\\scsi\\m0");
});
