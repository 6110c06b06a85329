/**
 * `deno task bundle`: one file of JavaScript for each command, which needs Deno and nothing else: no checkout, no network
 * and no cache.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { COMMANDS, flagsOf, runDeno } from "./commands.ts";

const HELP = `\
Bundles each command to one file of JavaScript, and prints how to run it.
The first time, Deno downloads esbuild from npm.

Usage: deno task bundle [OPTION]...

  --output=FOLDER      where the files go; dist if not given
  -h, --help           print this`;

const { values } = parseArgs({
  options: { output: { type: "string", default: "dist" }, help: { type: "boolean", short: "h" } },
});
if (values.help) {
  console.log(HELP);
} else {
  for (const command of COMMANDS) {
    const file = `${values.output}/${command}.js`;
    await runDeno(["bundle", "--quiet", "--output", file, `scripts/${command}.ts`]);
    console.log(`${file}\n  deno run ${flagsOf(command).join(" ")} ${command}.js --help\n`);
  }
  console.log("Copy the files to the host, or to a share that it reads, and run the lines there.");
}
