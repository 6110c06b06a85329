import { assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.0";
import {
  checkCim,
  checkedEntries,
  diffLayers,
  filesOfCim,
  fromBytes,
  InvalidInputError,
  layerOfFolder,
  layerOfTar,
  lintLayer,
  mergeLayers,
  openCim,
  openFile,
  openLayer,
  openLayerFile,
  readTar,
  traceLayers,
  verifyLayer,
} from "../../../src/files/mod.ts";
import { folder, layer } from "./layers.ts";

// deno-lint-ignore no-explicit-any
type Any = any;

Deno.test("functions on layers refuse bad arguments by their names", async () => {
  const good = await layer(folder("Files"));
  const locked = new ReadableStream<Uint8Array>();
  locked.getReader();
  const exhaust = (entries: AsyncIterable<unknown>) => Array.fromAsync(entries);
  const calls: readonly (readonly [argument: string, call: () => Promise<unknown>])[] = [
    ["layer", () => exhaust(lintLayer("layer.tar" as Any))],
    ["isBase", () => exhaust(lintLayer(good, { isBase: 1 } as Any))],
    ["parents[0]", () => exhaust(lintLayer(good, { parents: [{} as Any] }))],
    ["parents", () => exhaust(lintLayer(good, { parents: [good], isBase: true }))],
    ["options.base", () => exhaust(lintLayer(good, { base: true } as Any))],
    ["name", () => exhaust(checkedEntries(good.entries(), { name: 1 } as Any))],
    ["layers", () => exhaust(mergeLayers(good as Any))],
    ["layers[1]", () => exhaust(mergeLayers([good, {} as Any]))],
    ["signal", () => exhaust(mergeLayers([good], { signal: 1 } as Any))],
    ["path", () => traceLayers([good], 1 as Any)],
    ["layers", () => openLayerFile(undefined as Any, "Files/a")],
    ["from", () => exhaust(diffLayers(null as Any, good))],
    ["to", () => exhaust(diffLayers(good, {} as Any))],
    ["layer", () => verifyLayer({} as Any, [good])],
    ["against", () => verifyLayer(good, good as Any)],
    ["against", () => verifyLayer(good, [])],
    ["against[1]", () => verifyLayer(good, [good, {} as Any])],
    ["signal", () => verifyLayer(good, [good], { signal: 1 } as Any)],
    ["path", () => openLayer(undefined as Any)],
    ["path", () => openFile(1 as Any)],
    ["source", () => openCim(undefined as Any)],
    ["source.name", () => openCim({} as Any)],
    ["source.folder", () => openCim({ name: "a.cim" } as Any)],
    ["source.folder", () => exhaust(checkCim({ name: "a.cim", folder: {} } as Any))],
    ["source", () => filesOfCim(1 as Any)],
    ["source", () => exhaust(readTar(locked))],
    ["tar", () => exhaust(readTar(ReadableStream.from(["text"]) as Any))],
    ["tar", () => exhaust(readTar(ReadableStream.from([new ArrayBuffer(1024)]) as Any))],
  ];
  for (const [argument, call] of calls) {
    assertEquals((await assertRejects(call, InvalidInputError)).argument, argument);
  }
  assertEquals(assertThrows(() => layerOfFolder(1 as Any), InvalidInputError).argument, "path");
  assertEquals(assertThrows(() => layerOfTar("x.tar" as Any), InvalidInputError).argument, "source");
  const tar = fromBytes(new Uint8Array());
  for (const [argument, source] of [["source.name", { ...tar, name: 1 }], ["source.size", { ...tar, size: NaN }]]) {
    assertEquals(assertThrows(() => layerOfTar(source as Any), InvalidInputError).argument, argument);
  }
  assertEquals(assertThrows(() => layerOfTar(tar, { maxDepth: "1" } as Any), InvalidInputError).argument, "maxDepth");
});
