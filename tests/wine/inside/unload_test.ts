import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { windowsHost } from "../../../mod.ts";
import type { WindowsHost } from "../../../src/ffi/host.ts";
import { fileAttributes, kernel32 } from "../../../src/ffi/kernel32.ts";
import { wide } from "../../../src/ffi/wide.ts";
import { probe } from "./probe.ts";
import { SYSTEM32 } from "./recorder.ts";

/** Whether probe.dll is in this process. */
function isLoaded(): boolean {
  using stack = new DisposableStack();
  const library = Deno.dlopen(`${SYSTEM32}\\kernel32.dll`, {
    GetModuleHandleW: { parameters: ["buffer" /* LPCWSTR */], result: "usize" /* HMODULE */ },
  });
  stack.defer(() => library.close());
  return library.symbols.GetModuleHandleW(wide(probe.file)) !== 0n;
}

/** A call on the pool that runs in probe.dll until it is let go. */
async function callUnderWay(host: WindowsHost): Promise<{ result: Promise<number>; letGo(): void }> {
  const flags = new Uint8Array(2);
  const result = Promise.resolve(host.symbols(probe).RunUntilSet(flags));
  while (flags[0] === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  return { result, letGo: () => flags[1] = 1 };
}

Deno.test("a host resolves only those functions of a DLL that are called", () => {
  using host = windowsHost();
  const resolved = () => {
    const functions = Object.getOwnPropertyDescriptors(host.symbols(kernel32));
    return Object.keys(functions).filter((name) => "value" in functions[name as keyof typeof functions]!);
  };
  // What failed is asked for at once, as looking for a function can change it.
  assertEquals(resolved(), ["GetLastError"]);
  assertEquals(fileAttributes(host, "C:\\no such file"), undefined);
  assertEquals(resolved().toSorted(), ["GetFileAttributesW", "GetLastError"]);
});

Deno.test("disposing of a host unloads its DLLs at once if no call runs", () => {
  const host = windowsHost();
  host.symbols(probe);
  assertEquals(isLoaded(), true);
  host[Symbol.dispose]();
  assertEquals(isLoaded(), false);
  host[Symbol.dispose]();
});

Deno.test("disposing of a host leaves a DLL loaded until the last call on the pool has come back from it", async () => {
  const host = windowsHost();
  const [first, second] = [await callUnderWay(host), await callUnderWay(host)];
  host[Symbol.dispose]();
  assertEquals(isLoaded(), true);
  first.letGo();
  assertEquals(await first.result, 42);
  assertEquals(isLoaded(), true);
  second.letGo();
  assertEquals(await second.result, 42);
  assertEquals(isLoaded(), false);
});

Deno.test("a host that was disposed of loads a DLL anew when asked, and its old calls don't unload that one", async () => {
  using host = windowsHost();
  const old = await callUnderWay(host);
  host[Symbol.dispose]();
  const later = await callUnderWay(host);
  old.letGo();
  assertEquals(await old.result, 42);
  assertEquals(isLoaded(), true);
  later.letGo();
  assertEquals(await later.result, 42);
  assertEquals(host.symbols(probe).ThreadId() > 0, true);
});
