/**
 * The machine that a command works on.
 *
 * @module
 */

import type { Host } from "../../mod.ts";
import type { ObservedAnswers, SimulatedHost } from "../../src/simulated/mod.ts";
import { CommandError } from "./errors.ts";
import { type CommandName, simulatedForm } from "./program.ts";

/** What a command asks of a machine. */
export interface HostRequest {
  /** The command. */
  readonly command: CommandName;
  /** The value of `--simulate`: a file, or nothing for a machine in memory; `undefined` for this machine. */
  readonly simulate: string | undefined;
  /** What the command is going to call. */
  call(host: Host): Promise<unknown>;
  /** What a simulated machine answers in place of what is simulated. */
  readonly answers?: ObservedAnswers;
  /** Adds to a simulated machine what the command needs and the machine lacks. */
  populate?(machine: SimulatedHost): void;
}

let machineFile: string | undefined;

/** The file of the simulated machine to which this process has added what it needs. */
export function populatedMachineFile(): string | undefined {
  return machineFile;
}

/**
 * This machine, or a simulated one.
 *
 * Slow calls don't run on the calling thread, so that Ctrl+C is noticed between any two of them.
 *
 * @throws {InvalidInputError} if the library refuses an argument of the call: before a simulated machine is populated.
 */
export async function openHost({ command, simulate, answers, call, populate }: HostRequest): Promise<Host> {
  if (simulate !== undefined) {
    const { SimulatedHost } = await import("../../src/simulated/mod.ts");
    await checkArguments(call);
    const machine = new SimulatedHost({
      ...(simulate !== "" && { file: simulate }),
      ...(answers !== undefined && { answers }),
      latency: () => new Promise((resolve) => setTimeout(resolve)),
    });
    if (populate !== undefined) {
      populate(machine);
      if (simulate !== "") machineFile = simulate;
    }
    return machine;
  }
  if (Deno.build.os !== "windows") {
    throw new CommandError(
      `This is ${Deno.build.os}, not Windows. ${simulatedForm(command)} works on a simulated host`,
    );
  }
  const { windowsHost } = await import("../../mod.ts");
  return windowsHost();
}

/** Has the library check the arguments of a call, which it does before it asks the host for anything. */
async function checkArguments(call: (host: Host) => Promise<unknown>): Promise<void> {
  const { InvalidInputError } = await import("../../mod.ts");
  const unasked = (): never => {
    throw new Error("the arguments are good");
  };
  try {
    await call({ machine: {}, symbols: unasked, sleep: unasked, callback: unasked });
  } catch (error) {
    if (error instanceof InvalidInputError) throw error;
  }
}
