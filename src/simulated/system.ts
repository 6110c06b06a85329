/**
 * ntdll.dll, advapi32.dll and ole32.dll, simulated.
 *
 * @module
 */

import {
  big,
  buffer,
  define,
  INFALLIBLE,
  NTSTATUS,
  number,
  optionalBuffer,
  put32,
  type SimulatedDll,
  text,
  WIN32,
  win32Failure,
} from "./call.ts";

/** ntdll.dll. */
export const ntdllFunctions: SimulatedDll = {
  RtlGetVersion: define(NTSTATUS, { info: buffer }, ({ windows }, { info }) => {
    const view = new DataView(info.buffer, info.byteOffset);
    view.setUint32(4, 10, true);
    view.setUint32(8, 0, true);
    view.setUint32(12, windows.state.build, true);
  }),
};

/** advapi32.dll. */
export const advapi32Functions: SimulatedDll = {
  RegGetValueW: define(
    WIN32,
    { key: big, subKey: text, value: text, flags: number, type: optionalBuffer, data: buffer, size: buffer },
    ({ windows }, { value, data, size }) => {
      if (value !== "UBR") throw win32Failure(2);
      put32(data, windows.state.revision);
      put32(size, 4);
    },
  ),
};

/** ole32.dll. */
export const ole32Functions: SimulatedDll = {
  CoTaskMemFree: define(INFALLIBLE, { address: big }, ({ process }, { address }) => {
    if (address !== 0n) process.memory.free(address);
  }),
};
