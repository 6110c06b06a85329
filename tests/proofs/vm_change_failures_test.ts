// Every single failure of every change of a VM, before, in and after its effect, beside a container that has layers in
// common: once the mount is undone, the VM has what it had, and mounts anew.
import { assert, assertEquals } from "jsr:@std/assert@^1.0.0";
import { LayerError, mountLCOWLayers, mountWCOWLayers } from "../../mod.ts";
import type { Mounted } from "../../src/holds/mounted.ts";
import type { InjectedFailure } from "../../src/simulated/mod.ts";
import type { CommonVMOptions } from "../../src/uvm/plans/vm_plan.ts";
import { TestVM } from "../support/vm.ts";

const LAYERS = [3, 2, 1];

/** Who asks the guest. */
type Connection = Pick<CommonVMOptions, "guestConnection">;

interface Kind {
  readonly open: (connection: Connection) => Promise<TestVM>;
  readonly mount: (t: TestVM, container: number, layers: readonly number[]) => Promise<Mounted>;
}

async function linux(options: Partial<Parameters<typeof TestVM.open>[0]>): Promise<TestVM> {
  const t = await TestVM.open({ ...options, os: "linux" });
  LAYERS.forEach((n) => t.host.addLinuxLayer(`C:\\layers\\${n}.vhd`, 2 ** 20));
  [1, 2].forEach((n) => t.host.addFile(`C:\\scratch\\${n}.vhdx`, 2 ** 20));
  return t;
}

const mountLinux: Kind["mount"] = ({ vm }, container, layers) =>
  mountLCOWLayers(`c${container}`, {
    layers: layers.map((n) => ({ vhdPath: `C:\\layers\\${n}.vhd` })),
    scratchVhdPath: `C:\\scratch\\${container}.vhdx`,
  }, { vm, guestRoot: `/run/gcs/c/c${container}` });

const KINDS: Readonly<Record<string, Kind>> = {
  "Windows": {
    async open(connection) {
      // Shares that are mapped directly aren't changed again.
      const t = await TestVM.open({ os: "windows", noDirectMap: true, ...connection });
      LAYERS.forEach((n) => t.host.addLayer(`C:\\layers\\${n}`));
      [1, 2].forEach((n) => t.host.addScratch(`C:\\scratch\\${n}`));
      return t;
    },
    mount: ({ vm }, container, layers) =>
      mountWCOWLayers("c", [...layers.map((n) => `C:\\layers\\${n}`), `C:\\scratch\\${container}`], { vm }),
  },
  "Linux, mapped files": { open: linux, mount: mountLinux },
  "Linux, a device each": {
    open: (connection) => linux({ ...connection, vpmemMultiMapping: false }),
    mount: mountLinux,
  },
  "Linux, disks alone": { open: (connection) => linux({ ...connection, vpmemDeviceCount: 0 }), mount: mountLinux },
};

const WAYS: readonly Omit<InjectedFailure, "function">[] = [
  { code: "ERROR_ACCESS_DENIED" },
  { code: "ERROR_TIMEOUT" },
  { code: "ERROR_ACCESS_DENIED", effect: "full" },
  { code: "ERROR_TIMEOUT", effect: "full" },
];
const PARTIAL = [{ code: "ERROR_ACCESS_DENIED", effect: "partial" }, {
  code: "ERROR_TIMEOUT",
  effect: "partial",
}] as const;

const CHANGES = ["HcsModifyComputeSystem", "guest:ModifySettings", "GrantVmAccess", "RevokeVmAccess"];

const RUNS = Object.entries(KINDS).flatMap(([name, kind]) =>
  (["internal", "direct"] as const).map((guestConnection) => ({
    ...kind,
    name: `${name}, ${guestConnection}`,
    guestConnection,
  }))
);

for (const { name, guestConnection, open, mount } of RUNS) {
  Deno.test(`every single failure of every change of a VM that lives on: ${name}`, async () => {
    await using t = await open({ guestConnection });
    await using _other = await mount(t, 1, [2, 1]);
    const before = () => [t.taken(), t.vm.capacity, ...[1, 2].map((n) => grantsOf(t, n))];
    const expected = before();
    const from = t.host.calls.length;
    await (await mount(t, 2, LAYERS)).release();
    const calls = t.host.calls.slice(from).map((call) => call.function);
    let count = 0;
    for (const fn of CHANGES) {
      const total = calls.filter((call) => call === fn).length;
      const ways = [...WAYS, ...fn === "HcsModifyComputeSystem" && guestConnection === "internal" ? PARTIAL : []];
      for (const way of ways) {
        for (let nth = 1; nth <= total; nth++) {
          const failure = t.host.fail({ ...way, function: fn, nth });
          await cycle(() => mount(t, 2, LAYERS));
          const what = JSON.stringify({ ...way, fn, nth });
          assertEquals(failure.fired, 1, what);
          failure.undo();
          assertEquals(before(), expected, what);
          count++;
        }
      }
    }
    console.log(`${count} failures`);
    assert(count > 30);
  });
}

function grantsOf({ host }: TestVM, n: number): readonly string[] {
  return ["", "\\sandbox.vhdx", ".vhdx"].map((end) => `C:\\scratch\\${n}${end}`).filter((path) => host.exists(path))
    .flatMap((path) => host.grantsOf(path));
}

/** Mounts and releases, and goes on with what is left. */
async function cycle(mount: () => Promise<Mounted>): Promise<void> {
  let left: { release(): Promise<unknown> };
  try {
    left = await mount();
  } catch (error) {
    assert(error instanceof LayerError, `${error}`);
    if (!("release" in error)) return;
    left = error as unknown as typeof left;
  }
  try {
    await left.release();
  } catch (error) {
    assert(error instanceof LayerError, `${error}`);
    await left.release();
  }
}
