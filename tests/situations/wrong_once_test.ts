// Answers of Windows that are wrong once: another volume, or that something isn't there. Nothing is lost, and what is another
// container's stays its own.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  LayerError,
  listMounts,
  mountSandboxVolume,
  mountWCOWLayers,
  recover,
  ReleaseError,
  releaseMount,
  removeSandboxMountPoint,
  UnexpectedAnswerError,
  unmountWCOWLayers,
} from "../../mod.ts";
import { type SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";
import { wide } from "../../src/ffi/wide.ts";
import { held } from "../support/calls.ts";
import { hostInFront, hostWith, LAYERS, MOUNT, SCRATCH, STACK, withWrapped } from "../support/host.ts";

const OTHER = "C:\\scratch\\db";
const TOP = "C:\\layers\\top";
const IMAGE_STACK = [TOP, SCRATCH];

/** A host on which `GetLayerMountPath` returns a volume, so many times. */
function telling(host: SimulatedHost, volume: string, times: number): SimulatedHost {
  let left = 2 * times;
  return withWrapped(host, (fn, call) => {
    if (fn !== "GetLayerMountPath") return call;
    return async (...args) => {
      const code = await call(...args);
      // The first call asks for the length alone.
      if (left-- > 0 && args[3] instanceof Uint8Array) args[3].set(wide(volume.slice(0, -1)));
      return code;
    };
  });
}

/** A host with a container of a tool that keeps no records, and its volume. */
async function machine(): Promise<{ host: SimulatedHost; theirs: string }> {
  const host = hostWith({ layers: LAYERS, cimLayers: [TOP], scratches: [SCRATCH, OTHER] });
  const tool = hostInFront(host.otherProcess(), { records: false });
  const { path } = await mountWCOWLayers("db", [...LAYERS, OTHER], { host: tool, volumeMountPath: "C:\\db" });
  return { host, theirs: path };
}

Deno.test("Windows tells the volume of another tool's container once: an unmount leaves that, and releases its own", async () => {
  const { host, theirs } = await machine();
  const before = held(host);
  await mountWCOWLayers("web", STACK, { host: host.otherProcess(), volumeMountPath: MOUNT });
  await unmountWCOWLayers(SCRATCH, { host: telling(host.otherProcess(), theirs, 1) });
  assertEquals([held(host), host.exists("C:\\mnt")], [before, false]);
});

Deno.test("Windows tells the volume of another container of this process once: a mount gets its own", async () => {
  const host = hostWith({ layers: LAYERS, scratches: [SCRATCH, OTHER] });
  const db = await mountWCOWLayers("db", [...LAYERS, OTHER], { host });
  const before = held(host);
  const mount = await mountWCOWLayers("web", STACK, { host: telling(host, db.path, 1), volumeMountPath: MOUNT });
  assertEquals(mount.path === db.path, false);
  await mount.release();
  assertEquals(held(host), before);
  const always = () => mountWCOWLayers("web", STACK, { host: telling(host, db.path, Infinity) });
  await assertRejects(always, UnexpectedAnswerError, OTHER);
  assertEquals(held(host), before);
});

Deno.test("a copy of a scratch has the volume of one that another process has unmounted: it is mounted", async () => {
  const host = hostWith({ layers: LAYERS, scratches: [SCRATCH, OTHER] });
  const owner = host.otherProcess();
  const { path } = await mountWCOWLayers("db", [...LAYERS, OTHER], { host: owner });
  await unmountWCOWLayers(OTHER, { host });
  const same = telling(owner, path, Infinity);
  assertEquals((await mountWCOWLayers("web", STACK, { host: same })).path, path);
});

Deno.test("Windows tells the volume of another tool's container as an image is released: that keeps its filter", async () => {
  const host = hostWith({ cimLayers: [TOP], scratches: [SCRATCH, OTHER] });
  const tool = hostInFront(host.otherProcess(), { records: false });
  const { path } = await mountWCOWLayers("db", [TOP, OTHER], { host: tool });
  const before = held(host);
  let theirs: string | undefined;
  const odd = withWrapped(host, (fn, call) => {
    if (fn !== "GetLayerMountPath") return call;
    return async (...args) => {
      const code = await call(...args);
      if (theirs !== undefined && args[3] instanceof Uint8Array) args[3].set(wide(theirs.slice(0, -1)));
      return code;
    };
  });
  const mount = await mountWCOWLayers("web", IMAGE_STACK, { host: odd });
  theirs = path;
  await mount.release().catch((error) => assertEquals(error instanceof ReleaseError, true));
  theirs = undefined;
  await mount.release();
  assertEquals(held(host), before);
});

interface Prepared {
  readonly host: SimulatedHost;
  readonly owner: SimulatedHost;
  readonly saved: string;
}

async function mounted(kind: "layers" | "cimLayers"): Promise<Prepared> {
  const host = hostWith({ [kind]: [TOP], scratches: [SCRATCH] });
  const owner = host.otherProcess();
  const mount = await mountWCOWLayers("web", IMAGE_STACK, { host: owner, volumeMountPath: MOUNT });
  return { host, owner, saved: JSON.stringify(mount) };
}

const VOLUME = "11111111-2222-3333-4444-555555555555";

const WAYS: Record<string, { prepare: () => Promise<Prepared>; release: (on: Prepared) => Promise<unknown> }> = {};
for (const kind of ["layers", "cimLayers"] as const) {
  const prepare = () => mounted(kind);
  WAYS[`unmountWCOWLayers() of ${kind}`] = { prepare, release: ({ host }) => unmountWCOWLayers(SCRATCH, { host }) };
  WAYS[`releaseMount() of ${kind}`] = {
    prepare,
    release: ({ host, saved }) => releaseMount(JSON.parse(saved), { host }),
  };
  WAYS[`recover() of ${kind}`] = {
    prepare,
    async release({ host, owner }) {
      owner.endProcess();
      for (const { error } of await recover({ host })) if (error !== undefined) throw error;
    },
  };
}
WAYS["removeSandboxMountPoint()"] = {
  async prepare() {
    const host = hostWith({});
    const owner = host.otherProcess();
    const mount = await mountSandboxVolume(MOUNT, host.addVolume(VOLUME), { host: owner });
    return { host, owner, saved: JSON.stringify(mount) };
  },
  release: ({ host }) => removeSandboxMountPoint(MOUNT, { host }),
};

const LOOKS = ["GetFileAttributesW", "CreateFileW", "ReadFile", "GetFileInformationByHandleEx"];

function meetsTheUnknown(error: unknown): boolean {
  const { errors = [], cause } = error as { errors?: readonly unknown[]; cause?: unknown };
  return error instanceof SimulationError || errors.some(meetsTheUnknown) ||
    cause !== undefined && meetsTheUnknown(cause);
}

for (const [name, { prepare, release }] of Object.entries(WAYS)) {
  Deno.test(`${name}, told once that something isn't there: takes nothing from under a filter, and leaves nothing`, async () => {
    for (const fn of LOOKS) {
      for (let nth = 1;; nth++) {
        const made = await prepare();
        const { host } = made;
        const failing = host.fail({ function: fn, code: "ERROR_FILE_NOT_FOUND", nth });
        const error = await release(made).then(() => undefined, (error) => error);
        const { fired } = failing;
        failing.undo();
        if (error !== undefined) {
          assertEquals([error instanceof LayerError, meetsTheUnknown(error)], [true, false], `${fn} ${nth}: ${error}`);
          await release(made);
        }
        assertEquals([held(host), host.exists(MOUNT)], [[], false], `${fn} ${nth}`);
        if (fired === 0) break;
      }
    }
  });
}

Deno.test("an overlay filter can't be detached once: an unmount keeps the image and the disk under it", async () => {
  const { host } = await mounted("cimLayers");
  host.fail({ function: "HcsDetachOverlayFilter", code: "ERROR_FILE_NOT_FOUND", nth: 1 });
  await unmountWCOWLayers(SCRATCH, { host });
  assertEquals(held(host), []);
});

Deno.test("a mount folder that another program removes as it is being created is created again", async () => {
  const host = hostWith({ layers: LAYERS, scratches: [SCRATCH] });
  const before = host.paths();
  host.fail({
    function: "CreateDirectoryW",
    code: "ERROR_ALREADY_EXISTS",
    nth: 1,
    when: ({ args }) => args.path === MOUNT,
  });
  await (await mountWCOWLayers("web", STACK, { host, volumeMountPath: MOUNT })).release();
  assertEquals([held(host), host.paths()], [[], before]);
});

Deno.test("Windows tells another id of a folder once: a permanent mount stays, and a mount is released whole", async () => {
  for (let nth = 1;; nth++) {
    const host = hostWith({ layers: LAYERS, scratches: [SCRATCH, OTHER] });
    const other = host.otherProcess();
    await mountWCOWLayers("db", [...LAYERS, OTHER], { host: other, volumeMountPath: "C:\\db", permanent: true });
    other.endProcess();
    const before = held(host);
    let asked = 0;
    const wrong = withWrapped(host, (fn, call) => (...args) => {
      const answer = call(...args);
      if (fn === "GetFileInformationByHandleEx" && ++asked === nth) (args[2] as Uint8Array).fill(57);
      return answer;
    });
    const mount = await mountWCOWLayers("web", STACK, { host: wrong, volumeMountPath: MOUNT });
    await recover({ host: wrong });
    await mount.release();
    assertEquals([held(host), host.exists(MOUNT)], [before, false], `${nth}`);
    if (asked < nth) break;
  }
});

Deno.test("Windows tells once that a process doesn't exist, or not when it started: what it has mounted stays", async () => {
  for (const options of [{ code: "ERROR_INVALID_PARAMETER", nth: 1 }, { code: "ERROR_ACCESS_DENIED" }]) {
    for (const fn of ["OpenProcess", "GetProcessTimes"]) {
      const { host } = await mounted("layers");
      const before = held(host);
      using failing = host.fail({ function: fn, ...options });
      assertEquals((await listMounts({ host })).map(({ owner }) => owner.state), ["alive"]);
      assertEquals((await recover({ host })).map(({ outcome }) => outcome), ["left"]);
      const mount = () => mountWCOWLayers("web", IMAGE_STACK, { host, recover: true });
      await assertRejects(mount, LayerError);
      assertEquals([held(host), failing.fired > 0], [before, true]);
    }
  }
});
