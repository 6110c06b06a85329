import { assertEquals, assertMatch, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.0";
import { MissingDllError, mountWCOWLayers, windowsHost } from "../../mod.ts";
import { buildRevision } from "../../src/ffi/advapi32.ts";
import { NativeError } from "../../src/errors/windows_errors.ts";
import { requireGrants } from "../../src/ffi/host.ts";
import { kernel32 } from "../../src/ffi/kernel32.ts";
import { buildNumber } from "../../src/ffi/ntdll.ts";
import { vmcompute } from "../../src/ffi/vmcompute.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { STACK } from "../support/host.ts";

const elsewhere = { ignore: Deno.build.os === "windows" };

Deno.test(
  "windowsHost() elsewhere than on Windows says to pass a SimulatedHost, once it is asked for a DLL",
  elsewhere,
  async () => {
    using host = windowsHost();
    for (const dll of [kernel32, vmcompute]) {
      const error = assertThrows(() => host.symbols<never>(dll as never), MissingDllError);
      assertThrows(() => requireGrants(host, [dll as never]), MissingDllError, "SimulatedHost");
      assertMatch(
        error.message,
        /^\w+\.dll can't be loaded\. This is \w+, not Windows: pass a SimulatedHost as the option `host`$/,
      );
    }
    await assertRejects(() => mountWCOWLayers("c1", STACK), MissingDllError, "SimulatedHost");
  },
);

Deno.test("requireGrants() asks nothing of a simulated host", { permissions: "none" }, () => {
  requireGrants(new SimulatedHost(), [kernel32, vmcompute]);
});

Deno.test("windowsHost() sleeps until its time is over or the signal is aborted, and leaves no timer", async () => {
  using host = windowsHost();
  await host.sleep(1);
  const reason = new Error("enough");
  const controller = new AbortController();
  const sleeping = host.sleep(2 ** 30, controller.signal);
  controller.abort(reason);
  assertEquals(await assertRejects(() => sleeping), reason);
  assertEquals(await assertRejects(() => host.sleep(2 ** 30, controller.signal)), reason);
});

Deno.test("buildNumber() and buildRevision() ask for the true version of Windows", () => {
  const host = new SimulatedHost({ build: 26100, revision: 4349 });
  assertEquals([buildNumber(host), buildRevision(host)], [26100, 4349]);
  host.fail({ function: "RtlGetVersion", code: 0xc0000001 });
  host.fail({ function: "RegGetValueW", code: 5 });
  assertEquals(assertThrows(() => buildNumber(host), NativeError).code, 0xc0000001);
  assertEquals(assertThrows(() => buildRevision(host), NativeError, "CurrentVersion\\UBR").code, 0x80070005);
});
