/**
 * One call of a public function: what ends it early, and what is told if a call of Windows in it doesn't return.
 *
 * @module
 */

import { messageOf } from "../errors/printable.ts";
import { HungCallError } from "../errors/state_errors.ts";
import { log } from "../log.ts";
import type { Host } from "./host.ts";
import type { HostOptions } from "./host_options.ts";

/** How long a call of Windows may still run after an abort before the caller is told that it hangs. */
const PATIENCE_MS = 5_000;

/** A call of Windows that runs. */
interface NativeCall {
  readonly function: string;
  readonly path: string | undefined;
  /** Counts the calls and operations of all machines. */
  readonly number: number;
  /** Resolves once it has returned. */
  readonly over: Promise<void>;
}

/** What runs on a machine. */
class Running {
  readonly calls = new Set<NativeCall>();
  operations = 0;
}

const machines = new WeakMap<object, Running>();
let numbers = 0;

function runningOn(host: Host): Running {
  let running = machines.get(host.machine);
  if (running === undefined) machines.set(host.machine, running = new Running());
  return running;
}

/** Returns the result of a slow function, and notes that it runs until then. `path` is what it was called for. */
export function noted<T>(host: Host, fn: string, path: string | undefined, result: T | Promise<T>): T | Promise<T> {
  if (!(result instanceof Promise)) return result;
  const { calls } = runningOn(host);
  const done = () => void calls.delete(call);
  const call: NativeCall = { function: fn, path, number: ++numbers, over: result.then(done, done) };
  calls.add(call);
  return result;
}

/** What ends a call early. */
export type Limits = Pick<HostOptions, "signal" | "timeout">;

/** What is known of a call while it runs. */
export class Operation {
  /** The id of the record of the mount that it is about. */
  record: string | undefined;
  readonly #about = new Set<string>();
  readonly #listeners = new Set<(error: HungCallError) => void>();
  readonly #atEnd: (() => void)[] = [];
  readonly #number = ++numbers;

  /** Notes that it is about something: a path or an id. */
  concerns(what: unknown): void {
    if (typeof what === "string") this.#about.add(keyOf(what));
  }

  /** Calls `listener` if its caller is told that a call of Windows hangs, until the result is disposed of. */
  whenHung(listener: (error: HungCallError) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Runs `done` just before the caller gets the result; not if the result is disposed of, as the caller has given up by then. */
  whenDone(done: () => void): void {
    this.#atEnd.push(done);
  }

  /** Notes that the caller gets the result. */
  end(): void {
    this.#atEnd.forEach((done) => done());
  }

  /** Returns the error about a call that hangs, once all that listen are told. */
  hung({ function: fn, path = "", over }: NativeCall, cause: unknown): HungCallError {
    const recovery = this.record === undefined ? "" : ", and recover() in another releases what is left";
    const advice =
      ", and can't be stopped. Once it returns, what was begun is undone. If it never does, end this process" +
      recovery;
    const error = new HungCallError(fn, path, PATIENCE_MS / 1000, advice, { cause, record: this.record, over });
    log("warn", () => error.message);
    this.#listeners.forEach((listener) => listener(error));
    return error;
  }

  /**
   * The calls of Windows that it waits for. Which these are shows in their paths, or in that nothing else runs. One without a
   * path can be of each operation that was there when it began.
   */
  calls({ calls, operations }: Running): NativeCall[] {
    return [...calls].filter(({ number, path }) =>
      number > this.#number && (operations === 1 || path === undefined) ||
      path !== undefined && this.#isAbout(keyOf(path))
    );
  }

  #isAbout(key: string): boolean {
    return [...this.#about].some((what) => key === what || key.startsWith(`${what}\\`));
  }
}

function keyOf(path: string): string {
  return path.toUpperCase().replace(/\\+$/, "");
}

const operations = new WeakMap<AbortSignal, Operation>();

/** Returns the call that a signal was made for by {@linkcode perform}; undefined if it has neither a signal nor a limit. */
export function operationOf(signal: AbortSignal | undefined): Operation | undefined {
  return signal && operations.get(signal);
}

/**
 * Runs `body` with a signal of its own, which is aborted by the caller's signal, and once the time limit is over. If a call of
 * Windows doesn't return after that, the caller is told, and `body` goes on: it keeps what it has claimed, and undoes what it
 * did once the call returns.
 *
 * @param about What `body` is about: paths and ids.
 * @throws {HungCallError} if a call of Windows doesn't return within five seconds of an abort.
 * @throws what `body` throws.
 */
export async function perform<T>(
  host: Host,
  { signal, timeout }: Limits,
  about: readonly unknown[],
  body: (signal: AbortSignal | undefined) => Promise<T>,
): Promise<T> {
  const running = runningOn(host);
  running.operations++;
  const leave = () => void running.operations--;
  if (signal !== undefined || timeout !== undefined) {
    const { told, over } = limited(host, { signal, timeout }, about, body);
    over.then(leave);
    return await told;
  }
  try {
    return await body(undefined);
  } finally {
    leave();
  }
}

function limited<T>(
  host: Host,
  { signal, timeout }: Limits,
  about: readonly unknown[],
  body: (signal: AbortSignal) => Promise<T>,
): { readonly told: Promise<T>; readonly over: Promise<void> } {
  const running = runningOn(host);
  const operation = new Operation();
  about.flat().forEach((what) => operation.concerns(what));
  const controller = new AbortController();
  const settled = new AbortController();
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  operations.set(controller.signal, operation);

  const abort = (reason: unknown) => {
    if (controller.signal.aborted) return;
    controller.abort(reason);
    whenHung((call) => {
      settled.abort(OVER);
      reject(operation.hung(call, reason));
    });
  };
  const whenHung = async (tell: (call: NativeCall) => void) => {
    while (!settled.signal.aborted) {
      const calls = operation.calls(running);
      if (!await passes(host, PATIENCE_MS, settled.signal)) return;
      const hung = calls.find((call) => running.calls.has(call));
      if (hung !== undefined) return tell(hung);
    }
  };
  if (signal?.aborted) abort(signal.reason);
  else signal?.addEventListener("abort", () => abort(signal.reason), { signal: settled.signal });
  if (timeout !== undefined) {
    passes(host, timeout, settled.signal).then((isOver) =>
      isOver && abort(new DOMException(`The time limit of ${timeout} ms is over`, "TimeoutError"))
    );
  }

  const finish = async () => {
    try {
      const result = await body(controller.signal);
      if (controller.signal.aborted && isHeld(result)) {
        await result[Symbol.asyncDispose]();
        throw controller.signal.reason;
      }
      operation.end();
      resolve(result);
    } catch (error) {
      if (settled.signal.aborted && error !== controller.signal.reason) {
        log("error", () => `undoing what was begun before a call of Windows hung: ${messageOf(error)}`);
      }
      // Too late if the caller has been told of the call that hung.
      reject(error);
    } finally {
      settled.abort(OVER);
    }
  };
  return { told: promise, over: finish() };
}

// Without a reason, each abort would make an error with a stack.
const OVER = "over";

function isHeld(result: unknown): result is AsyncDisposable {
  return typeof result === "object" && result !== null && Symbol.asyncDispose in result;
}

/** Waits until `ms` milliseconds of the host's time are over, or `signal` is aborted. Returns whether they are over. */
async function passes(host: Host, ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await deadline(host, ms, signal);
    return !signal.aborted;
  } catch (error) {
    if (!signal.aborted) log("error", () => `a time limit is ignored: ${messageOf(error)}`);
    return false;
  }
}

/** Resolves once `ms` milliseconds of the host's time are over. If `signal` is aborted before, it rejects or never settles. */
export function deadline(host: Host, ms: number, signal: AbortSignal): Promise<void> {
  return host.deadline?.(ms, signal) ?? realTime(ms, signal);
}

function realTime(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  });
}
