import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { diffLayers } from "../../../src/files/layer/diff_layers.ts";
import type { LayerSource } from "../../../src/files/layer/layer_source.ts";
import { file, folder, layer, link, whiteout } from "./layers.ts";

async function differences(from: LayerSource, to: LayerSource): Promise<string[]> {
  return await Array.fromAsync(diffLayers(from, to), ({ path, change, parts }) => [change, path, ...parts].join(" "));
}

Deno.test("diffLayers() compares entries and their bytes", async () => {
  const big = "x".repeat(5_000_000);
  const first = [
    folder("Files"),
    file("Files/same", "same"),
    file("Files/removed"),
    file("Files/text", "abc"),
    file("Files/longer", "abc"),
    file("Files/big", `${big}1`),
    file("Files/attributes"),
    file("Files/times"),
    file("Files/security"),
    file("Files/extended"),
    file("Files/type"),
    { name: "Files/type:stream", data: "1" },
    link("Files/link", "Files/a"),
    whiteout("Files/.wh.same"),
  ];
  const second = [
    folder("Files"),
    file("Files/SAME", "same"),
    file("Files/text", "abd"),
    file("Files/longer", "abcd"),
    file("Files/big", `${big}2`),
    file("Files/attributes", "", { "MSWINDOWS.fileattr": "33" }),
    file("Files/times", "", { ctime: "0.0010001" }),
    file("Files/security", "", { "MSWINDOWS.rawsd": "AAAA" }),
    file("Files/extended", "", { "MSWINDOWS.xattr.A": "AAAA" }),
    { ...file("Files/type"), type: "5" },
    { name: "Files/type:stream", data: "2" },
    link("Files/link", "Files/b"),
    file("Files/added"),
  ];
  assertEquals(await differences(await layer(...first), await layer(...second)), [
    "changed Files/text contents",
    "changed Files/longer size",
    "changed Files/big contents",
    "changed Files/attributes attributes",
    "changed Files/times times",
    "changed Files/security security",
    "changed Files/extended extendedAttributes",
    "changed Files/type type",
    "changed Files/type:stream contents",
    "changed Files/link target",
    "added Files/added",
    "removed Files/removed",
    "removed Files/same",
  ]);
  const same = await layer(...first);
  assertEquals(await differences(same, same), []);
});

Deno.test("diffLayers() compares times of tars to 100 ns, also where one has whole seconds", async () => {
  const at = (mtime: string) => layer(folder("Files"), file("Files/a", "", { mtime }));
  const [whole, exact] = [await at("7"), await at("7.0000001")];
  assertEquals(await differences(whole, exact), ["changed Files/a times"]);
  assertEquals(await differences(exact, whole), ["changed Files/a times"]);
  // Of a folder, no more is known.
  assertEquals(await differences({ ...whole, form: "folder" }, exact), []);
});
