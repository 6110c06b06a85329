// The right of a VM to open a file: what was there before stays, and what failed is looked for.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  createUtilityVM,
  type InUseError,
  mountLCOWLayers,
  NativeError,
  recover,
  ReleaseError,
  UnwindError,
} from "../../mod.ts";
import { grantVmAccess } from "../../src/storage/mod.ts";
import { isAllowed } from "../../src/ffi/advapi32.ts";
import { access, deleteFile, kernel32, openFile } from "../../src/ffi/kernel32.ts";
import { vmGuid, vmSid } from "../../src/ffi/vm_guid.ts";
import { withFunction } from "../support/host.ts";
import { TestVM } from "../support/vm.ts";
import { DISK, startedVM, vmCalls, vmHost, WINDOWS } from "../support/vm_host.ts";

const FILE = "C:\\scratch.vhdx";

async function linux() {
  const t = await TestVM.open({ os: "linux" });
  t.host.addLinuxLayer("C:\\layers\\1.vhd", 2 ** 20);
  t.host.addFile(FILE, 2 ** 24);
  const layers = { layers: [{ vhdPath: "C:\\layers\\1.vhd" }], scratchVhdPath: FILE };
  return { t, mount: () => mountLCOWLayers("c1", layers, { vm: t.vm, guestRoot: "/run/c" }) };
}

Deno.test("vmGuid() and vmSid() are those of Windows", async () => {
  const guid = await vmGuid("cowork-vm-baa82cce");
  assertEquals(guid, "c046cf90-111c-5cf6-bea8-04f9fa3568b3");
  assertEquals(vmSid(guid).toHex(), "0106000000000005" + "53000000" + "01000000" + "90cf46c01c11f65cbea804f9fa3568b3");
});

Deno.test("the GUID of a VM whose id is a GUID is that one, and letters that have no single large one stay", async () => {
  assertEquals(await vmGuid("5C8D9F2E-77a1-4b0e-9a43-1f0f5b6f2d10"), "5c8d9f2e-77a1-4b0e-9a43-1f0f5b6f2d10");
  const [one, other, large] = await Promise.all(["straßen", "straßem", "STRAßEN"].map(vmGuid));
  assertEquals([one === other, one === large], [false, true]);
});

Deno.test("a right of a VM whose id is a GUID is found where only a look tells of it, in this process and another", async () => {
  for (const recovers of [false, true]) {
    const host = vmHost();
    // As Windows names such a VM.
    const sid = vmSid("5c8d9f2e-77a1-4b0e-9a43-1f0f5b6f2d10");
    const vm = await createUtilityVM({ ...WINDOWS, id: "5c8d9f2e-77a1-4b0e-9a43-1f0f5b6f2d10" }, { host });
    assertEquals(vm.runtimeId, vm.id);
    {
      using file = openFile(host, DISK, { access: access.READ_CONTROL });
      assertEquals(isAllowed(host, file.value, sid, DISK), true);
    }
    if (recovers) {
      host.endProcess();
      await recover({ host: host.otherProcess() });
    } else {
      await vm.close();
    }
    assertEquals([host.grantsOf(DISK), host.held()], [[], []]);
  }
});

Deno.test("a VM that can't be created under a taken id leaves the first one its access", async () => {
  const host = vmHost();
  const first = await createUtilityVM(WINDOWS, { host });
  const error = await assertRejects(() => createUtilityVM(WINDOWS, { host }), NativeError);
  assertEquals([error.symbol, host.grantsOf(DISK)], ["ERROR_VMCOMPUTE_SYSTEM_ALREADY_EXISTS", ["vm1"]]);
  await first.start();
  await first.close();
  assertEquals([host.grantsOf(DISK), host.held()], [[], []]);
});

Deno.test("a right that a VM had before a mount stays after it, and after the VM", async () => {
  const { t, mount } = await linux();
  await grantVmAccess(FILE, "VM1", { host: t.host });
  await grantVmAccess(FILE, "vm2", { host: t.host });
  for (let i = 0; i < 2; i++) await (await mount()).release();
  assertEquals(t.host.grantsOf(FILE), ["vm1", "vm2"]);
  await t.vm.close();
  assertEquals(t.host.grantsOf(FILE), ["vm1", "vm2"]);

  const host = vmHost();
  await grantVmAccess(DISK, "vm1", { host });
  await (await startedVM(host, WINDOWS)).close();
  assertEquals(host.grantsOf(DISK), ["vm1"]);
});

Deno.test("a right that was granted though granting it failed is revoked", async () => {
  const { t, mount } = await linux();
  await using _ = t;
  using failure = t.host.fail({ function: "GrantVmAccess", code: "ERROR_TIMEOUT", effect: "full" });
  const error = await assertRejects(() => mount(), NativeError);
  assertEquals([error.operation, failure.fired, t.host.grantsOf(FILE), t.held()], ["GrantVmAccess", 1, [], []]);

  const host = vmHost();
  host.fail({ function: "GrantVmAccess", code: "ERROR_TIMEOUT", effect: "full" });
  await assertRejects(() => createUtilityVM(WINDOWS, { host }), NativeError);
  assertEquals([host.grantsOf(DISK), vmCalls(host).at(-1)], [[], "RevokeVmAccess"]);
});

Deno.test("a right that may have been granted, and can't be revoked, is told with the error, and held", async () => {
  const { t, mount } = await linux();
  await using _ = t;
  t.host.fail({ function: "GrantVmAccess", code: "ERROR_TIMEOUT", effect: "full", nth: 1 });
  t.host.fail({ function: "RevokeVmAccess", code: "ERROR_ACCESS_DENIED" });
  const error = await assertRejects(() => mount(), UnwindError);
  assertEquals(error.holds.map(({ kind }) => kind), ["vmAccess"]);
  // Another mount revokes it first.
  await assertRejects(() => mount(), NativeError);
  t.host.failNothing();
  await using mounted = await mount();
  await error.release();
  assertEquals(t.host.grantsOf(FILE), ["vm1"]);
  await mounted.release();
  assertEquals(t.host.grantsOf(FILE), []);
});

Deno.test("revoking a right is looked at, and tried again once", async () => {
  for (const failure of [{ code: 0 }, { code: "ERROR_TIMEOUT", effect: "full" }, { code: "ERROR_TIMEOUT" }] as const) {
    const { t, mount } = await linux();
    await using _ = t;
    const mounted = await mount();
    using _failure = t.host.fail({ function: "RevokeVmAccess", nth: 1, ...failure });
    if (failure.code === 0) await mounted.release();
    else await assertRejects(() => mounted.release(), ReleaseError);
    await mounted.release();
    assertEquals([t.host.grantsOf(FILE), t.held()], [[], []], JSON.stringify(failure));
  }
  const { t, mount } = await linux();
  await using _ = t;
  const mounted = await mount();
  t.host.fail({ function: "RevokeVmAccess", code: 0 });
  const error = await assertRejects(() => mounted.release(), ReleaseError);
  assertEquals((error.errors[0] as InUseError).path, FILE);
  t.host.failNothing();
  await error.release();
  assertEquals(t.host.grantsOf(FILE), []);
});

Deno.test("a file that is gone can't be opened by a VM any more, wherever the right is revoked", async () => {
  const { t, mount } = await linux();
  await using _ = t;
  const mounted = await mount();
  await t.vm.close();
  deleteFile(t.host, FILE);
  await mounted.release();
});

Deno.test("a right stays held as long as its file is there, though revoking it says that there is no such file", async () => {
  for (const fn of ["RevokeVmAccess", "CreateFileW"]) {
    const { t, mount } = await linux();
    await using _ = t;
    const mounted = await mount();
    using failure = t.host.fail({
      function: fn,
      code: "ERROR_FILE_NOT_FOUND",
      nth: 1,
      // Of those that open the file, the one that looks who may open it.
      when: ({ args }) => fn === "RevokeVmAccess" || args["path"] === FILE && args["access"] === access.READ_CONTROL,
    });
    const error = await assertRejects(() => mounted.release(), ReleaseError);
    assertEquals([failure.fired, error.holds.map(({ kind }) => kind)], [1, ["vmAccess"]]);
    await error.release();
    assertEquals([t.host.grantsOf(FILE), t.held()], [[], []]);
  }
  const host = vmHost();
  const vm = await startedVM(host, WINDOWS);
  host.fail({ function: "RevokeVmAccess", code: "ERROR_PATH_NOT_FOUND", nth: 1 });
  await assertRejects(() => vm.close(), ReleaseError);
  await vm.close();
  assertEquals([host.grantsOf(DISK), host.held()], [[], []]);
});

Deno.test("a mount stops before it changes anything if it can't be known who may open the disk", async () => {
  const { t, mount } = await linux();
  await using _ = t;
  t.forget();
  t.host.fail({ function: "GetSecurityInfo", code: "ERROR_ACCESS_DENIED" });
  const error = await assertRejects(() => mount(), NativeError);
  assertEquals([error.operation, t.accesses, t.held()], ["GetSecurityInfo", [], []]);
});

Deno.test("isAllowed() reads no further than an access list goes, whatever lengths are in it", async () => {
  const host = vmHost();
  await grantVmAccess(DISK, "other", { host });
  await grantVmAccess(DISK, "vm1", { host });
  const sid = vmSid(await vmGuid("vm1"));
  // An entry that goes nowhere, one that is too short, and one that ends behind the list.
  for (const [length, allowed] of [[36, true], [0, false], [7, false], [0xffff, false]] as const) {
    const odd = withFunction(host, "copyOut", (target: Uint8Array<ArrayBuffer>, address: bigint, bytes: bigint) => {
      host.symbols(kernel32).copyOut(target, address, bytes);
      if (bytes > 8n && length !== 36) new DataView(target.buffer, target.byteOffset).setUint16(10, length, true);
    });
    using file = openFile(host, DISK, { access: access.READ_CONTROL });
    assertEquals(isAllowed(odd, file.value, sid, DISK), allowed, `${length}`);
  }
});
