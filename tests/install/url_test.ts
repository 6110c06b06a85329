import { assert, assertEquals, assertMatch } from "jsr:@std/assert@^1.0.0";
import { blocksOf } from "../docs/blocks.ts";
import { type Ended, ROOT, run } from "../scripts/run.ts";

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

const DOCUMENT = Deno.readTextFileSync(new URL("docs/import-by-url.md", ROOT));
const [CONFIG, MAIN] = ["deno.json", "main.ts"].map((file) =>
  blocksOf("docs/import-by-url.md").find(({ name }) => name === file)!.text
) as [string, string];

/** Serves files, and runs main.ts in a folder that has `files` and nothing else. */
async function runWithServer(
  serve: (path: string) => Response | Promise<Response>,
  files: (origin: string) => Record<string, string>,
  flags: (origin: string) => string[] = () => [],
): Promise<Ended> {
  const folder = await Deno.makeTempDir();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) => serve(new URL(request.url).pathname),
  );
  try {
    const authority = `127.0.0.1:${server.addr.port}`;
    const origin = `http://${authority}`;
    for (const [name, text] of Object.entries(files(origin))) await Deno.writeTextFile(`${folder}/${name}`, text);
    return await run(["run", "--no-prompt", `--allow-import=${authority}`, ...flags(origin), "main.ts"], {
      cwd: folder,
      env: { DENO_DIR: `${folder}/cache` },
    });
  } finally {
    await server.shutdown();
    await Deno.remove(folder, { recursive: true });
  }
}

async function repositoryFile(path: string): Promise<Response> {
  const headers = { "content-type": path.endsWith(".json") ? "application/json" : "text/typescript" };
  return new Response(await Deno.readFile(new URL(`.${path}`, ROOT)), { headers });
}

/** The files of the documentation for another server, with imports of the project's own. */
function ownProject(origin: string): Record<string, string> {
  const config = JSON.parse(CONFIG.replaceAll("http://127.0.0.1:8000", origin));
  // Also one that the library has too: it must not get the project's.
  Object.assign(config.imports, { mine: "./mine.ts", "jsr:@std/log@^0.224.14": "./mine.ts" });
  return {
    "deno.json": JSON.stringify(config),
    "main.ts": `import "mine"; import "jsr:@std/log@^0.224.14"; ${MAIN}`,
    "mine.ts": "console.log('mine');",
  };
}

Deno.test("a project with imports of its own keeps them with the scopes of the documentation", async () => {
  const { code, stdout, stderr } = await runWithServer(repositoryFile, ownProject);
  assertEquals([code, stdout], [0, "mine\n[]\n"], stderr);
});

Deno.test("a map on the command line replaces a project's own imports, as the documentation says", async () => {
  const map = (origin: string) => [`--import-map=${origin}/std/import_map.json`];
  const { code, stderr } = await runWithServer(repositoryFile, ownProject, map);
  assertEquals(code, 1);
  assertMatch(stderr, /not a dependency and not in import map/);
});

Deno.test("the scopes of the documentation are the map that is next to the source, without what only tests use", () => {
  const [[origin, scope]] = Object.entries(JSON.parse(CONFIG).scopes) as [[string, Record<string, string>]];
  const map = JSON.parse(Deno.readTextFileSync(new URL("std/import_map.json", ROOT))).imports;
  delete map["jsr:@std/assert@^1.0.0"];
  for (const specifier of Object.keys(map)) map[specifier] = new URL(map[specifier], `${origin}std/`).href;
  assertEquals(scope, map);
});

Deno.test("the imports of the documentation are all entry points of the package", () => {
  const { exports, name } = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT)));
  const { imports, scopes } = JSON.parse(CONFIG);
  const entryPoints = Object.entries<string>(exports).map(([entry, file]) => [
    `${name}${entry.slice(1)}`,
    new URL(file, Object.keys(scopes)[0]).href,
  ]);
  assertEquals(imports, Object.fromEntries(entryPoints));
});

for (const [, types, outcome] of DOCUMENT.matchAll(/^\| (`\w+\/.*?) +\| (.*?) +\|$/gm)) {
  for (const [, type] of types!.matchAll(/`(.*?)`/g)) {
    Deno.test(`a server that sends .ts as ${type}: ${outcome}`, async () => {
      const { code, stdout, stderr } = await runWithServer(
        () => new Response("export const n: number = 1;", { headers: { "content-type": type! } }),
        (origin) => ({ "main.ts": `import { n } from "${origin}/n.ts"; console.log(n);` }),
      );
      if (outcome === "works") {
        assertEquals([code, stdout], [0, "1\n"], stderr);
      } else {
        assertEquals(code, 1);
        assert(stderr.includes(outcome!.replaceAll("`", "")), stderr);
      }
    });
  }
}
