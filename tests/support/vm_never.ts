// A program whose VMs are never created, or never start.
import { createUtilityVM } from "../../src/uvm/utility_vm.ts";
import { LINUX, vmHost } from "./vm_host.ts";

const signal = () => AbortSignal.timeout(5);

const never = vmHost({ completion: "never" });
await createUtilityVM(LINUX, { host: never, signal: signal() }).catch((error) => console.log(error.name));

const host = vmHost({ completion: (fn) => fn === "HcsCreateComputeSystem" ? "atOnce" : "never" });
{
  await using vm = await createUtilityVM(LINUX, { host });
  await vm.start({ signal: signal() }).catch((error) => console.log(error.name));
}
console.log(never.held().length + host.held().length === 0 ? "nothing held" : host.held());
