import { listMounts, type MountInfo } from "../../mod.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { mountSandboxVolume } from "../../mod.ts";
import { deactivateLayer, destroyLayer, unprepareLayer } from "../../src/storage/mod.ts";
import { toJson } from "../../scripts/support/output.ts";
import { Machine, run, runInto, start } from "./run.ts";

const STACK = ["C:\\layers\\app", "C:\\layers\\base", "C:\\containers\\web"];
const MOUNT_POINT = "--mount-point=C:/mnt/web";

Deno.test("failures speak in the words of --help, print paths that can be pasted back, and tell the way out", async () => {
  using machine = new Machine();
  const unmount = machine.program("unmount");
  const startOver = `To start over with a new simulated machine, delete ${machine.file}\n`;
  const fails = async (outcome: Promise<{ code: number; stdout: string; stderr: string }>, text: string) => {
    assertEquals(await outcome, { code: 1, stdout: "", stderr: `error: ${text}` });
  };
  machine.host().addFile("C:\\layers\\file");
  machine.host().addFolder("C:\\empty");
  await fails(machine.mount("C:/layers/file", STACK[2]!), `LAYER is not a folder: C:\\layers\\file\n${startOver}`);
  await fails(
    machine.mount("C:/layers/file", STACK[0]!, STACK[2]!),
    `LAYER 1 is not a folder: C:\\layers\\file\n${startOver}`,
  );
  await fails(
    machine.mount(STACK[0]!, "C:/layers/file"),
    "SCRATCH is not a folder: C:\\layers\\file\n--create-scratch creates a scratch where there is none\n",
  );
  await fails(
    machine.unmount("C:/containers/nosuch"),
    "SCRATCH names a folder that doesn't exist: C:\\containers\\nosuch\n",
  );
  assertEquals((await machine.mount(...STACK, MOUNT_POINT)).code, 0);
  await fails(
    machine.unmount("C:/layers/base"),
    "SCRATCH names a file that doesn't exist: C:\\layers\\base\\sandbox.vhdx\n",
  );
  const [{ owner, since }] = await listMounts({ host: machine.host() }) as [MountInfo];
  await fails(
    machine.mount(...STACK),
    `C:\\containers\\web is mounted by process ${owner.pid}, which has ended, since ${since}. Unmount it first\n` +
      `To unmount it: ${unmount} C:/containers/web\n`,
  );
  await fails(
    machine.mount("C:/layers/base", "C:/other one", MOUNT_POINT),
    "--mount-point is already a mount point or a link: C:\\mnt\\web\n" +
      `If a mount left it: ${unmount} --mount-point=C:/mnt/web "C:/other one"\n`,
  );
});

Deno.test("command lines that are told can be pasted back, also with a simulated machine in a folder with spaces", async () => {
  const folder = await Deno.makeTempDir({ prefix: "hcs layers " });
  try {
    const file = `${folder}/machine.state`;
    const command = ["run", "--no-prompt", "scripts/mount.ts", `--simulate=${file}`, ...STACK];
    const grants = [`--allow-read=${file}`, `--allow-write=${file}`];
    const shown = grants.map((grant) => `"${grant}"`).join(" ");
    const { stderr } = await run(command);
    assertEquals(stderr, `error: Permissions are missing. Start Deno with ${shown}\n`);
    const granted = command.toSpliced(1, 0, ...grants);
    assertEquals((await run(granted)).code, 0);
    const again = await run(granted);
    const unmount = `deno run ${shown} scripts/unmount.ts "--simulate=${file}" C:/containers/web`;
    assertStringIncludes(again.stderr, `\nTo unmount it: ${unmount}\n`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("what is printed has no control characters of paths in it", async () => {
  using machine = new Machine();
  const folder = "C:/layers/\x1b[2J\x9b1m\u202eapp";
  for (const json of [[], ["--json"]]) {
    for (const task of ["mount:simulated", "unmount:simulated", "vhd:simulated"] as const) {
      const args = task === "vhd:simulated" ? ["attach", `${folder}.vhdx`] : [folder, folder];
      const { stdout, stderr } = await run(machine.args(task, ...json, ...args));
      assertMatch(stdout + stderr, /^[\n\x20-\x7e…]+$/);
    }
  }
});

Deno.test("unmount of a scratch folder that is gone removes a mount point that is left", async () => {
  using machine = new Machine();
  assertEquals((await machine.mount(...STACK, MOUNT_POINT)).code, 0);
  const host = machine.host();
  const scratch = "C:\\containers\\web";
  await unprepareLayer(scratch, { host });
  await deactivateLayer(scratch, { host });
  await destroyLayer(scratch, { host });
  assertEquals(await machine.unmount(scratch, MOUNT_POINT), {
    code: 0,
    stdout: "mountPoint  C:\\mnt\\web\nfolder      C:\\mnt\\web\n",
    stderr: "",
  });
  assertEquals(machine.held(), []);
  assertEquals((await machine.unmount(scratch, MOUNT_POINT)).code, 1);
});

Deno.test("unmount leaves a mount point alone that shows another volume than the scratch's", async () => {
  using machine = new Machine();
  const host = machine.host();
  const volume = host.addVolume("11111111-1111-1111-1111-111111111111");
  await mountSandboxVolume("C:\\mnt\\web", volume, { host });
  const { code, stderr } = await machine.unmount("C:/containers/web", MOUNT_POINT);
  assertEquals(code, 1);
  assertStringIncludes(stderr, `--mount-point shows another volume than the scratch's (${volume}): C:\\mnt\\web`);
  assertEquals(machine.held(), ["folder C:\\mnt", "folder C:\\mnt\\web", "mountPoint C:\\mnt\\web"]);
});

Deno.test("mount --json prints a failure as JSON on the standard output, with what is held", async () => {
  using machine = new Machine();
  const { code, stdout, stderr } = await machine.mount("C:/1/a", "C:/2/a", "C:/s", "--json");
  assertEquals([code, stderr], [1, ""]);
  assertEquals(JSON.parse(stdout), {
    error: {
      name: "InvalidInputError",
      message: "LAYER 2 has the same folder name as LAYER 1, so Windows would treat them as one layer: C:\\2\\a",
      argument: "LAYER 2",
      value: "C:\\2\\a",
      holds: [],
    },
  });
});

Deno.test({
  name: "a result that can't be printed is told on the error output, with what is held",
  ignore: Deno.build.os === "windows",
  async fn() {
    using machine = new Machine();
    const mounted = ["activation", "filter"].map((kind) => `  ${kind.padEnd(10)}  C:\\containers\\web\n`).join("");
    const problem = "The result can't be printed: No space left on device (os error 28)";
    const text = await runInto("/dev/full", machine.args("mount:simulated", ...STACK));
    assertEquals(text, {
      code: 3,
      stderr: `error: ${problem}\nStill held:\n${mounted}To release it: ${
        machine.program("unmount")
      } C:/containers/web\n`,
    });
    const unmounted = await runInto("/dev/full", machine.args("unmount:simulated", STACK[2]!, "--json"));
    assertEquals(unmounted.code, 1);
    assertEquals(JSON.parse(unmounted.stderr), { error: { name: "CommandError", message: problem, holds: [] } });
    assertEquals(machine.held(), []);
    const json = await runInto("/dev/full", machine.args("mount:simulated", ...STACK, "--json"));
    assertEquals(json.code, 3);
    const { holds } = JSON.parse(json.stderr).error;
    assertEquals(holds, [
      { kind: "activation", scratch: STACK[2] },
      { kind: "filter", scratch: STACK[2], layers: STACK.slice(0, 2) },
    ]);
    // Neither can this be told, nor the failure to tell it.
    const again = await runInto("/dev/full 2>&1", machine.args("mount:simulated", ...STACK, "--json"));
    assertEquals(again, { code: 1, stderr: "" });
    const usage = await runInto("/dev/full", machine.args("mount:simulated", "--json"));
    assertEquals([usage.code, JSON.parse(usage.stderr).error.name], [2, "UsageError"]);
    assertEquals((await runInto("/dev/full", ["run", "--no-prompt", "scripts/mount.ts", "--help"])).code, 1);
  },
});

Deno.test("a reader that went away is a failure like others", async () => {
  using machine = new Machine();
  const child = start(machine.args("mount:simulated", ...STACK, "--json"));
  await child.stdout.cancel();
  const { code } = await child.status;
  const stderr = await new Response(child.stderr).text();
  assertEquals([code, JSON.parse(stderr).error.holds.length], [3, 2]);
});

Deno.test("every error is told, and ends with an exit code", async () => {
  const program = `
    import { report } from "./scripts/support/failure.ts";
    import { UsageError } from "./scripts/support/errors.ts";
    const circular = new Error("circular", { cause: 1n });
    circular.self = circular;
    const hostile = new Error("hostile");
    hostile.toJSON = () => { throw 1; };
    Object.defineProperty(hostile, "message", { get() { throw 1; } });
    const values = [
      1n, undefined, null, Symbol("s"), () => 1, "text", circular, hostile,
      { toString() { throw 1; }, [Symbol.for("Deno.customInspect")]() { throw 1; } },
      new Proxy({}, { get() { throw 1; }, getPrototypeOf() { throw 1; } }),
      Object.assign(new UsageError("usage"), { size: 2n }),
    ];
    for (const json of [true, false]) {
      console.log(values.map((value) => report(value, { job: undefined, json, signal: undefined })).join());
    }`;
  const { code, stdout, stderr } = await run(["eval", "--ext=js", program]);
  assertEquals(code, 0, stderr);
  const lines = stdout.trimEnd().split("\n");
  const codes = "1,1,1,1,1,1,1,1,1,1,2";
  assertEquals([lines[11], lines[12]], [codes, codes]);
  const messages = lines.slice(0, 11).map((line) => JSON.parse(line).error.message);
  assertEquals(messages, [
    "1",
    "null",
    "null",
    '"Symbol(s)"',
    "null",
    "text",
    "circular",
    "[unprintable]",
    "{}",
    "[unprintable]",
    "usage",
  ]);
});

Deno.test("JSON is valid whatever is in it", () => {
  const circular: Record<string, unknown> = { big: 2n ** 64n, small: 5n, nothing: undefined };
  circular.self = [circular];
  Object.defineProperty(circular, "bad", { enumerable: true, get: () => JSON.parse("{") });
  assertEquals(JSON.parse(toJson(circular)), {
    big: "18446744073709551616",
    small: 5,
    self: ["[circular]"],
    bad: "[unprintable]",
  });
  assertEquals(toJson(undefined), "null");
});
