// Containers that meet in a VM, and a VM whose start is given up.
import { assertEquals, assertNotEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  createUtilityVM,
  InUseError,
  mountLCOWLayers,
  mountWCOWLayers,
  ReleaseError,
  unmountWCOWLayers,
} from "../../mod.ts";
import { destroyLayer } from "../../src/storage/mod.ts";
import { ComputeSystem } from "../../src/uvm/compute_system.ts";
import { changes } from "../support/calls.ts";
import { TestVM } from "../support/vm.ts";
import { LINUX, vmHost } from "../support/vm_host.ts";

Deno.test("one container id twice on one scratch of a VM: the second is refused before it reaches the VM", async () => {
  await using t = await TestVM.open({ os: "linux" });
  t.host.addLinuxLayer("C:\\layers\\1\\layer.vhd", 2 ** 20);
  t.host.addFile("C:\\scratch.vhdx", 2 ** 24);
  const layers = { layers: [{ vhdPath: "C:\\layers\\1\\layer.vhd" }], scratchVhdPath: "C:\\scratch.vhdx" };
  const mount = (id: string, pod: string) =>
    mountLCOWLayers(id, layers, { vm: t.vm, guestRoot: `/run/pods/${pod}/${id}` });
  const first = await mount("c1", "a");
  t.forget();
  await assertRejects(() => mount("c1", "b"), InUseError);
  assertEquals(t.requests, []);
  const other = await mount("c2", "b");
  assertNotEquals(other.scratchPath, first.scratchPath);
  await other.release();
  await first.release();
  assertEquals(t.held(), []);
});

Deno.test("the start of a VM is aborted and completes later: the program goes on", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  const host = vmHost({
    completion: 1,
    latency: ({ function: name }) => {
      if (name === "HcsStartComputeSystem") queueMicrotask(() => controller.abort(reason));
      return Promise.resolve();
    },
  });
  const vm = await createUtilityVM(LINUX, { host });
  const error = await vm.start({ signal: controller.signal }).catch((error) => error);
  assertEquals(error, reason);
  await vm.close();
  await host.sleep(0);
  assertEquals(host.held(), []);
});

Deno.test("what a VM uses is neither unmounted on the host, nor destroyed, nor mounted twice", async () => {
  await using t = await TestVM.open({ os: "windows" });
  const { host, vm } = t;
  host.addLayer("C:\\layers\\base");
  host.addScratch("C:\\scratch\\1");
  host.addScratch("C:\\scratch\\2");
  const stack = (n: number) => ["C:\\layers\\base", `C:\\scratch\\${n}`];
  const mounted = await mountWCOWLayers("c1", stack(1), { vm });
  const onHost = await mountWCOWLayers("c2", stack(2), { host });
  t.forget();
  const from = host.calls.length;
  for (
    const [call, path] of [
      [() => unmountWCOWLayers("C:\\scratch\\1", { host }), "C:\\scratch\\1"],
      [() => destroyLayer("C:\\layers\\base", { host }), "C:\\layers\\base"],
      [() => destroyLayer("C:\\scratch\\1", { host }), "C:\\scratch\\1"],
      [() => destroyLayer("C:\\image", { host }), "C:\\image"],
      [() => mountWCOWLayers("c3", stack(2), { vm }), "C:\\scratch\\2"],
    ] as const
  ) {
    const error = await assertRejects(call, InUseError);
    assertEquals(error.path, path);
  }
  assertEquals(changes(host, from), []);
  await onHost.release();
  await mounted.release();
  assertEquals(await unmountWCOWLayers("C:\\scratch\\1", { host }).then(() => "unmounted"), "unmounted");
  await vm.close();
  await destroyLayer("C:\\image", { host });
});

Deno.test("a removal that a VM on its way out refuses is done once it has ended; any other VM has all still", async () => {
  for (const ending of ["exits", "is running", "is paused"]) {
    await using t = await TestVM.open({ os: "linux" }, {
      completion: (fn) => fn.includes("Pause") ? "synchronous" : 1,
    });
    t.host.addLinuxLayer("C:\\layers\\1.vhd", 2 ** 20);
    t.host.addFile("C:\\scratch.vhdx", 2 ** 24);
    const layers = { layers: [{ vhdPath: "C:\\layers\\1.vhd" }], scratchVhdPath: "C:\\scratch.vhdx" };
    const mounted = await mountLCOWLayers("c1", layers, { vm: t.vm, guestRoot: "/run/c" });
    if (ending === "is paused") await (await ComputeSystem.open(t.host, "vm1")).pause();
    t.host.fail({ function: "HcsModifyComputeSystem", code: 0xc0370105 });
    if (ending === "exits") t.host.clock.after(1000, () => t.host.notify("vm1", "SystemExited"));
    if (ending !== "exits") {
      await assertRejects(() => mounted.release(), ReleaseError);
      assertEquals(t.vm.state, "running", ending);
    } else {
      await mounted.release();
      assertEquals([t.vm.state, t.host.grantsOf("C:\\scratch.vhdx")], ["ended", []]);
    }
    t.failNothing();
  }
});
