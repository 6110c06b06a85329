// Tier 3: on a real Windows host, as SYSTEM or Administrator. CONTRIBUTING.md tells how to run it.
import { assertEquals, assertInstanceOf, assertMatch, assertRejects } from "jsr:@std/assert@^1.0.0";
import { InUseError, InvalidInputError, mountWCOWLayers, unmountWCOWLayers, windowsHost } from "../../mod.ts";
import { createSandboxLayer, destroyLayer, nameToGuid } from "../../src/ffi/vmcompute.ts";
import { parentLayers } from "../../src/session/session.ts";
import { run } from "../scripts/run.ts";

const ignore = Deno.env.get("HCS_LAYERS_REAL_HOST") !== "1";

/** Folders of the read-only layers of an image of the host's own build, topmost first. */
const LAYERS = (Deno.env.get("HCS_LAYERS_REAL_LAYERS") ?? "").split(";").filter((folder) => folder !== "");

if (!ignore && LAYERS.length === 0) {
  throw new Error("HCS_LAYERS_REAL_LAYERS has to name the folders of an image's layers, topmost first, with ; between");
}

const VOLUME = /^\\\\\?\\Volume\{[0-9a-f-]{36}\}\\$/i;
/** A file of every base layer. */
const BASE_FILE = "Windows\\System32\\ntdll.dll";

/** A scratch of its own, and a folder that doesn't exist yet, for one test. */
async function onScratch(body: (stack: string[], scratch: string, folder: string) => Promise<void>): Promise<void> {
  using host = windowsHost();
  const temporary = await Deno.makeTempDir({ prefix: "hcs-layers-" });
  const scratch = `${temporary}\\scratch`;
  try {
    await createSandboxLayer(host, scratch, parentLayers(host, LAYERS));
    try {
      await body([...LAYERS, scratch], scratch, `${temporary}\\mounted\\here`);
    } finally {
      await unmountWCOWLayers(scratch, { host });
      // Refused while the disk is attached: so this also tells that nothing is left.
      await destroyLayer(host, scratch);
    }
  } finally {
    await Deno.remove(temporary, { recursive: true });
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

for (const calls of ["pool", "thread"] as const) {
  Deno.test({
    name: `mountWCOWLayers() shows the layers at the folder, takes what is written, and gives it back (${calls})`,
    ignore,
    fn: () =>
      onScratch(async (stack, _, folder) => {
        using host = windowsHost({ calls });
        for (const known of [false, true]) {
          const layers = await mountWCOWLayers("real", stack, { host, volumeMountPath: folder });
          assertMatch(layers.path, VOLUME);
          assertEquals(await exists(`${folder}\\${BASE_FILE}`), true);
          assertEquals(await exists(`${folder}\\written.txt`), known, "what was written before is on the scratch");
          await Deno.writeTextFile(`${folder}\\written.txt`, "by the container");
          await layers.release();
          assertEquals(await exists(folder), false, "the folder was created for the mount");
        }
      }),
  });
}

Deno.test({
  name: "mountWCOWLayers() refuses a scratch that is mounted, and leaves it mounted",
  ignore,
  fn: () =>
    onScratch(async (stack, _, folder) => {
      using host = windowsHost();
      await using _layers = await mountWCOWLayers("first", stack, { host, volumeMountPath: folder });
      await assertRejects(() => mountWCOWLayers("second", stack, { host }), InUseError);
      // Another process has only the disk to go by.
      const { code, stderr } = await run(["task", "-q", "mount", ...stack]);
      assertEquals(code, 1);
      assertMatch(stderr, /Unmount it first/);
      assertEquals(await exists(`${folder}\\${BASE_FILE}`), true);
    }),
});

Deno.test({
  name: "deno task mount and unmount work in two processes, with the grants of their tasks",
  ignore,
  fn: () =>
    onScratch(async (stack, scratch, folder) => {
      const mount = await run(["task", "-q", "mount", `--mount-point=${folder}`, ...stack]);
      assertEquals(mount.code, 0, mount.stderr);
      assertMatch(mount.stdout.trimEnd(), VOLUME);
      assertEquals(await exists(`${folder}\\${BASE_FILE}`), true);
      const unmount = await run(["task", "-q", "unmount", "--json", scratch]);
      assertEquals(unmount.code, 0, unmount.stderr);
      const { released } = JSON.parse(unmount.stdout);
      assertEquals(
        released.map(({ hold, wasHeld }: { hold: { kind: string }; wasHeld: boolean }) => [hold.kind, wasHeld]),
        [["mountPoint", true], ["folder", true], ["filter", true], ["activation", true]],
      );
      assertEquals(await exists(folder), false);
    }),
});

Deno.test({
  name: "unmountWCOWLayers() of a scratch that isn't mounted counts as done",
  ignore,
  fn: () =>
    onScratch(async (_, scratch) => {
      using host = windowsHost();
      const released = await unmountWCOWLayers(scratch, { host });
      assertEquals(released.find(({ hold }) => hold.kind === "filter")?.wasHeld, false);
    }),
});

Deno.test({
  name: "mountWCOWLayers() names the layer that doesn't exist",
  ignore,
  fn: () =>
    onScratch(async (_, scratch) => {
      using host = windowsHost();
      const error = await assertRejects(() => mountWCOWLayers("real", [`${scratch}-none`, scratch], { host }));
      assertInstanceOf(error, InvalidInputError);
      assertEquals(error.argument, "layerFolders[0]");
    }),
});

Deno.test({
  name: "nameToGuid() answers what others have seen",
  ignore,
  fn() {
    using host = windowsHost();
    assertEquals(nameToGuid(host, "4"), "bd9c3ef9-f239-59b5-a27e-15c523b1d149");
  },
});
