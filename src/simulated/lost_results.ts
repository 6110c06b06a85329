/**
 * What becomes of the results of a call that had its effect and failed nevertheless.
 *
 * @module
 */

import type { Context, Process } from "./call.ts";
import { hcsFunctions } from "./hcs.ts";
import { kernel32Functions } from "./kernel32.ts";
import { ws2Functions } from "./ws2_32.ts";

/**
 * Remembers the buffers, handles and memory before a call. Returns a function that takes back, after the call, what of
 * these its caller would have got: buffers are as they were, handles are closed, memory is freed.
 */
export function losing(args: Readonly<Record<string, unknown>>, process: Process): (context: Context) => void {
  const buffers = Object.values(args).filter((value) => value instanceof Uint8Array);
  const contents = buffers.map((buffer) => buffer.slice());
  const handle = process.handles.next;
  const memory = process.memory.next;
  const registration = process.service.next;
  return (context) => {
    buffers.forEach((buffer, i) => buffer.set(contents[i]!));
    process.memory.freeSince(memory);
    process.service.loseSince(registration);
    for (const [value, { type }] of process.handles.since(handle)) {
      if (type === "computeSystem") hcsFunctions.HcsCloseComputeSystem!.run(context, { computeSystem: value });
      else if (type === "socket") ws2Functions.closesocket!.run(context, { socket: value });
      else kernel32Functions.CloseHandle!.run(context, { handle: value });
    }
  };
}
