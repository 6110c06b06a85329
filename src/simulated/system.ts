/**
 * ntdll.dll and ole32.dll, simulated.
 *
 * @module
 */

import { big, buffer, define, INFALLIBLE, NTSTATUS, type SimulatedDll } from "./call.ts";

/** ntdll.dll. */
export const ntdllFunctions: SimulatedDll = {
  RtlGetVersion: define(NTSTATUS, { info: buffer }, ({ windows }, { info }) => {
    const view = new DataView(info.buffer, info.byteOffset, info.byteLength);
    view.setUint32(4, 10, true);
    view.setUint32(8, 0, true);
    view.setUint32(12, windows.state.build, true);
  }),
};

/** ole32.dll. */
export const ole32Functions: SimulatedDll = {
  CoTaskMemFree: define(INFALLIBLE, { address: big }, ({ process }, { address }) => {
    if (address !== 0n) process.memory.free(address);
  }),
};
