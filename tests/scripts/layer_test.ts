// `deno task layer` as a process of its own, which may read one file and nothing else.
import { assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { fromBytes } from "../../src/files/bytes/random_access.ts";
import { wrapFiles } from "../../src/files/layer/wrap_files.ts";
import { file, folder, link, symlink, whiteout } from "../files/layer/layers.ts";
import { bytesOf, gzip, tarOf, type TestEntry } from "../files/tar/tars.ts";
import { type Ended, ROOT, run, runInShell, runInto } from "./run.ts";

const TIMES = { mtime: "1577836800.1234567" };

class Layers implements AsyncDisposable {
  readonly folder = Deno.makeTempDirSync();

  async add(name: string, ...entries: readonly TestEntry[]): Promise<string> {
    const tar = await tarOf(...entries);
    return await this.write(name, name.endsWith(".gz") ? await gzip(tar) : tar);
  }

  async write(name: string, bytes: Uint8Array): Promise<string> {
    const path = `${this.folder}/${name}`;
    await Deno.writeFile(path, bytes);
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** Runs the command with the grant to read these paths. */
function layer(paths: readonly string[], ...args: readonly string[]): Promise<Ended> {
  return run(["run", "--no-prompt", "--no-remote", `--allow-read=${paths}`, "scripts/layer.ts", ...args]);
}

Deno.test("layer lists, shows and prints what is in layers, with no grant but to read them", async () => {
  await using layers = new Layers();
  const base = await layers.add("base.tar.gz", folder("Files"), file("Files/a.txt", "old"), file("Files/gone"));
  const app = await layers.add(
    "app.tar",
    folder("Hives"),
    folder("Files"),
    file("Files/a.txt", "new", TIMES),
    { name: "Files/a.txt:s", data: "stream" },
    link("Files/b.txt", "Files/a.txt"),
    whiteout("Files/.wh.gone"),
  );
  const one = await layer([app], "ls", app);
  assertEquals([one.code, one.stderr], [0, ""]);
  assertEquals(one.stdout.split("\n"), [
    "folder       1970-01-01T00:00:00  Hives",
    "folder       1970-01-01T00:00:00  Files",
    "file      3  2020-01-01T00:00:00  Files/a.txt",
    "stream    6  1970-01-01T00:00:00  Files/a.txt:s",
    "link         1970-01-01T00:00:00  Files/b.txt -> Files/a.txt",
    "whiteout                          Files/gone",
    "",
  ]);
  const both = [app, base];
  const all = JSON.parse((await layer(both, "ls", "--json", ...both)).stdout);
  assertEquals(all.entries.map(({ path, layer }: { path: string; layer: string }) => [path, layer]), [
    ["Files", app],
    ["Files/a.txt", app],
    ["Files/a.txt:s", app],
    ["Files/b.txt", app],
  ]);
  assertEquals((await layer(both, "cat", "files\\B.TXT", ...both)).stdout, "new");
  assertEquals((await layer([base], "cat", "Files/a.txt", base)).stdout, "old");
  assertStringIncludes((await layer([app], "stat", "Hives", app)).stdout, "type:       folder\n");
  const { entries: [shown, stream] } = JSON.parse((await layer(both, "stat", "--json", "Files/a.txt", ...both)).stdout);
  assertEquals([shown.times.write, shown.attributes, stream.path], [
    "2020-01-01T00:00:00.1234567Z",
    32,
    "Files/a.txt:s",
  ]);
  assertStringIncludes(shown.sddl, "O:BAG:SYD:(A;;FA;;;BA)");
  assertStringIncludes((await layer([app], "stat", "Files/a.txt", app)).stdout, "security:   O:BAG:SY");
  const owner = await layer(both, "owner", "Files/gone", ...both);
  assertEquals(owner.stdout, `*  ${app}      removed\n   ${base}  file     0\n`);
  const diff = await layer(both, "diff", base, app);
  assertEquals(diff.stdout.split("\n").map((line) => line.trim().replace(/ +/g, " ")), [
    "+ Hives",
    "~ Files/a.txt times, contents",
    "+ Files/a.txt:s",
    "+ Files/b.txt",
    "+ Files/gone",
    "- Files/gone",
    "",
  ]);
});

Deno.test("layer lint ends with 1 if there is an error, and layer wrap makes what it finds nothing in", async () => {
  await using layers = new Layers();
  const bad = await layers.add("bad.tar", folder("Files"), file("Files/a"), file("Files/A"), { name: "Files/b" });
  const lint = await layer([bad], "lint", bad);
  assertEquals([lint.code, lint.stderr], [1, ""]);
  assertStringIncludes(lint.stdout, "its path differs only by case from Files/a");
  assertStringIncludes(lint.stdout, "1 errors, 2 warnings");
  const { findings } = JSON.parse((await layer([bad], "lint", "--json", bad)).stdout);
  assertEquals(findings.length, 3);

  const base = await layers.add("base.tar", folder("Files"), file("Files/a"));
  const top = [folder("Hives"), folder("Files")];
  const app = await layers.add("app.tar", ...top, link("Files/b", "Files/a"), link("Files/c", "Files/x"));
  const stack = await layer([app, base], "lint", app, base);
  assertEquals([stack.code, stack.stdout], [
    1,
    "error  link  Files/c  neither it nor a layer below has the file that it links to: Files/x\n1 errors, 0 warnings\n",
  ]);

  const plain = await tarOf({ name: "a.exe", data: "MZ" });
  const files = await layers.write("files.tar", plain);
  const wrapped = `${layers.folder}/layer.tar`;
  const args = ["run", "--no-prompt", "--no-remote", `--allow-read=${files}`, "scripts/layer.ts", "wrap", files];
  assertEquals(await runInto(wrapped, args), { code: 0, stderr: "" });
  assertEquals(await Deno.readFile(wrapped), await bytesOf(wrapFiles(fromBytes(plain))));
  const good = await layer([wrapped], "lint", "--not-base", wrapped);
  assertEquals([good.code, good.stdout], [0, "0 errors, 0 warnings\n"]);
});

Deno.test("layer verify tells what a layer has otherwise than a tar says, and ends with 1 if there is any", async () => {
  await using layers = new Layers();
  const entries = [folder("Files"), file("Files/a", "abc"), file("Files/b", "", TIMES)];
  const tar = await layers.add("app.tar.gz", ...entries);
  const same = await layers.add("same.tar", ...entries, whiteout("Files/.wh.c"));
  const other = await layers.add("other.tar", folder("Files"), file("Files/a", "ab"));
  const base = await layers.add("base.tar", folder("Files"), file("Files/c", "123"));
  const all = [layers.folder];
  const ended = await layer(all, "verify", other, "--against", tar);
  assertEquals([ended.code, ended.stderr], [1, ""]);
  assertEquals(ended.stdout.split("\n"), [
    "error  size     Files/a  it has 2 bytes, not 3",
    "error  missing  Files/b  the layer lacks this file, which has 0 bytes",
    `${tar}: 3 entries, 3 bytes`,
    `${other}: 2 entries, 2 bytes`,
    "2 errors, 0 warnings",
    "",
  ]);
  const json = await layer(all, "verify", "--json", other, `--against=${tar}`);
  const { isSame, mismatches, expected, found, uncompared } = JSON.parse(json.stdout);
  assertEquals([json.code, isSame, expected, found, uncompared], [
    1,
    false,
    { entries: 3, bytes: 3 },
    { entries: 2, bytes: 2 },
    {},
  ]);
  assertEquals(mismatches[0].found.size, 2);
  assertEquals(mismatches[1].expected.times.write, "2020-01-01T00:00:00.1234567Z");

  const good = await layer(all, "verify", tar, `--against=${tar}`);
  assertEquals([good.code, good.stdout.split("\n").at(-2)], [0, "0 errors, 0 warnings"]);
  const above = await layer(all, "verify", same, `--against=${tar}`, base);
  assertEquals([above.code, above.stdout.split("\n")[0]], [
    1,
    "error  extra    Files/c  it is removed, which it isn't in the tar",
  ]);
});

Deno.test("names that turn around text are written as they are, and don't turn what layer prints", async () => {
  await using layers = new Layers();
  const name = "Files/a\u202etxt.exe";
  const tar = await layers.add("app.tar", folder("Files"), file(name), { name: `${name}:\u202es` });
  for (const words of [["ls"], ["stat", name], ["lint"], ["diff", tar]]) {
    const { stdout } = await layer([tar], ...words, tar);
    assertEquals(stdout.includes("\u202e"), false, words[0]);
  }
  assertStringIncludes((await layer([tar], "stat", name, tar)).stdout, "Files/a\\u202etxt.exe");
});

Deno.test("layer cat takes a path as it is written elsewhere, and says why there is nothing to print", async () => {
  await using layers = new Layers();
  const entries = [folder("Files"), file("Files/a", "abc"), symlink("Files/l", "a"), link("Files/b", "Files/none")];
  const tar = await layers.add("app.tar", ...entries);
  for (const path of ["./Files/a", "/Files/a", "Files/a/", "\\Files\\a"]) {
    assertEquals((await layer([tar], "cat", path, tar)).stdout, "abc", path);
  }
  for (
    const [path, problem] of [
      ["Files", "Files is a folder"],
      ["Files/l", "Files/l is a link to a"],
      ["Files/b", "Files/b is a link to Files/none, which leads to no file"],
      ["Files/x", `There is no file Files/x in ${tar}`],
      ["/", `There is no file / in ${tar}`],
    ] as const
  ) {
    const { code, stdout, stderr } = await layer([tar], "cat", path, tar);
    assertEquals([code, stdout, stderr], [1, "", `error: ${problem}\n`]);
  }
});

Deno.test({
  name: "layer reads a tar from the standard input, and ends quietly when who reads its output has enough",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using layers = new Layers();
    const names = Array.from({ length: 5000 }, (_, i) => file(`Files/${i}`, "x".repeat(100)));
    const tar = await layers.add("app.tar.gz", folder("Files"), ...names);
    const command = ["run", "--no-prompt", "--no-remote", `--allow-read=${tar}`, "scripts/layer.ts"];
    const counted = await runInShell(`gzip -dc '${tar}' | "$@" ls - | wc -l`, command);
    assertEquals([counted.stdout.trim(), counted.stderr], ["5001", ""]);
    const verified = await runInShell(`"$@" verify '${tar}' --against - < '${tar}'`, command);
    assertEquals([verified.code, verified.stderr], [0, ""]);
    const twice = await runInShell(`"$@" cat Files/1 - < '${tar}'`, command);
    assertEquals([twice.code, twice.stderr], [
      1,
      "error: The standard input can be read only once, and this command reads a layer twice: use a file\n",
    ]);
    for (const words of [`ls '${tar}'`, `ls --json '${tar}'`, `wrap '${tar}'`]) {
      const cut = await runInShell(`"$@" ${words} | head -c 1 > /dev/null; exit \${PIPESTATUS[0]}`, command);
      assertEquals([cut.code, cut.stderr], [1, ""], words);
    }
  },
});

Deno.test({
  name: "layer says that its output is full in one line, and what is wrong with a layer if that is why",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using layers = new Layers();
    const tar = await layers.add("app.tar", folder("Files"), file("Files/a", "x".repeat(2 ** 20)));
    const cut = await layers.write("cut.tar", (await Deno.readFile(tar)).subarray(0, 2 ** 19));
    const command = ["run", "--no-remote", `--allow-read=${layers.folder}`, "scripts/layer.ts"];
    const full = { code: 1, stderr: "error: The result can't be printed: No space left on device (os error 28)\n" };
    for (const words of [["cat", "Files/a", tar], ["wrap", tar], ["ls", tar]]) {
      assertEquals(await runInto("/dev/full", [...command, ...words]), full, words[0]);
    }
    const { code, stderr } = await runInto("/dev/null", [...command, "wrap", cut]);
    assertEquals([code, stderr.startsWith(`error: ${cut}: it is cut in the contents`)], [1, true]);
  },
});

Deno.test("layer ends at its time limit though no input comes, or nobody takes its output", async () => {
  await using layers = new Layers();
  const tar = await layers.add("app.tar", folder("Files"), file("Files/a", "x".repeat(2 ** 22)));
  const cases = [["ls", "-"], ["wrap", "-"], ["cat", "Files/a", tar], ["wrap", tar]];
  for (const args of cases) {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-remote", `--allow-read=${tar}`, "scripts/layer.ts", "--timeout=1", ...args],
      cwd: ROOT,
      env: { NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    // One that waits for ever is killed, which is told.
    const killed = setTimeout(() => child.kill("SIGKILL"), 60_000);
    const [{ code }, stderr] = await Promise.all([child.status, new Response(child.stderr).text()]);
    clearTimeout(killed);
    assertEquals([code, stderr], [1, "error: The time limit of 1 s is over\n"], args.join(" "));
    await child.stdin.close();
    await child.stdout.cancel();
  }
});

Deno.test("layer fails with one line, and tells of wrong usage", async () => {
  await using layers = new Layers();
  const cut = await layers.write("cut.tar", (await tarOf(folder("Files"))).subarray(0, 512));
  const none = `${layers.folder}/none.tar`;
  const cases: readonly (readonly [args: readonly string[], code: number, text: string])[] = [
    [["ls", cut], 1, "cut.tar: it is cut"],
    [["ls", none], 1, "none.tar can't be read: "],
    [
      ["list", cut],
      2,
      "layer takes a command: ls, cat, stat, diff, owner, lint, verify, wrap, import, export, not list",
    ],
    [["cat", "Files/x"], 2, "cat takes a path and one or more layers"],
    [["diff", cut], 2, "diff takes 2 layers"],
    [["ls", "--base", cut], 2, "ls takes neither --base nor --not-base"],
    [["wrap"], 2, "wrap takes a tar, or --base"],
    [["ls", ""], 2, "An argument is empty"],
    [["verify", cut, "--against="], 2, "--against is empty"],
    [["diff", "-", "-"], 2, "Only one of them can be the standard input"],
    [["lint"], 2, "lint takes one or more layers"],
    [["lint", "--base", cut, cut], 2, "A base layer has no layers below"],
    [["verify", cut], 2, "verify takes a layer, and --against with a tar"],
    [["verify", "--against", cut], 2, "verify takes a layer, and --against with a tar"],
    [["verify", "--base", cut, "--against", cut], 2, "verify takes neither --base nor --not-base"],
    [["verify", cut, "--against", cut], 1, "cut.tar: it is cut"],
    [
      ["verify", cut, `--against=${layers.folder}`],
      1,
      "TAR is a folder, which tells less than a tar: ",
    ],
    [["lint", cut, "--against", cut], 2, "lint takes no --against"],
    [["import", "C:/a", cut, "--against", cut], 2, "import takes no --against"],
  ];
  for (const [args, code, text] of cases) {
    const ended = await layer([layers.folder], ...args);
    assertEquals([ended.code, ended.stdout], [code, ""], args.join(" "));
    assertStringIncludes(ended.stderr, text);
  }
  const failure = await layer([layers.folder], "ls", "--json", none);
  assertEquals([failure.code, JSON.parse(failure.stdout).error.name], [1, "UnreadableFileError"]);
});
