// The example that lists executables gives the same, whatever the layers are kept in.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { executablesOf, versionOf } from "../../examples/executables.ts";
import { file, folder, layer, link, whiteout } from "../files/layer/layers.ts";
import { tarOf } from "../files/tar/tars.ts";
import { run } from "../scripts/run.ts";
import { type CimNode, writeCim } from "../support/cim_writer.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Contents = Readonly<Record<string, Bytes>>;

/** A file that begins as executables do, with a version in its resources or without. */
function executable(version: readonly number[] | undefined, is64 = true): Bytes {
  const bytes = new Uint8Array(0x600);
  const view = new DataView(bytes.buffer);
  const put16 = (at: number, value: number) => view.setUint16(at, value, true);
  const put32 = (at: number, value: number) => view.setUint32(at, value, true);
  const [header, resources] = [0x80, 0x400];
  const optional = header + 24;
  const optionalSize = (is64 ? 112 : 96) + 16 * 8;
  put16(0, 0x5a4d);
  put32(0x3c, header);
  put32(header, 0x4550);
  put16(header + 6, 1);
  put16(header + 20, optionalSize);
  put16(optional, is64 ? 0x20b : 0x10b);
  if (version === undefined) return bytes;
  put32(optional + optionalSize - 16 * 8 + 8 * 2, 0x2000);
  const section = optional + optionalSize;
  put32(section + 12, 0x2000);
  put32(section + 16, 0x200);
  put32(section + 20, resources);
  // Types, of which the second is that of versions; a name; a language; the data.
  put16(resources + 14, 2);
  put32(resources + 16, 3);
  put32(resources + 24, 16);
  put32(resources + 28, 0x80000020);
  put16(resources + 0x20 + 14, 1);
  put32(resources + 0x20 + 20, 0x80000040);
  put16(resources + 0x40 + 14, 1);
  put32(resources + 0x40 + 20, 0x60);
  put32(resources + 0x60, 0x2080);
  put32(resources + 0x64, 0x60);
  const info = resources + 0x80 + 40;
  put32(info, 0xfeef04bd);
  [10, 8, 14, 12].forEach((offset, i) => put16(info + offset, version[i]!));
  return bytes;
}

const text = (value: string) => new TextEncoder().encode(value);

const BASE: Contents = {
  "Files/Windows/System32/a.dll": executable([10, 0, 1, 2]),
  "Files/Windows/System32/gone.exe": executable([1, 2, 3, 4]),
  "Files/Windows/System32/plain.sys": executable(undefined),
  "Files/Windows/readme.txt": text("MZ is how executables begin"),
  "Files/Windows/other.txt": text("No executable begins so"),
};
const APP: Contents = {
  "Files/App/tool.bin": executable([1, 2, 3, 4]),
  "Files/Windows/System32/a.dll": executable([10, 0, 20348, 65535]),
  "Files/empty.exe": text(""),
};
const GONE = "Files/Windows/System32/gone.exe";

const WANTED = `\
Files/App/tool.bin	1.2.3.4
Files/Windows/System32/a.dll	10.0.20348.65535
Files/Windows/System32/plain.sys	-
Files/Windows/readme.txt	-
`;

function foldersOf(files: readonly string[]): string[] {
  const parents = (file: string) => file.split("/").slice(0, -1).map((_, n, all) => all.slice(0, n + 1).join("/"));
  return [...new Set(files.flatMap(parents))];
}

async function writeTar(path: string, files: Contents, gone: string[] = []): Promise<void> {
  const folders = foldersOf([...Object.keys(files), ...gone]).map((name) => ({ name, type: "5" as const }));
  const whiteouts = gone.map((file) => ({ name: file.replace(/[^/]*$/, (name) => `.wh.${name}`) }));
  const entries = Object.entries(files).map(([name, data]) => ({ name, data }));
  await Deno.writeFile(path, await tarOf(...folders, ...whiteouts, ...entries));
}

async function writeFolder(path: string, files: Contents, gone: string[] = []): Promise<void> {
  for (const folder of foldersOf([...Object.keys(files), ...gone])) {
    await Deno.mkdir(`${path}/${folder}`, { recursive: true });
  }
  for (const [name, bytes] of Object.entries(files)) await Deno.writeFile(`${path}/${name}`, bytes);
  const lines = gone.map((file) => file.replace("Files", "").replaceAll("/", "\\"));
  if (gone.length > 0) await Deno.writeTextFile(`${path}/tombstones.txt`, ["Version 1.0", ...lines, ""].join("\r\n"));
}

function treeOf(files: Contents): CimNode {
  const byName = Map.groupBy(Object.entries(files), ([path]) => path.split("/")[0]!);
  const children = [...byName].map(([name, inside]): [string, CimNode] => {
    const [[path, contents]] = inside as [[string, Bytes]];
    if (path === name) return [name, { contents }];
    return [name, treeOf(Object.fromEntries(inside.map(([path, bytes]) => [path.slice(name.length + 1), bytes])))];
  });
  return { children: new Map(children) };
}

// An image has what its parent has: it is the whole stack.
async function writeImage(path: string): Promise<void> {
  const guid = (n: number) => `00112233-4455-6677-8899-00000000000${n}`;
  const parent = writeCim(treeOf(BASE), { guid: guid(1), name: "base.cim" });
  const { [GONE]: _, ...kept } = BASE;
  const { files } = writeCim(treeOf({ ...kept, ...APP }), { guid: guid(2), name: "app.cim", parent });
  await Deno.mkdir(path);
  for (const [name, bytes] of files) await Deno.writeFile(`${path}/${name}`, bytes);
}

Deno.test("the example lists the executables of tars, folders and an image, each with its version", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await writeTar(`${folder}/base.tar`, BASE);
    await writeTar(`${folder}/app.tar`, APP, [GONE]);
    await writeFolder(`${folder}/base`, BASE);
    await writeFolder(`${folder}/app`, APP, [GONE]);
    await writeImage(`${folder}/cim`);
    const stacks = [["app.tar", "base.tar"], ["app", "base"], ["cim/app.cim"], ["app.tar", "base"]];
    const ended = await Promise.all(stacks.map((stack) => {
      const layers = stack.map((layer) => `${folder}/${layer}`);
      return run(["run", "--no-prompt", `--allow-read=${folder}`, "examples/executables.ts", ...layers]);
    }));
    assertEquals(ended, stacks.map(() => ({ code: 0, stdout: WANTED, stderr: "" })));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the example without layers says how it is used", async () => {
  const { code, stdout, stderr } = await run(["run", "--no-prompt", "examples/executables.ts"]);
  assertEquals([code, stdout, stderr.split(" LAYER")[0]], [2, "", "Usage: executables.ts"]);
});

Deno.test("the example finds the version in files of both forms, and none in damaged ones", () => {
  assertEquals(versionOf(executable([1, 0, 0, 7], false)), "1.0.0.7");
  const whole = executable([1, 0, 0, 7]);
  for (let length = 0; length < 0x4b8; length += 16) assertEquals(versionOf(whole.slice(0, length)), undefined);
});

Deno.test("an executable is listed by names that lead to a layer below, or to what a container doesn't see", async () => {
  const base = await layer(
    folder("Files"),
    { ...file("Files/a.exe"), data: executable([1, 2, 3, 4]) },
    link("Files/b.exe", "Files/a.exe"),
    file("Files/c.txt", "text"),
  );
  const app = await layer(
    folder("Hives"),
    folder("Files"),
    whiteout("Files/.wh.a.exe"),
    link("Files/d.exe", "Files/b.exe"),
    link("Files/e.exe", "Files/c.txt"),
    link("Files/f.exe", "Files/nowhere"),
  );
  assertEquals(await executablesOf([app, base]), [
    { path: "Files/b.exe", version: "1.2.3.4" },
    { path: "Files/d.exe", version: "1.2.3.4" },
  ]);
});
