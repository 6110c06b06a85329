import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { run, start } from "./run.ts";

const PROGRAM = ["run", "-A", "--no-check", new URL("interrupted.ts", import.meta.url).pathname];

Deno.test({
  name: "every Ctrl+C that came while the thread of the calls was busy is noticed after them",
  // /proc tells when a signal has come.
  ignore: Deno.build.os !== "linux",
  async fn() {
    const { code, stdout, stderr } = await run([...PROGRAM, "notice", "100"]);
    assertEquals({ code, stdout, stderr }, { code: 0, stdout: "100\n", stderr: "" });
  },
});

Deno.test({
  name: "a Ctrl+C that comes while vhd attach has attached the disk detaches it",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      const file = `${folder}/machine.json`;
      const preload = `--preload=${new URL("interrupted.ts", import.meta.url).pathname}`;
      const vhd = new URL("../../scripts/vhd.ts", import.meta.url).pathname;
      const { code } = await run([
        "run",
        "-A",
        "--no-check",
        preload,
        vhd,
        "attach",
        `--simulate=${file}`,
        "C:/d.vhdx",
      ]);
      assertEquals([code, new SimulatedHost({ file }).held()], [130, []]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

for (const json of [[], ["--json"]]) {
  Deno.test({
    name: `a second Ctrl+C ends a command whose call hangs, and tells what may be held ${json}`,
    ignore: Deno.build.os === "windows",
    async fn() {
      const child = start([...PROGRAM, "hang", ...json]);
      const stderr = new Response(child.stderr).text();
      let output = "";
      const next = { "running\n": true, "running\naborted\n": true };
      for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
        output += text;
        if (output in next) child.kill("SIGINT");
      }
      const { code } = await child.status;
      const message = "Interrupted twice, with a call of Windows under way: what is listed may be held";
      assertEquals(code, 3);
      if (json.length > 0) {
        assertEquals(JSON.parse(output.replace("running\naborted\n", "")).error, {
          name: "CommandError",
          message: `${message}, until deno task recover releases it`,
          holds: [{ kind: "activation", scratch: "C:\\s" }],
        });
      } else {
        assertEquals(
          await stderr,
          `error: ${message}\nStill held:\n  activation  C:\\s\nTo release it: unmount C:/s\n`,
        );
      }
      await stderr;
    },
  });
}

Deno.test("a command whose time is over fails, with nothing left behind", async () => {
  const { code, stderr } = await run([...PROGRAM, "limit", "--timeout=0.01"]);
  assertEquals([code, stderr], [1, "error: The time limit of 0.01 s is over\n"]);
});

Deno.test("a command whose call hangs tells what may be held, and doesn't wait for the call", async () => {
  const { code, stderr } = await run([...PROGRAM, "limit", "--hang", "--timeout=0.01"]);
  const message = "PrepareLayer for C:\\s has not returned for more than 5 s";
  assertEquals(
    [code, stderr],
    [3, `error: ${message}\nStill held:\n  activation  C:\\s\nTo release it: unmount C:/s\n`],
  );
});

Deno.test("a time limit that is none is refused", async () => {
  for (const limit of ["0", "-1", "1e3", "x", "2147484"]) {
    const { code, stderr } = await run([...PROGRAM, "limit", `--timeout=${limit}`]);
    assertEquals([code, stderr.split("\n")[0]], [
      2,
      `error: --timeout takes a number of seconds from 0.001 to 2147483, not ${limit}`,
    ]);
  }
});
