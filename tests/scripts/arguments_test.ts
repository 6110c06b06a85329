import { assertEquals, assertStringIncludes, assertThrows } from "jsr:@std/assert@^1.0.0";
import { existsSync } from "node:fs";
import { win32 } from "node:path";
import { UsageError } from "../../scripts/support/errors.ts";
import { windowsPath } from "../../scripts/support/windows_path.ts";
import { Machine } from "./run.ts";

const CURRENT = Deno.build.os === "windows" ? Deno.cwd() : "C:\\";

for (
  const [argument, path] of [
    ["C:\\layers\\app", "C:\\layers\\app"],
    ["C:/layers/app", "C:\\layers\\app"],
    ["C:/layers\\app/", "C:\\layers\\app"],
    ["c:\\layers\\app\\\\", "c:\\layers\\app"],
    ["C:\\layers\\.\\x\\..\\app", "C:\\layers\\app"],
    ["C:/", "C:\\"],
    ["\\\\server\\share\\app\\", "\\\\server\\share\\app"],
    ["//server/share/app", "\\\\server\\share\\app"],
    ["\\\\?\\C:\\layers\\app", "\\\\?\\C:\\layers\\app"],
    ["layers/app", win32.resolve(CURRENT, "layers\\app")],
    ["..\\app\\", win32.resolve(CURRENT, "..\\app")],
    ["/layers/app", win32.resolve(CURRENT, "\\layers\\app")],
    ["C:\\Schichten\\größe 1", "C:\\Schichten\\größe 1"],
  ] as const
) {
  Deno.test(`the argument ${argument} is the path ${path}`, () => {
    assertEquals(windowsPath(argument, "LAYER"), path);
  });
}

for (
  const [argument, problem] of [
    ["", "LAYER is empty"],
    ["C:layersapp", "LAYER has no \\ or / after its drive: C:layersapp"],
    ["'C:\\layers\\app'", 'LAYER has ":" in it'],
    ["C:\\layers\\*", 'LAYER has "*" in it'],
    ["\\\\?\\C:\\a|b", 'LAYER has "|" in it'],
    ["C:\\layers\\a\nb", 'LAYER has "\\n" in it'],
  ] as const
) {
  Deno.test(`the argument ${JSON.stringify(argument)} is no path`, () => {
    assertThrows(() => windowsPath(argument, "LAYER"), UsageError, problem);
  });
}

Deno.test("mount and unmount take paths with /, with closing separators, and relative ones", async () => {
  using machine = new Machine();
  machine.host();
  const stack = ["layers/app/", "..\\layers\\base\\", "C:/scratch/"];
  const { code, stdout, stderr } = await machine.mount(...stack, "--mount-point=C:/mnt/c1/", "--json");
  assertEquals([code, stderr], [0, ""], stdout);
  assertEquals(JSON.parse(stdout).volumeMountPath, "C:\\mnt\\c1");
  assertEquals(machine.held().slice(0, 2), ["activation C:\\scratch", "filter C:\\scratch"]);
  assertEquals((await machine.unmount("C:\\scratch\\")).code, 0);
  assertEquals(machine.held(), []);
});

for (
  const [args, code, problem] of [
    [["C:layersapp", "C:layersbase", "C:scratch"], 2, "error: LAYER 1 has no \\ or / after its drive: C:layersapp\n"],
    [['C:\\My Layers\\app" C:\\layers\\base C:\\scratch'], 2, 'error: An argument has a " in it: C:\\My Layers\\app"'],
    [["C:/a", "C:/s", "--mount-point=C:mnt"], 2, "error: --mount-point has no \\ or / after its drive: C:mnt\n"],
    [["C:/a", "C:/s", "--mount-point=C:/"], 1, "error: --mount-point is the root of a volume: C:\\\n"],
    [["C:/a", "C:/"], 1, "error: SCRATCH is the root of a volume: C:\\\n"],
    [["C:/a", "C:/A"], 1, "error: LAYER is the scratch as well: C:\\A\n"],
    [["C:/1/a", "C:/2/a", "C:/s"], 1, "error: LAYER 2 has the same folder name as LAYER 1, so Windows"],
    [["C:/a", "C:/s", "--id="], 2, "error: --id is empty\n"],
    [["C:/a", "C:/s", "--id", ""], 2, "error: --id is empty\n"],
    [["C:/a", "C:/s", "--simulate="], 2, "error: --simulate is empty\n"],
    [["C:/a", "C:/s", "--mount-point=C:/m", "--mount-point", "C:/n"], 2, "error: --mount-point is given twice\n"],
    [["--from="], 2, "error: --from is empty\n"],
    [["--timeout", "C:/a", "C:/s"], 2, "error: --timeout takes a number of seconds from 0.001 to 2147483, not C:/a\n"],
    [["C:/a", "C:/s", "--vm=plan9"], 2, "error: --vm takes windows or linux, not plan9\n"],
  ] as [string[], number, string][]
) {
  Deno.test(`mount refuses ${args.join(" ")} before a simulated machine is populated`, async () => {
    using machine = new Machine();
    const outcome = await machine.mount(...args);
    assertEquals([outcome.code, outcome.stdout], [code, ""]);
    assertStringIncludes(outcome.stderr, problem);
    assertEquals(existsSync(machine.file), false);
  });
}
