import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { InvalidInputError } from "../../../src/errors/input_error.ts";
import { windowsHost } from "../../../src/ffi/host.ts";
import { activateLayer, grantVmAccess, prepareLayer } from "../../../src/ffi/vmcompute.ts";
import { fromWide, wide } from "../../../src/ffi/wide.ts";
import { probe } from "./probe.ts";
import { Recorder } from "./recorder.ts";

const EVERY_UNIT = Array.from({ length: 0xffff }, (_, i) => String.fromCharCode(i + 1)).join("");

const TEXTS = {
  "ASCII": "C:\\layers\\scratch",
  "non-ASCII": "C:\\Schicht\\ä ö ü ß é 層 слой \u0301",
  "surrogate pairs": "C:\\layers\\😀\u{10000}\u{10ffff}",
  "lone surrogates": "C:\\layers\\\ud800 \udfff \udc00\ud800",
  "characters that JSON escapes": 'C:\\"\\\x01\x1f\x7f',
  "32,767 units": "C:\\" + "層".repeat(32_764),
  "every unit but NUL": EVERY_UNIT,
};

for (const calls of ["pool", "thread"] as const) {
  for (const [what, text] of Object.entries(TEXTS)) {
    Deno.test(`a string with ${what} arrives unit for unit (${calls})`, async () => {
      using recorder = new Recorder();
      using host = windowsHost({ calls });
      await grantVmAccess(host, "", text);
      await prepareLayer(host, text, [{ id: "00000000-0000-0000-0000-000000000000", path: text }]);
      const [access, prepare] = recorder.calls;
      assertEquals(access!.args, { vmid: "", filepath: text });
      assertEquals(prepare!.args.id, text);
      assertEquals(prepare!.args.layers, [{ LayerId: "00000000-0000-0000-0000-000000000000", Flags: 0, Path: text }]);
    });
  }
}

Deno.test("fromWide() reads a string of a DLL unit for unit", () => {
  using host = windowsHost();
  const { EchoWide } = host.symbols(probe);
  for (const text of Object.values(TEXTS)) {
    const echo = new Uint8Array(2 * text.length + 2);
    assertEquals(EchoWide(wide(text), echo, text.length + 1), text.length);
    assertEquals(fromWide(echo), text);
  }
});

Deno.test("a string with a NUL is refused before the call", async () => {
  using recorder = new Recorder();
  using host = windowsHost();
  await assertRejects(() => activateLayer(host, "C:\\layers\0\\scratch"), InvalidInputError, "NUL");
  assertEquals(recorder.calls, []);
});
