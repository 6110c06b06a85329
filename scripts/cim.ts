/**
 * `deno task cim`: looks into CIM images, on any system.
 *
 * @module
 */

import { visible } from "../src/errors/printable.ts";
import { reparseOf } from "../src/files/cim/layer_of_cim.ts";
import { timeText } from "../src/files/layer/file_time.ts";
import type { CimEntry, CimFault, CimImage } from "../src/files/mod.ts";
import { attributeLetters, cimEntryJson, cimEntryText, cimFacts } from "./support/cim_entries.ts";
import { type Arguments, type Job, main, type Result } from "./support/command.ts";
import { CommandError, UsageError } from "./support/errors.ts";
import { printLine } from "./support/output.ts";
import { printBytes } from "./support/print_bytes.ts";
import { program } from "./support/program.ts";
import { columns } from "./support/text.ts";

const help = `\
Looks into CIM images of format 2, on any system, and changes nothing. The format is known from what was published of it: no
image of Windows was at hand.

Usage: ${program("cim")} [OPTION]... COMMAND ARGUMENT...

  ls IMAGE [FOLDER]    list all that is in an image, or in one of its folders
  cat PATH IMAGE       print the contents of a file
  stat PATH IMAGE      show what is known of a file or folder, and of its streams
  check IMAGE          list what is wrong with an image, or odd, and where; exit code 1 if there is an error
  files IMAGE          list the files that an image is made of, and which other images in the folder need them too

IMAGE is a file like layer.cim, with the other files of the image in its folder. PATH is one in the image, such as
Files/Windows/notepad.exe, in any case; cat takes one with :NAME at the end for a stream. ls shows attributes (d a folder, r
read-only, h hidden, s system, a archive, l a reparse point), size, time of the last write, and path.

  --most=NUMBER        ls, check: give up after so many entries; 10 million if not given
  --json               print JSON; a failure as {"error":{"name":…,"message":…}}. Not with cat
  --timeout=SECONDS    give up after SECONDS
  --version            print the version
  -h, --help           print this

Exit codes: 0 done; 1 failed, or check has found an error; 2 wrong usage; 130 stopped by Ctrl+C.

Examples:
  ${program("cim")} check layer.cim
  ${program("cim")} ls layer.cim Files/Windows/System32
  ${program("cim")} cat Files/License.txt layer.cim`;

const files = () => import("../src/files/mod.ts");

/** What an action works with. */
interface Work {
  readonly signal: AbortSignal;
  readonly json: boolean;
  readonly most: { readonly mostEntries?: number; readonly signal: AbortSignal };
}

type Action = (operands: readonly string[], work: Work) => Promise<Result>;

interface Command {
  /** How few and how many operands it takes, and what they are. */
  readonly takes: readonly [least: number, most: number, what: string];
  readonly run: Action;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  ls: { takes: [1, 2, "an image, and perhaps a folder in it"], run: ls },
  cat: { takes: [2, 2, "a path and an image"], run: cat },
  stat: { takes: [2, 2, "a path and an image"], run: stat },
  check: { takes: [1, 1, "an image"], run: check },
  files: { takes: [1, 1, "an image"], run: listFiles },
};

function plan({ values, positionals, has }: Arguments): Job {
  const [name = "", ...operands] = positionals;
  if (operands.includes("")) throw new UsageError("An argument is empty");
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name]! : undefined;
  if (command === undefined) {
    throw new UsageError(`cim takes a command: ${Object.keys(COMMANDS).join(", ")}${name && `, not ${name}`}`);
  }
  const [least, most, what] = command.takes;
  if (operands.length < least || operands.length > most) throw new UsageError(`${name} takes ${what}`);
  const json = has("json");
  if (json && name === "cat") throw new UsageError("cat prints the contents: --json is of no use");
  const mostEntries = mostOf(values.most, name);
  return { run: (signal) => command.run(operands, { signal, json, most: { ...mostEntries, signal } }) };
}

function mostOf(text: string | undefined, name: string): { readonly mostEntries?: number } {
  if (text === undefined) return {};
  if (name !== "ls" && name !== "check") throw new UsageError(`${name} doesn't take --most`);
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new UsageError(`--most takes a number from 1 on, not ${text}`);
  return { mostEntries: Number(text) };
}

async function onImage(path: string, work: (image: CimImage) => Promise<Result>): Promise<Result> {
  const { openCim } = await files();
  await using image = await openCim(path);
  return await work(image);
}

async function entryOf(image: CimImage, path: string): Promise<CimEntry> {
  const entry = await image.entry(path);
  if (entry === undefined) throw new CommandError(`There is no ${path} in the image`);
  return entry;
}

// A damaged image can have any number of faults.
const MOST_TOLD = 1000;
const LINES = 1000;

// Lines are printed as they come: an image can have a million.
function ls([path, folder]: readonly string[], { json, most }: Work): Promise<Result> {
  return onImage(path!, async (image) => {
    const from = folder === undefined ? undefined : await entryOf(image, folder);
    const entries: unknown[] = [];
    let lines: string[] = [];
    const isFile = from !== undefined && !from.isFolder;
    for await (const entry of isFile ? [from] : image.walk({ ...most, ...(from !== undefined && { from }) })) {
      if (json) entries.push(cimEntryJson(entry));
      else lines.push(lineOf(entry));
      if (lines.length < LINES) continue;
      printLines(lines);
      lines = [];
    }
    printLines(lines);
    return { text: "", json: { entries } };
  });
}

function printLines(lines: readonly string[]): void {
  if (lines.length === 0) return;
  try {
    printLine(Deno.stdout, lines.join("\n"));
  } catch (cause) {
    throw new CommandError(`The result can't be printed: ${(cause as Error).message}`, { cause });
  }
}

function lineOf(entry: CimEntry): string {
  const size = entry.isFolder ? "" : String(entry.size);
  const time = timeText(entry.times.write).replace(/\..*/, "");
  return visible(`${attributeLetters(entry)}  ${size.padStart(12)}  ${time}  ${entry.path}`);
}

function cat([path, from]: readonly string[], { signal }: Work): Promise<Result> {
  const [, file, stream] = /^([^:]*):?(.*)$/s.exec(path!)!;
  return onImage(from!, async (image) => {
    const { streamOf } = await files();
    const entry = await entryOf(image, file!);
    const name = stream === "" ? undefined : await streamIn(entry, stream!);
    if (name === undefined && entry.isFolder) throw new CommandError(`${file} is a folder`);
    if (name === undefined && entry.reparseTag !== 0) {
      const { target } = await reparseOf(entry);
      throw new CommandError(`${file} is a ${target === undefined ? "reparse point" : `link to ${target}`}`);
    }
    return await printBytes(streamOf(await entry.contents(name)), signal);
  });
}

// The name of a stream as the image has it.
async function streamIn(entry: CimEntry, wanted: string): Promise<string> {
  const names = (await Array.fromAsync(entry.streams())).map(({ name }) => name);
  const plain = wanted.replace(/:\$DATA$/i, "");
  const found = names.find((name) => name === plain) ??
    names.find((name) => name.toUpperCase() === plain.toUpperCase());
  if (found !== undefined) return found;
  const others = names.length === 0 ? "" : `, only ${names.join(", ")}`;
  throw new CommandError(`${entry.path} has no stream ${plain}${others}`);
}

function stat([path, from]: readonly string[], { json }: Work): Promise<Result> {
  return onImage(from!, async (image) => {
    const entry = await entryOf(image, path!);
    return json ? { text: "", json: await cimFacts(entry) } : { text: await cimEntryText(entry) };
  });
}

async function check([path]: readonly string[], { most }: Work): Promise<Result> {
  const { checkCim } = await files();
  const faults: CimFault[] = [];
  let untold = 0;
  const counts = { error: 0, warning: 0, note: 0 };
  for await (const fault of checkCim(path!, most)) {
    counts[fault.severity]++;
    if (faults.length < MOST_TOLD) faults.push(fault);
    else untold++;
  }
  if (counts.error > 0) Deno.exitCode = 1;
  const rows = faults.map(({ severity, file, offset, entry, problem }) => [
    severity,
    offset === undefined ? file : `${file} at ${offset}`,
    entry ?? "",
    problem,
  ]);
  const sum = `${counts.error} errors, ${counts.warning} warnings, ${counts.note} notes`;
  const rest = untold > 0 ? [`and ${untold} more`] : [];
  return {
    text: [columns(rows), ...rest, sum].filter((text) => text !== "").join("\n"),
    json: { faults, untold },
  };
}

async function listFiles([path]: readonly string[]): Promise<Result> {
  const { filesOfCim } = await files();
  const { version, files: all, sharedWith } = await filesOfCim(path!);
  const rows = all.map(({ name, kind, of, size }) => [kind, of, size === undefined ? "missing" : String(size), name]);
  const shared = sharedWith.map((name) => ["shared", "with", "", name]);
  return { text: columns([...rows, ...shared]), json: { version, files: all, sharedWith } };
}

if (import.meta.main) {
  await main({ help, options: { json: "boolean", most: "string", timeout: "string" }, plan });
}
