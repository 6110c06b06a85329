import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  InvalidInputError,
  type MountedVolume,
  mountSandboxVolume,
  NativeError,
  ReleaseError,
  removeSandboxMountPoint,
} from "../../mod.ts";
import * as k32 from "../../src/ffi/kernel32.ts";
import { type InjectedFailure, SimulatedHost } from "../../src/simulated/mod.ts";
import { changes, held } from "../support/calls.ts";
import { hostInFront, MOUNT } from "../support/host.ts";

const VOLUME = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\";
const OTHER = "\\\\?\\Volume{66666666-2222-3333-4444-555555555555}\\";

function volumes(): SimulatedHost {
  const host = new SimulatedHost();
  [VOLUME, OTHER].forEach((name) => host.addVolume(name.slice(11, -2)));
  return host;
}

Deno.test("mountSandboxVolume() mounts a volume at a folder, with or without closing separators", async () => {
  for (const [path, volume] of [[MOUNT, VOLUME], [`${MOUNT}\\`, VOLUME.slice(0, -1)]] as const) {
    const host = volumes();
    const mounted = await mountSandboxVolume(path, volume, { host });
    assertEquals([mounted.path, mounted.volume], [MOUNT, VOLUME]);
    assertEquals(k32.volumeNameForMountPoint(host, MOUNT), VOLUME);
    assertEquals(host.calls.find((call) => call.function === "SetVolumeMountPointW")!.args, {
      volumeMountPoint: `${MOUNT}\\`,
      volumeName: VOLUME,
    });
    await mounted.release();
    assertEquals([held(host), host.paths()], [[], ["C:"]]);
  }
});

/** What exists before, what a mount at `C:\mnt\c1` creates, and what is there after it. */
const OWNERSHIP: [existing: string[], created: string[]][] = [
  [[], [MOUNT, "C:\\mnt"]],
  [["C:\\mnt"], [MOUNT]],
  [[MOUNT], []],
];

for (const [existing, created] of OWNERSHIP) {
  for (const elsewhere of [false, true]) {
    const how = elsewhere ? "removeSandboxMountPoint()" : "release()";
    Deno.test(`${how} removes the folders that were created, and no other: ${created.length} of 2`, async () => {
      const host = volumes();
      existing.forEach((folder) => host.addFolder(folder));
      const before = host.paths();
      const mounted = await mountSandboxVolume(MOUNT, VOLUME, { host });
      assertEquals<unknown>(mounted.holds[0], { kind: "folder", folder: MOUNT, created });
      const calls = host.calls.length;
      if (elsewhere) await removeSandboxMountPoint(`${MOUNT}\\`, { host });
      else await mounted.release();
      assertEquals(changes(host, calls), [
        `DeleteVolumeMountPointW ${MOUNT}\\`,
        ...created.map((folder) => `RemoveDirectoryW ${folder}`),
      ]);
      assertEquals([held(host), host.paths()], [[], before]);
      await removeSandboxMountPoint(MOUNT, { host });
      assertEquals(host.paths(), before, "what is gone already counts as done");
    });
  }
}

Deno.test("mountSandboxVolume() that fails removes what it created, and keeps what was there", async () => {
  for (const [existing] of OWNERSHIP) {
    const host = volumes();
    existing.forEach((folder) => host.addFolder(folder));
    const before = host.paths();
    host.fail({ function: "SetVolumeMountPointW", code: 145 });
    const error = await assertRejects(() => mountSandboxVolume(MOUNT, VOLUME, { host }), NativeError, "not empty");
    assertEquals([error.operation, error.path, error.win32], ["SetVolumeMountPointW", MOUNT, 145]);
    assertEquals([held(host), host.paths()], [[], before]);
  }
});

Deno.test("mountSandboxVolume() that can't create a folder removes the parents that it created", async () => {
  const host = volumes();
  host.fail({
    function: "CreateDirectoryW",
    code: 5,
    when: ({ args }) => args["path"] === MOUNT && host.exists("C:\\mnt"),
  });
  const error = await assertRejects(() => mountSandboxVolume(`${MOUNT}\\deep`, VOLUME, { host }), NativeError);
  assertEquals([error.path, error.win32, host.paths()], [MOUNT, 5, ["C:"]]);
});

Deno.test("mountSandboxVolume() keeps a created parent that somebody else uses by now", async () => {
  const host = volumes();
  const mounted = await mountSandboxVolume(MOUNT, VOLUME, { host });
  host.addFile("C:\\mnt\\theirs.txt");
  await mounted.release();
  assertEquals(host.paths(), ["C:", "C:\\mnt", "C:\\mnt\\theirs.txt"]);
});

Deno.test("mountSandboxVolume() keeps a created folder into which somebody puts something once the volume is off", async () => {
  const host = volumes();
  const mounted = await mountSandboxVolume(MOUNT, VOLUME, { host });
  host.fail({ function: "RemoveDirectoryW", code: 5 });
  await assertRejects(() => mounted.release(), ReleaseError);
  host.failNothing();
  host.addFile(`${MOUNT}\\theirs.txt`);
  await mounted.release();
  assertEquals([host.exists(`${MOUNT}\\theirs.txt`), mounted.holds], [true, []]);
});

Deno.test("mountSandboxVolume() at two folders in a created one: the last to go removes it", async () => {
  for (const order of [[0, 1], [1, 0]]) {
    const host = volumes();
    const mounts = [
      await mountSandboxVolume("C:\\mnt\\c1", VOLUME, { host }),
      await mountSandboxVolume("C:\\mnt\\c2", OTHER, { host }),
    ];
    await mounts[order[0]!]!.release();
    assertEquals(host.held().filter(({ kind }) => kind === "mountPoint").length, 1);
    assertEquals(host.exists(`C:\\mnt\\c${order[1]! + 1}`), true);
    await mounts[order[1]!]!.release();
    assertEquals([held(host), host.paths()], [[], ["C:"]]);
  }
});

Deno.test("removeSandboxMountPoint() at two folders in a created one: the last to go removes it", async () => {
  const host = volumes();
  await mountSandboxVolume("C:\\mnt\\c1", VOLUME, { host });
  await mountSandboxVolume("C:\\mnt\\c2", OTHER, { host });
  await removeSandboxMountPoint("C:\\mnt\\c1", { host });
  await removeSandboxMountPoint("C:\\mnt\\c2", { host });
  assertEquals([held(host), host.paths()], [[], ["C:"]]);
});

Deno.test("mountSandboxVolume() side by side at one folder: one gets it, and the other leaves it alone", async () => {
  for (const existing of [[], [MOUNT]]) {
    const host = volumes();
    existing.forEach((folder) => host.addFolder(folder));
    const before = host.paths();
    const mounts = await Promise.allSettled(
      [VOLUME, OTHER].map((volume) => mountSandboxVolume(MOUNT, volume, { host })),
    );
    assertEquals(mounts.map((mount) => mount.status), ["fulfilled", "rejected"]);
    assertEquals(k32.volumeNameForMountPoint(host, MOUNT), VOLUME);
    await (mounts[0] as PromiseFulfilledResult<AsyncDisposable>).value[Symbol.asyncDispose]();
    assertEquals([held(host), host.paths()], [[], before]);
  }
});

Deno.test("release() leaves alone what somebody else has mounted at the folder meanwhile", async () => {
  for (const existing of [[], [MOUNT]]) {
    const host = volumes();
    existing.forEach((folder) => host.addFolder(folder));
    const before = host.paths();
    const mounted = await mountSandboxVolume(MOUNT, VOLUME, { host });
    await removeSandboxMountPoint(MOUNT, { host });
    const other = await mountSandboxVolume(MOUNT, OTHER, { host });
    await mounted.release();
    assertEquals(k32.volumeNameForMountPoint(host, MOUNT), OTHER);
    await other.release();
    assertEquals([held(host), host.paths()], [[], before]);
  }
});

Deno.test("removeSandboxMountPoint() keeps folders that are no mount points and not ours, and takes missing ones as done", async () => {
  const host = volumes();
  host.addFolder(MOUNT);
  host.addFile("C:\\file");
  const before = host.paths();
  for (const path of [MOUNT, "C:\\no", "C:\\no\\no", "C:\\file"]) await removeSandboxMountPoint(path, { host });
  assertEquals([host.paths(), changes(host).filter((call) => call.startsWith("Remove"))], [before, []]);
});

Deno.test("removeSandboxMountPoint() reports what Windows refuses", async () => {
  const host = volumes();
  await mountSandboxVolume(MOUNT, VOLUME, { host });
  host.fail({ function: "DeleteVolumeMountPointW", code: 5, nth: 1 });
  const error = await assertRejects(
    () => removeSandboxMountPoint(MOUNT, { host }),
    ReleaseError,
    "DeleteVolumeMountPointW",
  );
  assertEquals((error.errors[0] as NativeError).win32, 5);
  await removeSandboxMountPoint(MOUNT, { host });
  assertEquals([held(host), host.paths()], [[], ["C:"]]);
});

Deno.test("of two calls that mount at one folder, the second is refused, and the first one's folder stays", async () => {
  const host = volumes();
  const [first, second] = await Promise.allSettled([
    mountSandboxVolume(MOUNT, VOLUME, { host }),
    mountSandboxVolume(MOUNT, OTHER, { host }),
  ]);
  assertEquals([first.status, second.status], ["fulfilled", "rejected"]);
  assertEquals((second as PromiseRejectedResult).reason instanceof InvalidInputError, true);
  assertEquals(k32.volumeNameForMountPoint(host, MOUNT), VOLUME);
  assertEquals(changes(host).filter((call) => /^(Remove|Delete)/.test(call)), []);
  assertEquals(changes(host).filter((call) => call.startsWith("Set")).length, 1);
  await (first as PromiseFulfilledResult<MountedVolume>).value.release();
  assertEquals([held(host), host.paths()], [[], ["C:"]]);
});

Deno.test("a folder whose creation times out after its effect is removed, also if the look after that fails", async () => {
  const play = async (...failures: InjectedFailure[]) => {
    const host = new SimulatedHost();
    host.addFolder("C:\\mnt");
    const volume = host.addVolume("11111111-2222-3333-4444-555555555555");
    failures.forEach((failure) => host.fail(failure));
    await assertRejects(() =>
      mountSandboxVolume("C:\\mnt\\c1", volume, { host: hostInFront(host, { records: false }) })
    );
    return host;
  };
  const creation = { function: "CreateDirectoryW", code: "ERROR_TIMEOUT", effect: "full", nth: 1 } as const;
  const { calls } = await play(creation);
  const created = calls.findIndex((call) => call.function === "CreateDirectoryW");
  const looks = calls.slice(0, created).filter((call) => call.function === "GetFileAttributesW").length;
  const host = await play(creation, { function: "GetFileAttributesW", code: "ERROR_TIMEOUT", nth: looks + 1 });
  assertEquals([host.exists("C:\\mnt\\c1"), host.held()], [false, []]);
});
