/**
 * Tests of tier 2 of `deno task vhd`, with the task's own grants.
 *
 * @module
 */

import { assert, assertEquals } from "jsr:@std/assert@^1.0.0";
import { type AcrossTest, argumentsOf, plainPath, TracedFolder, withoutEachGrant } from "./across.ts";
import { CHECKOUT, type RunResult, type WineRoot } from "./prepare.ts";

/** A folder for disks that Windows programs see, and the trace of what is done there. */
class Disks extends TracedFolder {
  constructor(wine: WineRoot) {
    super(wine, { "old.vhdx": "", "scratch/sandbox.vhdx": "" });
  }

  run(args: readonly string[], ...operands: string[]): Promise<RunResult> {
    return this.wine.run([...args, ...operands], { cwd: CHECKOUT, env: this.env });
  }

  /** The functions that were called since the last time, `CloseHandle` not among them. */
  newCalls(): string[] {
    const calls = this.calls.map((call) => call.fn);
    Deno.writeTextFileSync(`${this.folder}/trace`, "");
    return calls;
  }
}

const works: AcrossTest = {
  name: "deno task vhd creates, attaches, detaches and expands disks with its own grants",
  async run(wine) {
    const disks = new Disks(wine);
    const task = argumentsOf("vhd");
    const path = (name: string) => `${disks.inside}\\${name}`;
    const steps: [operands: string[], calls: string[]][] = [
      [["create", path("new.vhdx"), "1GiB"], ["CreateVirtualDisk"]],
      [["create-diff", path("diff.vhdx"), path("old.vhdx")], ["CreateVirtualDisk"]],
      [["attach", path("old.vhdx")], ["OpenVirtualDisk", "AttachVirtualDisk", "GetVirtualDiskPhysicalPath"]],
    ];
    for (const [operands, calls] of steps) {
      const { code, stderr } = await disks.run(task, ...operands);
      assertEquals([operands[0], code, stderr], [operands[0], 0, ""]);
      assertEquals([operands[0], disks.newCalls()], [operands[0], calls]);
    }
    // The recording DLL attaches nothing, so that Windows' own look at the file finds it free.
    assertEquals((await disks.run(task, "detach", path("old.vhdx"))).code, 0);
    assertEquals((await disks.run(task, "info", path("old.vhdx"))).code, 0);
    disks.newCalls();
    const refused = await disks.run(task, "create", path("old.vhdx"), "1GiB");
    assertEquals([refused.code, disks.newCalls()], [1, []]);
    assertEquals((await disks.run(task, "create", path("x.vhdx"))).code, 2);
  },
};

const grants: AcrossTest[] = withoutEachGrant(argumentsOf("vhd")).map(({ grant, rest }) => ({
  name: `deno task vhd without ${grant} names that grant`,
  async run(wine) {
    const disks = new Disks(wine);
    // vmcompute.dll makes scratch disks larger, and does nothing else here.
    const operands = grant.endsWith("vmcompute.dll")
      ? ["expand", `${disks.inside}\\scratch`, "30TiB"]
      : ["attach", `${disks.inside}\\old.vhdx`];
    const { code, stdout, stderr } = await disks.run(rest, ...operands);
    assertEquals([code, stdout], [1, ""]);
    assert(plainPath(stderr).includes(plainPath(grant)), stderr);
  },
}));

/** The tests. */
export const acrossDisks: readonly AcrossTest[] = [works, ...grants];
