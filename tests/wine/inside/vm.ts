/**
 * `vm.ts (none|internal|linux|direct-windows|direct-linux)`: creates a VM, changes it and closes it, and prints what it is
 * told, and what its guest is asked for. It ends by itself.
 *
 * @module
 */

import { createUtilityVM, LayerError, type UtilityVMOptions, windowsHost } from "../../../mod.ts";
import { bootGuest } from "./guest.ts";
import { withSockets } from "./sockets.ts";
import { BOOT_FILES, LINUX_FOLDER, makeFiles, WINDOWS_FOLDERS } from "./vm_files.ts";

const [kind = ""] = Deno.args;
const isDirect = kind.startsWith("direct");
const guestConnection = isDirect || kind === "linux" ? "direct" : kind as "none" | "internal";

const options: UtilityVMOptions = kind.endsWith("linux")
  ? { os: "linux", id: "vm1", bootFolder: LINUX_FOLDER, guestConnection }
  : { os: "windows", id: "vm1", layerFolders: WINDOWS_FOLDERS, guestConnection };

makeFiles(BOOT_FILES);
const host = isDirect ? withSockets(windowsHost()) : windowsHost();
try {
  await using vm = await createUtilityVM(options, { host });
  console.log(vm.state);
  const guest = isDirect ? bootGuest(host, vm) : undefined;
  await vm.start();
  console.log(vm.state, vm.capabilities.ProtocolVersion);
  await vm.modify({
    RequestType: "Update",
    ResourcePath: "VirtualMachine/ComputeTopology/Processor/Limits",
    Settings: { Limit: 50_000 },
  });
  if (isDirect) {
    const CombinedLayers = { ResourceType: "CombinedLayers", Settings: { ContainerRootPath: "/run/c" } } as const;
    await vm.modify({ GuestRequest: { RequestType: "Remove", ...CombinedLayers } });
  }
  await vm.close();
  console.log(vm.state);
  if (guest !== undefined) {
    const { entropyBytes, asked } = await guest;
    console.log(`${entropyBytes} bytes of entropy; ${asked.join(" ")}`);
  }
} catch (error) {
  if (!(error instanceof LayerError)) throw error;
  console.log(`${error.name}: ${error.message.split("\n")[0]}`);
}
