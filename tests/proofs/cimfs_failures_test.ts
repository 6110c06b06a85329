import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { mountWCOWLayers, releaseCimFSHostLayers } from "../../mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { hostWith } from "../support/host.ts";

const STACK = ["C:\\layers\\top", "C:\\layers\\base", "C:\\scratch"];
const CODES = [5, 21, 1167, 145, 3, 0x801f0015];

function cimHost(): SimulatedHost {
  return hostWith({
    cimLayers: [STACK[0]!],
    layers: [STACK[1]!],
    scratches: [STACK[2]!],
    folders: ["C:\\mnt"],
  });
}

/** Mounts and releases on `host`; what fails on the way is left to a second release. */
async function cycle(host: SimulatedHost): Promise<void> {
  const errors: unknown[] = [];
  const note = (error: unknown) => void errors.push(error);
  const layers = await mountWCOWLayers("test", STACK, { host, volumeMountPath: "C:\\mnt\\c1" }).catch(note);
  await layers?.release().catch(note);
  host.failNothing();
  await layers?.release();
  for (const error of errors) {
    if (error instanceof AggregateError && "release" in error) await (error.release as () => Promise<void>)();
  }
}

Deno.test("each single failure in a CimFS mount and its release leaves nothing held, and no folder lost", async () => {
  const clean = cimHost();
  const before = clean.paths();
  await cycle(clean);
  const counts = new Map<string, number>();
  for (const { function: name } of clean.calls) counts.set(name, (counts.get(name) ?? 0) + 1);
  // These can't fail, or tell of what did; and Windows has no handle that stays open because closing it failed.
  const infallible = ["GetLastError", "FormatMessageW", "copyIn", "copyOut", "LocalFree", "CloseHandle", "FindClose"]
    .concat("GetCurrentProcessId", "GetSystemTimeAsFileTime");
  for (const name of infallible) counts.delete(name);
  let injected = 0;
  for (const [name, count] of counts) {
    for (let nth = 1; nth <= count; nth++) {
      for (const code of CODES) {
        // Whoever says that there is no filter is believed.
        if (name === "HcsDetachOverlayFilter" && code === 0x801f0015) continue;
        const host = cimHost();
        host.fail({ function: name, nth, code: code > 0xffff ? code : 0x80070000 + code });
        await cycle(host);
        const what = `${name}#${nth}=${code}`;
        assertEquals([what, host.held()], [what, []]);
        assertEquals([what, host.paths()], [what, before]);
        injected++;
      }
    }
  }
  console.log(`${injected} failures in ${counts.size} functions`);
});

Deno.test("a CimFS mount in a killed process is released in another one", async () => {
  const file = await Deno.makeTempFile({ suffix: ".json" });
  try {
    const mount = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", `--allow-read=${file}`, `--allow-write=${file}`, "-"],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const writer = mount.stdin.getWriter();
    await writer.write(new TextEncoder().encode(`
      import { mountWCOWLayers } from ${JSON.stringify(new URL("../../mod.ts", import.meta.url).href)};
      import { SimulatedHost } from ${JSON.stringify(new URL("../../src/simulated/mod.ts", import.meta.url).href)};
      const host = new SimulatedHost({ file: ${JSON.stringify(file)} });
      host.addCimLayer(${JSON.stringify(STACK[0])});
      host.addScratch(${JSON.stringify(STACK[2])});
      await mountWCOWLayers("test", ${JSON.stringify(STACK)}, { host, volumeMountPath: "C:\\\\mnt\\\\c1" });
      console.log("mounted");
      setInterval(() => {}, 1000);
    `));
    await writer.close();
    const reader = mount.stdout.getReader();
    await reader.read();
    mount.kill("SIGKILL");
    await reader.cancel();
    await mount.status;
    const host = new SimulatedHost({ file });
    assertEquals(host.held().map(({ kind }) => kind), [
      "activation",
      "cimVolume",
      "overlay",
      "folder",
      "folder",
      "mountPoint",
    ]);
    await releaseCimFSHostLayers(STACK[2]!, "test", { host });
    assertEquals(host.held(), []);
  } finally {
    await Deno.remove(file);
  }
});
