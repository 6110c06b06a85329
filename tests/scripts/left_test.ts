// What the commands tell of what is left where they can't go on.
import { assertEquals, assertMatch, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { mountSandboxVolume, mountWCOWLayers } from "../../mod.ts";
import { deleteVolumeMountPoint } from "../../src/ffi/kernel32.ts";
import { Machine, run } from "./run.ts";

const STACK = ["C:\\layers\\app", "C:\\containers\\web"];
const SCRATCH = STACK[1]!;
const MOUNTS = "C:\\ProgramData\\hcs-layers\\mounts";

async function unreadable(machine: Machine): Promise<void> {
  const host = machine.host();
  host.addLayer(STACK[0]!);
  host.addScratch(SCRATCH);
  await mountWCOWLayers("web", STACK, { host: host.otherProcess() });
  host.writeTextFile(`${MOUNTS}\\${host.readDir(MOUNTS)[0]!.name}`, "{}\n");
}

Deno.test("an unmount that fails before its first step ends with 3, and tells what is held", async () => {
  using machine = new Machine();
  await unreadable(machine);
  const { code, stdout } = await machine.unmount("--json", SCRATCH);
  const { error: { name, holds } } = JSON.parse(stdout);
  assertEquals([code, name, holds], [3, "RecordError", [{ kind: "activation", scratch: SCRATCH }]]);
  assertEquals(machine.held().length, 2);
});

Deno.test("list and recover warn of a record that can't be read", async () => {
  using machine = new Machine();
  await unreadable(machine);
  for (const command of ["list:simulated", "recover:simulated"] as const) {
    const { code, stderr } = await run(machine.args(command));
    assertEquals(code, 0);
    assertMatch(stderr, /^warning: the record C:\\ProgramData\\hcs-layers\\mounts\\.*\.jsonl can't be read: /);
  }
});

Deno.test("unmount of what is no scratch says what it is", async () => {
  using machine = new Machine();
  const host = machine.host();
  const volume = host.addVolume("11111111-2222-3333-4444-555555555555");
  const { id } = await mountSandboxVolume("C:\\data", volume, { host: host.otherProcess(), permanent: true });
  const before = machine.held();
  for (const what of ["C:/data", volume, id!]) {
    const { code, stderr } = await machine.unmount(what);
    assertEquals(code, 1);
    assertStringIncludes(stderr, `belongs to ${volume} (volume), which is no scratch with layers`);
  }
  assertEquals(machine.held(), before);
});

Deno.test("unmount takes another name of a mount point, and not that of a layer", async () => {
  using machine = new Machine();
  const host = machine.host();
  host.addJunction("C:\\links\\mnt", "C:\\mnt");
  host.addJunction("C:\\links\\app", STACK[0]!);
  await machine.mount(...STACK, "--mount-point=C:/mnt/web");
  const before = machine.held();
  assertEquals((await machine.unmount("C:/links/app")).code, 1);
  assertEquals(machine.held(), before);
  assertEquals((await machine.unmount("C:/links/mnt/web")).code, 0);
  assertEquals(machine.held(), []);
});

Deno.test("an unmount of a scratch whose drive has another letter by now ends with 3, and that by its new path with 0", async () => {
  using machine = new Machine();
  const host = machine.host();
  const volume = host.addVolume("11111111-2222-3333-4444-555555555555");
  host.addDriveLetter("E:", volume);
  host.addLayer(STACK[0]!);
  host.addScratch("E:\\web");
  await mountWCOWLayers("web", [STACK[0]!, "E:\\web"], { host: host.otherProcess() });
  deleteVolumeMountPoint(host, "E:\\");
  host.addDriveLetter("F:", volume);
  const { code, stdout } = await machine.unmount("--json", "E:\\web");
  const { error: { name, holds } } = JSON.parse(stdout);
  assertEquals([code, name, holds], [3, "InUseError", [{ kind: "activation", scratch: "E:\\web" }]]);
  assertEquals((await machine.unmount("F:\\web")).code, 0);
  assertEquals(machine.held(), []);
});
