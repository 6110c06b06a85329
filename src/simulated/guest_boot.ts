/**
 * How simulated guests boot, and what they connect to.
 *
 * @module
 */

import { vsockService } from "../ffi/ws2_32.ts";
import { BridgeGuest } from "./bridge_guest.ts";
import type { Context } from "./call.ts";
import { addressOf, type Connection } from "./guest_network.ts";
import { runtimeIdOf } from "./runtime_id.ts";
import { Failure, SimulationError, UnknownSituation } from "./simulation_error.ts";
import { modifyGuest, type VirtualMachine } from "./vm.ts";
import type { Windows } from "./windows.ts";

/** What the start of a VM fails with that is ended meanwhile. */
export const TERMINATED_DURING_START = 0xc0370100;

const E_FAIL = 0x80004005;

const ENTROPY_PORT = 1;
const LOG_PORT = 109;
const BRIDGE_PORT = 0x40000000;
const WINDOWS_BRIDGE = "acef5661-84a1-4e44-856b-6245e69f4620";

/** Boots a Linux guest as far as the compute service waits for it: resolves once it has its entropy. */
export async function boot({ process, windows }: Context, vm: VirtualMachine): Promise<void> {
  const connect = connectorOf(process.sockets, vm);
  const entropy = connect(ENTROPY_PORT);
  if (entropy === undefined) {
    // A VM that was ended meanwhile doesn't boot any more.
    if (windows.state.systems[vm.id] !== vm || vm.state === "Stopped") throw new Failure(TERMINATED_DURING_START);
    throw new SimulationError(`nobody listens for the guest of ${vm.id}, so it never boots`);
  }
  if (!await takeEntropy(entropy)) throw new Failure(TERMINATED_DURING_START);
  writeLog(connect, vm);
}

/** Boots the guest of a VM that runs. It connects to who listens for it, and does what it is asked for until the VM ends. */
export function bootGuest({ process, later }: Context, vm: VirtualMachine): void {
  const runtimeId = runtimeIdOf(vm.id);
  process.guests.set(vm.id, () => process.sockets.disconnect(runtimeId));
  // Whoever waits for an answer of the guest has learned of the failure.
  serve().catch(() => {});

  async function serve(): Promise<void> {
    const bridge = await connectAll();
    if (bridge === undefined) return;
    let machine: Windows | undefined;
    const guest = new BridgeGuest(bridge, {
      os: vm.os,
      around: async (name, request, answer) => {
        const call = { name: `guest:${name}`, vm: vm.id, request };
        try {
          return await process.inGuest(call, ({ windows }) => {
            machine = windows;
            return answer();
          });
        } catch (error) {
          // Removing what isn't there is an error, whatever the guest says about it.
          throw error instanceof UnknownSituation && isRemoval(request) ? new Failure(E_FAIL) : error;
        }
      },
      // Called before `answer` returns, while the machine is locked.
      modify: (request) => modifyGuest(machine!, machine!.state.systems[vm.id]!, request),
    });
    note("connected");
    try {
      await guest.serve();
    } finally {
      note("lost");
    }
  }

  function note(bridge: NonNullable<VirtualMachine["bridge"]>): void {
    later(({ windows }) => {
      const system = windows.state.systems[vm.id];
      if (system !== undefined) system.bridge = bridge;
    });
  }

  async function connectAll(): Promise<Connection | undefined> {
    const connect = connectorOf(process.sockets, vm);
    if (vm.os === "Windows") return connect(WINDOWS_BRIDGE);
    const entropy = connect(ENTROPY_PORT);
    // Its kernel stops without.
    if (entropy === undefined || !await takeEntropy(entropy)) return undefined;
    writeLog(connect, vm);
    return connect(BRIDGE_PORT);
  }
}

function isRemoval({ Request }: { readonly Request?: unknown }): boolean {
  return (Request as { RequestType?: unknown } | undefined)?.RequestType === "Remove";
}

type Connect = (service: number | string) => Connection | undefined;

function connectorOf(network: Context["process"]["sockets"], vm: VirtualMachine): Connect {
  const runtimeId = runtimeIdOf(vm.id);
  return (service) =>
    network.connect(addressOf(runtimeId, typeof service === "number" ? vsockService(service) : service));
}

// Reads all that there is. Returns whether there was something.
async function takeEntropy(entropy: Connection): Promise<boolean> {
  const bytes = new Uint8Array(4096);
  let all = 0;
  for (let read; (read = await entropy.read(bytes)) > 0;) all += read;
  entropy.close();
  return all > 0;
}

function writeLog(connect: Connect, { commandLine }: VirtualMachine): void {
  if (!commandLine.includes(`vsockexec -o ${LOG_PORT}`) && !commandLine.includes(` -e ${LOG_PORT} `)) return;
  const line = { level: "info", msg: "GCS started", time: "2024-01-01T00:00:00Z" };
  connect(LOG_PORT)?.write(new TextEncoder().encode(`${JSON.stringify(line)}\n`));
}
