// Names and paths in a Linux guest: cleaned, and refused if containers would meet.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { createUtilityVM, InUseError, InvalidInputError, type LCOWLayer, mountLCOWLayers } from "../../mod.ts";
import { TestVM } from "../support/vm.ts";
import { BOOT, createdDocument, LINUX, vmHost } from "../support/vm_host.ts";

async function linux() {
  const t = await TestVM.open({ os: "linux" });
  t.host.addLinuxLayer("C:\\layers\\1.vhd", 2 ** 20);
  t.host.addFile("C:\\scratch.vhdx", 2 ** 24);
  const mount = (id: string, guestRoot: string, layers: readonly LCOWLayer[] = [{ vhdPath: "C:\\layers\\1.vhd" }]) =>
    mountLCOWLayers(id, { layers, scratchVhdPath: "C:\\scratch.vhdx" }, { vm: t.vm, guestRoot });
  return { t, mount };
}

Deno.test("mountLCOWLayers() takes only an id that is the name of a folder", async () => {
  const { t, mount } = await linux();
  await using _ = t;
  // The last ones would end a name early, change it, or be more than a folder's name can be.
  const others = ["a,upperdir=/etc", "a\\\\,b", "x".repeat(256), "ä".repeat(128)];
  for (const id of [".", "..", "a/b", "/a", "a/", "a/../b", "../../etc", "a\0", ...others]) {
    const error = await assertRejects(() => mount(id, "/run/c"), InvalidInputError);
    assertEquals(error.argument, "containerId", id);
  }
  assertEquals(t.requests, []);
  const mounted = await mount("...", "/run/c");
  assertEquals(mounted.scratchPath, "/run/mounts/scsi/m0/scratch/...");
  await mounted.release();
  await (await mount("x".repeat(255), "/run/c")).release();
});

Deno.test("mountLCOWLayers() refuses a root that the guest would take for options where it is the scratch's", async () => {
  const { t, mount } = await linux();
  await using _ = t;
  const layers = { layers: [{ vhdPath: "C:\\layers\\1.vhd" }], scratchVhdPath: "C:\\scratch.vhdx" };
  const options = { vm: t.vm, guestRoot: "/run/a,b", scratchAtRoot: true };
  const error = await assertRejects(() => mountLCOWLayers("c1", layers, options), InvalidInputError);
  assertEquals([error.argument, t.requests], ["guestRoot", []]);
  await mount("c1", "/run/a,b");
});

Deno.test("mountLCOWLayers() cleans the folder of a container before it is sent, and compared", async () => {
  const { t, mount } = await linux();
  await using _ = t;
  for (const root of ["/run/c/x/", "/run/c//x", "//run/c/x", "/run/./c/x/.", "/run/c/y/../x", "/../run/c/x"]) {
    const mounted = await mount("c1", root);
    assertEquals(mounted.path, "/run/c/x/rootfs", root);
    assertEquals(
      (t.requests.at(-1)!.GuestRequest!.Settings as Record<string, unknown>).ContainerRootPath,
      mounted.path,
    );
    for (const same of ["/run/c/x", "/run/c/x/y/.."]) {
      await assertRejects(() => mount("c2", same), InUseError);
    }
    await mounted.release();
  }
});

Deno.test("mountLCOWLayers() reads each option once, so that a getter can't change it after its check", async () => {
  const { t } = await linux();
  await using _ = t;
  let reads = 0;
  const options = {
    vm: t.vm,
    get guestRoot() {
      if (++reads > 1) throw new Error("read twice");
      return "/run/c";
    },
  };
  const layers = { layers: [{ vhdPath: "C:\\layers\\1.vhd" }], scratchVhdPath: "C:\\scratch.vhdx" };
  assertEquals((await mountLCOWLayers("c1", layers, options)).path, "/run/c/rootfs");
});

Deno.test("mountLCOWLayers() refuses folders in which the guest mounts disks, and the root", async () => {
  const { t, mount } = await linux();
  await using _ = t;
  for (
    const root of ["/", "//", "/.", "/x/..", "run", "", "/run/mounts", "/run/mounts/scsi/m0", "/run/x/../layers/p0"]
  ) {
    const error = await assertRejects(() => mount("c1", root), InvalidInputError);
    assertEquals(error.argument, "guestRoot", root);
  }
  assertEquals(t.requests, []);
  await mount("c1", "/run/mounts2");
});

Deno.test("mountLCOWLayers() refuses a root in that of another container, or around it", async () => {
  const { t, mount } = await linux();
  await using _ = t;
  const first = await mount("c1", "/run/c/x");
  await assertRejects(() => mount("c2", "/run/c/x/rootfs/y"), InUseError);
  const next = await mount("c2", "/run/c/x/y");
  await first.release();
  await next.release();
  await mount("c3", "/run/c/x/rootfs/y");
  await assertRejects(() => mount("c4", "/run/c/x"), InUseError);
});

Deno.test("mountLCOWLayers() refuses a disk that is named twice as one layer", async () => {
  const { t, mount } = await linux();
  await using _ = t;
  const layer = { vhdPath: "C:\\layers\\1.vhd" };
  for (
    const twice of [[layer, { vhdPath: "c:\\LAYERS\\1.vhd" }], [{ ...layer, partition: 2 }, { ...layer, partition: 2 }]]
  ) {
    const error = await assertRejects(() => mount("c1", "/run/c", twice), InvalidInputError);
    assertEquals(error.argument, "layers.layers[1].vhdPath");
  }
  assertEquals(t.requests, []);
  await mount("c1", "/run/c", [{ ...layer, partition: 1 }, { ...layer, partition: 2 }]);
});

Deno.test("createUtilityVM() maps no file into a VM that is physically backed", async () => {
  const host = vmHost();
  host.addFile(`${BOOT}\\rootfs.vhd`, 2 ** 20);
  await using _default = await createUtilityVM({ ...LINUX, id: "a", fullyPhysicallyBacked: true }, { host });
  const [{ Chipset, Devices }] = [JSON.parse(createdDocument(host)).VirtualMachine];
  assertEquals([Chipset.LinuxKernelDirect.InitRdPath, Devices.VirtualPMem.Devices], [`${BOOT}\\initrd.img`, undefined]);
  await using _disk = await createUtilityVM({
    ...LINUX,
    id: "b",
    fullyPhysicallyBacked: true,
    rootFile: "rootfs.vhd",
  }, { host });
  const other = JSON.parse(createdDocument(host, 1)).VirtualMachine;
  const attached = Object.values(other.Devices.Scsi).flatMap((controller) =>
    Object.values((controller as { Attachments: Record<string, { Path: string }> }).Attachments)
  );
  assertEquals([attached.map(({ Path }) => Path), other.Devices.VirtualPMem.Devices], [
    [`${BOOT}\\rootfs.vhd`],
    undefined,
  ]);
});
