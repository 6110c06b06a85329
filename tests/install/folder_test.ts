import { assertEquals } from "jsr:@std/assert@^1.0.0";
import config from "../../deno.json" with { type: "json" };
import { blocksOf, copyRepository, projectConfig } from "../docs/blocks.ts";
import { Offline } from "../docs/offline.ts";

const MAIN = `
import "mine";
import { mountWCOWLayers } from "@hcs-layers/hcs-layers";
import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
import { createScratch } from "@hcs-layers/hcs-layers/storage";

const host = new SimulatedHost();
host.addLayer("C:\\\\base");
await createScratch("C:\\\\scratch", ["C:\\\\base"], { host });
await using layers = await mountWCOWLayers("c1", ["C:\\\\base", "C:\\\\scratch"], { host });
console.log(layers.placements.length);
`;

/** Runs a program in a project with imports of its own, whose deno.json is README's with the library at `at`. */
async function runInProject(at: string): Promise<void> {
  await using offline = await Offline.open();
  const project = offline.makeFolder("project");
  copyRepository(`${project}/${at}`, "library");
  const { imports, links } = JSON.parse(projectConfig());
  const own = {
    imports: { ...imports, mine: "./mine.ts" },
    links: links.map((link: string) => link.replace("./hcs-layers", at)),
  };
  await Deno.writeTextFile(`${project}/deno.json`, JSON.stringify(own));
  await Deno.writeTextFile(`${project}/mine.ts`, "console.log('mine');");
  await Deno.writeTextFile(`${project}/main.ts`, MAIN);
  const { code, stdout, stderr } = await offline.deno(["run", "--no-prompt", "main.ts"], project);
  assertEquals([code, stdout], [0, "mine\n2\n"], stderr);
}

Deno.test("a copied folder works in a project with imports of its own, offline and with an empty cache", () =>
  runInProject("./hcs-layers"));

Deno.test("a checkout beside the project works too", () => runInProject("../hcs-layers"));

Deno.test("README's lines name this package and its version", () => {
  const { imports } = JSON.parse(projectConfig());
  assertEquals(imports, { [config.name]: `jsr:${config.name}@^${config.version}` });
  const [add] = blocksOf("README.md").filter(({ section }) => section === "From JSR");
  assertEquals(add!.text, `deno add jsr:${config.name}`);
});
