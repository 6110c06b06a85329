import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { BaseHandler, setup } from "jsr:@std/log@^0.224.14";
import { mountWCOWLayers } from "../mod.ts";
import { NativeError } from "../src/errors/windows_errors.ts";
import { log } from "../src/log.ts";
import { held } from "./support/calls.ts";
import { MOUNT, STACK, stackHost } from "./support/host.ts";

class FullDisk extends BaseHandler {
  lines = 0;

  override handle(): void {
    this.lines++;
    throw new Error("ENOSPC: no space left on device");
  }

  override log(): void {}
}

/** Listens to the library's log with a handler that throws, until it is disposed of. */
function fullDisk() {
  const handler = new FullDisk("DEBUG");
  setup({ handlers: { handler }, loggers: { "hcs-layers": { level: "DEBUG", handlers: ["handler"] } } });
  return Object.assign(handler, { [Symbol.dispose]: () => setup({ handlers: {}, loggers: {} }) });
}

Deno.test("mountWCOWLayers() mounts and releases the same whatever a handler of the log does", async () => {
  const quiet = stackHost();
  await (await mountWCOWLayers("c1", STACK, { host: quiet, volumeMountPath: MOUNT })).release();
  using handler = fullDisk();
  const host = stackHost();
  const layers = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  await layers.release();
  assertEquals(host.calls, quiet.calls);
  assertEquals([held(host), handler.lines > 0], [[], true]);
});

Deno.test("mountWCOWLayers() tries again, and fails with the error of Windows, while the log can't be written", async () => {
  using handler = fullDisk();
  const host = stackHost();
  host.fail({ function: "PrepareLayer", code: 21 });
  const error = await mountWCOWLayers("c1", STACK, { host }).catch((error) => error);
  assertEquals([error instanceof NativeError, error.win32], [true, 21]);
  assertEquals(host.calls.filter((call) => call.function === "PrepareLayer").length, 5);
  assertEquals([held(host), handler.lines >= 4], [[], true]);
});

Deno.test("log() loses a line that can't be made, at every level, and makes none if nobody listens", () => {
  const message = () => {
    throw new Error("no text");
  };
  for (const level of ["debug", "info", "warn", "error"] as const) log(level, message);
  using _handler = fullDisk();
  for (const level of ["debug", "info", "warn", "error"] as const) log(level, message);
});
