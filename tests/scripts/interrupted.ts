// Programs for interrupt_test.ts, each a process of its own, as a signal is for a whole process.
import { HungCallError } from "../../mod.ts";
import { HOST_OPTIONS, main } from "../../scripts/support/command.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { interruptSignal, throwIfInterrupted } from "../../scripts/support/interrupt.ts";

/** Whether all other threads wait, so that a signal has come as far as it comes while this thread is busy. */
function othersAreIdle(): boolean {
  return [...Deno.readDirSync("/proc/self/task")].every(({ name }) => {
    if (name === `${Deno.pid}`) return true;
    try {
      const status = Deno.readTextFileSync(`/proc/self/task/${name}/status`);
      return /^State:\tS/m.test(status) && !/^(SigPnd|ShdPnd):\t.*[1-9a-f]/m.test(status);
    } catch (error) {
      // A thread that has ended since.
      if (error instanceof Deno.errors.NotFound) return true;
      throw error;
    }
  });
}

const PROGRAMS: Readonly<Record<string, () => Promise<void>>> = {
  /** Is interrupted while this thread is busy, as often as it is told, and counts how often it is noticed. */
  async notice() {
    const times = Number(Deno.args[1]);
    let noticed = 0;
    for (let time = 0; time < times; time++) {
      const signal = interruptSignal(() => {});
      // Before, the event loop has done nothing, or has just run a timer.
      if (time % 2 === 1) await new Promise((resolve) => setTimeout(resolve));
      Deno.kill(Deno.pid, "SIGINT");
      while (!othersAreIdle());
      await throwIfInterrupted(signal).catch((error) => noticed += Number(error === signal.reason));
    }
    console.log(noticed);
    Deno.exit();
  },

  /** A command whose call never returns. */
  hang: () =>
    main({
      help: "",
      options: { json: "boolean" },
      plan: () => ({
        async run(signal) {
          signal.addEventListener("abort", () => console.log("aborted"));
          console.log("running");
          setInterval(() => {}, 60_000);
          return await new Promise(() => {});
        },
        mayHold: [{ kind: "activation", scratch: "C:\\s" }],
        isRecovered: Deno.args.includes("--json"),
        undo: "unmount C:/s",
      }),
    }),

  /** A command that waits until it is stopped, and then for nothing, or for a call that never returns. */
  limit: () =>
    main({
      help: "",
      options: { ...HOST_OPTIONS, hang: "boolean" },
      plan: ({ has }) => ({
        async run(signal) {
          const keepsTheProcess = setInterval(() => {}, 60_000);
          const { promise, resolve } = Promise.withResolvers<void>();
          signal.addEventListener("abort", () => resolve());
          await promise;
          if (has("hang")) {
            throw new HungCallError("PrepareLayer", "C:\\s", 5, "", { over: new Promise<void>(() => {}) });
          }
          clearInterval(keepsTheProcess);
          throw signal.reason;
        },
        mayHold: [{ kind: "activation", scratch: "C:\\s" }],
        undo: "unmount C:/s",
      }),
    }),
};

// Loaded before a command, it is what is pressed while that has attached a disk.
if (import.meta.main) await PROGRAMS[Deno.args[0]!]!();
else interruptAttach();

/** Interrupts this process when it asks for the device of a disk, and has nothing more to do then but to close that. */
function interruptAttach(): void {
  const { symbols } = SimulatedHost.prototype;
  SimulatedHost.prototype.symbols = function (dll) {
    const found = symbols.call(this, dll) as Record<string, (...args: unknown[]) => unknown>;
    if (!("GetVirtualDiskPhysicalPath" in dll.symbols)) return found as never;
    const ask = (...args: unknown[]) => {
      Deno.kill(Deno.pid, "SIGINT");
      while (!othersAreIdle());
      return found["GetVirtualDiskPhysicalPath"]!(...args);
    };
    return { ...found, GetVirtualDiskPhysicalPath: ask } as never;
  };
}
