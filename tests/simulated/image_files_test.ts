import { assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import { importBlockCimLayer, importCimLayer } from "../../mod.ts";
import { checkCim, type CimEntry, openCim, streamOf } from "../../src/files/mod.ts";
import { SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";
import { baseEntries, childEntries, entry, folder, tar } from "../support/layer_tars.ts";

const IMAGES = "C:\\layers\\cim-layers";

function machine(): SimulatedHost {
  const host = new SimulatedHost({ build: 27900 });
  host.addFolder(IMAGES);
  return host;
}

async function textOf(entry: CimEntry, stream?: string): Promise<string> {
  return await new Response(streamOf(await entry.contents(stream)) as ReadableStream<Uint8Array<ArrayBuffer>>).text();
}

Deno.test("an image that was written on the simulated host is read as its layer was, and nothing is wrong with it", async () => {
  const host = machine();
  const securityDescriptor = Uint8Array.of(1, 0, 4, 0x80, ...new Uint8Array(8), 0, 0, 0, 0, 0, 0, 0, 0);
  const extendedAttributes = [{ name: "ONE", flags: 0, value: Uint8Array.of(1, 2, 3) }];
  const large = "large ".repeat(2000);
  const given = [
    ...baseEntries(),
    entry({ path: "Files/data/Ä.txt", text: large, attributes: 0x26, securityDescriptor, extendedAttributes }),
    entry({ path: "Files/data/ä😀.txt", text: "b" }),
    folder("Files/empty"),
  ];
  await importCimLayer("C:\\layers\\base", tar(...given), [], { host });
  await importCimLayer("C:\\layers\\app", tar(...childEntries()), ["C:\\layers\\base"], { host });

  const source = host.imageFiles(`${IMAGES}\\base.cim`);
  const faults = await Array.fromAsync(checkCim(source));
  assertEquals(faults.filter(({ severity }) => severity !== "note"), []);
  await using image = await openCim(source);
  for (const { path, type, size, attributes, times, reparse, ...rest } of given) {
    if (type === "link" || type === "stream") continue;
    const read = (await image.entry(path))!;
    assertEquals([read.path, read.size, read.times], [`\\${path.replaceAll("/", "\\")}`, size, times!], path);
    assertEquals([read.isFolder, read.attributes, read.reparseTag], [
      type === "folder",
      attributes!,
      reparse?.tag ?? 0,
    ]);
    if (type === "file") assertEquals(await textOf(read), await new Response(rest.contents()).text(), path);
    assertEquals((await read.securityDescriptor())?.byteLength, 20);
    assertEquals(await read.extendedAttributes(), [...rest.extendedAttributes ?? []]);
  }
  const [first, second] = [await image.entry("Files/data/a.txt"), await image.entry("files\\DATA\\b.txt")];
  assertEquals(first!.id, second!.id);
  assertEquals(await Array.fromAsync(first!.streams()), [{ name: "one", size: 6 }]);
  assertEquals(await textOf(first!, "one"), "stream");
  const hives = await Promise.all(
    ["Hives\\SYSTEM_BASE", "Files\\Windows\\System32\\config\\SYSTEM"].map((path) => image.entry(path)),
  );
  assertEquals(hives[0]!.id, hives[1]!.id);

  await using above = await openCim(host.imageFiles(`${IMAGES}\\app.cim`));
  assertEquals(
    await Array.fromAsync((await above.entry("Files/data"))!.list(), ({ path }) => path.split("\\").at(-1)),
    [
      "a.txt",
      "b.txt",
      "l",
      "new.txt",
      "old.txt",
      "Ä.txt",
      "ä😀.txt",
    ],
  );
});

Deno.test("only an image in a folder with others has such files", async () => {
  const host = machine();
  host.addFile("C:\\file", "text");
  host.addCimLayer("C:\\layers\\plain", { files: { "a\\b.txt": "b" } });
  await importBlockCimLayer("C:\\layers\\base", tar(...baseEntries()), [], { host });
  assertThrows(() => host.imageFiles("C:\\file"), SimulationError, "is no CIM image");
  assertThrows(() => host.imageFiles("C:\\layers\\base\\layer.bcim"), SimulationError, "a file of its own");
  assertThrows(() => host.imageFiles("C:\\none"), Deno.errors.NotFound);
  await using image = await openCim(host.imageFiles(`${IMAGES}\\PLAIN.cim`));
  assertEquals(await textOf((await image.entry("Files\\a\\b.txt"))!), "b");
});
