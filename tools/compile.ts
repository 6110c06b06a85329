/**
 * `deno task compile`: one executable for each command, with the grants of its task.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { COMMANDS, flagsOf, runDeno } from "./commands.ts";

const HELP = `\
Compiles each command to an executable for Windows, with the grants of its task.

Usage: deno task compile [OPTION]...

  --arm64              for ARM64 in place of x64
  --output=FOLDER      where the files go; dist/x64 or dist/arm64 if not given
  -h, --help           print this

Deno downloads a runtime stub of its own version for it. Where it can't, DENORT_BIN names the file.`;

const { values } = parseArgs({
  options: {
    arm64: { type: "boolean", default: false },
    output: { type: "string" },
    help: { type: "boolean", short: "h" },
  },
});
if (values.help) {
  console.log(HELP);
} else {
  const target = `${values.arm64 ? "aarch64" : "x86_64"}-pc-windows-msvc`;
  const folder = values.output ?? `dist/${values.arm64 ? "arm64" : "x64"}`;
  try {
    for (const command of COMMANDS) {
      const file = `${folder}/hcs-${command}.exe`;
      await runDeno([
        "compile",
        "--quiet",
        ...flagsOf(command),
        "--target",
        target,
        "--output",
        file,
        `scripts/${command}.ts`,
      ]);
      console.log(`${file}  ${flagsOf(command).join(" ")}`);
    }
    console.log(
      "Windows has to be in C:\\Windows on the hosts that they run on, as the grants can't be changed any more.",
    );
  } catch (error) {
    console.error(`${(error as Error).message}
If Deno can't download its runtime stub: get this file on another machine, unpack denort.exe, and name that in DENORT_BIN:
  https://dl.deno.land/release/v${Deno.version.deno}/denort-${target}.zip
The ordinary deno.exe doesn't do.`);
    Deno.exitCode = 1;
  }
}
