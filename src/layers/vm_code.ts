/**
 * The code for layers in VMs, which is loaded once it is needed.
 *
 * @module
 */

type VMCode = typeof import("./lcow.ts") & typeof import("./wcow_vm.ts") & typeof import("../uvm/utility_vm.ts");

/** The code. Where it is loaded, which it is once there is a VM, nobody waits for it. */
export const vmCode = {
  /** The code, if it is loaded. */
  loaded: undefined as VMCode | undefined,

  /** Loads it. */
  async load(): Promise<VMCode> {
    const [lcow, wcow, vms] = await Promise.all([
      import("./lcow.ts"),
      import("./wcow_vm.ts"),
      import("../uvm/utility_vm.ts"),
    ]);
    return this.loaded = { ...lcow, ...wcow, ...vms };
  },
};
