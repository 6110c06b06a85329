import { existsSync } from "node:fs";
import { assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { Machine, run } from "./run.ts";

const DISK = "C:\\disks\\data.vhdx";
const CHILD = "C:\\disks\\child.vhdx";

async function answer(machine: Machine, ...args: string[]): Promise<unknown> {
  const { code, stdout, stderr } = await machine.vhd("--json", ...args);
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
  assertEquals(await machine.vhd("expand", "C:\\scratch", "40GiB"), {
    code: 0,
    stdout: "expanded C:\\scratch to 40 GiB\n",
    stderr: "",
  });
  const { stdout } = await machine.vhd("info", "C:\\scratch\\sandbox.vhdx");
  assertStringIncludes(stdout, "size     40 GiB\n");
});

Deno.test("vhd never overwrites, and says so", async () => {
  using machine = new Machine();
  await machine.vhd("create", DISK, "1GiB");
  const again = await machine.vhd("create", DISK, "2GiB");
  assertEquals([again.code, again.stdout], [1, ""]);
  assertStringIncludes(again.stderr, `DISK exists already: ${DISK}\n`);
});

Deno.test("vhd checks its arguments before a simulated machine is populated", async () => {
  using machine = new Machine();
  for (
    const [args, problem] of [
      [["create", "C:/disks/data", "1GiB"], "DISK doesn't end in .vhdx: C:\\disks\\data"],
      [["create", DISK, "1KiB"], "SIZE is not between 3 MiB and 64 TiB, in bytes: 1024"],
      [["create-diff", CHILD, "C:/disks/data.vhd"], "PARENT doesn't end in .vhdx: C:\\disks\\data.vhd"],
      [["create", DISK, "1GiB", "--block-size=1"], "--block-size is neither 0 nor a power of two"],
      [["expand", "C:/", "40GiB"], "SCRATCH is the root of a volume: C:\\"],
    ] as [string[], string][]
  ) {
    const { code, stdout, stderr } = await machine.vhd(...args);
    assertEquals([code, stdout], [1, ""]);
    assertStringIncludes(stderr, `error: ${problem}`);
    assertEquals(existsSync(machine.file), false);
  }
});

const WRONG: [args: string[], says: string][] = [
  [[], "vhd needs a command: create, create-diff, attach, detach, expand, info"],
  [["toString", "C:\\x.vhdx"], "vhd needs a command, not toString: create"],
  [["attach"], "vhd attach takes one argument, DISK, not 0"],
  [["create", DISK], "vhd create takes two arguments, DISK and SIZE, not 1"],
  [["create", DISK, "20GB"], "20GB is no size"],
  [["create", DISK, "1GiB", "--block-size=big"], "big is no size"],
  [["create", DISK, "1GiB", "--blocks=1"], "Unknown option"],
];
for (const [args, says] of WRONG) {
  Deno.test(`vhd refuses the command line ${JSON.stringify(args.join(" "))}`, async () => {
    using machine = new Machine();
    const { code, stdout, stderr } = await machine.vhd(...args);
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
