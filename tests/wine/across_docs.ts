/**
 * The blocks of README.md and docs that are for a Windows host, as they stand, in Wine's cmd. The host has what they
 * name: layers in `C:\layers`, a scratch in `C:\containers\web`. tests/docs/blocks.ts tells how blocks are tried.
 *
 * @module
 */

import { assert, assertEquals } from "jsr:@std/assert@^1.0.0";
import {
  type Block,
  blocksOf,
  DOCUMENTS,
  isNotRun,
  linesOf,
  makeProject,
  matches,
  runsOnWindows,
} from "../docs/blocks.ts";
import { run } from "../scripts/run.ts";
import type { AcrossTest } from "./across.ts";
import { EXCHANGE, type WineRoot } from "./prepare.ts";

const CMD = "C:\\windows\\system32\\cmd.exe";

const FURNISH = [
  "if not exist C:\\layers\\app mkdir C:\\layers\\app C:\\layers\\servercore C:\\containers\\web",
  "type nul > C:\\containers\\web\\sandbox.vhdx",
];

/** A batch file that stops at the first line that fails. No line has a character that cmd treats on its own. */
const batch = (lines: readonly string[]) =>
  ["@echo off", ...lines.flatMap((line) => [line, "if errorlevel 1 exit /b %errorlevel%"]), ""].join("\r\n");

async function runBlock(block: Block, wine: WineRoot): Promise<void> {
  const project = Deno.makeTempDirSync({ dir: wine.exchange });
  const folder = makeProject(block, project);
  const inside = `${EXCHANGE}\\${project.slice(wine.exchange.length + 1)}`;
  if (block.bundle) await bundle(folder);
  Deno.writeTextFileSync(`${project}/block.cmd`, batch([...FURNISH, ...linesOf(block)]));
  const { code, stdout, stderr } = await wine.runProgram(CMD, ["/d", "/c", `${inside}\\block.cmd`], {
    cwd: `${inside}\\program`,
    env: { WINEPATH: "C:\\deno" },
  });
  const place = `${block.file}:${block.line}`;
  assertEquals(code, 0, `${place} ends with ${code}:\n${stdout}${stderr}`);
  if (block.output !== undefined) assert(matches(stdout, block.output), `${place} prints\n${stdout}`);
}

/** `deno task bundle`, in this checkout. */
async function bundle(folder: string): Promise<void> {
  const { code, stderr } = await run(["task", "bundle", `--output=${folder}`]);
  assertEquals(code, 0, stderr);
}

/** All of them, one after another. */
export const acrossDocs: readonly AcrossTest[] = DOCUMENTS.flatMap(blocksOf)
  .filter((block) => runsOnWindows(block) && !isNotRun(block))
  .map((block) => ({
    name: `${block.file}:${block.line} runs in cmd`,
    run: (wine) => runBlock(block, wine),
  }));
