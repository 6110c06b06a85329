import { assert, assertEquals, assertMatch, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import config from "../../deno.json" with { type: "json" };
import { createUtilityVM, listMounts, type MountInfo, mountWCOWLayers } from "../../mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { activateLayer, attachDisk, mountCimImage } from "../../src/storage/mod.ts";
import { type Ended, Machine, ROOT, run } from "./run.ts";
import { hostInFront } from "../support/host.ts";

const STACK = ["C:\\layers\\app", "C:\\layers\\base", "C:\\container one\\scratch"];
const SCRATCH = STACK[2]!;
const IMAGE_VOLUME = "\\\\?\\Volume{0a0b0c0d-0102-0304-0506-0708090a0b0c}\\";
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
  const { path, mountId, ...rest } = JSON.parse(stdout);
  assertMatch(path, VOLUME);
  assertMatch(mountId, /^[0-9a-f-]{36}$/);
  assertEquals(rest, {
    id: "scratch",
    volumeMountPath: "C:\\mnt\\c1",
    placements: [
      { layer: STACK[0], scratch: false, device: { kind: "wcifs" }, path: STACK[0] },
      { layer: STACK[1], scratch: false, device: { kind: "wcifs" }, path: STACK[1] },
      { layer: SCRATCH, scratch: true, device: { kind: "disk" }, path },
    ],
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

const SNAPSHOT = {
  Type: "windows-layer",
  Source: SCRATCH,
  Target: "",
  Options: ["rw", `parentLayerPaths=${JSON.stringify(STACK.slice(0, 2))}`],
};
const DOCUMENTS: readonly [name: string, document: unknown, held: readonly string[]][] = [
  ["a mount of containerd", SNAPSHOT, ["activation", "filter"]],
  ["a list of mounts", [SNAPSHOT], ["activation", "filter"]],
  ["an OCI specification", { ociVersion: "1.2.0", windows: { layerFolders: STACK } }, ["activation", "filter"]],
  ["a mount of images", {
    type: "CimFS",
    source: SCRATCH,
    options: ['parentLayerPaths=["C:\\\\layers\\\\app"]', 'parentCimPaths=["C:\\\\images\\\\app.cim"]'],
  }, ["activation", "cimVolume", "overlay"]],
];

for (const [name, document, kinds] of DOCUMENTS) {
  Deno.test(`mount --from takes ${name}, and unmount gives it back`, async () => {
    using machine = new Machine();
    const file = `${machine.file}.mounts`;
    await Deno.writeTextFile(file, JSON.stringify(document));
    const [task, ...args] = machine.args("mount:simulated", "--from", file);
    const granted = args.map((arg) => arg.replace("--allow-read=", `--allow-read=${file},`));
    const { code, stdout, stderr } = await run([task!, ...granted]);
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout.trimEnd(), VOLUME);
    assertEquals([...new Set(machine.held().map((hold) => hold.split(" ")[0]!))].sort(), kinds);
    assertEquals((await machine.unmount(SCRATCH)).code, 0);
    assertEquals(machine.held(), []);
  });
}

Deno.test("mount --from=- takes the standard input, without a permission to read", async () => {
  using machine = new Machine();
  const child = new Deno.Command(Deno.execPath(), {
    args: machine.args("mount:simulated", "--from=-"),
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  const input = child.stdin.getWriter();
  await input.write(new TextEncoder().encode(JSON.stringify([SNAPSHOT])));
  await input.close();
  assertEquals((await child.status).code, 0);
  assertEquals(machine.held(), [`activation ${SCRATCH}`, `filter ${SCRATCH}`]);
});

Deno.test("mount --from says what is wrong with the file, and mounts nothing", async () => {
  using machine = new Machine();
  const file = `${machine.file}.mounts`;
  const [task, ...args] = machine.args("mount:simulated", "--from", file);
  const granted = [task!, ...args.map((arg) => arg.replace("--allow-read=", `--allow-read=${file},`))];
  for (
    const [text, problem] of [
      ["{", `${file} can't be read: `],
      ["{}", `${file} has neither a mount of containerd nor windows.layerFolders in it`],
      ["null", `${file} has neither a mount of containerd nor windows.layerFolders in it`],
      ["[]", "mounts names no layers"],
      ['[{"type":"overlay"}]', "mounts[0].type is not"],
    ] as const
  ) {
    await Deno.writeTextFile(file, text);
    const { code, stderr } = await run(granted);
    assertEquals(code, 1);
    assertStringIncludes(stderr, problem);
  }
  const { code, stderr } = await run([task!, ...args]);
  assertEquals(code, 1);
  assertStringIncludes(stderr, `Start Deno with --allow-read=${file}, or pass the file as standard input`);
  assertEquals(machine.held(), []);
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
  assertEquals(again, { code: 0, stdout: "", stderr: "" });
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

Deno.test("mount adds what is missing to a machine that exists, and leaves the rest as it is", async () => {
  using machine = new Machine();
  machine.host().addCimLayer(STACK[0]!);
  const { code, stderr } = await machine.mount(...STACK);
  assertEquals([code, stderr], [0, ""]);
  assertEquals(machine.held().map((held) => held.split(" ")[0]), ["activation", "cimVolume", "overlay"]);
  const other = await machine.mount("C:/layers/new", STACK[1]!, "C:/other");
  assertEquals([other.code, other.stderr], [0, ""]);
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
  assertMatch(stderr, /^error: .* is mounted by process \d+, since .*Unmount it first/);
  assertEquals(machine.held(), [`activation ${SCRATCH}`, `filter ${SCRATCH}`]);
});

Deno.test("list tells what is mounted, also of one thing; recover leaves what mount left on purpose", async () => {
  using machine = new Machine();
  const task = (name: "list:simulated" | "recover:simulated", ...args: string[]) => run(machine.args(name, ...args));
  assertEquals(await task("list:simulated"), { code: 0, stdout: "", stderr: "" });
  await machine.mount("--id=web", "--mount-point=C:/mnt/web", ...STACK);
  const { code, stdout } = await task("list:simulated");
  assertEquals(code, 0);
  assertMatch(
    stdout,
    /^web {2}mounted {2}C:\\container one\\scratch {2}C:\\mnt\\web\\ {2}left on purpose {2}\d{4}-\d\d-\d\dT[\d:.]+Z\n$/,
  );
  assertEquals((await task("list:simulated", "C:/mnt/web")).stdout, stdout);
  assertEquals((await task("list:simulated", "C:/mnt/other")).stdout, "");
  assertEquals(JSON.parse((await task("list:simulated", "--json")).stdout).mounts[0].containerId, "web");
  assertEquals(await task("recover:simulated"), { code: 0, stdout: "", stderr: "" });
  assertEquals((await task("list:simulated")).stdout, stdout);
});

Deno.test("list tells of disks and images that nobody has a record of, and unmount takes none of them for a scratch", async () => {
  using machine = new Machine();
  const host = new SimulatedHost({ file: machine.file });
  host.addFile("C:\\disks\\data.vhdx", 2 ** 30);
  host.addCimLayer("C:\\layers\\top");
  const device = (await attachDisk("C:\\disks\\data.vhdx", { host, permanent: true })).physicalPath();
  const { volume } = await mountCimImage("C:\\layers\\cim-layers\\top.cim", IMAGE_VOLUME, {
    host: hostInFront(host, { records: false, machine: {} }),
  });
  const data = (await listMounts({ host })).find((mount) => mount.disk !== undefined)!.volume!;
  host.addDriveLetter("E:", data);
  host.addDriveLetter("F:", volume);
  host.endProcess();
  const { code, stdout } = await run(machine.args("list:simulated"));
  const rows = stdout.trimEnd().split("\n").map((line) => line.split(/ {2,}/));
  assertEquals([code, rows], [0, [
    ["-", "mounted", "C:\\disks\\data.vhdx", "E:\\", "unknown", "-"],
    ["-", "partial", volume, "F:\\", "unknown", "-"],
  ]]);
  const { mounts } = JSON.parse((await run(machine.args("list:simulated", "--json", device))).stdout);
  assertEquals(mounts.map(({ disk, diskNumber }: MountInfo) => [disk, diskNumber]), [["C:\\disks\\data.vhdx", 1]]);
  for (const [letter, what] of [["E:\\", "C:\\disks\\data.vhdx"], ["F:\\", volume]] as const) {
    const { code, stderr } = await machine.unmount(letter);
    assertEquals([code, stderr], [1, `error: ${letter} belongs to ${what}, which is no scratch with layers\n`]);
  }
  const disk = await machine.unmount("C:/disks/data.vhdx");
  const detach = `${machine.program("vhd")} detach C:/disks/data.vhdx`;
  assertEquals(
    [disk.code, disk.stderr],
    [1, `error: C:\\disks\\data.vhdx is a disk, and no scratch with layers. To detach it: ${detach}\n`],
  );
});

Deno.test("unmount takes what belongs to one mount: the container's id, the volume, a mount point", async () => {
  using machine = new Machine();
  for (const [i, what] of ["web", "C:/mnt/web", undefined].entries()) {
    const { stdout } = await machine.mount("--id=web", "--mount-point=C:/mnt/web", ...STACK);
    const { code, stdout: released } = await machine.unmount(what ?? stdout.trim());
    assertEquals([code, released.split("\n").length, machine.held()], [0, 5, []], `${i}`);
  }
  const none = await machine.unmount("web");
  assertEquals(none.code, 1);
  assertMatch(
    none.stderr,
    /^error: Nothing is mounted that web belongs to, and there is no folder C:\\web\. .* tells what is mounted\n$/,
  );
});

Deno.test("recover releases what a process left that was killed, and only tells so with --dry-run", async () => {
  using machine = new Machine();
  const host = new SimulatedHost({ file: machine.file });
  host.addLayer("C:\\layers\\app");
  host.addScratch(SCRATCH);
  const dead = host.otherProcess();
  await mountWCOWLayers("web", ["C:\\layers\\app", SCRATCH], { host: dead });
  dead.endProcess();
  const row = /^web {2}mounted {2}.* {2}process \d+ ended {2}/;
  const held = machine.held();
  const { stdout } = await run(machine.args("recover:simulated", "--dry-run"));
  assertMatch(stdout, row);
  assertEquals(stdout.trimEnd().split("\n").slice(1), [`  filter      ${SCRATCH}`, `  activation  ${SCRATCH}`]);
  assertEquals(machine.held(), held);
  assertMatch((await run(machine.args("recover:simulated"))).stdout, row);
  assertEquals(machine.held(), []);
});

Deno.test("recover that fails for one mount prints the others, with the one as held, and warns once of each record", async () => {
  for (const json of [false, true]) {
    using machine = new Machine();
    const host = new SimulatedHost({ file: machine.file });
    host.addLayer("C:\\layers\\app");
    host.addScratch(SCRATCH);
    host.addLinuxBootFolder("C:\\lcow");
    const dead = host.otherProcess();
    await mountWCOWLayers("web", ["C:\\layers\\app", SCRATCH], { host: dead });
    await createUtilityVM({ os: "linux", id: "vm1", bootFolder: "C:\\lcow" }, { host: dead });
    dead.endProcess();
    // It could be that of a VM with the same id.
    host.writeTextFile("C:\\ProgramData\\hcs-layers\\mounts\\unknown.jsonl", '{"version":9}\n');
    host.endProcess();
    const { code, stdout, stderr } = await run(machine.args("recover:simulated", ...json ? ["--json"] : []));
    assertEquals([code, machine.held(), stderr.split("warning: ").length], [3, [], 2]);
    if (json) {
      const { holds, recovered } = JSON.parse(stdout).error;
      assertEquals(holds, [{ kind: "mount", what: "vm1" }]);
      assertEquals(recovered.map(({ outcome }: { outcome: string }) => outcome), ["released", "failed"]);
    } else {
      assertMatch(stdout, /^web {2}mounted .*\n$/);
      assertMatch(stderr, /\nerror: 1 of 2 mounts could not be released: vm1: [^]*\nStill held:\n {2}mount {2}vm1\n/);
    }
  }
});

Deno.test("recover --adopt unmounts a scratch that has no record, or all of them", async () => {
  using machine = new Machine();
  const host = new SimulatedHost({ file: machine.file });
  host.addScratch(SCRATCH);
  host.addScratch("C:\\other");
  await activateLayer(SCRATCH, { host });
  await activateLayer("C:\\other", { host });
  host.endProcess();
  // Of a variable that isn't set: it mustn't mean all.
  const unset = await run(machine.args("recover:simulated", "--adopt="));
  assertEquals([unset.code, unset.stdout, unset.stderr], [2, "", "error: --adopt is empty\n--help tells the usage\n"]);
  const adopt = async (...args: string[]) => (await run(machine.args("recover:simulated", ...args))).stdout;
  assertEquals([await adopt(), machine.held().length], ["", 2]);
  assertMatch(await adopt(`--adopt=${SCRATCH.replaceAll("\\", "/")}`), /^- {2}mounted {2}.*unknown {2}-\n$/);
  assertEquals(machine.held().length, 1);
  assertMatch(await adopt("--adopt"), /^- {2}mounted {2}C:\\other .*unknown {2}-\n$/);
  assertEquals(machine.held(), []);
});

for (
  const [script, args, problem] of [
    ["mount", [], "mount needs the folder of one LAYER or more, and of the SCRATCH"],
    ["mount", [SCRATCH], "mount needs the folder of one LAYER or more, and of the SCRATCH"],
    ["mount", [...STACK, "--force"], "Unknown option '--force'"],
    ["mount", [...STACK, "--id", "--json=no"], "Option '--id' argument is ambiguous"],
    ["mount", [...STACK, "--id"], "Option '--id <value>' argument missing"],
    ["mount", [...STACK, "--json=no"], "Option '--json' does not take an argument"],
    ["mount", [...STACK, "--from=-"], "--from names the layers: leave out LAYER and SCRATCH"],
    ["mount", ["--from=-", "--vm=windows"], "--from doesn't go with --vm"],
    ["unmount", [], "unmount needs the folder of the SCRATCH, and nothing else"],
    ["unmount", STACK, "unmount needs the folder of the SCRATCH, and nothing else"],
    ["unmount", [SCRATCH, "--id=c1"], "Unknown option '--id'"],
    ["list", [SCRATCH, SCRATCH], "list takes one thing to look for, or none"],
    ["recover", [SCRATCH], "recover takes no arguments but options"],
  ] as [string, string[], string][]
) {
  Deno.test(`${script} ${args.join(" ")} is wrong usage, which ends with exit code 2`, async () => {
    const { code, stdout, stderr } = await run(["run", `scripts/${script}.ts`, "--simulate", ...args]);
    assertEquals({ code, stdout, stderr }, {
      code: 2,
      stdout: "",
      stderr: `error: ${problem}\n--help tells the usage\n`,
    });
  });
}

Deno.test("wrong usage is JSON too with --json", async () => {
  const { code, stdout } = await run(["run", "scripts/unmount.ts", "--json"]);
  assertEquals(code, 2);
  assertEquals(JSON.parse(stdout).error.name, "UsageError");
});

for (const script of ["mount", "unmount"]) {
  Deno.test(`${script} --help tells usage, options, exit codes and examples`, async () => {
    const { code, stdout } = await run(["run", `scripts/${script}.ts`, "--help"]);
    assertEquals(code, 0);
    assertMatch(stdout, new RegExp(`^Usage: deno task ${script} `, "m"));
    for (const option of ["--mount-point", "--json", "--simulate", "Exit codes"]) assert(stdout.includes(option));
    assertMatch(stdout, new RegExp(`Examples:\n {2}deno task ${script} `));
  });
}

Deno.test("-h is --help, also where other arguments are wrong, and speaks of the task that was run", async () => {
  const { code, stdout } = await run(["task", "-q", "mount:simulated", "-h"]);
  assertEquals(code, 0);
  assertMatch(stdout, /^Usage: deno task mount:simulated .*deno task unmount:simulated C:\/containers\/web$/ms);
});

Deno.test("--version prints the version of deno.json", async () => {
  const { code, stdout } = await run(["run", "--no-prompt", "scripts/vhd.ts", "--version"]);
  assertEquals([code, stdout], [0, `hcs-layers ${config.version}\n`]);
});

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
  for (const name of ["mount", "unmount", "list", "recover", "vhd"].flatMap((name) => [name, `${name}:simulated`])) {
    const flags = config.tasks[name as "mount"].command.split(" ").filter((part) => part.startsWith("-"));
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
    assertMatch(stderr, /^error: This is \w+, not Windows\. deno task mount:simulated works on a simulated host$/m);
  },
});

// /proc tells who waits for a lock: the moment at which the signal has to come.
const CAN_INTERRUPT = Deno.build.os === "linux";

/** Interrupts a command on new machines, until one was reached when it was to be. */
async function interrupted(
  prepare: (machine: Machine) => Promise<string[]> | string[],
  check: (ended: Ended, machine: Machine) => Promise<void> | void,
  reached?: RegExp,
): Promise<void> {
  for (;;) {
    using machine = new Machine();
    const ended = await machine.interrupt(await prepare(machine), reached);
    if (ended !== undefined) return await check(ended, machine);
  }
}

for (
  const [when, reached] of [["at its first call", undefined], [
    "with the mount folder there",
    /C:\\\\mnt\\\\c1"/,
  ]] as const
) {
  Deno.test({
    name: `mount that is interrupted ${when} gives everything back`,
    ignore: !CAN_INTERRUPT,
    fn: () =>
      interrupted(
        (machine) => machine.args("mount:simulated", ...STACK, "--json", "--mount-point=C:\\mnt\\c1"),
        ({ code, stdout }, machine) => {
          assertEquals(JSON.parse(stdout).error, { name: "AbortError", message: "Interrupted", holds: [] });
          assertEquals([code, machine.held()], [130, []]);
          assert(machine.host().exists(STACK[0]!), "was interrupted before it began");
        },
        reached,
      ),
  });
}

Deno.test({
  name: "unmount that is interrupted tells what is still mounted, and another goes on",
  ignore: !CAN_INTERRUPT,
  fn: () =>
    interrupted(
      async (machine) => {
        await machine.mount(...STACK);
        return machine.args("unmount:simulated", SCRATCH);
      },
      async ({ code, stderr }, machine) => {
        assertEquals(code, 3);
        assertEquals(
          stderr,
          `error: Interrupted, with the layers still mounted, or a part of it\nStill held:\n  activation  ${SCRATCH}\n` +
            `To release it: ${machine.program("unmount")} "C:/container one/scratch"\n`,
        );
        assertEquals((await machine.unmount(SCRATCH)).code, 0);
        assertEquals(machine.held(), []);
      },
    ),
});

for (
  const [when, reached] of [["at its first call", undefined], ["with the disk attached", /AttachVirtualDisk/]] as const
) {
  Deno.test({
    name: `vhd attach that is interrupted ${when} detaches the disk`,
    ignore: !CAN_INTERRUPT,
    fn: () =>
      interrupted(
        (machine) => machine.args("vhd:simulated", "attach", "C:/disks/data.vhdx"),
        ({ code }, machine) => assertEquals([code, machine.held()], [130, []]),
        reached,
      ),
  });
}

Deno.test("demo reports 0 held at the end, with no permission", async () => {
  const { code, stdout, stderr } = await run(["run", "--no-prompt", "--no-remote", "scripts/demo.ts"]);
  assertEquals([code, stderr], [0, ""]);
  assertEquals(stdout.trimEnd().split("\n").at(-1)!.trim(), "0 held");
});

for (const [name, args] of [["demo", ["scripts/demo.ts"]], ["bench", ["-A", "tests/bench/main.ts"]]] as const) {
  Deno.test(`${name} --help prints its usage, and an unknown option is wrong usage`, async () => {
    const help = await run(["run", "--no-prompt", ...args, "--help"]);
    assertEquals(help.code, 0);
    assertMatch(help.stdout, new RegExp(`^Usage: deno task ${name} `, "m"));
    const { code, stdout, stderr } = await run(["run", "--no-prompt", ...args, "--bogus"]);
    assertEquals([code, stdout], [2, ""]);
    assertMatch(stderr, /^error: .*--bogus|^bench takes no --bogus/);
  });
}

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
