// Every single failure, at every native call of each helper of the storage API: nothing is held, nothing foreign is
// deleted, and doing it again works.
import { assert, assertEquals } from "jsr:@std/assert@^1.0.0";
import type { CompletedCall, SimulatedHost } from "../../src/simulated/mod.ts";
import { hostWith } from "../support/host.ts";
import * as storage from "../../src/storage/mod.ts";

const BASE = "C:\\layers\\base";
const UVM = `${BASE}\\UtilityVM`;
const SCRATCH = "C:\\scratch";
const DISK = `${SCRATCH}\\sandbox.vhdx`;
const BLANK = "C:\\disks\\blank.vhdx";
const NEW = "C:\\containers\\c1";
const IMAGE = "C:\\layers\\cim-layers\\base.cim";
const VOLUME = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\";
const GIB = 2 ** 30;

interface Helper {
  /** Does it on a host. */
  run(host: SimulatedHost): unknown;
  /** Paths of the files and folders that it makes. */
  readonly makes: readonly string[];
  /** The first build that has it. */
  readonly since?: number;
  /** Whether doing it again is another thing than doing it. */
  readonly once?: true;
}

const containerDisks = { base: `${BASE}\\blank-base.vhdx`, differencing: `${BASE}\\blank.vhdx`, size: GIB };
const vmDisks = { base: `${UVM}\\Base.vhdx`, differencing: `${UVM}\\Template.vhdx`, size: GIB };
const hives = ["DefaultUser_Base", "Sam_Base", "Security_Base", "Software_Base", "System_Base"];

const HELPERS: Record<string, Helper> = {
  createVhdx: {
    run: (host) => storage.createVhdx("C:\\disks\\new.vhdx", { size: GIB, host }),
    makes: ["C:\\disks\\new.vhdx"],
  },
  createDifferencingDisk: {
    run: (host) => storage.createDifferencingDisk("C:\\disks\\new.vhdx", DISK, { host }),
    makes: ["C:\\disks\\new.vhdx"],
  },
  openDisk: {
    async run(host) {
      const disk = await storage.openDisk(DISK, { host });
      await ended(() => disk.info(), () => disk[Symbol.dispose]());
    },
    makes: [],
  },
  attachDisk: {
    async run(host) {
      const disk = await storage.attachDisk(DISK, { host });
      await ended(() => disk.physicalPath(), () => disk[Symbol.asyncDispose]());
    },
    makes: [],
  },
  formatWritableLayerDisk: {
    run: (host) => storage.formatWritableLayerDisk(BLANK, { host }),
    makes: [],
    once: true,
  },
  mountWritableLayerDisk: {
    async run(host) {
      const disk = await storage.mountWritableLayerDisk(DISK, { host });
      await ended(() => {}, () => disk.release());
    },
    makes: [],
  },
  setupContainerBaseLayer: {
    run: (host) => storage.setupContainerBaseLayer(BASE, containerDisks, { host }),
    makes: [
      containerDisks.base,
      containerDisks.differencing,
      `${BASE}\\Layout`,
      `${BASE}\\Hives`,
      ...hives.map((name) => `${BASE}\\Hives\\${name}`),
    ],
  },
  setupUtilityVMBaseLayer: {
    run: (host) => storage.setupUtilityVMBaseLayer(UVM, vmDisks, { host }),
    makes: [vmDisks.base, vmDisks.differencing],
  },
  createScratch: {
    run: (host) => storage.createScratch(NEW, [BASE], { size: 40 * GIB, host }),
    makes: ["C:\\containers", NEW, `${NEW}\\sandbox.vhdx`],
  },
  createUtilityVMScratch: {
    run: (host) => storage.createUtilityVMScratch(NEW, BASE, { vmId: "vm1", host }),
    makes: ["C:\\containers", NEW, `${NEW}\\sandbox.vhdx`],
  },
  expandScratch: {
    run: (host) => storage.expandScratch(SCRATCH, 40 * GIB, { host }),
    makes: [],
  },
  mountCimImage: {
    async run(host) {
      const image = await storage.mountCimImage(IMAGE, VOLUME, { host });
      await ended(() => {}, () => image.release());
    },
    makes: [],
    since: 19041,
  },
  grantVmGroupAccess: {
    run: (host) => storage.grantVmGroupAccess(DISK, { host }),
    makes: [],
  },
  enablePrivileges: {
    async run(host) {
      const enabled = storage.enablePrivileges(["SeBackupPrivilege", "SeRestorePrivilege"], { host });
      await ended(() => {}, () => enabled[Symbol.dispose]());
    },
    makes: [],
  },
};

// What the caller of a function does with its answer: uses it, and gives it back, for as long as that takes.
async function ended(use: () => unknown, end: () => unknown): Promise<void> {
  try {
    use();
    await end();
  } catch (error) {
    await end();
    throw error;
  }
}

function failureHost(build: number): SimulatedHost {
  return hostWith({
    layers: [BASE],
    files: {
      [`${UVM}\\SystemTemplate.vhdx`]: 8 * 2 ** 20,
      [`${BASE}\\Files\\Windows\\foreign.dll`]: 1,
      [IMAGE]: 4096,
    },
    scratches: [SCRATCH],
    disks: { [BLANK]: GIB },
  }, { build });
}

// They answer nothing that could be wrong, or fail by answering success.
const CANT_FAIL = [
  "GetLastError",
  "copyIn",
  "copyOut",
  "lstrlenW",
  "GetCurrentProcess",
  "GetCurrentProcessId",
  "GetSystemTimeAsFileTime",
  "LocalFree",
];

for (const [name, helper] of Object.entries(HELPERS)) {
  for (const build of [17763, 20348].filter((build) => build >= (helper.since ?? 0))) {
    Deno.test(`${name}() holds nothing after any one failure, on build ${build}`, async () => {
      const clean = failureHost(build);
      await helper.run(clean);
      const seen = new Map<string, number>();
      const failures = clean.calls.map(({ function: fn }: CompletedCall) => {
        const nth = (seen.get(fn) ?? 0) + 1;
        seen.set(fn, nth);
        return { function: fn, nth };
      }).filter((failure) => !CANT_FAIL.includes(failure.function));
      assert(failures.length > 2);
      for (const failure of failures) await fail(helper, build, failure);
    });
  }
}

async function fail(helper: Helper, build: number, failure: { function: string; nth: number }): Promise<void> {
  const host = failureHost(build);
  const before = host.paths().sort();
  const after = [...before, ...helper.makes].sort();
  const about = JSON.stringify(failure);
  host.fail({ ...failure, code: 0x80070005 });
  const error = await attempt(helper, host);
  const failed = error !== undefined;
  if (error instanceof storage.UnwindError) await error.release();
  // A handle that Windows doesn't close stays open, whatever is done about it.
  const held = host.held().filter(({ kind, target }) =>
    !(kind === "handle" && ["CloseHandle", "FindClose"].includes(failure.function)) &&
    !(!failed && helper.makes.includes(target))
  );
  assertEquals(held, [], about);
  assertEquals(host.paths().sort(), failed ? before : after, about);
  host.failNothing();
  const left = host.held().length;
  if (!failed || helper.once) return;
  assertEquals(await attempt(helper, host), undefined, about);
  assertEquals(host.paths().sort(), after, about);
  assertEquals(host.held().length, left + helper.makes.length, about);
}

async function attempt(helper: Helper, host: SimulatedHost): Promise<unknown> {
  try {
    await helper.run(host);
    return undefined;
  } catch (error) {
    assert(error instanceof storage.LayerError || error instanceof AggregateError, `${error}`);
    return error;
  }
}

Deno.test("UnwindError.release() removes what a helper couldn't remove itself", async () => {
  for (const build of [17763, 20348]) {
    for (const fn of ["DeleteFileW", "RemoveDirectoryW", "CloseHandle"]) {
      for (const [name, helper] of Object.entries(HELPERS)) {
        const host = failureHost(build);
        const before = host.paths().sort();
        for (const last of ["SetSecurityInfo", "GrantVmAccess", "ExpandSandboxSize", "CreateVirtualDisk"]) {
          host.fail({ function: last, code: 5 });
        }
        host.fail({ function: fn, code: 5, when: () => name !== "enablePrivileges" });
        const error = await attempt(helper, host);
        host.failNothing();
        if (error instanceof storage.UnwindError) {
          await error.release();
          await error.release();
        }
        const held = host.held().filter(({ kind }) => kind !== "handle" || fn !== "CloseHandle");
        if (error !== undefined) assertEquals([held, host.paths().sort()], [[], before], `${name} ${fn} ${error}`);
      }
    }
  }
});
