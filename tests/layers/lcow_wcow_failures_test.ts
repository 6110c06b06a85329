import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { NativeError } from "../../src/errors/windows_errors.ts";
import type { Mounted } from "../../src/holds/mounted.ts";
import { ReleaseError, UnwindError } from "../../src/holds/release_errors.ts";
import { mountLCOWLayers } from "../../src/layers/lcow.ts";
import { mountWCOWLayers } from "../../src/layers/wcow.ts";
import { TestVM } from "../support/vm.ts";

const LAYERS = [5, 4, 3, 2, 1];

type Mount = (t: TestVM, container: number, layers: readonly number[]) => Promise<Mounted>;

interface Kind {
  readonly name: string;
  readonly open: () => Promise<TestVM>;
  readonly mount: Mount;
}

async function windows(noDirectMap: boolean): Promise<TestVM> {
  const t = await TestVM.open({ os: "windows", noDirectMap });
  LAYERS.forEach((n) => t.host.addLayer(`C:\\layers\\${n}`));
  [1, 2].forEach((n) => t.host.addScratch(`C:\\scratch\\${n}`));
  return t;
}

async function linux(options: Partial<Parameters<typeof TestVM.open>[0]>): Promise<TestVM> {
  const t = await TestVM.open({ ...options, os: "linux" });
  LAYERS.forEach((n) => t.host.addLinuxLayer(`C:\\layers\\${n}.vhd`, 2 ** 20));
  [1, 2].forEach((n) => t.host.addFile(`C:\\scratch\\${n}.vhdx`, 2 ** 20));
  return t;
}

const mountWCOW: Mount = ({ vm }, container, layers) =>
  mountWCOWLayers("c", [...layers.map((n) => `C:\\layers\\${n}`), `C:\\scratch\\${container}`], {
    vm,
    signal: undefined,
  });

const mountLCOW: Mount = ({ vm }, container, layers) =>
  mountLCOWLayers(`c${container}`, {
    layers: layers.map((n) => ({ vhdPath: `C:\\layers\\${n}.vhd` })),
    scratchVhdPath: `C:\\scratch\\${container}.vhdx`,
  }, { vm, guestRoot: `/run/gcs/c/c${container}` });

const kinds: readonly Kind[] = [
  { name: "WCOW", open: () => windows(true), mount: mountWCOW },
  { name: "WCOW, mapped directly", open: () => windows(false), mount: mountWCOW },
  { name: "LCOW, mapped", open: () => linux({}), mount: mountLCOW },
  { name: "LCOW, a device each", open: () => linux({ vpmemMultiMapping: false }), mount: mountLCOW },
  {
    name: "LCOW, vPMem and SCSI",
    open: () => linux({ vpmemMultiMapping: false, vpmemDeviceCount: 3 }),
    mount: mountLCOW,
  },
  { name: "LCOW, SCSI alone", open: () => linux({ fullyPhysicallyBacked: true }), mount: mountLCOW },
];

/** Mounts and releases with failures, releasing once more without them where it takes that. */
async function cycle(t: TestVM, mount: Mount, failures: readonly number[]): Promise<number> {
  const count = t.refuseNth(failures);
  try {
    await tryCycle(t, mount);
  } finally {
    t.failNothing();
  }
  return count();
}

async function tryCycle(t: TestVM, mount: Mount): Promise<void> {
  let holder: { release(): Promise<void> };
  try {
    holder = await mount(t, 2, LAYERS);
  } catch (error) {
    if (error instanceof NativeError) return;
    if (!(error instanceof UnwindError)) throw error;
    holder = error;
  }
  try {
    await holder.release();
  } catch (error) {
    if (!(error instanceof ReleaseError)) throw error;
    t.failNothing();
    await holder.release();
  }
}

for (const { name, open, mount } of kinds) {
  Deno.test(`a mount and its release with each failure, and each pair of failures: ${name}`, async () => {
    await using t = await open();
    // What another container has, with layers that it shares.
    await using _other = await mount(t, 1, [2, 1]);
    const room = t.vm.capacity;
    const scratches = t.host.paths().filter((path) => path.startsWith("C:\\scratch") && path.endsWith(".vhdx"));
    const grants = scratches.map((path) => t.host.grantsOf(path));
    const [before, left] = [t.taken(), t.left()];
    const total = await cycle(t, mount, []);
    // Shares that stay are used again.
    const taken = name === "WCOW, mapped directly" ? t.taken() : before;
    assertEquals(t.left(), left);
    assertEquals(grants, [["vm1"], []]);
    for (let first = 1; first <= total; first++) {
      for (let second = first; second <= total; second++) {
        await cycle(t, mount, [first, second]);
        // The calls that took them tell that nothing was given back and taken again.
        assertEquals(t.taken(), taken, `failures ${first} and ${second} of ${total}`);
        assertEquals(t.vm.capacity, room, `failures ${first} and ${second} of ${total}`);
        assertEquals(scratches.map((path) => t.host.grantsOf(path)), grants, `failures ${first} and ${second}`);
      }
    }
  });
}
