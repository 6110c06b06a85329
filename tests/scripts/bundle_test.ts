import { assertEquals, assertMatch, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import config from "../../deno.json" with { type: "json" };
import { run } from "./run.ts";

Deno.test("bundle makes files that run in an empty folder, with an empty cache and no network", async () => {
  const folder = await Deno.makeTempDir();
  const away = await Deno.makeTempDir();
  try {
    const { code, stdout, stderr } = await run(["task", "-q", "bundle", "--output", folder]);
    assertEquals(code, 0, stderr);
    const bundled = (line: string, ...args: string[]) => {
      const words = line.split(" ").slice(1).map((word) => word.endsWith(".js") ? `${folder}/${word}` : word);
      return run([words[0]!, "--cached-only", ...words.slice(1), ...args], {
        cwd: away,
        env: { DENO_DIR: `${away}/cache` },
      });
    };

    const lines = [...stdout.matchAll(/^ {2}(deno run .*)$/gm)].map(([, line]) => line!);
    assertEquals(lines.length, 8);
    for (
      const [i, command] of (["mount", "unmount", "list", "recover", "vhd", "observe", "layer", "cim"] as const)
        .entries()
    ) {
      const task = config.tasks[command].command.replaceAll("$SystemRoot", "C:/Windows");
      assertEquals(lines[i], task.replace(`scripts/${command}.ts`, `${command}.js --help`));
      const help = await bundled(lines[i]!);
      assertEquals([help.code, help.stderr], [0, ""]);
      assertMatch(help.stdout, new RegExp(`^Usage: deno run … ${command}\\.js `, "m"));
      assertEquals(help.stdout.includes("deno task"), false);
    }

    const machine = `${away}/machine.state`;
    const simulated = (command: string) =>
      `deno run --no-prompt --no-remote --allow-read=${machine} --allow-write=${machine} ${command}.js --simulate=${machine}`;
    const mount = await bundled(simulated("mount"), "C:/layers/app", "C:/scratch");
    assertEquals([mount.code, mount.stderr], [0, ""]);
    assertMatch(mount.stdout, /^\\\\\?\\Volume\{[0-9a-f-]{36}\}\\\n$/);
    const again = await bundled(simulated("mount"), "C:/layers/app", "C:/scratch");
    assertEquals(again.code, 1);
    assertStringIncludes(again.stderr, `To unmount it: deno run … unmount.js --simulate=${machine} C:/scratch\n`);
    const unmount = await bundled(simulated("unmount"), "C:/scratch");
    assertEquals([unmount.code, unmount.stdout], [0, "filter      C:\\scratch\nactivation  C:\\scratch\n"]);
    const device = await bundled(simulated("vhd"), "attach", "C:/disks/data.vhdx");
    assertEquals([device.code, device.stdout], [0, "\\\\.\\PhysicalDrive1\n"]);
    assertEquals((await bundled(simulated("vhd"))).code, 2);
    const layer = await bundled("deno run --allow-read=none.tar layer.js", "ls", "none.tar");
    assertEquals([layer.code, layer.stdout], [1, ""]);
    const cim = await bundled("deno run --allow-read=none.cim cim.js", "ls", "none.cim");
    assertEquals([cim.code, cim.stdout], [1, ""]);
    const version = await bundled("deno run vhd.js --version");
    assertEquals(version.stdout, `hcs-layers ${config.version}\n`);
  } finally {
    await Deno.remove(folder, { recursive: true });
    await Deno.remove(away, { recursive: true });
  }
});
