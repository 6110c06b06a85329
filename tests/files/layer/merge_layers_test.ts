import { assertEquals } from "jsr:@std/assert@^1.0.0";
import type { LayerSource } from "../../../src/files/layer/layer_source.ts";
import { mergeLayers, openLayerFile, traceLayers } from "../../../src/files/layer/merge_layers.ts";
import { textOf } from "../tar/tars.ts";
import { file, folder, layer, link, packedLayer, whiteout } from "./layers.ts";

async function stack(): Promise<LayerSource[]> {
  return [
    await layer(
      folder("Hives"),
      folder("Files"),
      file("Files/both", "top"),
      { name: "Files/both:top", data: "stream" },
      whiteout("Files/.wh.GONE"),
      folder("Files/emptied"),
      whiteout("Files/emptied/.wh..wh..opq"),
      file("Files/emptied/new", "new"),
      folder("Files/again"),
      whiteout("Files/.wh.again"),
      file("Files/again/new", "again"),
      file("Files/nowfile", "file"),
      link("Files/linked", "Files/deep"),
    ),
    await packedLayer(
      folder("Hives"),
      file("Hives/System_Delta", "delta"),
      folder("Files"),
      file("Files/both", "middle"),
      { name: "Files/both:middle", data: "hidden" },
      file("Files/middle", "middle"),
      folder("Files/emptied"),
      file("Files/emptied/old", "old"),
      file("Files/wasfolder", "now a file"),
    ),
    await layer(
      folder("Files"),
      file("Files/Both", "bottom"),
      folder("Files/gone"),
      file("Files/gone/x", "x"),
      file("Files/deep", "deep"),
      { name: "Files/deep:s", data: "s" },
      folder("Files/emptied"),
      file("Files/emptied/older", "older"),
      folder("Files/again"),
      file("Files/again/old", "old"),
      folder("Files/nowfile"),
      file("Files/nowfile/x", "x"),
      folder("Files/wasfolder"),
      file("Files/wasfolder/x", "x"),
    ),
  ];
}

Deno.test("mergeLayers() gives what a container sees of a stack, with the layer that it comes from", async () => {
  const merged = await Array.fromAsync(
    mergeLayers(await stack()),
    async ({ entry, layer }) => `${layer} ${entry.type} ${entry.path} ${await textOf(entry.contents())}`.trim(),
  );
  assertEquals(merged, [
    "0 folder Files",
    "0 file Files/both top",
    "0 stream Files/both:top stream",
    "0 folder Files/emptied",
    "0 file Files/emptied/new new",
    "0 folder Files/again",
    "0 file Files/again/new again",
    "0 file Files/nowfile file",
    "0 link Files/linked",
    "1 file Files/middle middle",
    "1 file Files/wasfolder now a file",
    "2 file Files/deep deep",
    "2 stream Files/deep:s s",
  ]);
});

Deno.test("what a layer hides stays hidden if a layer above adds the folder again", async () => {
  const layers = [
    await layer(folder("Files"), folder("Files/a"), file("Files/a/new")),
    await layer(folder("Files"), file("Files/a")),
    await layer(folder("Files"), folder("Files/a"), file("Files/a/old")),
  ];
  const paths = await Array.fromAsync(mergeLayers(layers), ({ entry }) => entry.path);
  assertEquals(paths, ["Files", "Files/a", "Files/a/new"]);
});

Deno.test("traceLayers() tells which layers have a path or remove it, and which one a container sees", async () => {
  const layers = await stack();
  const traces = async (path: string) =>
    (await traceLayers(layers, path)).map(({ layer, entry, isSeen }) =>
      `${layer} ${entry?.type ?? "removed"}${isSeen ? " seen" : ""}`
    );
  assertEquals(await traces("files/BOTH"), ["0 file seen", "1 file", "2 file"]);
  assertEquals(await traces("Files/gone/x"), ["0 removed seen", "2 file"]);
  assertEquals(await traces("Files/emptied/older"), ["0 removed seen", "2 file"]);
  assertEquals(await traces("Files/emptied"), ["0 folder seen", "1 folder", "2 folder"]);
  assertEquals(await traces("Files/nowfile/x"), ["2 file"]);
  assertEquals(await traces("Files/deep:s"), ["2 stream seen"]);
  assertEquals(await traces("Files/both:middle"), ["1 stream"]);
  assertEquals(await traces("Files/nowhere"), []);
});

Deno.test("openLayerFile() opens what a container sees, also by another name of a file", async () => {
  const layers = await stack();
  const text = async (path: string) => {
    const contents = await openLayerFile(layers, path);
    return contents && await textOf(contents);
  };
  assertEquals(await text("Files/both"), "top");
  assertEquals(await text("Files/both:top"), "stream");
  assertEquals(await text("FILES/MIDDLE"), "middle");
  assertEquals(await text("Files/linked"), "deep");
  for (const path of ["Files/gone/x", "Files/emptied/old", "Files/emptied", "Files/both:middle", "Files/nowhere"]) {
    assertEquals(await text(path), undefined, path);
  }
  const circle = [await layer(folder("Files"), link("Files/a", "Files/b"), link("Files/b", "Files/a"))];
  assertEquals(await openLayerFile(circle, "Files/a"), undefined);
});

Deno.test("openLayerFile() opens streams by each name of a file, and what a layer removes by the name that it gives it", async () => {
  const text = async (layers: LayerSource[], path: string) => {
    const contents = await openLayerFile(layers, path);
    return contents && await textOf(contents);
  };
  const base = await layer(folder("Files"), file("Files/a", "base"), { name: "Files/a:s", data: "stream" });
  const app = await layer(folder("Hives"), folder("Files"), link("Files/b", "Files/a"), whiteout("Files/.wh.a"));
  assertEquals(await text([app, base], "Files/b"), "base");
  assertEquals(await text([app, base], "Files/B:S"), "stream");
  assertEquals(await text([app, base], "Files/b:other"), undefined);
  assertEquals(await text([app, base], "Files/a"), undefined);
  assertEquals(await text([app, base], "Files/a:s"), undefined);
});
