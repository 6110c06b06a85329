// VMs that talk with their guests over real sockets, many at once.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { createUtilityVM, mountLCOWLayers, windowsHost } from "../../../mod.ts";
import type { WindowsHost } from "../../../src/ffi/host.ts";
import { bootGuest } from "./guest.ts";
import { accounted, handlesOf } from "./levels.ts";
import { Recorder } from "./recorder.ts";
import { withSockets } from "./sockets.ts";
import { BOOT_FILES, LINUX_FOLDER, makeFiles, WINDOWS_FOLDERS } from "./vm_files.ts";

const FOLDER = "C:\\work\\vms";
const LAYER = `${FOLDER}\\layer.vhd`;

/** Lets a VM live: a Linux one with layers, or a Windows one without. Returns what its guest was asked for. */
async function live(host: WindowsHost, os: "linux" | "windows", id: string): Promise<readonly string[]> {
  const folder = `${FOLDER}\\${id}`;
  makeFiles([`${folder}\\sandbox.vhdx`]);
  const boot = os === "linux" ? { os, bootFolder: LINUX_FOLDER } : { os, layerFolders: [WINDOWS_FOLDERS[0]!, folder] };
  await using vm = await createUtilityVM({ ...boot, id }, { host });
  const guest = bootGuest(host, vm);
  await vm.start();
  if (os === "linux") {
    const layers = { layers: [{ vhdPath: LAYER }], scratchVhdPath: `${folder}\\sandbox.vhdx` };
    const mounted = await mountLCOWLayers(id, layers, { vm, guestRoot: "/run/c" });
    await mounted.release();
  }
  await vm.close();
  return (await guest).asked;
}

const ASKED = {
  linux: ["NegotiateProtocol", ...Array(8).fill("ModifySettings")],
  windows: ["NegotiateProtocol", "Create", "Start", "ModifySettings"],
};

async function liveAtOnce(host: WindowsHost): Promise<void> {
  await Promise.all(Array.from({ length: 64 }, async (_, i) => {
    const os = i % 2 === 0 ? "linux" : "windows";
    assertEquals(await live(host, os, `vm${i}`), ASKED[os]);
  }));
}

Deno.test("64 VMs at once live over real sockets, four times: handles and memory are as before", async () => {
  using recorder = new Recorder();
  recorder.quiet = true;
  using windows = windowsHost();
  const blocks = new Set<bigint>();
  makeFiles([...BOOT_FILES, LAYER]);
  const host = withSockets({ ...accounted(windows, blocks), [Symbol.dispose]() {} });
  await liveAtOnce(host);
  const before = { handles: handlesOf(windows), blocks: blocks.size };
  for (let i = 0; i < 3; i++) await liveAtOnce(host);
  assertEquals({ handles: handlesOf(windows), blocks: blocks.size }, before);
});
