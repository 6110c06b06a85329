/**
 * `vm.ts (none|internal|linux|direct-windows|direct-linux)`: creates a VM, changes it and closes it, and prints what it is
 * told, and what its guest is asked for. It ends by itself.
 *
 * @module
 */

import { createUtilityVM, LayerError, type UtilityVM, type UtilityVMOptions, windowsHost } from "../../../mod.ts";
import type { WindowsHost } from "../../../src/ffi/host.ts";
import { vsockService } from "../../../src/ffi/ws2_32.ts";
import { BridgeGuest, REQUESTS } from "../../../src/simulated/bridge_guest.ts";
import { tcpStream } from "../../support/tcp_stream.ts";
import { connectAsGuest, withSockets } from "./sockets.ts";
import { BOOT_FILES, LINUX_FOLDER, makeFiles, WINDOWS_FOLDERS } from "./vm_files.ts";

const [kind = ""] = Deno.args;
const isDirect = kind.startsWith("direct");
const guestConnection = isDirect || kind === "linux" ? "direct" : kind as "none" | "internal";

const options: UtilityVMOptions = kind.endsWith("linux")
  ? { os: "linux", id: "vm1", bootFolder: LINUX_FOLDER, guestConnection }
  : { os: "windows", id: "vm1", layerFolders: WINDOWS_FOLDERS, guestConnection };

/** Boots the guest of a VM, as soon as somebody listens for it. Returns what it was asked for. */
async function bootGuest(host: WindowsHost, { os, runtimeId }: UtilityVM): Promise<string[]> {
  const connect = async (service: string): Promise<Deno.TcpConn> => {
    for (;;) {
      try {
        return await connectAsGuest(host, runtimeId, service);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  };
  if (os === "linux") {
    using entropy = await connect(vsockService(1));
    let bytes = 0;
    const buffer = new Uint8Array(1000);
    for (let size; (size = await entropy.read(buffer)) !== null;) bytes += size;
    console.log(`${bytes} bytes of entropy`);
  }
  using _log = os === "linux" ? await connect(vsockService(109)) : undefined;
  const bridge = await connect(os === "linux" ? vsockService(0x40000000) : "acef5661-84a1-4e44-856b-6245e69f4620");
  const asked: string[] = [];
  const guest = new BridgeGuest(tcpStream(bridge), {
    os: os === "linux" ? "Linux" : "Windows",
    respond(message, usual) {
      asked.push(REQUESTS[message.type & 0x0fffffff]!);
      return usual();
    },
  });
  await guest.serve();
  return asked;
}

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
  if (guest !== undefined) console.log((await guest).join(" "));
} catch (error) {
  if (!(error instanceof LayerError)) throw error;
  console.log(`${error.name}: ${error.message.split("\n")[0]}`);
}
