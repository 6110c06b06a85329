/**
 * `vm.ts (none|internal|linux)`: creates a VM, changes it and closes it, and prints what it is told. It ends by itself.
 *
 * @module
 */

import { createUtilityVM, LayerError, type UtilityVMOptions, windowsHost } from "../../../mod.ts";
import { BOOT_FILES, LINUX_FOLDER, makeFiles, WINDOWS_FOLDERS } from "./vm_files.ts";

const [kind] = Deno.args;

const options: UtilityVMOptions = kind === "linux" ? { os: "linux", id: "vm1", bootFolder: LINUX_FOLDER } : {
  os: "windows",
  id: "vm1",
  layerFolders: WINDOWS_FOLDERS,
  ...(kind === "none" && { guestConnection: "none" as const }),
};

makeFiles(BOOT_FILES);
const host = windowsHost();
try {
  await using vm = await createUtilityVM(options, { host });
  console.log(vm.state);
  await vm.start();
  console.log(vm.state, vm.capabilities.ProtocolVersion);
  await vm.modify({
    RequestType: "Update",
    ResourcePath: "VirtualMachine/ComputeTopology/Processor/Limits",
    Settings: { Limit: 50_000 },
  });
  await vm.close();
  console.log(vm.state);
} catch (error) {
  if (!(error instanceof LayerError)) throw error;
  console.log(`${error.name}: ${error.message.split("\n")[0]}`);
}
