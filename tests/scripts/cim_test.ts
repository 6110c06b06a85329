// deno task cim: processes with the grants of the task, on images of the samples.
import { assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import config from "../../deno.json" with { type: "json" };
import { sample, sampleJson } from "../files/cim/samples.ts";
import { type Ended, run } from "./run.ts";

const SAMPLES = "tests/files/cim/samples";
const COMMAND = config.tasks.cim.command.split(" ").slice(1);

function cim(...args: string[]): Promise<Ended> {
  return run([...COMMAND, ...args]);
}

Deno.test("the task cim has no grant but to read", () => {
  assertEquals(COMMAND.filter((word) => word.startsWith("--allow")), ["--allow-read"]);
});

Deno.test("a grant for the files of an image is enough", async () => {
  const files = [...sample("tiny").keys()].filter((name) => /^(image\.cim|region_.*)$/.test(name));
  const grant = `--allow-read=${files.map((name) => `${SAMPLES}/tiny/${name}`)}`;
  const args = COMMAND.map((word) => word === "--allow-read" ? grant : word);
  const { code, stdout, stderr } = await run([...args, "cat", "dir/a.txt", `${SAMPLES}/tiny/image.cim`]);
  assertEquals([code, stdout, stderr], [0, "hello\n", ""]);
});

Deno.test("cim ls lists an image, or a folder in it", async () => {
  const all = await cim("ls", `${SAMPLES}/metadata/image.cim`);
  assertEquals([all.code, all.stderr], [0, ""]);
  const lines = all.stdout.split("\n");
  assertEquals(lines[1], "-rhsa-             1  2020-01-01T00:00:01  \\all flags");
  assertEquals(lines[3], "d-hs--                2020-01-01T00:00:01  \\hidden folder");
  assertEquals(lines.length, 12);
  const folder = await cim("ls", `${SAMPLES}/tiny/image.cim`, "DIR");
  assertEquals(folder.stdout, "----a-             6  2020-01-01T00:00:01  \\dir\\a.txt\n");
  const file = await cim("ls", `${SAMPLES}/tiny/image.cim`, "dir/a.txt");
  assertEquals([file.code, file.stdout], [0, folder.stdout]);
});

Deno.test("cim ls --json tells what is known, and all other commands know what the samples say", async () => {
  const { entries } = sampleJson("nested/image.cim.expected.json") as { entries: { path: string; id: number }[] };
  const { code, stdout } = await cim("ls", "--json", `${SAMPLES}/nested/image.cim`);
  const listed = JSON.parse(stdout).entries as { path: string; id: number }[];
  const facts = (list: readonly { path: string; id: number }[]) => list.map(({ path, id }) => [path, id]);
  assertEquals([code, facts(listed)], [0, facts(entries.slice(1))]);
});

Deno.test("cim cat prints a file or a stream, byte for byte", async () => {
  assertEquals((await cim("cat", "dir/A.txt", `${SAMPLES}/tiny/image.cim`)).stdout, "hello\n");
  assertEquals((await cim("cat", "file.txt:beta", `${SAMPLES}/streams-counted/image.cim`)).stdout, "second stream");
  const { code, stderr } = await cim("cat", "dir/b.txt", `${SAMPLES}/tiny/image.cim`);
  assertEquals([code, stderr], [1, "error: There is no dir/b.txt in the image\n"]);
  assertEquals(
    (await cim("cat", "FILE.TXT:Beta:$DATA", `${SAMPLES}/streams-counted/image.cim`)).stdout,
    "second stream",
  );
  for (
    const [path, folder, problem] of [
      ["dir", "tiny", "dir is a folder"],
      ["link", "metadata", "link is a link to target\\file.txt"],
      ["unknown reparse", "metadata", "unknown reparse is a reparse point"],
      ["dir/a.txt:s", "tiny", "\\dir\\a.txt has no stream s"],
      ["file.txt:s", "streams-counted", "\\file.txt has no stream s, only Alpha, beta, empty"],
    ] as const
  ) {
    const { code, stdout, stderr } = await cim("cat", path, `${SAMPLES}/${folder}/image.cim`);
    assertEquals([code, stdout, stderr], [1, "", `error: ${problem}\n`]);
  }
});

Deno.test("cim stat shows what is known of a file", async () => {
  const { stdout } = await cim("stat", "link", `${SAMPLES}/metadata/image.cim`);
  for (
    const text of [
      "file id:    7",
      "----al (0x420)",
      "2020-01-01T00:00:02.0000000Z",
      "D:NO_ACCESS_CONTROL",
      "0xa000000c",
    ]
  ) {
    assertStringIncludes(stdout, text);
  }
  assertStringIncludes(stdout, "target:     target");
  const streams = JSON.parse((await cim("stat", "--json", "file.txt", `${SAMPLES}/streams-counted/image.cim`)).stdout);
  assertEquals(streams.streams, [{ name: "Alpha", size: 6000 }, { name: "beta", size: 13 }, {
    name: "empty",
    size: 0,
  }]);
});

Deno.test("cim check tells what is wrong, and fails if that is an error", async () => {
  const good = await cim("check", `${SAMPLES}/tiny/image.cim`);
  assertEquals([good.code, good.stdout], [0, "0 errors, 0 warnings, 0 notes\n"]);
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, bytes] of sample("tiny")) await Deno.writeFile(`${folder}/${name}`, bytes);
    await Deno.truncate(`${folder}/region_00112233-4455-6677-8899-000000000001_2`, 45);
    const { code, stdout, stderr } = await cim("check", `${folder}/image.cim`);
    assertEquals([code, stderr], [1, ""]);
    assertStringIncludes(stdout, "0_0 at 131424  \\dir\\a.txt  its data is outside".replace("0_0", "1_0"));
    const json = await cim("check", "--json", `${folder}/image.cim`);
    assertEquals(json.code, 1);
    const [fault] = JSON.parse(json.stdout).faults.filter(({ severity }: { severity: string }) => severity === "error");
    assertEquals([fault.offset, fault.entry], [131424, "\\dir\\a.txt"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("cim files lists the files of an image, of format 3 too, which nothing else reads", async () => {
  const { stdout } = await cim("files", `${SAMPLES}/versions/major-3-0.cim`);
  assertStringIncludes(stdout, "region     own  missing  region_00112233-4455-6677-8899-000000000022_0\n");
  const shared = await cim("files", "--json", `${SAMPLES}/forks/parent.cim`);
  assertEquals(JSON.parse(shared.stdout).sharedWith, ["child.cim", "grandchild.cim"]);
  const { code, stderr } = await cim("ls", `${SAMPLES}/versions/major-3-0.cim`);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "format 3.0");
});

Deno.test("cim refuses a wrong command line with what is right", async () => {
  const cases: readonly [args: string[], text: string][] = [
    [[], "cim takes a command: ls, cat, stat, check, files"],
    [["list"], "not list"],
    [["ls"], "ls takes an image, and perhaps a folder in it"],
    [["ls", ""], "An argument is empty"],
    [["cat", "a"], "cat takes a path and an image"],
    [["cat", "--json", "a", "b"], "--json is of no use"],
    [["files", "--most=3", "a"], "files doesn't take --most"],
    [["ls", "--most=0", "a"], "--most takes a number from 1 on, not 0"],
  ];
  const ended = await Promise.all(cases.map(([args]) => cim(...args)));
  cases.forEach(([, text], i) => {
    const { code, stdout, stderr } = ended[i]!;
    assertEquals(code, 2);
    assertStringIncludes(stdout + stderr, text);
  });
});
