// What is imported into an image of the simulated host is read from the files of that image.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { importBlockCimLayer, importCimLayer, mergeBlockCims, mountWCOWLayers, type WCOWLayers } from "../../mod.ts";
import { checkCim, type LayerEntry, layerOfCim, openCim } from "../../src/files/mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { baseEntries, childEntries, tar } from "../support/layer_tars.ts";

type Facts = Readonly<Record<string, unknown>>;

async function factsOf(
  { path, type, size, attributes, times, reparse, target, contents }: LayerEntry,
): Promise<[string, Facts]> {
  const text = await new Response(contents() as ReadableStream<Uint8Array<ArrayBuffer>>).text();
  return [path, { type, size, attributes, times, target: target ?? reparse?.target, text }];
}

async function read(host: SimulatedHost, image: string): Promise<Record<string, Facts>> {
  const source = host.imageFiles(image);
  assertEquals((await Array.fromAsync(checkCim(source))).filter(({ severity }) => severity === "error"), []);
  await using open = await openCim(source);
  return Object.fromEntries(await Array.fromAsync(layerOfCim(open).entries(), factsOf));
}

Deno.test("each file of a tar is read from the image that it was imported into, with all that Windows keeps of it", async () => {
  const host = new SimulatedHost({ build: 27900 });
  host.addFolder("C:\\layers\\cim-layers");
  const { image } = await importCimLayer("C:\\layers\\base", tar(...baseEntries()), [], { host });
  const found = await read(host, image);
  for (const entry of baseEntries()) {
    const [path, facts] = await factsOf(entry);
    // Streams and further names have neither attributes nor times.
    if (["stream", "link"].includes(entry.type)) Object.assign(facts, { attributes: undefined, times: undefined });
    assertEquals(found[path], facts, path);
  }

  const above = await importCimLayer("C:\\layers\\app", tar(...childEntries()), ["C:\\layers\\base"], { host });
  const next = await read(host, above.image);
  assertEquals(next["Files/data/gone.txt"], undefined);
  assertEquals([next["Files/data/new.txt"]?.text, next["Files/data/old.txt"]?.target], ["new", "Files/data/a.txt"]);
});

const [BASE, APP, SCRATCH] = ["C:\\layers\\base", "C:\\layers\\app", "C:\\scratch"];

async function seen(host: SimulatedHost, layers: WCOWLayers | string[]): Promise<[names: string[], text: string]> {
  host.addScratch(SCRATCH);
  await using mounted = await mountWCOWLayers("c1", layers, { host });
  return [
    host.readDir(`${mounted.path}data`).map(({ name }) => name),
    host.readTextFile(`${mounted.path}data\\new.txt`),
  ];
}

Deno.test("a container has the files of the layers that were imported into images", async () => {
  const host = new SimulatedHost({ build: 27900 });
  host.addFolder("C:\\layers\\cim-layers");
  await importCimLayer(BASE, tar(...baseEntries()), [], { host });
  await importCimLayer(APP, tar(...childEntries()), [BASE], { host });
  assertEquals(await seen(host, [APP, BASE, SCRATCH]), [["a.txt", "b.txt", "l", "new.txt", "old.txt"], "new"]);
});

Deno.test("a container has the files of the layers that were imported into images of their own, and merged", async () => {
  const host = new SimulatedHost({ build: 27900 });
  host.addFolder("C:\\layers");
  const base = await importBlockCimLayer(BASE, tar(...baseEntries()), [], { host, verified: true });
  const app = await importBlockCimLayer(APP, tar(...childEntries()), [BASE], { host, verified: true });
  const images = [app, base].map(({ image }) => ({ path: image, name: "layer.cim" }));
  const block = "C:\\layers\\merged.bcim";
  const hash = await mergeBlockCims(block, images.map(({ path }) => ({ block: path })), { host, verified: true });
  const merged = { path: block, name: "layer.cim" };
  const forms = { kind: "blockImages", storage: "file", layers: images, merged, rootHash: hash!.toHex() } as const;
  assertEquals(await seen(host, { ...forms, scratch: SCRATCH }), [
    ["a.txt", "b.txt", "l", "new.txt", "old.txt"],
    "new",
  ]);
});
