import { assert, assertEquals } from "jsr:@std/assert@^1.0.0";
import { ROOT, run } from "./run.ts";

const PROGRAM = (origin: string) => `
import { mountWCOWLayers } from "${origin}/mod.ts";
import { SimulatedHost } from "${origin}/src/simulated/mod.ts";

const host = new SimulatedHost();
host.addLayer("C:\\\\layers\\\\base");
host.addScratch("C:\\\\scratch");
{
  await using _layers = await mountWCOWLayers("c1", ["C:\\\\layers\\\\base", "C:\\\\scratch"], { host });
  console.log(host.held().length, "held");
}
console.log(host.held().length, "held");
`;

Deno.test("mod.ts can be imported by URL in an empty folder, with the import map by URL and nothing from elsewhere", async () => {
  const folder = await Deno.makeTempDir();
  const served: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const { pathname } = new URL(request.url);
    served.push(pathname);
    try {
      return new Response(await Deno.readFile(new URL(`.${pathname}`, ROOT)), {
        headers: { "content-type": pathname.endsWith(".json") ? "application/json" : "application/typescript" },
      });
    } catch {
      return new Response(null, { status: 404 });
    }
  });
  try {
    const authority = `127.0.0.1:${server.addr.port}`;
    const origin = `http://${authority}`;
    await Deno.writeTextFile(`${folder}/main.ts`, PROGRAM(origin));
    // Naming a host to import from forbids all others, JSR among them.
    const { code, stdout, stderr } = await run(
      [
        "run",
        "--no-prompt",
        "--check",
        `--allow-import=${authority}`,
        `--import-map=${origin}/std/import_map.json`,
        "main.ts",
      ],
      { cwd: folder, env: { DENO_DIR: `${folder}/cache` } },
    );
    assertEquals([code, stdout], [0, "2 held\n0 held\n"], stderr);
    assert(served.includes("/mod.ts") && served.includes("/std/import_map.json"));
  } finally {
    await server.shutdown();
    await Deno.remove(folder, { recursive: true });
  }
});
