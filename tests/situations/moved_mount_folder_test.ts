// The drive of a mount folder has another letter by now: what was mounted there, and the folders, are removed all the same.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import {
  mountSandboxVolume,
  mountWCOWLayers,
  recover,
  releaseMount,
  removeSandboxMountPoint,
  unmountWCOWLayers,
} from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { deleteVolumeMountPoint, setVolumeMountPoint } from "../../src/ffi/kernel32.ts";
import { held } from "../support/calls.ts";
import { hostWith, SCRATCH, STACK } from "../support/host.ts";

const VOLUME = "11111111-2222-3333-4444-555555555555";
const DRIVE = "22222222-2222-3333-4444-555555555555";
const FOLDER = "E:\\mnt\\web";

interface Mounted {
  readonly release: () => Promise<void>;
}

const MOUNTS: Record<string, (host: SimulatedHost) => Promise<Mounted>> = {
  "the layers of a container": (host) => mountWCOWLayers("web", STACK, { host, volumeMountPath: FOLDER }),
  "a volume by itself": (host) => mountSandboxVolume(FOLDER, host.addVolume(VOLUME), { host }),
};

const WAYS: Record<string, (host: SimulatedHost, owner: SimulatedHost, mount: Mounted) => Promise<unknown>> = {
  "its release": (_host, _owner, mount) => mount.release(),
  "releaseMount()": (host, _owner, mount) => releaseMount(JSON.parse(JSON.stringify(mount)), { host }),
  "recover()"(host, owner) {
    owner.endProcess();
    return recover({ host });
  },
};

function machine(): { host: SimulatedHost; owner: SimulatedHost; changeLetter: () => void } {
  const host = hostWith({ layers: STACK.slice(0, -1), scratches: [SCRATCH] });
  const drive = host.addVolume(DRIVE);
  host.addDriveLetter("E:", drive);
  const changeLetter = () => {
    deleteVolumeMountPoint(host, "E:\\");
    host.addDriveLetter("F:", drive);
  };
  return { host, owner: host.otherProcess(), changeLetter };
}

for (const [what, mountAt] of Object.entries(MOUNTS)) {
  for (const [way, release] of Object.entries(WAYS)) {
    Deno.test(`${what} at a folder whose drive got another letter: ${way} removes mount point and folders`, async () => {
      const { host, owner, changeLetter } = machine();
      const mount = await mountAt(owner);
      changeLetter();
      assertEquals(host.exists("F:\\mnt\\web"), true);
      await release(host, owner, mount);
      assertEquals([held(host), host.exists("F:\\mnt")], [[], false]);
    });
  }

  Deno.test(`${what} at a folder whose drive got another letter: what else is mounted there since stays`, async () => {
    const { host, owner, changeLetter } = machine();
    const mount = await mountAt(owner);
    changeLetter();
    const theirs = host.addVolume("33333333-2222-3333-4444-555555555555");
    await removeSandboxMountPoint("F:\\mnt\\web", { host });
    host.mkdir("F:\\mnt\\web");
    setVolumeMountPoint(host, "F:\\mnt\\web", theirs);
    await mount.release();
    assertEquals(held(host).filter((each) => !each.startsWith("folder")).length, 1);
    await unmountWCOWLayers(SCRATCH, { host });
    assertEquals(held(host).filter((each) => !each.startsWith("folder")).length, 1);
  });
}
