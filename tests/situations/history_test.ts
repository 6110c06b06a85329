// A failure that meets what an earlier failure left.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  InvalidInputError,
  mountWCOWLayers,
  NativeError,
  releaseCimFSHostLayers,
  ReleaseError,
  unmountWCOWLayers,
  UnsupportedBuildError,
  UnwindError,
} from "../../mod.ts";
import type { NativeCall } from "../../src/simulated/mod.ts";
import { changes, held } from "../support/calls.ts";
import { hostWith, MOUNT, SCRATCH, STACK, stackHost } from "../support/host.ts";

const ACCESS_DENIED = 0x80070005;
const CIM_STACK = ["C:\\layers\\top", SCRATCH];

Deno.test("an unmount fails at the disk: the mount's owner goes on from there", async () => {
  const host = stackHost();
  const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  host.fail({ function: "DeactivateLayer", code: 0x80070020, nth: 1 });
  const error = await assertRejects(() => unmountWCOWLayers(SCRATCH, { host }), ReleaseError);
  assertEquals(error.holds.map(({ kind }) => kind), ["activation"]);
  assertEquals(mounted.holds.map(({ kind }) => kind), ["activation"]);
  await mounted.release();
  assertEquals([held(host), mounted.holds], [[], []]);
});

Deno.test("a mount fails on a scratch of which an earlier image was left: that image is released before", async () => {
  const host = hostWith({ cimLayers: [CIM_STACK[0]!], scratches: [SCRATCH] });
  await mountWCOWLayers("one", CIM_STACK, { host });
  host.fail({ function: "CimDismountImage", code: ACCESS_DENIED });
  await assertRejects(() => unmountWCOWLayers(SCRATCH, { host }), ReleaseError);
  assertEquals(host.held().map(({ kind }) => kind), ["cimVolume"]);
  host.failNothing();
  host.fail({ function: "CimMountImage", code: ACCESS_DENIED });
  await assertRejects(() => mountWCOWLayers("two", CIM_STACK, { host }), NativeError);
  host.failNothing();
  await unmountWCOWLayers(SCRATCH, { host });
  assertEquals(held(host), []);
});

Deno.test("an unmount says of each step whether something was there: overlay, image, disk, folder", async () => {
  const host = hostWith({ cimLayers: [CIM_STACK[0]!], scratches: [SCRATCH] });
  const unmount = async (volumeMountPath?: string) => {
    const released = await unmountWCOWLayers(SCRATCH, { host, volumeMountPath });
    return released.map(({ hold, wasHeld }) => `${hold.kind} ${wasHeld}`);
  };
  await mountWCOWLayers("c1", CIM_STACK, { host, volumeMountPath: MOUNT });
  assertEquals(await unmount(), [
    "mountPoint true",
    "folder true",
    "overlay true",
    "filter false",
    "cimVolume true",
    "activation true",
  ]);
  assertEquals(held(host), []);
  assertEquals(await unmount(MOUNT), ["mountPoint false", "folder false", "filter false", "activation false"]);
});

Deno.test("an unmount with an empty container id, or on a Windows that is too old, is refused before it changes anything", async () => {
  const host = stackHost();
  await mountWCOWLayers("c1", STACK, { host });
  const before = changes(host);
  for (
    const unmount of [
      () => unmountWCOWLayers(SCRATCH, { host, containerId: "" }),
      () => releaseCimFSHostLayers(SCRATCH, "", { host }),
    ]
  ) {
    assertEquals((await assertRejects(unmount, InvalidInputError)).argument, "containerId");
  }
  assertEquals(changes(host), before);
  const old = stackHost({ build: 17134 });
  const error = await assertRejects(() => unmountWCOWLayers(SCRATCH, { host: old }), UnsupportedBuildError);
  assertEquals([error.build, changes(old)], ["17134", []]);
});

Deno.test("a mount folder can't be marked, and not be removed either: the error says both, and gives it back later", async () => {
  const host = stackHost();
  const before = host.paths();
  const isMark = ({ args }: NativeCall) => String(args["path"]).includes(":hcs-layers");
  host.fail({ function: "CreateFileW", code: 0x80070070, when: isMark });
  host.fail({ function: "RemoveDirectoryW", code: 0x80070020 });
  const error = await assertRejects(
    () => mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT }),
    UnwindError,
  );
  const { operation, win32 } = error.cause as NativeError;
  assertEquals([operation, win32, error.holds.map(({ kind }) => kind)], ["CreateFileW", 112, ["folder"]]);
  assertEquals(held(host), ["folder C:\\mnt"]);
  host.failNothing();
  await error.release();
  assertEquals([held(host), host.paths()], [[], before]);
});
