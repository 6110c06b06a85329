import { assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { type Ended, Machine, run } from "./run.ts";

const DISK = "C:\\disks\\data.vhdx";
const CHILD = "C:\\disks\\child.vhdx";

function vhd(machine: Machine, ...args: string[]): Promise<Ended> {
  const { file } = machine;
  return run([
    "run",
    "--no-prompt",
    "--quiet",
    `--allow-read=${file}`,
    `--allow-write=${file}`,
    "scripts/vhd.ts",
    `--simulate=${file}`,
    ...args,
  ]);
}

async function answer(machine: Machine, ...args: string[]): Promise<unknown> {
  const { code, stdout, stderr } = await vhd(machine, "--json", ...args);
  assertEquals([code, stderr], [0, ""], stdout);
  return JSON.parse(stdout);
}

Deno.test("vhd creates, attaches, shows and detaches disks, each in a process of its own", async () => {
  using machine = new Machine();
  assertEquals(await answer(machine, "create", DISK, "20GiB", "--block-size=1MiB"), { path: DISK, size: 20 * 2 ** 30 });
  assertEquals(await answer(machine, "create-diff", CHILD, DISK), { path: CHILD, parent: DISK });
  const device = "\\\\.\\PhysicalDrive1";
  assertEquals(await answer(machine, "attach", CHILD), { path: CHILD, device });
  assertEquals(machine.held().filter((line) => !line.startsWith("file")), [`attachedDisk ${CHILD}`]);
  assertEquals(await answer(machine, "info", CHILD), {
    path: CHILD,
    size: 20 * 2 ** 30,
    fileSize: 4 * 2 ** 20,
    blockSize: 32 * 2 ** 20,
    sectorSize: 512,
    parent: { path: DISK, found: true },
    inUse: true,
  });
  assertEquals(await answer(machine, "detach", CHILD), { path: CHILD, wasAttached: true });
  assertEquals(await answer(machine, "detach", CHILD), { path: CHILD, wasAttached: false });
  assertEquals(machine.held(), [`file ${DISK}`, `file ${CHILD}`]);
});

Deno.test("vhd expand grows the disk of a scratch", async () => {
  using machine = new Machine();
  assertEquals(await vhd(machine, "expand", "C:\\scratch", "40GiB"), {
    code: 0,
    stdout: "expanded C:\\scratch to 40 GiB\n",
    stderr: "",
  });
  const { stdout } = await vhd(machine, "info", "C:\\scratch\\sandbox.vhdx");
  assertStringIncludes(stdout, "size     40 GiB\n");
});

Deno.test("vhd never overwrites, and says so", async () => {
  using machine = new Machine();
  await vhd(machine, "create", DISK, "1GiB");
  const again = await vhd(machine, "create", DISK, "2GiB");
  assertEquals([again.code, again.stdout], [1, ""]);
  assertStringIncludes(again.stderr, "path exists already");
});

const WRONG: [args: string[], says: string][] = [
  [[], "vhd needs a command: create, create-diff, attach, detach, expand, info"],
  [["toString", "C:\\x.vhdx"], "vhd needs a command"],
  [["attach"], "vhd attach takes one argument, not 0"],
  [["create", DISK], "vhd create takes two arguments, not 1"],
  [["create", DISK, "20GB"], "20GB is no size"],
  [["create", DISK, "1GiB", "--block-size=big"], "big is no size"],
  [["create", DISK, "1GiB", "--blocks=1"], "Unknown option"],
];
for (const [args, says] of WRONG) {
  Deno.test(`vhd refuses the command line ${JSON.stringify(args.join(" "))}`, async () => {
    using machine = new Machine();
    const { code, stdout, stderr } = await vhd(machine, ...args);
    assertEquals([code, stdout], [2, ""]);
    assertStringIncludes(stderr, says);
  });
}

Deno.test("vhd --help tells all commands, with no permission", async () => {
  const { code, stdout } = await run(["run", "--no-prompt", "--quiet", "scripts/vhd.ts", "--help"]);
  assertEquals(code, 0);
  for (const command of ["create DISK", "create-diff", "attach", "detach", "expand", "info", "--simulate"]) {
    assertStringIncludes(stdout, command);
  }
});
