// A creation that fails deletes nothing that somebody else had made at its place.
import { assert, assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { LayerError, mountWCOWLayers, NativeError, recover, UnwindError } from "../../mod.ts";
import { SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";
import { createScratch, createUtilityVMScratch, createVhdx, setupContainerBaseLayer } from "../../src/storage/mod.ts";
import { GIB } from "../support/host.ts";

const DISK = "C:\\scratch\\sandbox.vhdx";
const LAYER = "C:\\layers\\base";
const STACK = [LAYER, "C:\\scratch"];

const CREATIONS: readonly (readonly [string, (host: SimulatedHost) => Promise<unknown>])[] = [
  ["CreateSandboxLayer", (host) => createScratch("C:\\scratch", [LAYER], { host })],
  ["CreateVirtualDisk", (host) => createVhdx(DISK, { size: GIB, host })],
];

function hostWithFolder(): SimulatedHost {
  const host = new SimulatedHost();
  host.addWindowsBootLayer(LAYER);
  host.addFolder("C:\\scratch");
  return host;
}

/** Has somebody make a file just before a function that fails. */
function madeBefore(host: SimulatedHost, fn: string, code: string, path: string): void {
  host.before(fn, () => host.addFile(path, 1), { nth: 1 });
  host.fail({ function: fn, code });
}

for (const [fn, create] of CREATIONS) {
  Deno.test(`${fn} that fails with ERROR_FILE_EXISTS deletes no file that somebody made just before it`, async () => {
    const host = hostWithFolder();
    madeBefore(host, fn, "ERROR_FILE_EXISTS", DISK);
    await assertRejects(() => create(host), NativeError);
    assert(host.exists(DISK));
  });

  Deno.test(`${fn} that fails deletes no file that one look at it missed`, async () => {
    const host = hostWithFolder();
    host.addFile(DISK, 1);
    for (let nth = 1; nth <= 8; nth++) {
      using _missed = host.fail({ function: "GetFileAttributesW", code: "ERROR_FILE_NOT_FOUND", nth });
      using _failure = host.fail({ function: fn, code: "ERROR_TIMEOUT" });
      await assertRejects(() => create(host), LayerError);
      assert(host.exists(DISK), `look ${nth}`);
    }
  });

  Deno.test(`${fn} that fails after its effect is undone`, async () => {
    const host = hostWithFolder();
    host.fail({ function: fn, code: "ERROR_TIMEOUT", effect: "full" });
    const error = await assertRejects(() => create(host), LayerError);
    assert(!(error instanceof SimulationError));
    assertEquals(host.exists(DISK), false);
  });
}

const mountNew = (host: SimulatedHost) => mountWCOWLayers("c1", STACK, { host, createScratch: true });
const DISKS = { base: "C:\\scratch\\base.vhdx", differencing: "C:\\scratch\\blank.vhdx", size: GIB };

// What may be another's: the function, how it fails, where, and what is held of it. The folder holds the disk.
const SCRATCH_HOLDS = ["folder", "newFile"];
const UNCLEAR: readonly (readonly [
  fn: string,
  code: string,
  path: string,
  holds: readonly string[],
  create: (host: SimulatedHost) => Promise<unknown>,
])[] = [
  ...CREATIONS.flatMap(([fn, create]) =>
    ["ERROR_ACCESS_DENIED", "ERROR_SHARING_VIOLATION"].map((code) =>
      [fn, code, DISK, fn === "CreateVirtualDisk" ? ["newDisk"] : SCRATCH_HOLDS, create] as const
    )
  ),
  ["CreateSandboxLayer", "ERROR_DISK_FULL", DISK, SCRATCH_HOLDS, CREATIONS[0]![1]],
  ["CreateSandboxLayer", "ERROR_ACCESS_DENIED", DISK, SCRATCH_HOLDS, mountNew],
  ["CreateSandboxLayer", "ERROR_DISK_FULL", DISK, SCRATCH_HOLDS, mountNew],
  [
    "CopyFileW",
    "ERROR_ACCESS_DENIED",
    DISK,
    SCRATCH_HOLDS,
    (host) => createUtilityVMScratch("C:\\scratch", LAYER, { vmId: "vm", host }),
  ],
  [
    "HcsSetupBaseOSLayer",
    "ERROR_ACCESS_DENIED",
    `${LAYER}\\Layout`,
    ["baseOSLayer"],
    (host) => setupContainerBaseLayer(LAYER, DISKS, { host }),
  ],
];

UNCLEAR.forEach(([fn, code, path, holds, create], i) => {
  Deno.test(`unclear ${i}: ${fn} that fails with ${code} leaves, and tells of, what somebody made just before it`, async () => {
    const host = hostWithFolder();
    const before = host.paths();
    madeBefore(host, fn, code, path);
    const error = await assertRejects(() => create(host), UnwindError, "may be another process's");
    assertEquals([error.holds.map(({ kind }) => kind), host.exists(path)], [holds, true]);
    await assertRejects(() => error.release(), LayerError, path);
    assert(host.exists(path));
    host.remove(path);
    await error.release();
    const isOld = (path: string) => !path.startsWith("C:\\ProgramData");
    assertEquals([error.holds, host.paths().filter(isOld)], [[], before.filter(isOld)]);
  });
});

Deno.test("in a folder that it has just made, a sharing violation speaks for somebody else's disk, a refusal doesn't", async () => {
  for (const [code, stays] of [["ERROR_SHARING_VIOLATION", true], ["ERROR_ACCESS_DENIED", false]] as const) {
    const host = new SimulatedHost();
    host.addLayer(LAYER);
    host.fail({ function: "CreateSandboxLayer", code, effect: "full" });
    const error = await assertRejects(() => createScratch("C:\\scratch", [LAYER], { host }), LayerError);
    assertEquals([host.exists(DISK), error instanceof UnwindError], [stays, stays]);
  }
});

Deno.test("recover() deletes no disk that somebody may have made before a mount failed, nor where an earlier one was", async () => {
  const host = hostWithFolder();
  host.remove("C:\\scratch");
  await createScratch("C:\\scratch", [LAYER], { host });
  host.remove(DISK);
  const process = host.otherProcess();
  madeBefore(process, "CreateSandboxLayer", "ERROR_ACCESS_DENIED", DISK);
  await assertRejects(() => mountNew(process), UnwindError);
  process.endProcess();
  await recover({ host });
  assert(host.exists(DISK));
});
