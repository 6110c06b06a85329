// Processes of a machine in a file, and those of the real machine that they are.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { endKilled, startProcess } from "../../src/simulated/closing.ts";
import { Windows, type WindowsState } from "../../src/simulated/windows.ts";

Deno.test({
  name: "a process was killed if another one has its number by now",
  ignore: Deno.build.os !== "linux",
  fn() {
    const state = { processes: 0, time: 0, running: {}, open: {}, systems: {}, nodes: {} } as unknown as WindowsState;
    const windows = new Windows(state, { process: 1, function: "test", call: 1 });
    const number = startProcess(windows, Deno.pid);
    assertEquals([endKilled(windows), Object.keys(state.running)], [false, ["1"]]);
    state.running[number] = { ...state.running[number]!, realStart: "1" };
    assertEquals([endKilled(windows), Object.keys(state.running)], [true, []]);
  },
});
