// Others on the same machine: processes, containers, and users with folders of their own.
import { assert, assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  type Host,
  InvalidInputError,
  mountWCOWLayers,
  removeSandboxMountPoint,
  unmountWCOWLayers,
} from "../../mod.ts";
import { removeDirectory } from "../../src/ffi/kernel32.ts";
import { fromWide } from "../../src/ffi/wide.ts";
import { deactivateLayer, unprepareLayer } from "../../src/storage/mod.ts";
import { changes, held } from "../support/calls.ts";
import { hostInFront, inAnotherProcess, LAYERS, MOUNT, SCRATCH, STACK, stackHost } from "../support/host.ts";

Deno.test("a user creates a folder where ours was: the late release leaves it alone", async () => {
  const host = stackHost();
  const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  await removeSandboxMountPoint(MOUNT, { host });
  assertEquals(host.exists(MOUNT), false);
  host.addFolder(MOUNT);
  await mounted.release();
  assertEquals([host.exists(MOUNT), held(host)], [true, []]);
});

const FSCTL_DELETE_REPARSE_POINT = 0x000900ac;

/** A host on which a folder is a junction, once `isThere` returns true. */
function withJunction<H extends Host>(host: H, folder: string, isThere: () => boolean, codes: number[]): H {
  const real = host.symbols;
  const isJunction = (path: Uint8Array<ArrayBuffer>) =>
    isThere() && fromWide(path).replace(/\\$/, "").toLowerCase() === folder.toLowerCase();
  const attributes = (path: Uint8Array<ArrayBuffer>) => isJunction(path) ? 0x410 : kernel().GetFileAttributesW!(path);
  const control = (...args: unknown[]) => {
    if (!isThere()) return kernel().DeviceIoControl!(...args);
    codes.push(args[1] as number);
    // REPARSE_DATA_BUFFER: the tag, the length of the substitute name, and the name.
    const name = "\\??\\D:\\data";
    const output = new DataView((args[4] as Uint8Array ?? new Uint8Array(256)).buffer);
    output.setUint32(0, 0xa0000003, true);
    output.setUint16(10, 2 * name.length, true);
    [...name].forEach((unit, i) => output.setUint16(16 + 2 * i, unit.charCodeAt(0), true));
    return 1;
  };
  let table: unknown;
  const kernel = () => table as Record<string, (...args: unknown[]) => unknown>;
  const symbols: Host["symbols"] = (dll) => {
    const functions = real.call(host, dll);
    if (!("GetFileAttributesW" in dll.symbols)) return functions as never;
    table = functions;
    return { ...functions, GetFileAttributesW: attributes, DeviceIoControl: control } as never;
  };
  return hostInFront(host, { symbols });
}

Deno.test("a user creates a junction where our mount point was: the late release leaves it alone", async () => {
  const host = stackHost();
  let isThere = false;
  const codes: number[] = [];
  const owner = withJunction(host, MOUNT, () => isThere, codes);
  const mounted = await mountWCOWLayers("c1", STACK, { host: owner, volumeMountPath: MOUNT });
  await unmountWCOWLayers(SCRATCH, { host: inAnotherProcess(host) });
  assertEquals(host.exists(MOUNT), false);
  host.addFolder(MOUNT);
  isThere = true;
  host.fail({ function: "GetVolumeNameForVolumeMountPointW", code: 87 });
  const from = host.calls.length;
  await mounted.release();
  assertEquals(changes(host, from).filter((call) => /MountPoint|Directory/.test(call)), []);
  assertEquals([codes.includes(FSCTL_DELETE_REPARSE_POINT), host.exists(MOUNT), held(host)], [false, true, []]);
});

Deno.test("another process removes the parent of a new mount folder: it is created again", async () => {
  const host = stackHost();
  const before = host.paths();
  let removed = 0;
  const symbols: Host["symbols"] = (dll) => {
    const table = host.symbols(dll) as unknown as Record<
      string,
      (path: Uint8Array<ArrayBuffer>, last: null) => unknown
    >;
    if (!("CreateDirectoryW" in dll.symbols)) return table as never;
    const create = (path: Uint8Array<ArrayBuffer>, last: null) => {
      if (removed === 0 && fromWide(path) === MOUNT && host.exists("C:\\mnt")) {
        removed++;
        removeDirectory(host, "C:\\mnt");
      }
      return table["CreateDirectoryW"]!(path, last);
    };
    return { ...table, CreateDirectoryW: create } as never;
  };
  const mounted = await mountWCOWLayers("c1", STACK, { host: hostInFront(host, { symbols }), volumeMountPath: MOUNT });
  assertEquals(removed, 1);
  await mounted.release();
  assertEquals([held(host), host.paths()], [[], before]);
});

/** Another process on a machine, which is killed when it calls a function: no call of it has an effect from then on. */
function killedAt<H extends Host>(host: H, name: string): H {
  let isDead = false;
  const symbols: Host["symbols"] = (dll) => {
    const table = host.symbols(dll) as unknown as Record<string, (...args: unknown[]) => unknown>;
    return Object.fromEntries(
      Object.keys(dll.symbols).map((key) => [key, (...args: unknown[]) => {
        isDead ||= key === name;
        if (isDead) throw new Error("killed");
        return table[key]!(...args);
      }]),
    ) as never;
  };
  return hostInFront(host, { machine: {}, symbols });
}

Deno.test("a process is killed after it created the mount folder: the next mount there removes it in the end", async () => {
  const host = stackHost();
  const before = host.paths();
  const killed = killedAt(host, "SetVolumeMountPointW");
  await mountWCOWLayers("c1", STACK, { host: killed, volumeMountPath: MOUNT }).catch(() => {});
  const folders = ["folder C:\\mnt", `folder ${MOUNT}`];
  assertEquals(held(host), [`activation ${SCRATCH}`, `filter ${SCRATCH}`, ...folders]);
  await unmountWCOWLayers(SCRATCH, { host });
  assertEquals(held(host), folders);
  await (await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT })).release();
  assertEquals([held(host), host.paths()], [[], before]);
});

Deno.test("the machine was reset and left a mount point: naming it clears the way for the next mount", async () => {
  const host = stackHost();
  const before = host.paths();
  const mount = (from: Host) => mountWCOWLayers("c1", STACK, { host: from, volumeMountPath: MOUNT });
  const reset = inAnotherProcess(host);
  await mount(reset);
  await unprepareLayer(SCRATCH, { host: reset });
  await deactivateLayer(SCRATCH, { host: reset });
  const left = held(host);
  const error = await assertRejects(() => mount(host), InvalidInputError);
  assertEquals([error.argument, held(host)], ["volumeMountPath", left]);
  await unmountWCOWLayers(SCRATCH, { host, volumeMountPath: MOUNT });
  assertEquals([held(host), host.paths()], [[], before]);
  await (await mount(host)).release();
  assertEquals([held(host), host.paths()], [[], before]);
});

Deno.test("a removal is asked for many times at once, by two processes: all succeed", async () => {
  const host = stackHost({ latency: () => Promise.resolve() });
  const before = host.paths();
  const other = inAnotherProcess(host);
  const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  await Promise.all([
    mounted.release(),
    unmountWCOWLayers(SCRATCH, { host }),
    unmountWCOWLayers(SCRATCH, { host: other }),
    mounted.release(),
    unmountWCOWLayers(SCRATCH, { host: other }),
  ]);
  assertEquals([held(host), host.paths()], [[], before]);
});

Deno.test("ten containers are given one mount folder: one gets it, and the others leave nothing", async () => {
  const host = stackHost({ latency: () => Promise.resolve() });
  const scratches = Array.from({ length: 10 }, (_, i) => `C:\\scratch\\many${i}`);
  scratches.forEach((scratch) => host.addScratch(scratch));
  const before = host.paths();
  const mounts = await Promise.allSettled(
    scratches.map((scratch, i) => mountWCOWLayers(`c${i}`, [...LAYERS, scratch], { host, volumeMountPath: MOUNT })),
  );
  const [winner, ...more] = mounts.filter((mount) => mount.status === "fulfilled");
  assert(winner !== undefined && more.length === 0);
  assertEquals(host.held().length, 5);
  await winner.value.release();
  assertEquals([held(host), host.paths()], [[], before]);
});
