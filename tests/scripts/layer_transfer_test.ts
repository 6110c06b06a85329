// `layer import` and `layer export` as processes of their own, on a simulated machine in a file.
import { assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { baseEntries, childEntries, entry, tar } from "../support/layer_tars.ts";
import { run, runInto } from "./run.ts";

const [BASE, APP] = ["C:/layers/base", "C:/layers/app"];

Deno.test("layer import makes layers of tars, and export prints them", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [state, base, app, out] = ["state", "base.tar", "app.tar", "out.tar"].map((name) => `${folder}/${name}`) as [
      string,
      string,
      string,
      string,
    ];
    await Deno.writeFile(base, tar(...baseEntries()));
    await Deno.writeFile(app, tar(...childEntries()));
    const grants = ["run", "--no-prompt", "--no-remote", `--allow-read=${folder}`, `--allow-write=${state}`];
    const command = (...args: string[]) => [...grants, "scripts/layer.ts", `--simulate=${state}`, ...args];
    const first = await run(command("import", BASE, base));
    assertEquals([first.code, first.stderr], [0, ""]);
    assertStringIncludes(first.stdout, "C:\\layers\\base");
    const image = await run(command("import", "--json", "--form=cim", "C:/images/base", base));
    assertEquals(JSON.parse(image.stdout), {
      layer: "C:\\images\\base",
      size: 72,
      image: "C:\\images\\cim-layers\\base.cim",
    });
    assertEquals((await run(command("import", APP, app, BASE))).code, 0);
    const again = await run(command("import", APP, app, BASE));
    assertEquals([again.code, again.stdout], [1, ""]);
    assertStringIncludes(again.stderr, "LAYER exists already");
    await runInto(out, command("export", APP, BASE));
    const full = "error: The result can't be printed: No space left on device (os error 28)\n";
    const big = tar(...childEntries(), entry({ path: "Files/data/big", text: "x".repeat(2 ** 21) }));
    await Deno.writeFile(app, big);
    assertEquals((await run(command("import", `${APP}2`, app, BASE))).code, 0);
    if (Deno.build.os === "linux") {
      assertEquals(await runInto("/dev/full", command("export", `${APP}2`, BASE)), { code: 1, stderr: full });
    }
    const self = await run(command("import", `${APP}/sub`, app, APP));
    assertEquals([self.code, self.stderr.split("\n")[0]], [
      1,
      "error: LAYER is in PARENT, which stays as it is: C:\\layers\\app\\sub",
    ]);
    const listed = await run([...grants, "scripts/layer.ts", "ls", out]);
    assertStringIncludes(listed.stdout, "Files/data/new.txt");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("layer import and export refuse wrong arguments", async () => {
  const wrong: [args: string[], problem: string][] = [
    [["import", APP], "import takes"],
    [["export"], "export takes"],
    [["export", "--json", APP], "--json is of no use"],
    [["import", "--form=zip", APP, "a.tar"], "--form is one of"],
    [["ls", "--form=cim", "a.tar"], "takes no --form"],
  ];
  for (const [args, problem] of wrong) {
    const { code, stdout, stderr } = await run(["run", "--no-prompt", "--no-remote", "scripts/layer.ts", ...args]);
    assertEquals(code, 2);
    assertStringIncludes(stdout + stderr, problem);
  }
});
