/**
 * probe.dll: what the tests of strings, memory, threads and errors call.
 *
 * @module
 */

import type { Dll } from "../../../src/ffi/table.ts";

const FailWith = { parameters: ["u32" /* DWORD */], result: "i32" /* BOOL */ } as const;

/** The functions of probe.dll. */
export const probeSymbols = {
  ChecksumSlow: {
    parameters: ["buffer", /* const uint8_t* */ "u32", /* length */ "u32" /* milliseconds */],
    result: "u32",
    nonblocking: true,
  },
  EchoWide: { parameters: ["buffer", /* const wchar_t* */ "buffer", /* wchar_t* */ "u32" /* units */], result: "u32" },
  FailWith,
  FailWithElsewhere: { ...FailWith, name: "FailWith", nonblocking: true },
  RunUntilSet: { parameters: ["buffer" /* volatile uint8_t[2] */], result: "u32", nonblocking: true },
  ThreadId: { parameters: [], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** probe.dll. */
export const probe: Dll<typeof probeSymbols> = { file: "probe.dll", symbols: probeSymbols, remedy: "" };
