// A mount that fails leaves what somebody else has mounted at its folder.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { LayerError, mountSandboxVolume } from "../../mod.ts";
import { setVolumeMountPoint } from "../../src/ffi/kernel32.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";

for (const when of ["before the folder is looked at again", "right before SetVolumeMountPointW"]) {
  Deno.test(`mountSandboxVolume() leaves what another process mounted at the folder ${when}`, async () => {
    const host = new SimulatedHost();
    const volume = host.addVolume("11111111-2222-3333-4444-555555555555");
    host.addFolder("C:\\mnt\\c1");
    const other = host.otherProcess();
    const mountOther = () => setVolumeMountPoint(other, "C:\\mnt\\c1", volume);
    if (when.startsWith("right")) {
      host.before("SetVolumeMountPointW", mountOther, { nth: 1 });
    } else {
      mountOther();
      host.fail({ function: "GetFileAttributesW", code: "ERROR_FILE_NOT_FOUND", nth: 1 });
    }
    await assertRejects(() => mountSandboxVolume("C:\\mnt\\c1", volume, { host }), LayerError);
    assertEquals(host.held().map(({ kind, target }) => [kind, target]), [["mountPoint", "C:\\mnt\\c1"]]);
  });
}

Deno.test("two calls of mountSandboxVolume() for one folder: one mounts it, the other leaves that", async () => {
  const host = new SimulatedHost();
  const volume = host.addVolume("11111111-2222-3333-4444-555555555555");
  const calls = [1, 2].map(() => mountSandboxVolume("C:\\mnt\\c1", volume, { host }));
  const outcomes = await Promise.allSettled(calls);
  assertEquals(outcomes.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  assertEquals(host.held().filter(({ kind }) => kind === "mountPoint").map(({ target }) => target), ["C:\\mnt\\c1"]);
});
