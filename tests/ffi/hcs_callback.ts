// Has a callback called on a thread of the pool, which is not the one that runs JavaScript.
import { threadSafeCallback } from "../../src/ffi/callback.ts";

try {
  using callback = threadSafeCallback(({ type, context, status, data }) => console.log(type, context, status, data));
  const native = new Deno.UnsafeFnPointer(Deno.UnsafePointer.create(callback.address)!, {
    parameters: ["u32", "usize", "i32", "usize"],
    result: "void",
    nonblocking: true,
  });
  await native.call(3, 7n, 0xc0370103 | 0, 0x1234567890n);
} catch (error) {
  console.log((error as Error).name, (error as Error).message);
}
