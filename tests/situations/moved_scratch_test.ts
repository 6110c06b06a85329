// The folder of a mounted scratch has another path by now: its drive got another letter, or its volume another folder.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  findMounts,
  InUseError,
  LayerError,
  listMounts,
  type MountedLayers,
  mountWCOWLayers,
  recover,
  ReleaseError,
  releaseMount,
  unmountWCOWLayers,
} from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { deleteVolumeMountPoint, setVolumeMountPoint } from "../../src/ffi/kernel32.ts";
import { destroyLayer, detachDisk, hcsDestroyLayer, importLayer } from "../../src/storage/mod.ts";
import { changes, held } from "../support/calls.ts";
import { hostWith, MOUNT } from "../support/host.ts";

const GUID = "11111111-2222-3333-4444-555555555555";
const TOP = "C:\\layers\\top";
const MOUNTS = "C:\\ProgramData\\hcs-layers\\mounts";
const FORMER = "C:\\data\\scratches\\web";

interface Machine {
  readonly host: SimulatedHost;
  readonly owner: SimulatedHost;
  readonly volume: string;
  readonly mount: MountedLayers;
  /** What is held and kept in records without the mount. */
  readonly before: string[];
}

const left = (host: SimulatedHost) => [...held(host), ...host.exists(MOUNTS) ? host.readDir(MOUNTS) : []];

/** A host with a scratch on a volume that is mounted at a folder, which is mounted. */
async function machine(kind: "layers" | "cimLayers", createScratch = false): Promise<Machine> {
  const host = hostWith({ [kind]: [TOP], folders: ["C:\\data", "C:\\other"] });
  const volume = host.addVolume(GUID);
  setVolumeMountPoint(host, "C:\\data", volume);
  if (!createScratch) host.addScratch(FORMER);
  const before = held(host);
  const owner = host.otherProcess();
  const mount = await mountWCOWLayers("web", [TOP, FORMER], { host: owner, volumeMountPath: MOUNT, createScratch });
  return { host, owner, volume, mount, before };
}

/** What gives the folder another path: with the former one left, or without. */
const MOVES: Record<string, (machine: Machine) => string> = {
  "its drive got a letter"({ host, volume }) {
    host.addDriveLetter("E:", volume);
    return "E:\\scratches\\web";
  },
  "its volume is mounted elsewhere"({ host, volume }) {
    deleteVolumeMountPoint(host, "C:\\data");
    setVolumeMountPoint(host, "C:\\other", volume);
    return "C:\\other\\scratches\\web";
  },
};

for (const [what, move] of Object.entries(MOVES)) {
  const isGone = what.includes("elsewhere");
  for (const kind of ["layers", "cimLayers"] as const) {
    Deno.test(`${what}: an unmount by its path releases all that was mounted, ${kind}`, async () => {
      for (const createScratch of kind === "layers" ? [false, true] : [false]) {
        const made = await machine(kind, createScratch);
        const { host, owner, mount } = made;
        const now = move(made);
        await unmountWCOWLayers(now, { host });
        // Its own folder and disk stay.
        const isLeft = (one: unknown) => !/^(mountPoint|folder|file)/.test(`${one}`);
        assertEquals([left(host).filter(isLeft), host.exists(MOUNT)], [[], false]);
        await mount.release();
        await (await mountWCOWLayers("web", [TOP, now], { host: owner })).release();
      }
    });
  }

  Deno.test(`${what}: an unmount that fails half-way goes on from there`, async () => {
    const made = await machine("cimLayers");
    const { host } = made;
    const now = move(made);
    host.fail({ function: "DeactivateLayer", code: "ERROR_ACCESS_DENIED", nth: 1 });
    const error = await unmountWCOWLayers(now, { host }).catch((error) => error);
    await error.release();
    assertEquals(left(host).filter((one) => !`${one}`.startsWith("mountPoint")), []);
  });

  Deno.test(`${what}: recover() takes no mount of a process that lives for one without a record`, async () => {
    const made = await machine("cimLayers");
    const { host } = made;
    const now = move(made);
    const mounted = held(host);
    for (const adopt of [true, now]) {
      for (const dryRun of [true, false]) {
        assertEquals((await recover({ host, adopt, dryRun })).map(({ outcome }) => outcome), ["left"]);
      }
    }
    assertEquals(held(host), mounted);
  });

  Deno.test(`${what}: releaseMount() and recover() release it, or tell that it has another path`, async () => {
    const isTold = (error: unknown) => error instanceof InUseError && error.path === FORMER;
    for (const way of ["releaseMount", "recover"]) {
      const made = await machine("cimLayers");
      const { host, owner, mount } = made;
      const now = move(made);
      const mounted = held(host);
      assertEquals((await listMounts({ host })).map(({ state, volume }) => [state, volume]), [["mounted", mount.path]]);
      assertEquals((await findMounts(now, { host })).map(({ id }) => id), [mount.id]);
      owner.endProcess();
      const release = async (): Promise<unknown> =>
        way === "recover"
          ? (await recover({ host }))[0]!.error
          : await releaseMount(JSON.parse(JSON.stringify(mount)), { host }).catch((error) => error);
      if (isGone) {
        assertEquals(isTold(await release()), true);
        assertEquals(held(host), mounted);
        await unmountWCOWLayers(now, { host });
      } else {
        await release();
      }
      assertEquals(left(host).filter((one) => !`${one}`.startsWith("mountPoint")), []);
    }
  });
}

for (const [what, move] of Object.entries(MOVES)) {
  Deno.test(`${what}: a mount with recover releases what a process left that has ended, and nothing of one that lives`, async () => {
    const made = await machine("cimLayers");
    const { host, owner } = made;
    const now = move(made);
    const mounted = held(host);
    const mountAgain = () => mountWCOWLayers("web", [TOP, now], { host, volumeMountPath: MOUNT, recover: true });
    await assertRejects(mountAgain, LayerError);
    assertEquals(held(host), mounted);
    owner.endProcess();
    await (await mountAgain()).release();
    assertEquals(left(host).filter((one) => !`${one}`.startsWith("mountPoint")), []);
  });
}

Deno.test("the owner of a scratch that has another path is told so, and releases it once it is back, or was unmounted", async () => {
  for (const isBack of [true, false]) {
    const made = await machine("layers");
    const { host, volume, owner, mount, before } = made;
    const now = MOVES["its volume is mounted elsewhere"]!(made);
    const from = owner.calls.length;
    const error = await assertRejects(() => mount.release(), ReleaseError, "another path");
    assertEquals(mount.holds.map(({ kind }) => kind), ["activation", "filter"], `${error}`);
    assertEquals(changes(owner, from).filter((call) => call.startsWith("DeactivateLayer")), []);
    if (isBack) {
      deleteVolumeMountPoint(host, "C:\\other");
      setVolumeMountPoint(host, "C:\\data", volume);
      await mount.release();
      assertEquals(left(host), before);
    } else {
      await unmountWCOWLayers(now, { host });
      await mount.release();
      assertEquals([mount.holds, left(host)], [[], ["mountPoint C:\\other"]]);
    }
  }
});

Deno.test("a scratch on a drive that has the letter of a mounted one's by now is refused, and the mounted one stays", async () => {
  const made = await machine("layers");
  const { host, volume } = made;
  const now = MOVES["its volume is mounted elsewhere"]!(made);
  host.addScratch(FORMER);
  const mounted = held(host);
  await assertRejects(() => mountWCOWLayers("new", [TOP, FORMER], { host }), InUseError, volume.slice(0, 10));
  assertEquals(held(host), mounted);
  await unmountWCOWLayers(now, { host });
  await (await mountWCOWLayers("new", [TOP, FORMER], { host })).release();
});

for (const [what, move] of Object.entries(MOVES)) {
  for (const kind of ["layers", "cimLayers"] as const) {
    Deno.test(`${what}: neither the layers nor the disk that a container uses are destroyed, written or detached, ${kind}`, async () => {
      const host = hostWith({ folders: ["C:\\data", "C:\\other", "C:\\from"] });
      const volume = host.addVolume(GUID);
      setVolumeMountPoint(host, "C:\\data", volume);
      if (kind === "layers") host.addLayer("C:\\data\\layer");
      else host.addCimLayer("C:\\data\\layer");
      host.addScratch(FORMER);
      const owner = host.otherProcess();
      const mount = await mountWCOWLayers("web", ["C:\\data\\layer", FORMER], { host: owner });
      const now = move({ host, owner, volume, mount, before: [] });
      const layer = now.replace("scratches\\web", "layer");
      const before = [held(host), host.paths()];
      const calls = [
        () => destroyLayer(layer, { host }),
        () => hcsDestroyLayer(layer, { host }),
        () => importLayer(layer, "C:\\from", { host }),
        () => detachDisk(`${now}\\sandbox.vhdx`, { host }),
      ];
      for (const call of calls) {
        await assertRejects(call, InUseError);
        assertEquals([held(host), host.paths()], before);
      }
      await unmountWCOWLayers(now, { host });
      await destroyLayer(layer, { host });
    });
  }
}

Deno.test("the drives of two containers have swapped their letters: the owner of one leaves the other's, and is told", async () => {
  const host = hostWith({ layers: [TOP] });
  const [one, other] = ["11111111", "22222222"].map((id) => host.addVolume(GUID.replace(/^\d+/, id))) as [
    string,
    string,
  ];
  const give = (letters: readonly [string, string]) => {
    host.addDriveLetter(letters[0], one);
    host.addDriveLetter(letters[1], other);
  };
  give(["E:", "F:"]);
  const scratches = ["E:\\web", "F:\\web"] as const;
  scratches.forEach((scratch) => host.addScratch(scratch));
  const mount = (scratch: string) => mountWCOWLayers("web", [TOP, scratch], { host: host.otherProcess() });
  const mounts = [await mount(scratches[0]), await mount(scratches[1])] as const;
  ["E:\\", "F:\\"].forEach((drive) => deleteVolumeMountPoint(host, drive));
  give(["F:", "E:"]);
  const mounted = held(host);
  await assertRejects(() => mounts[0].release(), ReleaseError, "another path");
  assertEquals(held(host), mounted);
  await unmountWCOWLayers("F:\\web", { host });
  assertEquals(held(host).length, 2);
  await unmountWCOWLayers("E:\\web", { host });
  assertEquals(held(host), []);
  for (const mount of mounts) await mount.release();
});
