/**
 * Paths as people write them.
 *
 * @module
 */

import { UsageError } from "./errors.ts";

// Where relative paths start. A simulated machine on another system has one drive and no current folder.
const START = Deno.build.os === "windows" ? Deno.cwd() : "C:\\";

// What no path of Windows has, behind its prefix or drive.
const IMPOSSIBLE = /[<>:"|?*\p{Cc}]/u;

/**
 * The absolute path of an argument: `/` and closing separators are taken, and relative paths start in the current folder.
 *
 * @param word What `--help` calls the argument.
 */
export function windowsPath(argument: string, word: string): string {
  if (argument === "") throw new UsageError(`${word} is empty`);
  if (/^[A-Za-z]:(?![\\/])/.test(argument)) {
    throw new UsageError(
      `${word} has no \\ or / after its drive: ${argument}\n` +
        "bash and other Unix shells remove \\: write C:/layers/app, or put the path in single quotes there",
    );
  }
  const [, rest = argument] = /^(?:[\\/]{2}[?.][\\/](?:[A-Za-z]:)?|[A-Za-z]:)(.*)$/s.exec(argument) ?? [];
  const [character] = IMPOSSIBLE.exec(rest) ?? [];
  if (character !== undefined) {
    throw new UsageError(`${word} has ${JSON.stringify(character)} in it, which no path of Windows has: ${argument}`);
  }
  // Windows takes these as they are.
  if (argument.startsWith("\\\\?\\")) return argument;
  return absolute(argument);
}

/** The last part of an absolute path; nothing for the root of a drive. */
export function nameOf(path: string): string {
  return /([^\\]*)\\*$/.exec(path.replace(/^[A-Za-z]:/, ""))![1]!;
}

// A drive, or a server with a share.
const ROOT = /^(?:[A-Za-z]:|[\\/]{2}[^\\/]+[\\/]+[^\\/]+)(?=[\\/]|$)/;

function absolute(path: string): string {
  const full = ROOT.test(path) ? path : /^[\\/]/.test(path) ? ROOT.exec(START)![0] + path : `${START}\\${path}`;
  const [root] = ROOT.exec(full)!;
  const parts: string[] = [];
  for (const part of full.slice(root.length).split(/[\\/]+/)) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `${root.replace(/(?<!^)[\\/]+/g, "\\").replace(/^[\\/]+/, "\\\\")}\\${parts.join("\\")}`;
}
