import { assert, assertEquals, assertStringIncludes, assertThrows } from "jsr:@std/assert@^1.0.0";
import { mountWCOWLayers, unmountWCOWLayers } from "../../mod.ts";
import * as k32 from "../../src/ffi/kernel32.ts";
import { SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";
import { deno } from "../support/processes.ts";
import { held, settle } from "../support/calls.ts";
import { MOUNT, SCRATCH, STACK, stackHost } from "../support/host.ts";
import { LINUX, startedVM, vmHost } from "../support/vm_host.ts";

async function withFile(body: (file: string) => Promise<void> | void): Promise<void> {
  const file = await Deno.makeTempFile();
  try {
    await body(file);
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("hosts on one file are one machine, and each call commits", () =>
  withFile(async (file) => {
    const first = stackHost({ file, build: 17763 });
    const second = new SimulatedHost({ file, build: 26100 });
    await using layers = await mountWCOWLayers("c1", STACK, { host: first, volumeMountPath: MOUNT });
    assertEquals(second.held(), first.held());
    assertEquals(second.paths(), first.paths());
    assertEquals(second.calls, []);
    await unmountWCOWLayers(SCRATCH, { host: second });
    assertEquals([held(first), held(second)], [[], []]);
    await layers.release();
  }));

Deno.test("a machine in a file stays readable as it grows and shrinks, whatever characters its paths have", () =>
  withFile((file) => {
    const host = new SimulatedHost({ file });
    for (const name of ["目录", "𝄞".repeat(100), "a", "目".repeat(1000), "b"]) {
      k32.createDirectory(host, `C:\\${name}`);
      assertEquals(new SimulatedHost({ file }).paths(), ["C:", `C:\\${name}`]);
      k32.removeDirectory(host, `C:\\${name}`);
      assertEquals(new SimulatedHost({ file }).paths(), ["C:"]);
    }
    assert(Deno.statSync(file).size < 40_000, "it doesn't grow with each call");
  }));

Deno.test("what a call adds to the file is what it changes, however large the machine is", () =>
  withFile((file) => {
    const host = new SimulatedHost({ file });
    for (let i = 0; i < 1000; i++) host.addFile(`C:\\files\\${i}`);
    const other = new SimulatedHost({ file });
    const size = () => Deno.statSync(file).size;
    const before = size();
    for (let i = 0; i < 10; i++) {
      k32.createDirectory(i % 2 === 0 ? host : other, `C:\\${i}`);
      k32.fileAttributes(other, `C:\\${i}`);
    }
    assert(size() - before < 5_000, `it grew by ${size() - before} bytes`);
    k32.removeDirectory(other, "C:\\0");
    for (const each of [host, other, new SimulatedHost({ file })]) {
      assertEquals([each.exists("C:\\0"), each.exists("C:\\9"), each.paths().length], [false, true, 1011]);
    }
  }));

Deno.test("a file that is begun anew meanwhile is read anew", () =>
  withFile((file) => {
    const host = new SimulatedHost({ file });
    host.addFolder("C:\\one");
    Deno.truncateSync(file);
    new SimulatedHost({ file }).addFolder("C:\\two");
    assertEquals(host.paths(), ["C:", "C:\\two"]);
    host.addFolder("C:\\six");
    assertEquals(new SimulatedHost({ file }).paths(), ["C:", "C:\\two", "C:\\six"]);
  }));

Deno.test("a file that holds something else is refused, and kept", () =>
  withFile((file) => {
    const text = "what somebody wrote ".repeat(10);
    Deno.writeTextFileSync(file, text);
    assertThrows(() => new SimulatedHost({ file }), SimulationError, file);
    assertEquals(Deno.readTextFileSync(file), text);
    assertThrows(() => new SimulatedHost({ file: `${file}/no` }), SimulationError, "can't be opened");
  }));

Deno.test("a file that begins with zeros and isn't empty is refused, and kept", () =>
  withFile((file) => {
    const bytes = new Uint8Array(4096).fill(0x41).fill(0, 0, 64);
    Deno.writeFileSync(file, bytes);
    const text = `${file} contains no simulated machine, or a damaged one. If it was one, delete it to start over`;
    assertThrows(() => new SimulatedHost({ file }), SimulationError, text);
    assertEquals(Deno.readFileSync(file), bytes);
  }));

Deno.test("without a grant for the file the error names the flags", () =>
  withFile(async (file) => {
    for (const grants of [[], [`--allow-read=${file}`], [`--allow-write=${file}`]]) {
      const { success, stderr } = await deno(grants, "simulated/commit.ts", file).output();
      assertEquals(success, false);
      assertStringIncludes(
        new TextDecoder().decode(stderr),
        `MissingPermissionError: Permissions are missing. Start Deno with --allow-read=${file} --allow-write=${file}`,
      );
    }
  }));

Deno.test("a write that ends before its last step, the first line, leaves the state before it", () =>
  withFile((file) => {
    const host = new SimulatedHost({ file });
    const line = 32;
    for (const name of ["a", "目".repeat(1000), "b".repeat(3000), "c"]) {
      for (const change of [k32.createDirectory, k32.removeDirectory]) {
        const [paths, before] = [host.paths(), Deno.readFileSync(file).subarray(0, line)];
        change(host, `C:\\${name}`);
        const after = Deno.readFileSync(file);
        Deno.writeFileSync(file, Uint8Array.from([...before, ...after.subarray(line)]));
        assertEquals(new SimulatedHost({ file }).paths(), paths);
        Deno.writeFileSync(file, after);
      }
    }
  }));

Deno.test("a process that is killed at any time leaves a machine that can be read and unmounted", () =>
  withFile(async (file) => {
    const host = stackHost({ file });
    // So large that a write takes its time.
    for (let i = 0; i < 200; i++) host.addFile(`C:\\${"x".repeat(1000)}${i}`);
    const before = host.paths();
    for (let i = 0; i < 3; i++) {
      await using child = deno([`--allow-read=${file}`, `--allow-write=${file}`], "simulated/commit.ts", file).spawn();
      const output = child.stdout.getReader();
      assertEquals(new TextDecoder().decode((await output.read()).value), "running\n");
      await new Promise((resolve) => setTimeout(resolve, 10 * i));
      child.kill("SIGKILL");
      await Promise.all([child.status, output.cancel(), child.stderr.cancel()]);
      await unmountWCOWLayers(SCRATCH, { host: new SimulatedHost({ file }) });
      // A kill between the creation of a folder and its mark leaves a folder that nobody knows to be ours.
      for (const folder of [`${MOUNT}\\目录`, MOUNT, "C:\\mnt"]) {
        if (host.exists(folder)) k32.removeDirectory(host, folder);
      }
      assertEquals([held(host), host.paths()], [[], before]);
    }
  }));

Deno.test("a VM on a machine in a file boots its guest, which other processes see connected and gone", () =>
  withFile(async (file) => {
    const host = vmHost({ file });
    const bridge = () => JSON.stringify(new SimulatedHost({ file }).snapshot()).match(/"bridge":"(\w+)"/)?.[1];
    const vm = await startedVM(host, { ...LINUX, guestConnection: "direct" });
    assertEquals(bridge(), "connected");
    host.guests.disconnect(vm.runtimeId);
    await settle();
    assertEquals(bridge(), "lost");
    await vm.close();
    assertEquals(held(host), []);
  }));

Deno.test({
  name: "what a killed process has open is closed when it is in the way, and the process has ended",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    withFile(async (file) => {
      const host = new SimulatedHost({ file });
      const path = "C:\\data\\log.txt";
      host.addFile(path);
      host.addFile("C:\\data\\old.txt");
      const config = `--config=${new URL("../../deno.json", import.meta.url).pathname}`;
      const script = await Deno.makeTempFile({ suffix: ".ts" });
      await Deno.writeTextFile(script, killedWithFileOpen(file));
      const killed = await new Deno.Command(Deno.execPath(), { args: ["run", "-A", "--no-check", config, script] })
        .output();
      await Deno.remove(script);
      assertEquals(killed.signal, "SIGKILL", new TextDecoder().decode(killed.stderr));
      // It was deleted, and is gone only now.
      assertEquals(host.exists("C:\\data\\old.txt"), true);
      assertEquals(k32.fileAttributes(host, "C:\\data\\old.txt"), undefined);
      assert(k32.hasEnded(host, JSON.parse(new TextDecoder().decode(killed.stdout))));
      const { access, share } = k32;
      k32.openFile(host, path, { access: access.GENERIC_WRITE, share: share.NONE })[Symbol.dispose]();
    }),
});

function killedWithFileOpen(file: string): string {
  const module = (path: string) => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);
  return `
    const { SimulatedHost } = await import(${module("simulated/mod.ts")});
    const { access, currentProcess, deleteFile, openFile, share } = await import(${module("ffi/kernel32.ts")});
    const host = new SimulatedHost({ file: ${JSON.stringify(file)} });
    openFile(host, "C:\\\\data\\\\log.txt", { access: access.GENERIC_WRITE, share: share.NONE });
    openFile(host, "C:\\\\data\\\\old.txt", { share: share.ALL });
    deleteFile(host, "C:\\\\data\\\\old.txt");
    console.log(JSON.stringify(currentProcess(host)));
    Deno.kill(Deno.pid, "SIGKILL");
  `;
}
