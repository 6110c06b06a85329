// Containers that meet in a VM, and a VM whose start is given up.
import { assertEquals, assertNotEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { createUtilityVM, InUseError, mountLCOWLayers } from "../../mod.ts";
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
