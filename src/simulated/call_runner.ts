/**
 * How a call is made: what happens before it, what it does or how it fails, how long that takes, and what is noted of it.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import { failuresIn } from "./answers.ts";
import { requireBuffers } from "./buffers.ts";
import { type Context, type Process, put64, type RawResult, type SimulatedFunction } from "./call.ts";
import type { Scheduler } from "./clock.ts";
import { endKilled } from "./closing.ts";
import { FUNCTIONS, IN_GUEST } from "./dlls.ts";
import { type CallFailure, codeOf, FailureList } from "./failures.ts";
import { Interventions } from "./interventions.ts";
import { closeFile } from "./kernel32.ts";
import { type Latency, latencyOf } from "./latency.ts";
import { requireShared } from "./links.ts";
import { losing } from "./lost_results.ts";
import { requireLengths } from "./names.ts";
import type { SimulatedHostOptions } from "./simulation_options.ts";
import { doPartially } from "./partial_effects.ts";
import { Failure, SimulationError, UnknownSituation } from "./simulation_error.ts";
import { ThreadPool } from "./thread_pool.ts";
import { type NativeCall, Trace } from "./trace.ts";

// A call, with all that is needed to run it.
interface Call extends NativeCall {
  readonly fn: SimulatedFunction;
  readonly values: Record<string, unknown>;
  readonly failure: CallFailure | undefined;
  record(code: number | undefined, situation?: string): void;
}

const LAST_ERROR = ["GetLastError", "WSAGetLastError"];
// No code of Windows.
const LEFT_BEHIND = 0xbad;

const CLOSES = ["CloseHandle", "FindClose"];

/** The machine that calls are made on, as their process sees it. */
export interface CalledMachine {
  /** The process. */
  readonly process: Process;
  /** When something happens. */
  readonly scheduler: Scheduler;
  /** Whether it is in a file, so that processes of other programs are on it. */
  readonly isShared: boolean;
  /** Throws if the process has ended. */
  requireRunning(): void;
  /** Runs `body` on the machine in its state now, for a function. */
  later<T>(body: (context: Context) => T, fn?: string): T;
}

/** The calls of a process. */
export class CallRunner {
  /** The failures that are injected. */
  readonly failures = new FailureList(FUNCTIONS);
  /** What happens before calls. */
  readonly interventions = new Interventions();
  /** The calls that were made. */
  readonly trace = new Trace();
  readonly #machine: CalledMachine;
  readonly #pool: ThreadPool | undefined;
  readonly #latency: Latency;
  readonly #answers: ReadonlyMap<string, number>;
  readonly #whenUnknown: SimulatedHostOptions["whenUnknown"];

  constructor(machine: CalledMachine, { answers, latency, poolThreads, whenUnknown }: SimulatedHostOptions) {
    this.#machine = machine;
    this.#answers = answers === undefined ? new Map() : failuresIn(answers);
    this.#latency = latencyOf(latency ?? {});
    this.#whenUnknown = whenUnknown;
    if (poolThreads !== undefined) this.#pool = new ThreadPool(poolThreads);
  }

  /** Makes a call: at once, unless the function is a slow one. */
  dispatch(dll: string, name: string, fn: SimulatedFunction, raw: unknown[], slow: boolean): unknown {
    this.#machine.requireRunning();
    const { fault } = this.#machine.process;
    if (fault !== undefined) {
      this.#machine.process.fault = undefined;
      throw fault;
    }
    const args = fn.decode(raw, this.#machine.process.memory);
    requireBuffers(name, args);
    const call: NativeCall = { dll, function: name, args: printableArguments(args) };
    const before = this.interventions.run(call);
    if (before === undefined) return this.#make(call, { fn, args }, raw, slow);
    if (!slow) throw new SimulationError(`${name} can't wait for what is to happen before: it is a fast function`);
    return before.then(() => this.#make(call, { fn, args }, raw, slow));
  }

  #make(
    call: NativeCall,
    { fn, args }: { readonly fn: SimulatedFunction; readonly args: Record<string, unknown> },
    raw: unknown[],
    slow: boolean,
  ): unknown {
    // It can have ended by what happened before the call.
    this.#machine.requireRunning();
    const made: Call = { ...call, fn, values: args, failure: this.failures.of(call), record: this.trace.add(call) };
    if (!slow) return this.#run(made);
    const start = () => this.#start(made, raw);
    return this.#pool === undefined ? start() : this.#pool.run(start);
  }

  /** Has a guest do what it is asked for, unless a failure is injected for that. */
  async inGuest(
    { name, vm, request }: Parameters<Process["inGuest"]>[0],
    answer: Parameters<Process["inGuest"]>[1],
  ): Promise<object | undefined> {
    const call: NativeCall = { dll: "guest", function: name, args: { vm, request } };
    await this.interventions.run(call);
    let answered: object | undefined = {};
    const run = async (context: Context) => void (answered = await answer(context));
    const values = {};
    const failure = this.failures.of(call);
    const status = await this.#start(
      { ...call, fn: { ...IN_GUEST, run }, values, failure, record: this.trace.add(call) },
      [],
    );
    if (status !== 0) throw new Failure(Number(status) >>> 0);
    return answered;
  }

  // Runs a slow function, now or when its time has come.
  #start(call: Call, raw: unknown[]): unknown {
    const latency = this.#latency(call);
    if (!latency && !this.#machine.scheduler.isSeeded) return this.#run(call);
    const run = () => {
      // Fails if the memory that the arguments point to was freed during the call.
      this.#machine.requireRunning();
      call.fn.decode(raw, this.#machine.process.memory);
      return this.#run(call);
    };
    if (latency instanceof Promise) return latency.then(run);
    return new Promise((resolve, reject) => {
      this.#machine.scheduler.lasting(latency ?? 0, () => {
        try {
          resolve(run());
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  #run(call: Call): unknown {
    const { fn, record } = call;
    // A function that succeeds can leave any last error behind, and one of memory as well.
    if (!LAST_ERROR.includes(call.function)) this.#machine.process.lastError = LEFT_BEHIND;
    const succeed = (value: RawResult) => {
      // A pending operation returns a code that isn't a success.
      record(typeof value === "number" && value < 0 ? value : 0);
      return value ?? fn.style.done;
    };
    const fail = (error: unknown) => {
      const situation = situationOf(call, error);
      record(undefined, situation);
      const code = this.#answers.get(situation ?? "") ??
        (error instanceof Failure ? error.code : this.#chosen(call, error));
      if (code === 0) return succeed();
      record(code);
      return fn.style.fail(code, this.#machine.process);
    };
    try {
      const value = call.failure === undefined ? this.#effect(call, fn.run) : this.#injected(call, call.failure);
      return value instanceof Promise ? value.then(succeed, fail) : succeed(value);
    } catch (error) {
      return fail(error);
    }
  }

  #effect({ dll, function: name, values }: Call, run: SimulatedFunction["run"]): RawResult | Promise<RawResult> {
    return this.#machine.later((context) => {
      requireLengths(dll, name, values);
      requireShared(context.windows.state, dll, values);
      const { windows } = context;
      if (!this.#machine.isShared) return run(context, values);
      if (name === "OpenProcess") endKilled(windows);
      try {
        return run(context, values);
      } catch (error) {
        if (!isHeldUp(error) || !endKilled(windows)) throw error;
        return run(context, values);
      }
    }, name);
  }

  // Returns the code that the test has chosen where nobody knows what Windows does, or throws the error.
  #chosen({ dll, function: name, args, fn }: Call, error: unknown): number {
    if (!(error instanceof UnknownSituation)) throw error;
    const code = this.#whenUnknown?.({ dll, function: name, args, what: error.situation });
    if (code === undefined) throw error;
    const status = codeOf(code);
    if (status === 0 && !fn.hasOnlyStatus) {
      throw new SimulationError(`whenUnknown returned 0 for ${name}, which returns more than success or failure`);
    }
    return status;
  }

  // Does as much of a call as its failure has of it, and fails.
  #injected(call: Call, { code, effect, effectAfter, result }: CallFailure): RawResult | Promise<RawResult> {
    const document = call.values.result;
    const end = () => {
      if (result !== undefined && document instanceof Uint8Array) {
        put64(document as Uint8Array<ArrayBuffer>, this.#machine.process.memory.allocateWide(JSON.stringify(result)));
      }
      if (code !== 0) throw new Failure(code);
    };
    if (effectAfter !== undefined) {
      this.#machine.scheduler.afterward(effectAfter, () => {
        try {
          const done = this.#effect(call, call.fn.run);
          if (done instanceof Promise) done.catch(unheard);
        } catch (error) {
          unheard(error);
        }
      });
    }
    if (effect === "none") {
      // Nobody has seen a file that stays open because a handle to it can't be closed: only the handle stays.
      const handle = CLOSES.includes(call.function) ? call.values.handle ?? call.values.find : undefined;
      if (handle !== undefined) {
        this.#machine.later((now) => closeFile(now, handle as bigint, now.process.handles.get(handle as bigint)));
      }
      return end();
    }
    const lose = losing(call.values, this.#machine.process);
    const run: SimulatedFunction["run"] = effect === "full"
      ? call.fn.run
      : (context, args) => doPartially(call.function, context, args);
    const value = this.#effect(call, run);
    const lost = () => (this.#machine.later(lose, call.function), end());
    return value instanceof Promise ? value.then(lost) : lost();
  }
}

// Nobody is there any more to hear of a failure.
function unheard(error: unknown): void {
  if (!(error instanceof Failure)) throw error;
}

// Whether somebody may have something open, which can be a process that was killed meanwhile. Who asks for what is deleted, but
// still open, is denied access.
function isHeldUp(error: unknown): boolean {
  const { ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION, ERROR_ACCESS_DENIED } = win32;
  const codes: readonly number[] = [ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION, ERROR_ACCESS_DENIED];
  return error instanceof Failure && codes.includes(error.code & 0xffff);
}

// Returns the name of a situation by which answers are found.
function situationOf(call: NativeCall, error: unknown): string | undefined {
  if (!(error instanceof Failure || error instanceof UnknownSituation) || error.situation === undefined) {
    return undefined;
  }
  return `${call.function}: ${error.situation.split(": ")[0]}`;
}

// Converts arguments for JSON: sizes and addresses to numbers, and buffers to `"buffer"`.
function printableArguments(args: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(args).map(([name, value]) => [
      name,
      value instanceof Uint8Array ? "buffer" : typeof value === "bigint" ? Number(value) : value,
    ]),
  );
}
