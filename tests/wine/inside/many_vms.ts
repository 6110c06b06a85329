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

/**
 * Lets a VM live: a Linux one with two containers that share a layer, or a Windows one, to which Wine can't give the disk of a
 * container by the path that Windows VMs take. Returns what its guest was asked for.
 */
async function live(host: WindowsHost, os: "linux" | "windows", id: string): Promise<readonly string[]> {
  const folder = `${FOLDER}\\${id}`;
  makeFiles(["", "\\1", "\\2"].map((name) => `${folder}${name}\\sandbox.vhdx`));
  const boot = os === "linux" ? { os, bootFolder: LINUX_FOLDER } : { os, layerFolders: [WINDOWS_FOLDERS[0]!, folder] };
  await using vm = await createUtilityVM({ ...boot, id }, { host });
  const guest = bootGuest(host, vm);
  await vm.start();
  const mount = (container: string) => {
    const layers = { layers: [{ vhdPath: LAYER }], scratchVhdPath: `${folder}\\${container}\\sandbox.vhdx` };
    return mountLCOWLayers(container, layers, { vm, guestRoot: `/run/${container}` });
  };
  if (os === "linux") {
    const first = await mount("1");
    const second = await mount("2");
    await first.release();
    await second.release();
  }
  await vm.close();
  return (await guest).asked;
}

// Of Linux the policy, the shared layer twice, and of each container a disk and a tree, and their removal, with an ejection.
const ASKED = {
  linux: ["NegotiateProtocol", ...Array(1 + 2 + 2 * (2 + 3)).fill("ModifySettings")],
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
