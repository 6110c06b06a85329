import { assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.0";
import { NativeError } from "../../src/errors/windows_errors.ts";
import { nativeCopy, readWide, takeWide } from "../../src/ffi/memory.ts";
import { coTaskMemFree } from "../../src/ffi/ole32.ts";
import { wide } from "../../src/ffi/wide.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";

const TEXT = "é𝄞\ud834";

Deno.test("nativeCopy() and readWide() carry units to native memory and back", () => {
  const host = new SimulatedHost();
  {
    using block = nativeCopy(host, wide(TEXT));
    assertEquals(host.allocations, 1);
    assertEquals(readWide(host, block.address), TEXT);
  }
  assertEquals(host.allocations, 0);
});

Deno.test("nativeCopy() throws where there is no memory", () => {
  const host = new SimulatedHost();
  host.fail({ function: "LocalAlloc", code: 8 });
  assertEquals(assertThrows(() => nativeCopy(host, wide("a")), NativeError).win32, 8);
});

Deno.test("takeWide() reads the string and gives the memory back, also where the function fails", async () => {
  const host = new SimulatedHost();
  const hand = (out: Uint8Array<ArrayBuffer>) => {
    new DataView(out.buffer).setBigUint64(0, nativeCopy(host, wide(TEXT)).address, true);
  };
  const free = (address: bigint) => coTaskMemFree(host, address);
  assertEquals(await takeWide(host, free, (out) => Promise.resolve(hand(out))), TEXT);
  assertEquals(host.allocations, 0);
  await assertRejects(
    () =>
      takeWide(host, free, (out) => {
        hand(out);
        return Promise.reject(new Error("failed"));
      }),
    Error,
    "failed",
  );
  assertEquals(host.allocations, 0);
  assertEquals(await takeWide(host, free, () => Promise.resolve()), "");
});
