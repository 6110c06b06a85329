// Releasing a mount from its JSON, in any process: only the one that was meant.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  createUtilityVM,
  InvalidInputError,
  mountSandboxVolume,
  mountWCOWLayers,
  OwnHoldError,
  releaseMount,
  type SavedMount,
  unmountWCOWLayers,
} from "../../mod.ts";
import { mountCimImage } from "../../src/storage/mod.ts";
import { held, heldKinds } from "../support/calls.ts";
import { hostInFront, hostWith, LAYERS, MOUNT, SCRATCH, STACK, stackHost } from "../support/host.ts";
import { startedVM, vmHost, WINDOWS } from "../support/vm_host.ts";

const CIM = ["C:\\layers\\top", SCRATCH];
const IMAGE = "C:\\layers\\cim-layers\\top.cim";
const IMAGE_VOLUME = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\";
const VOLUME = "aaaaaaaa-2222-3333-4444-555555555555";

const saved = (mount: unknown): SavedMount => JSON.parse(JSON.stringify(mount));
const machine = () => hostWith({ layers: LAYERS, cimLayers: [CIM[0]!], scratches: [SCRATCH] }, { build: 26100 });

for (const stack of [STACK, CIM]) {
  for (const records of [undefined, false] as const) {
    const kind = `${stack === CIM ? "an image" : "folders"}${records === false ? " without records" : ""}`;
    Deno.test(`releaseMount() releases the layers of a living process, from ${kind}, whose release then does nothing`, async () => {
      const host = machine();
      const before = host.paths();
      const owner = hostInFront(host.otherProcess(), { records });
      const layers = await mountWCOWLayers("c1", stack, { host: owner, volumeMountPath: MOUNT });
      assertEquals("id" in saved(layers), records !== false);
      const released = await releaseMount(saved(layers), { host });
      assertEquals(
        released.filter(({ wasHeld }) => wasHeld).map(({ hold }) => hold.kind).sort(),
        [
          ...stack === CIM ? ["cimVolume", "overlay"] : ["filter"],
          "activation",
          "folder",
          "mountPoint",
        ].sort(),
      );
      if (records !== false) await layers.release();
      const paths = host.paths().filter((path) => before.includes(path) || path.startsWith("C:\\mnt"));
      assertEquals([held(host), paths], [[], before]);
    });
  }
}

Deno.test("releaseMount() leaves alone what was unmounted, and what somebody has mounted since", async () => {
  const host = stackHost();
  const old = saved(await mountWCOWLayers("c1", STACK, { host: host.otherProcess() }));
  await unmountWCOWLayers(SCRATCH, { host });
  const notHeld = [...old.holds].reverse().map((hold) => ({ hold, wasHeld: false }));
  assertEquals(await releaseMount(old, { host }), notHeld);
  const next = saved(await mountWCOWLayers("c2", STACK, { host: host.otherProcess() }));
  const before = held(host);
  assertEquals([await releaseMount(old, { host }), held(host)], [notHeld, before]);
  const { id: _id, ...anonymous } = next;
  assertEquals([await releaseMount(anonymous, { host }), held(host)], [notHeld, before]);
  assertEquals((await releaseMount(next, { host })).every(({ wasHeld }) => wasHeld), true);
  assertEquals(held(host), []);
});

Deno.test("releaseMount() after a restart removes what is left, and leaves a disk that somebody uses by then", async () => {
  const host = stackHost();
  const old = saved(await mountWCOWLayers("c1", STACK, { host: host.otherProcess(), volumeMountPath: MOUNT }));
  host.restart();
  const recordless = hostInFront(host.otherProcess(), { records: false });
  await mountWCOWLayers("c2", STACK, { host: recordless });
  await releaseMount(old, { host });
  assertEquals(heldKinds(host).filter((kind) => kind === "activation" || kind === "filter"), ["activation", "filter"]);
});

Deno.test("releaseMount() releases a volume and an image that another process mounted, and none that is there since", async () => {
  const host = machine();
  const volume = host.addVolume(VOLUME);
  for (const round of ["first", "second"]) {
    const other = host.otherProcess();
    const mounts = [
      saved(await mountSandboxVolume(MOUNT, volume, { host: other })),
      saved(await mountCimImage(IMAGE, IMAGE_VOLUME, { host: other })),
    ];
    const before = held(host);
    for (const mount of mounts) {
      const released = await releaseMount({ ...mount, id: "another" }, { host });
      assertEquals([released.every(({ wasHeld }) => !wasHeld), held(host)], [true, before], round);
    }
    for (const mount of mounts) {
      assertEquals((await releaseMount(mount, { host })).every(({ wasHeld }) => wasHeld), true, round);
    }
    assertEquals([held(host), host.exists(MOUNT)], [[], false]);
  }
});

Deno.test("releaseMount() refuses what is in a VM, or ends with its process, and changes nothing", async () => {
  const host = vmHost();
  host.addLayer("C:\\layers\\app");
  host.addScratch(SCRATCH);
  const process = host.otherProcess();
  const vm = await startedVM(process, WINDOWS);
  const layers = await mountWCOWLayers("c1", ["C:\\layers\\app", SCRATCH], { vm });
  const before = held(host);
  const error = await assertRejects(() => releaseMount(saved(layers), { host }), OwnHoldError, "vsmbShare");
  assertEquals(error.hold.kind, "vsmbShare");
  const own = { kind: "openDisk", path: "C:\\d.vhdx" } as const;
  await assertRejects(() => releaseMount({ holds: [own] }, { host }), OwnHoldError);
  assertEquals(held(host), before);
  await assertRejects(() => createUtilityVM(WINDOWS, { host }));
});

Deno.test("releaseMount() refuses what is no mount, or two", async () => {
  const host = machine();
  const activation = { kind: "activation", scratch: SCRATCH } as const;
  for (
    const [mount, argument] of [
      [{ holds: [{ kind: "nonsense" }] }, "mount.holds[0].kind"],
      [{ holds: [{ ...activation, more: 1 }] }, "mount.holds[0].more"],
      [{ holds: [{ ...activation, scratch: "c1" }] }, "mount.holds[0].scratch"],
      [{ holds: [activation, { ...activation, scratch: "C:\\other" }] }, "mount.holds"],
      [{ id: 5, holds: [] }, "mount.id"],
      [{}, "mount.holds"],
    ] as const
  ) {
    const error = await assertRejects(() => releaseMount(mount as never, { host }), InvalidInputError);
    assertEquals(error.argument, argument);
  }
  assertEquals(await releaseMount({ holds: [] }, { host }), []);
});
