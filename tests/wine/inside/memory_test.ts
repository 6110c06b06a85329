import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { windowsHost } from "../../../src/ffi/host.ts";
import { kernel32, lastError } from "../../../src/ffi/kernel32.ts";
import { getLayerMountPath, layerExists, prepareLayer } from "../../../src/ffi/vmcompute.ts";
import { probe } from "./probe.ts";
import { Recorder } from "./recorder.ts";

// `--v8-flags=--expose-gc`
const { gc } = globalThis as unknown as { gc(): void };

/** Moves and reuses all memory of which V8 thinks that nobody needs it. */
function churn(): void {
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 500; i++) new Uint8Array(16 + i).fill(0xdd);
    gc();
  }
}

Deno.test("buffers that only a pool call knows survive garbage collection", async () => {
  using host = windowsHost();
  const { ChecksumSlow } = host.symbols(probe);
  // On V8's heap (up to 64 bytes), and outside.
  const sizes = [1, 16, 63, 64, 65, 200, 4096, 100_000];
  const checksums = sizes.map((size) => ChecksumSlow(pattern(size), size, 100));
  churn();
  assertEquals(await Promise.all(checksums), sizes.map((size) => fnv1a(pattern(size))));
});

Deno.test("arguments and answers of layer calls survive garbage collection", async () => {
  using recorder = new Recorder();
  using host = windowsHost();
  const id = "488d6829-ed71-5eed-ac15-2fb41ecac0fd";
  const parents = Array.from({ length: 20 }, (_, i) => ({ id, path: `C:\\layers\\${"p".repeat(10 * i)}${i}` }));
  const id2 = (i: number) => `C:\\scratch\\${"s".repeat(10 * i)}`;

  recorder.hold("PrepareLayer");
  const prepared = [0, 1, 2, 3].map((i) => prepareLayer(host, id2(i), parents));
  await recorder.untilHeld(4);
  churn();
  recorder.letGo();
  await Promise.all(prepared);
  for (const { args } of recorder.calls) {
    assertEquals(args.layers, parents.map(({ id, path }) => ({ LayerId: id, Flags: 0, Path: path })));
  }
  assertEquals(recorder.calls.map(({ args }) => args.id).sort(), [0, 1, 2, 3].map(id2));

  for (const [fn, call] of [["LayerExists", layerExists], ["GetLayerMountPath", getLayerMountPath]] as const) {
    recorder.hold(fn);
    const answer = call(host, id2(2));
    await recorder.untilHeld();
    churn();
    recorder.letGo();
    const answered = await answer;
    const out = recorder.calls.at(-1)!.out!;
    assertEquals(answered, fn === "LayerExists" ? out.exists === 1 : String(out.buffer));
  }
});

Deno.test("lastError() is right after each of 10,000 failing calls, while pool calls fail beside them", async () => {
  using host = windowsHost();
  const { ChecksumSlow, FailWith, FailWithElsewhere } = host.symbols(probe);
  // Loading it would change the last error.
  host.symbols(kernel32);
  let running = true;
  const beside = Array.from({ length: 4 }, async () => {
    while (running) await Promise.all([FailWithElsewhere(0xbad), ChecksumSlow(pattern(64), 64, 1)]);
  });
  const wrong: string[] = [];
  for (let code = 1; code <= 10_000; code++) {
    FailWith(code);
    const { win32 } = lastError(host, "FailWith");
    if (win32 !== code) wrong.push(`${code}: ${win32}`);
    if (code % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  running = false;
  await Promise.all(beside);
  assertEquals(wrong, []);
});

function pattern(size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(size).map((_, i) => i * 7 + 3);
}

function fnv1a(bytes: Uint8Array): number {
  return bytes.reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193), 0x811c9dc5) >>> 0;
}
