/**
 * The recording DLLs, as tests inside see them.
 *
 * @module
 */

import { wide } from "../../../src/ffi/wide.ts";
import { parseTrace, type RecordedCall } from "./trace.ts";

/** The folder of the DLLs. */
export const SYSTEM32 = `${Deno.env.get("SystemRoot")}\\System32`;

const switches = {
  RecorderFail: { parameters: ["buffer" /* const wchar_t* spec */], result: "i32" },
  RecorderHeld: { parameters: [], result: "u32" },
  RecorderHold: { parameters: ["buffer" /* const wchar_t* fn */], result: "void" },
  RecorderLetGo: { parameters: [], result: "void" },
  RecorderQuiet: { parameters: ["i32"], result: "void" },
  RecorderRaw: { parameters: ["i32"], result: "void" },
  RecorderReset: { parameters: [], result: "void" },
  RecorderTrace: { parameters: ["buffer", /* char* */ "u32" /* size */], result: "u32" },
} as const;

/** The trace of all recording DLLs in this process, and their switches, as new. */
export class Recorder implements Disposable {
  readonly #library = Deno.dlopen(`${SYSTEM32}\\vmcompute.dll`, switches);

  /** Forgets what was before. */
  constructor() {
    this.#library.symbols.RecorderReset();
  }

  /** Makes calls fail: `{ "PrepareLayer#1": 0x80070015 }`, `#*` for every call. In place of what was told before. */
  fail(failures: Readonly<Record<string, number>>): void {
    const spec = Object.entries(failures).map(([call, code]) => `${call}=0x${code.toString(16)}`).join();
    if (this.#library.symbols.RecorderFail(wide(spec)) === 0) throw new TypeError(`not a list of failures: ${spec}`);
  }

  /** Every call of `fn` from now on waits, without having looked at its arguments. */
  hold(fn: string): void {
    this.#library.symbols.RecorderHold(wide(fn));
  }

  /** How many calls are held just now. */
  get held(): number {
    return this.#library.symbols.RecorderHeld();
  }

  /** Waits, with a free event loop, until `calls` calls are held. */
  async untilHeld(calls = 1): Promise<void> {
    while (this.held < calls) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  /** Lets the held calls go on. */
  letGo(): void {
    this.#library.symbols.RecorderLetGo();
  }

  /** Adds structs and buffers to the calls from now on. */
  wantRaw(): void {
    this.#library.symbols.RecorderRaw(1);
  }

  /** Whether the recording DLLs answer at once, and record nothing. */
  set quiet(on: boolean) {
    this.#library.symbols.RecorderQuiet(on ? 1 : 0);
  }

  /** What was called so far, in the order in which it returned. */
  get calls(): RecordedCall[] {
    const { RecorderTrace } = this.#library.symbols;
    const text = new Uint8Array(RecorderTrace(null, 0));
    RecorderTrace(text, text.byteLength);
    return parseTrace(new TextDecoder().decode(text));
  }

  /** Lets go what is held, and forgets all. */
  [Symbol.dispose](): void {
    this.#library.symbols.RecorderReset();
    this.#library.close();
  }
}
