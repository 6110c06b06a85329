// Others on the same machine: processes, containers, and users with folders of their own.
import { assert, assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { type Host, InUseError, mountWCOWLayers, removeSandboxMountPoint, unmountWCOWLayers } from "../../mod.ts";
import { removeDirectory } from "../../src/ffi/kernel32.ts";
import { fromWide } from "../../src/ffi/wide.ts";
import { deactivateLayer, unprepareLayer } from "../../src/storage/mod.ts";
import { CallBarrier, changes, held } from "../support/calls.ts";
import { inAnotherProcess, LAYERS, MOUNT, SCRATCH, STACK, stackHost, withWrapped } from "../support/host.ts";

Deno.test("a user creates a folder where ours was: the late release leaves it alone", async () => {
  const host = stackHost();
  const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  await removeSandboxMountPoint(MOUNT, { host });
  assertEquals(host.exists(MOUNT), false);
  host.addFolder(MOUNT);
  await mounted.release();
  assertEquals([host.exists(MOUNT), held(host)], [true, []]);
});

const FSCTL_GET_REPARSE_POINT = 0x000900a8;
const FSCTL_DELETE_REPARSE_POINT = 0x000900ac;

/** A host on which a folder is a junction, once `isThere` returns true. Adds the codes of DeviceIoControl to a list. */
function withJunction<H extends Host>(host: H, folder: string, isThere: () => boolean, codes: unknown[]): H {
  const isJunction = (path: unknown) => isThere() && pathOf(path).toLowerCase() === folder.toLowerCase();
  return withWrapped(host, (name, call) => {
    if (name === "GetFileAttributesW") return (path) => isJunction(path) ? 0x410 : call(path);
    if (name !== "DeviceIoControl") return call;
    return (...args) => {
      if (!isThere()) return call(...args);
      codes.push(args[1]);
      if (args[1] !== FSCTL_GET_REPARSE_POINT) return 1;
      // REPARSE_DATA_BUFFER: the tag, the length of the substitute name, and the name.
      const target = "\\??\\D:\\data";
      const output = new DataView((args[4] as Uint8Array).buffer);
      output.setUint32(0, 0xa0000003, true);
      output.setUint16(10, 2 * target.length, true);
      [...target].forEach((unit, i) => output.setUint16(16 + 2 * i, unit.charCodeAt(0), true));
      return 1;
    };
  });
}

function pathOf(path: unknown): string {
  return fromWide(path as Uint8Array<ArrayBuffer>).replace(/\\$/, "");
}

Deno.test("a user creates a junction where our mount point was: the late release leaves it alone", async () => {
  const host = stackHost();
  let isThere = false;
  const codes: unknown[] = [];
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
  const busy = withWrapped(host, (name, call) =>
    name !== "CreateDirectoryW" ? call : (...args) => {
      if (removed === 0 && pathOf(args[0]) === MOUNT && host.exists("C:\\mnt")) {
        removed++;
        removeDirectory(host, "C:\\mnt");
      }
      return call(...args);
    });
  const mounted = await mountWCOWLayers("c1", STACK, { host: busy, volumeMountPath: MOUNT });
  assertEquals(removed, 1);
  await mounted.release();
  assertEquals([held(host), host.paths()], [[], before]);
});

/** Another process, which is killed when it calls a function: no call of it has an effect from then on. */
function killedAt<H extends Host>(host: H, name: string): H {
  let isDead = false;
  return withWrapped(inAnotherProcess(host), (other, call) => (...args) => {
    isDead ||= other === name;
    if (isDead) throw new Error("killed");
    return call(...args);
  });
}

Deno.test("a process is killed after it created the mount folder: the unmount removes it", async () => {
  const host = stackHost();
  const before = host.paths();
  const process = host.otherProcess();
  const killed = killedAt(process, "SetVolumeMountPointW");
  await mountWCOWLayers("c1", STACK, { host: killed, volumeMountPath: MOUNT }).catch(() => {});
  process.endProcess();
  const folders = ["folder C:\\mnt", `folder ${MOUNT}`];
  assertEquals(held(host), [`activation ${SCRATCH}`, `filter ${SCRATCH}`, ...folders]);
  await unmountWCOWLayers(SCRATCH, { host });
  assertEquals([held(host), host.paths()], [[], before]);
});

Deno.test("the machine was reset and left a mount point: the next mount removes it first", async () => {
  const host = stackHost();
  const before = host.paths();
  const mount = (from: Host) => mountWCOWLayers("c1", STACK, { host: from, volumeMountPath: MOUNT });
  const reset = inAnotherProcess(host);
  await mount(reset);
  await unprepareLayer(SCRATCH, { host: reset });
  await deactivateLayer(SCRATCH, { host: reset });
  assertEquals(held(host), ["folder C:\\mnt", `folder ${MOUNT}`, `mountPoint ${MOUNT}`]);
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

Deno.test("a scratch is unmounted while it is being mounted: refused, and the mount succeeds", async () => {
  const slow = new CallBarrier(({ function: name }) => name === "PrepareLayer");
  const host = stackHost({ latency: slow.latency });
  const mounting = mountWCOWLayers("c1", STACK, { host });
  await slow.arrival();
  const before = changes(host);
  await assertRejects(() => unmountWCOWLayers(SCRATCH, { host }), InUseError, "is being mounted");
  assertEquals(changes(host), before);
  slow.release();
  await mounting;
  assertEquals(held(host), [`activation ${SCRATCH}`, `filter ${SCRATCH}`]);
  await unmountWCOWLayers(SCRATCH, { host });
  assertEquals(held(host), []);
});
