// A creation that fails deletes nothing that somebody else had made at its place.
import { assert, assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { LayerError } from "../../mod.ts";
import { SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";
import { createScratch, createVhdx } from "../../src/storage/mod.ts";
import { GIB } from "../support/host.ts";

const DISK = "C:\\scratch\\sandbox.vhdx";

const CREATIONS: readonly (readonly [string, (host: SimulatedHost) => Promise<unknown>])[] = [
  ["CreateSandboxLayer", (host) => createScratch("C:\\scratch", ["C:\\layers\\base"], { host })],
  ["CreateVirtualDisk", (host) => createVhdx(DISK, { size: GIB, host })],
];

function hostWithFolder(): SimulatedHost {
  const host = new SimulatedHost();
  host.addLayer("C:\\layers\\base");
  host.addFolder("C:\\scratch");
  return host;
}

for (const [fn, create] of CREATIONS) {
  for (const code of ["ERROR_SHARING_VIOLATION", "ERROR_FILE_EXISTS"]) {
    Deno.test(`${fn} that fails with ${code} deletes no file that somebody made just before it`, async () => {
      const host = hostWithFolder();
      host.before(fn, () => host.addFile(DISK, 1), { nth: 1 });
      host.fail({ function: fn, code });
      await assertRejects(() => create(host), LayerError);
      assert(host.exists(DISK));
    });
  }

  Deno.test(`${fn} that fails deletes no file that one look at it missed`, async () => {
    const host = hostWithFolder();
    host.addFile(DISK, 1);
    const looks: number[] = [];
    for (let nth = 1; nth <= 8; nth++) {
      using missed = host.fail({ function: "GetFileAttributesW", code: "ERROR_FILE_NOT_FOUND", nth });
      using failure = host.fail({ function: fn, code: "ERROR_TIMEOUT" });
      await assertRejects(() => create(host), LayerError);
      assert(host.exists(DISK), `look ${nth}`);
      if (missed.fired > 0 && failure.fired > 0) looks.push(nth);
    }
    assert(looks.length > 0);
  });

  Deno.test(`${fn} that fails after its effect is undone`, async () => {
    const host = hostWithFolder();
    host.fail({ function: fn, code: "ERROR_TIMEOUT", effect: "full" });
    const error = await assertRejects(() => create(host), LayerError);
    assert(!(error instanceof SimulationError));
    assertEquals(host.exists(DISK), false);
  });
}
