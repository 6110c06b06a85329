/**
 * Functions of this program that Windows calls on its own threads. This is the only module that turns Deno's objects into
 * pointers, which needs `--allow-ffi` without a path. It is loaded only when a VM is created.
 *
 * @module
 */

import { MissingPermissionError } from "../errors/windows_errors.ts";
import type { NativeCallback, NotificationListener } from "./host.ts";

const definition = {
  parameters: [
    "u32", /* DWORD type */
    "usize", /* void* context */
    "i32", /* HRESULT status */
    "usize", /* PCWSTR data, NULL */
  ],
  result: "void",
} as const satisfies Deno.UnsafeCallbackDefinition;

/**
 * Creates a callback. The thread of Windows waits until the event loop has run `listener`. The callback keeps the process
 * alive until it is disposed of.
 *
 * @throws {MissingPermissionError} if Deno was started without `--allow-ffi`, or with `--allow-ffi` for certain paths only.
 */
export function threadSafeCallback(listener: NotificationListener): NativeCallback {
  try {
    const callback = Deno.UnsafeCallback.threadSafe(
      definition,
      (type, context, status, data) => listener({ type, context, status, data }),
    );
    return { address: Deno.UnsafePointer.value(callback.pointer), [Symbol.dispose]: () => callback.close() };
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) {
      throw new MissingPermissionError(["--allow-ffi"], {
        cause,
        because: "Windows reports on a VM by calling back, and Deno grants that with --allow-ffi for all paths only. " +
          "Changing a VM and mounting layers in it is fine with the paths alone",
      });
    }
    throw cause;
  }
}
