import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { FormatError, UnreadableFileError } from "../../../src/errors/file_errors.ts";
import { fromBytes } from "../../../src/files/bytes/random_access.ts";
import { diffLayers } from "../../../src/files/layer/diff_layers.ts";
import { layerOfFolder } from "../../../src/files/layer/layer_of_folder.ts";
import { layerOfTar } from "../../../src/files/tar/layer_of_tar.ts";
import { writeLayerTar } from "../../../src/files/tar/layer_tar.ts";
import { findings } from "./layers.ts";
import { bytesOf, textOf } from "../tar/tars.ts";

async function layerFolder(files: Readonly<Record<string, string>>): Promise<string> {
  const root = await Deno.makeTempDir();
  for (const [path, text] of Object.entries(files)) {
    await Deno.mkdir(`${root}/${path.slice(0, path.lastIndexOf("/") + 1)}`, { recursive: true });
    await Deno.writeTextFile(`${root}/${path}`, text);
  }
  return root;
}

Deno.test("layerOfFolder() gives the entries of a layer's folder, and follows no link", async () => {
  const root = await layerFolder({
    "Files/b/x.txt": "x",
    "Files/b.txt": "b",
    "Files/Z": "Z",
    "Hives/System_Delta": "delta",
    "UtilityVM/Files/boot": "boot",
    "layerchain.json": "[]",
    "tombstones.txt": "\ufeffVersion 1.0\r\n\\b\\gone\r\n\\old\r\n",
  });
  await Deno.link(`${root}/Files/Z`, `${root}/Files/second`);
  await Deno.symlink("..", `${root}/Files/up`);
  const mtime = new Date("2020-01-01T00:00:00.123Z");
  await Deno.utime(`${root}/Files/b.txt`, mtime, mtime);
  const layer = layerOfFolder(root);
  const entries = await Array.fromAsync(
    layer.entries(),
    async ({ path, type, contents, target, reparse }) =>
      [type, path, target ?? reparse?.target ?? await textOf(contents())].join(" ").trim(),
  );
  assertEquals(entries, [
    "folder Files",
    "whiteout Files/old",
    "file Files/Z Z",
    "folder Files/b",
    "whiteout Files/b/gone",
    "file Files/b/x.txt x",
    "file Files/b.txt b",
    "link Files/second Files/Z",
    "reparse Files/up ..",
    "folder Hives",
    "file Hives/System_Delta delta",
    "folder UtilityVM",
    "folder UtilityVM/Files",
    "file UtilityVM/Files/boot boot",
  ]);
  const file = (await Array.fromAsync(layer.entries())).find(({ path }) => path === "Files/b.txt");
  assertEquals(file!.times!.write, 132223104001230000n);
  // Of which other times are those of the copy.
  const copied = async function* () {
    for await (const entry of layer.entries()) {
      const { times } = entry;
      yield { ...entry, ...times && { times: { creation: 0n, write: times.write, access: 0n, change: 0n } } };
    }
  };
  const tar = layerOfTar(fromBytes(await bytesOf(writeLayerTar(copied()))));
  assertEquals(await Array.fromAsync(diffLayers(layer, tar)), []);
});

Deno.test("layerOfFolder() refuses a folder that is no layer", async () => {
  const entries = layerOfFolder(await layerFolder({ "Windows/a": "" })).entries();
  await assertRejects(() => Array.fromAsync(entries), FormatError, "it is no layer");
});

Deno.test("layerOfFolder() refuses tombstones that make no sense", async () => {
  for (
    const [text, problem] of [
      ["Version 2.0\n", "version"],
      ["Version 1.0\n\\..\\x\n", "has a .. in it"],
      ["Version 1.0\nx\n", "begin with"],
    ] as const
  ) {
    const layer = layerOfFolder(await layerFolder({ "tombstones.txt": text, "Files/a": "" }));
    await assertRejects(() => Array.fromAsync(layer.entries()), FormatError, problem);
    const found: string[] = [];
    await Array.fromAsync(layer.entries({ onFinding: ({ rule }) => found.push(rule) }));
    assertEquals(found, ["format"]);
  }
});

Deno.test("layerOfFolder() gives what is removed from folders that the layer hasn't, or has in another case", async () => {
  const root = await layerFolder({
    "Files/Data/a": "",
    "tombstones.txt": "Version 1.0\n\\data\\old\n\\other\\deep\\x\n\\other\\y\n",
  });
  assertEquals(await Array.fromAsync(layerOfFolder(root).entries(), ({ type, path }) => `${type} ${path}`), [
    "folder Files",
    "folder Files/Data",
    "whiteout Files/data/old",
    "file Files/Data/a",
    "whiteout Files/other/deep/x",
    "whiteout Files/other/y",
  ]);
});

Deno.test({
  name: "layerOfFolder() opens tombstones only if they are a file: no link to one, and no pipe",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const secret = `${await layerFolder({ "secret": "root:x:0:0" })}/secret`;
    for (const [program, ...args] of [["ln", "-s", secret], ["ln", "-s", "/dev/zero"], ["mkfifo"], ["mkdir"]]) {
      const root = await layerFolder({ "Files/a": "" });
      await new Deno.Command(program!, { args: [...args, `${root}/tombstones.txt`] }).output();
      const error = await assertRejects(() => Array.fromAsync(layerOfFolder(root).entries()), FormatError);
      assertEquals([error.file, error.problem], [`${root}/tombstones.txt`, "it is no file"]);
    }
    const root = await layerFolder({ "tombstones.txt": "", "Files/a": "" });
    await Deno.truncate(`${root}/tombstones.txt`, 2 ** 40);
    const error = await assertRejects(() => Array.fromAsync(layerOfFolder(root).entries()), FormatError);
    assertEquals(error.reason, "limit");
  },
});

Deno.test({
  name: "lintLayer() finds in a folder what no layer of Windows can have, and not what nobody tells of a folder",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const root = await layerFolder({
      "Files/a": "",
      "Files/CON": "",
      "Files/b/x:y": "",
      "Files/b/c": "",
      "Hives/x": "",
    });
    const run = async (program: string, ...args: string[]) => {
      assertEquals((await new Deno.Command(program, { args }).output()).success, true);
    };
    await run("mkfifo", `${root}/Files/pipe`);
    await run("sh", "-c", `printf x > "$(printf '%s/Files/\\377' "$1")"`, "sh", root);
    const layer = layerOfFolder(root);
    assertEquals(await findings(layer, { isBase: false }), [
      "error path Files/CON: its path has the name of a device",
      "error path Files/b/x:y: its path has a : in it",
      "error type Files/pipe: it is neither a file nor a folder nor a link",
      "error path Files/\ufffd: its name isn't UTF-8",
      "warning root Hives/x: Windows doesn't know this hive",
    ]);
    await assertRejects(() => Array.fromAsync(layer.entries()), FormatError, "neither a file nor a folder nor a link");
    await Deno.remove(`${root}/Files/pipe`);
    await assertRejects(() => Array.fromAsync(layer.entries()), FormatError, "its name isn't UTF-8");
  },
});

Deno.test("a link that Deno can't read, as those of WSL, is told of as such", async () => {
  const root = await layerFolder({ "Files/a": "" });
  await Deno.symlink("a", `${root}/Files/wsl`);
  const { readLink } = Deno;
  // Tags that Deno doesn't know, such as that of WSL's links, have no class of errors.
  Deno.readLink = () => Promise.reject(new Error("Unsupported reparse point type"));
  try {
    const problem = "a reparse point of this kind, such as a link of WSL, can't be read";
    const layer = layerOfFolder(root);
    assertEquals(await findings(layer), [`error type Files/wsl: ${problem}`]);
    await assertRejects(() => Array.fromAsync(layer.entries()), FormatError, problem);
    Deno.readLink = () => Promise.reject(new Deno.errors.PermissionDenied("no"));
    await assertRejects(() => Array.fromAsync(layer.entries()), UnreadableFileError, "wsl can't be read");
  } finally {
    Deno.readLink = readLink;
  }
});
