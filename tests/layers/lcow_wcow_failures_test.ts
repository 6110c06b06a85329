import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { ReleaseError, UnwindError } from "../../src/holds/errors.ts";
import type { Mounted } from "../../src/holds/mounted.ts";
import { mountLCOWLayers } from "../../src/layers/lcow.ts";
import { layerStack } from "../../src/layers/layer_stack.ts";
import { mountInVM } from "../../src/layers/wcow_vm.ts";
import { RecordingVM, refused } from "../uvm/device_vm.ts";

const LAYERS = [5, 4, 3, 2, 1];

type Mount = (vm: RecordingVM, container: number, layers: readonly number[]) => Promise<Mounted>;

interface Kind {
  readonly name: string;
  readonly open: () => RecordingVM;
  readonly mount: Mount;
}

function windowsVM(): RecordingVM {
  const vm = new RecordingVM("windows");
  LAYERS.forEach((n) => vm.host.addLayer(`C:\\layers\\${n}`));
  [1, 2].forEach((n) => vm.host.addScratch(`C:\\scratch\\${n}`));
  return vm;
}

function linuxVM(options: ConstructorParameters<typeof RecordingVM>[1]): RecordingVM {
  const vm = new RecordingVM("linux", options);
  LAYERS.forEach((n) => vm.host.addFile(`C:\\layers\\${n}.vhd`, 2 ** 20));
  [1, 2].forEach((n) => vm.host.addFile(`C:\\scratch\\${n}.vhdx`, 2 ** 20));
  return vm;
}

const mountWCOW: Mount = (vm, container, layers) =>
  mountInVM(layerStack([...layers.map((n) => `C:\\layers\\${n}`), `C:\\scratch\\${container}`]), {
    vm,
    signal: undefined,
  });

const mountLCOW: Mount = (vm, container, layers) =>
  mountLCOWLayers(`c${container}`, {
    layers: layers.map((n) => ({ vhdPath: `C:\\layers\\${n}.vhd` })),
    scratchVhdPath: `C:\\scratch\\${container}.vhdx`,
  }, { vm, guestRoot: `/run/gcs/c/c${container}` });

const kinds: readonly Kind[] = [
  { name: "WCOW", open: windowsVM, mount: mountWCOW },
  { name: "LCOW, mapped", open: () => linuxVM({}), mount: mountLCOW },
  { name: "LCOW, a device each", open: () => linuxVM({ vpmem: { multiMapping: false } }), mount: mountLCOW },
  {
    name: "LCOW, vPMem and SCSI",
    open: () => linuxVM({ vpmem: { multiMapping: false, deviceCount: 3 } }),
    mount: mountLCOW,
  },
  { name: "LCOW, SCSI alone", open: () => linuxVM({ physicallyBacked: true }), mount: mountLCOW },
];

/** Fails the requests with these numbers, counting from now. Answers how many there were, and ends it. */
function failing(vm: RecordingVM, numbers: readonly number[]): () => number {
  let count = 0;
  const fails = () => numbers.includes(++count);
  vm.before = () => fails() ? Promise.reject(refused(0x80070005)) : undefined;
  for (const name of ["GrantVmAccess", "RevokeVmAccess"]) {
    vm.host.fail({ function: name, code: 0x80070005, when: fails });
  }
  return () => {
    vm.before = () => {};
    vm.host.failNothing();
    return count;
  };
}

/** Mounts and releases with failures, releasing once more without them where it takes that. */
async function cycle(vm: RecordingVM, mount: Mount, failures: readonly number[]): Promise<number> {
  const heal = failing(vm, failures);
  let holder: { release(): Promise<void> };
  try {
    holder = await mount(vm, 2, LAYERS);
  } catch (error) {
    if (!(error instanceof UnwindError)) return heal();
    holder = error;
  }
  try {
    await holder.release();
  } catch (error) {
    if (!(error instanceof ReleaseError)) throw error;
    heal();
    await holder.release();
  }
  return heal();
}

for (const { name, open, mount } of kinds) {
  Deno.test(`a mount and its release with each failure, and each pair of failures: ${name}`, async () => {
    // What another container has, with layers that it shares.
    const untouched = open();
    await mount(untouched, 1, [2, 1]);
    const total = await cycle(untouched, mount, []);

    for (let first = 1; first <= total; first++) {
      for (let second = first; second <= total; second++) {
        const vm = open();
        const other = await mount(vm, 1, [2, 1]);
        const held = vm.held();
        await cycle(vm, mount, [first, second]);
        assertEquals(vm.held(), held, `failures ${first} and ${second} of ${total}`);
        assertEquals(vm.removed.filter((key) => held.includes(key)), []);
        await other.release();
        assertEquals(vm.held(), [], `failures ${first} and ${second} of ${total}`);
        const [granted, revoked] = ["GrantVmAccess", "RevokeVmAccess"].map((fn) =>
          vm.host.calls.filter((call) => call.function === fn && call.result === "0x00000000").length
        );
        assertEquals(granted, revoked, `failures ${first} and ${second} of ${total}`);
        assertEquals(vm.scsi.room.used, vm.os === "windows" ? 1 : 0);
        assertEquals(vm.vpmem.room.used, 0);
      }
    }
  });
}
