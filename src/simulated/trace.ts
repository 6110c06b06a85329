/**
 * The calls that were made through a simulated host.
 *
 * @module
 */

import { hex } from "../errors/codes.ts";

/**
 * A call of a function of Windows.
 *
 * @category Simulation
 */
export interface NativeCall {
  /** File name of the DLL without `.dll`. */
  readonly dll: string;
  /** Name of the function. */
  readonly function: string;
  /** Its decoded arguments by name. Buffers for results are `"buffer"`, and NULL is `null`. */
  readonly args: Readonly<Record<string, unknown>>;
}

/**
 * A call with its result.
 *
 * @category Simulation
 */
export interface CompletedCall extends NativeCall {
  /** Its HRESULT as `0x` and eight digits, or `pending`. Results of other types are converted. */
  readonly result: string;
  /** The situation in which it failed, if the option `answers` can name another code for it. */
  readonly situation?: string;
}

const KEPT = 100_000;

// They change nothing on the machine, and there are many of them.
const MEMORY_CALLS = ["LocalAlloc", "LocalFree", "CoTaskMemFree", "copyIn", "copyOut", "lstrlenW"];
const ERROR_CALLS = ["GetLastError", "WSAGetLastError", "FormatMessageW"];
const BESIDE = new Set([...MEMORY_CALLS, ...ERROR_CALLS]);

/** The calls of one process, in order: the last 100,000. */
export class Trace {
  #calls: CompletedCall[] = [];
  #made = 0;

  /** The calls that are kept. */
  get calls(): readonly CompletedCall[] {
    return this.#calls;
  }

  /** The number of calls made since the beginning. */
  get made(): number {
    return this.#made;
  }

  /** The calls that concern the machine, and not memory or the text of an error. */
  get essential(): CompletedCall[] {
    return this.#calls.filter((call) => !BESIDE.has(call.function));
  }

  /** Adds a call that begins. Returns a function that records its result, if it has one, and its situation. */
  add(call: NativeCall): (code: number | undefined, situation?: string) => void {
    const entry: { result: string; situation?: string } & NativeCall = { ...call, result: "pending" };
    this.#calls.push(entry);
    this.#made++;
    // Seldom, because it moves all that are kept.
    if (this.#calls.length >= 2 * KEPT) this.#calls.splice(0, KEPT);
    return (code, situation) => {
      if (code !== undefined) entry.result = hex(code);
      if (situation !== undefined) entry.situation = situation;
    };
  }

  /** Forgets the calls so far. */
  clear(): void {
    this.#calls = [];
  }
}
