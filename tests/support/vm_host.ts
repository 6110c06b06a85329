/**
 * Simulated hosts on which VMs can be created.
 *
 * @module
 */

import type { CompletedCall, SimulatedHost, SimulatedHostOptions } from "../../src/simulated/mod.ts";
import type { LinuxVMOptions } from "../../src/uvm/plans/linux_vm.ts";
import type { WindowsVMOptions } from "../../src/uvm/plans/windows_vm.ts";
import { hostWith } from "./host.ts";
import { createUtilityVM, type UtilityVM } from "../../mod.ts";

export const BOOT = "C:\\lcow";
export const IMAGE = "C:\\layers\\uvmbase";
export const SCRATCH = "C:\\layers\\uvmscratch";
export const DISK = `${SCRATCH}\\sandbox.vhdx`;

/** VMs with whose guests the compute service talks, so that one call changes both sides. */
export const LINUX: LinuxVMOptions = { os: "linux", id: "vm1", bootFolder: BOOT, guestConnection: "internal" };
export const WINDOWS: WindowsVMOptions = {
  os: "windows",
  id: "vm1",
  layerFolders: [IMAGE, SCRATCH],
  guestConnection: "internal",
};

/** A host with what {@linkcode LINUX} and {@linkcode WINDOWS} boot; the disk of the latter is there already. */
export function vmHost(options?: SimulatedHostOptions): SimulatedHost {
  return hostWith({ linuxBoot: { [BOOT]: "initrd.img" }, windowsBoot: [IMAGE], scratches: [SCRATCH] }, options);
}

/** A VM that runs. */
export async function startedVM(host: SimulatedHost, options: LinuxVMOptions | WindowsVMOptions): Promise<UtilityVM> {
  const vm = await createUtilityVM(options, { host });
  await vm.start();
  return vm;
}

const COMPUTE = /^(Hcs|GrantVmAccess|RevokeVmAccess|CopyFileW|DeleteFileW)/;

/** The calls about VMs from a point on, except for their records, in order, with the codes of those that didn't just succeed. */
export function vmCalls(host: SimulatedHost, from = 0): string[] {
  const isOfRecord = ({ args: { path } }: CompletedCall) => `${path}`.startsWith("C:\\ProgramData");
  return host.calls.slice(from).filter((call) => COMPUTE.test(call.function) && !isOfRecord(call)).map(shortCall);
}

function shortCall({ function: fn, result }: CompletedCall): string {
  const name = fn.replace(/^Hcs|ComputeSystem/g, "");
  return result === "0x00000000" ? name : `${name} ${result}`;
}

/** The document of the nth VM that was created. */
export function createdDocument(host: SimulatedHost, nth = 0): string {
  return String(host.calls.filter((call) => call.function === "HcsCreateComputeSystem")[nth]!.args["configuration"]);
}
