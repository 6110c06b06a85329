import { assert, assertEquals, assertMatch } from "jsr:@std/assert@^1.0.0";
import config from "../../deno.json" with { type: "json" };
import { ended, Machine, ROOT, run, start } from "./run.ts";

const STACK = ["C:\\layers\\app", "C:\\layers\\base", "C:\\container one\\scratch"];
const SCRATCH = STACK[2]!;
const VOLUME = /^\\\\\?\\Volume\{[0-9a-f-]{36}\}\\$/;

Deno.test("mount prints the path alone, and leaves the layers mounted", async () => {
  using machine = new Machine();
  const { code, stdout, stderr } = await machine.mount(...STACK);
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout.trimEnd(), VOLUME);
  assertEquals(machine.held(), [`activation ${SCRATCH}`, `filter ${SCRATCH}`]);
});

Deno.test("mount --json prints what was mounted and what that holds", async () => {
  using machine = new Machine();
  const { code, stdout } = await machine.mount(...STACK, "--json", "--mount-point=C:\\mnt\\c1");
  assertEquals(code, 0);
  const { path, ...rest } = JSON.parse(stdout);
  assertMatch(path, VOLUME);
  assertEquals(rest, {
    id: "scratch",
    volumeMountPath: "C:\\mnt\\c1",
    holds: [
      { kind: "activation", scratch: SCRATCH },
      { kind: "filter", scratch: SCRATCH, layers: STACK.slice(0, 2) },
      { kind: "folder", folder: "C:\\mnt\\c1", created: ["C:\\mnt\\c1", "C:\\mnt"] },
      { kind: "mountPoint", folder: "C:\\mnt\\c1", volume: path },
    ],
  });
});

Deno.test("mount --id names the container", async () => {
  using machine = new Machine();
  const { stdout } = await machine.mount(...STACK, "--json", "--id", "c1");
  assertEquals(JSON.parse(stdout).id, "c1");
});

Deno.test("unmount in another process gives everything back, and can be called twice", async () => {
  using machine = new Machine();
  await machine.mount(...STACK, "--mount-point=C:\\mnt\\c1");
  assertEquals(await machine.unmount(SCRATCH), {
    code: 0,
    stdout: `mountPoint  C:\\mnt\\c1\nfolder      C:\\mnt\\c1\nfilter      ${SCRATCH}\nactivation  ${SCRATCH}\n`,
    stderr: "",
  });
  assertEquals(machine.held(), []);
  assertEquals(machine.host().exists("C:\\mnt"), false);
  const again = await machine.unmount(SCRATCH);
  assertEquals([again.code, again.stderr], [0, ""]);
  const mounted = await machine.mount(...STACK);
  assertEquals(mounted.code, 0);
});

Deno.test("unmount --json prints what was given back", async () => {
  using machine = new Machine();
  await machine.mount(...STACK);
  const { code, stdout } = await machine.unmount("--json", SCRATCH);
  assertEquals(code, 0);
  assertEquals(JSON.parse(stdout), {
    scratch: SCRATCH,
    released: [
      { hold: { kind: "filter", scratch: SCRATCH, layers: [] }, wasHeld: true },
      { hold: { kind: "activation", scratch: SCRATCH }, wasHeld: true },
    ],
  });
});

Deno.test("mount takes a machine that is in the file as it is", async () => {
  using machine = new Machine();
  machine.host().addFolder("C:\\elsewhere");
  const { code, stdout, stderr } = await machine.mount(...STACK);
  assertEquals([code, stdout], [1, ""]);
  assertEquals(stderr, `error: layerFolders[0] names a folder that doesn't exist: ${JSON.stringify(STACK[0])}\n`);
});

Deno.test("mount and unmount take a CIM image without being told", async () => {
  using machine = new Machine();
  const host = machine.host();
  host.addCimLayer(STACK[0]!);
  host.addLayer(STACK[1]!);
  host.addScratch(SCRATCH);
  const { code } = await machine.mount(...STACK);
  assertEquals(code, 0);
  assertEquals(machine.held().map((held) => held.split(" ")[0]), ["activation", "cimVolume", "overlay"]);
  assertEquals((await machine.unmount(SCRATCH)).code, 0);
  assertEquals(machine.held(), []);
});

Deno.test("mount of a scratch that is mounted fails, and leaves it mounted", async () => {
  using machine = new Machine();
  await machine.mount(...STACK);
  const { code, stderr } = await machine.mount(...STACK);
  assertEquals(code, 1);
  assertMatch(stderr, /^error: .*sandbox\.vhdx is in use.*Unmount the scratch first/);
  assertEquals(machine.held(), [`activation ${SCRATCH}`, `filter ${SCRATCH}`]);
});

Deno.test("mount --json prints an error as JSON on the standard output", async () => {
  using machine = new Machine();
  const { code, stdout, stderr } = await machine.mount(STACK[0]!, "scratch", "--json");
  assertEquals([code, stderr], [1, ""]);
  assertEquals(JSON.parse(stdout), {
    error: {
      name: "InvalidInputError",
      message: 'layerFolders[1] is not a Windows path with `\\`: "scratch"',
      argument: "layerFolders[1]",
      value: "scratch",
    },
  });
});

for (
  const [script, args, problem] of [
    ["mount", [], "mount needs the folder of a layer or several, and that of the scratch"],
    ["mount", [SCRATCH], "mount needs the folder of a layer or several, and that of the scratch"],
    ["mount", [...STACK, "--force"], "Unknown option '--force'"],
    ["mount", [...STACK, "--id", "--json=no"], "Option '--id' argument is ambiguous"],
    ["mount", [...STACK, "--id"], "Option '--id <value>' argument missing"],
    ["mount", [...STACK, "--json=no"], "Option '--json' does not take an argument"],
    ["unmount", [], "unmount needs the folder of the scratch, and nothing else"],
    ["unmount", STACK, "unmount needs the folder of the scratch, and nothing else"],
    ["unmount", [SCRATCH, "--id=c1"], "Unknown option '--id'"],
  ] as [string, string[], string][]
) {
  Deno.test(`${script} ${args.join(" ")} is wrong usage, which ends with exit code 2`, async () => {
    const { code, stdout, stderr } = await run(["run", `scripts/${script}.ts`, "--simulate", ...args]);
    assertEquals({ code, stdout, stderr }, {
      code: 2,
      stdout: "",
      stderr: `error: ${problem}. --help tells the usage\n`,
    });
  });
}

Deno.test("wrong usage is JSON too with --json", async () => {
  const { code, stdout } = await run(["run", "scripts/unmount.ts", "--json"]);
  assertEquals(code, 2);
  assertEquals(JSON.parse(stdout).error.name, "UsageError");
});

for (const script of ["mount", "unmount"]) {
  Deno.test(`${script} --help tells usage, options and exit codes`, async () => {
    const { code, stdout } = await run(["run", `scripts/${script}.ts`, "--help"]);
    assertEquals(code, 0);
    assertMatch(stdout, new RegExp(`^Usage: deno task ${script} `, "m"));
    for (const option of ["--mount-point", "--json", "--simulate", "Exit codes"]) assert(stdout.includes(option));
  });
}

Deno.test("mount --simulate without a file needs no permission", async () => {
  const { code, stdout } = await run(["run", "--no-prompt", "--no-remote", "scripts/mount.ts", ...STACK, "--simulate"]);
  assertEquals(code, 0);
  assertMatch(stdout.trimEnd(), VOLUME);
});

for (const grant of ["--allow-read", "--allow-write"]) {
  Deno.test(`mount:simulated without its ${grant} names the grants that it needs`, async () => {
    using machine = new Machine();
    const args = machine.args("mount:simulated", ...STACK);
    const { code, stderr } = await run(args.filter((arg) => !arg.startsWith(grant)));
    assertEquals(code, 1);
    assertEquals(
      stderr,
      `error: Permissions are missing. Start Deno with --allow-read=${machine.file} --allow-write=${machine.file}\n`,
    );
  });
}

Deno.test("the tasks grant nothing wider than paths and names", () => {
  for (const name of ["mount", "unmount", "vhd", "mount:simulated", "unmount:simulated", "vhd:simulated"] as const) {
    const flags = config.tasks[name].command.split(" ").filter((part) => part.startsWith("-"));
    for (const flag of flags) {
      assertMatch(
        flag,
        /^--(no-prompt|no-remote|allow-env=SystemRoot|allow-ffi=[^ ]+\.dll|allow-(read|write)=[^ ,]+\.state|simulate=.*)$/,
      );
    }
  }
});

Deno.test({
  name: "mount on a system that isn't Windows says what to do",
  ignore: Deno.build.os === "windows",
  async fn() {
    const { code, stderr } = await run(["task", "-q", "mount", ...STACK]);
    assertEquals(code, 1);
    assertMatch(stderr, /^error: \w+\.dll can't be loaded\. This is \w+, not Windows/);
  },
});

Deno.test({
  name: "mount that is interrupted gives everything back",
  // Where /proc tells who waits for a lock: the moment at which the signal has to come.
  ignore: Deno.build.os !== "linux",
  async fn() {
    using machine = new Machine();
    machine.host();
    using file = await Deno.open(machine.file, { read: true, write: true });
    await file.lock(true);
    const child = start(machine.args("mount:simulated", ...STACK, "--json"));
    const end = ended(child);
    let over = false;
    end.then(() => over = true);
    while (!over && !(await Deno.readTextFile("/proc/locks")).match(new RegExp(`-> FLOCK .* ${child.pid} `))) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert(!over, "it ended before it came to the lock");
    child.kill("SIGINT");
    await file.unlock();
    const { code, stdout } = await end;
    assertEquals(code, 1);
    assertEquals(JSON.parse(stdout).error, { name: "AbortError", message: "Interrupted" });
    assertEquals(machine.held(), []);
    assert(machine.host().exists(STACK[0]!), "was interrupted before it began");
  },
});

Deno.test("demo reports 0 held at the end, with no permission", async () => {
  const { code, stdout, stderr } = await run(["run", "--no-prompt", "--no-remote", "scripts/demo.ts"]);
  assertEquals([code, stderr], [0, ""]);
  assertEquals(stdout.trimEnd().split("\n").at(-1)!.trim(), "0 held");
});

Deno.test("test refuses the name of a tier that doesn't exist", async () => {
  const { code, stderr } = await run(["task", "-q", "test", "tier4"], { cwd: ROOT });
  assertEquals(code, 2);
  assertEquals(stderr, 'There is no "tier4" to run, but checks, tier1, tier2, tier3\n');
});

for (
  const [os, ...paths] of [
    ["windows", "C:\\layers\\app", "C:\\layers\\base", "C:\\scratch"],
    ["linux", "C:\\layers\\app.vhd", "C:\\layers\\base.vhd", "C:\\scratch.vhdx"],
  ] as const
) {
  Deno.test(`mount --vm=${os} shows where the layers are placed, with no permission`, async () => {
    const { code, stdout } = await run([
      "run",
      "--no-prompt",
      "scripts/mount.ts",
      "--simulate",
      `--vm=${os}`,
      ...paths,
    ]);
    assertEquals(code, 0);
    const rows = stdout.trim().split("\n").slice(3);
    assertEquals(rows.map((row) => row.split(/ {2,}/)[0]), [
      ...(os === "windows" ? ["VSMB s1", "VSMB s2", "SCSI 0:1"] : ["vPMem 0", "vPMem 0", "SCSI 0:0"]),
      "layers",
    ]);
  });
}

Deno.test("mount --vm without --simulate, or of another system, is wrong usage", async () => {
  for (
    const args of [["--vm=linux"], ["--simulate", "--vm=plan9"], ["--simulate", "--vm=linux", "--mount-point=C:\\m"]]
  ) {
    const { code } = await run(["run", "--no-prompt", "scripts/mount.ts", ...args, "C:\\a.vhd", "C:\\s.vhdx"]);
    assertEquals(code, 2);
  }
});

Deno.test("demo --vm ends with nothing held", async () => {
  const { code, stdout } = await run(["run", "--no-prompt", "scripts/demo.ts", "--vm"]);
  assertEquals(code, 0);
  assertMatch(stdout, /\n {2}0 held\n$/);
});

Deno.test("mount --create-scratch makes the scratch that is missing", async () => {
  using machine = new Machine();
  machine.host().addLayer("C:\\layers\\base");
  const { code, stderr } = await machine.mount("--create-scratch", "C:\\layers\\base", "C:\\new");
  assertEquals([code, stderr], [0, ""]);
  assertEquals((await machine.unmount("C:\\new")).code, 0);
  assertEquals(machine.held().filter((held) => !held.includes("C:\\new")), []);
});
