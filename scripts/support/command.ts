/**
 * What the commands have in common: arguments in, text or JSON out, exit codes.
 *
 * @module
 */

import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { type Hold, type Host, LayerError, ReleaseError, UnwindError, windowsHost } from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";

/** The arguments of a command, parsed. */
export interface Arguments {
  /** Its options that take a value, by name. */
  readonly values: Readonly<Record<string, string | undefined>>;
  /** Whether an option without a value was given. */
  has(flag: string): boolean;
  /** All else. */
  readonly positionals: readonly string[];
  /** Aborted by Ctrl+C. */
  readonly signal: AbortSignal;
}

/** What a command answers, in both forms. */
export interface Answer {
  /** For people and for `$(…)`. */
  readonly text: string;
  /** For `--json`. */
  readonly json: unknown;
}

/** A command. */
export interface Command {
  /** What `--help` prints. */
  readonly help: string;
  /** Its options that take a value, besides `--simulate`. */
  readonly options: readonly string[];
  /** Its options without a value, besides `--json` and `--help`. */
  readonly flags?: readonly string[];
  /** Does it. */
  run(args: Arguments): Promise<Answer>;
}

/** The part of `--help` that is the same for all commands. */
export const SHARED_HELP = `\
  --json               print JSON; an error as {"error":{"name":…,"message":…}}
  --simulate[=FILE]    work on a simulated host: in memory, or in FILE, which other commands can share
  --help               print this

Exit codes: 0 done, 1 failed, 2 wrong usage.`;

/** The command line was wrong. */
export class UsageError extends Error {
  /** The class name. */
  override readonly name = "UsageError";
}

/** Runs a command with this process's arguments, and sets the exit code. */
export async function main(command: Command): Promise<void> {
  const json = Deno.args.includes("--json");
  try {
    const { values, positionals } = parse(command);
    if (values.help) {
      console.log(command.help);
      return;
    }
    const answer = await interruptible((signal) =>
      command.run({
        values: values as Arguments["values"],
        has: (flag) => values[flag] === true,
        positionals,
        signal,
      })
    );
    console.log(json ? JSON.stringify(answer.json) : answer.text);
  } catch (error) {
    Deno.exitCode = error instanceof UsageError ? 2 : 1;
    if (json) {
      console.log(JSON.stringify({ error: plain(error) }));
    } else {
      console.error(readable(error));
    }
  }
}

function parse({ options, flags = [] }: Command) {
  const config: ParseArgsOptionsConfig = {
    help: { type: "boolean" },
    json: { type: "boolean" },
    simulate: { type: "string" },
  };
  for (const name of options) config[name] = { type: "string" };
  for (const name of flags) config[name] = { type: "boolean" };
  try {
    return parseArgs({
      // The one option whose value may be left out, which parseArgs doesn't know.
      args: Deno.args.map((arg) => arg === "--simulate" ? "--simulate=" : arg),
      options: config,
      allowPositionals: true,
    });
  } catch (cause) {
    const [problem] = String((cause as Error).message).split(/\.\s/);
    throw new UsageError(`${problem}. --help tells the usage`, { cause });
  }
}

async function interruptible<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const interrupt = () => controller.abort(new DOMException("Interrupted", "AbortError"));
  const signals: Deno.Signal[] = ["SIGINT", Deno.build.os === "windows" ? "SIGBREAK" : "SIGTERM"];
  for (const name of signals) Deno.addSignalListener(name, interrupt);
  try {
    return await run(controller.signal);
  } finally {
    for (const name of signals) Deno.removeSignalListener(name, interrupt);
  }
}

/**
 * The host that `--simulate` asks for, or else this machine. A simulated machine that is new has nothing on its disk:
 * `furnish` puts there what the command needs.
 */
export async function openHost(
  simulate: string | undefined,
  furnish: (machine: SimulatedHost) => void = () => {},
): Promise<Host> {
  // Nothing else goes on in this process, and a call is faster on its own thread than on one of the pool.
  if (simulate === undefined) return windowsHost({ calls: "thread" });
  const { SimulatedHost } = await import("../../src/simulated/mod.ts");
  const machine = new SimulatedHost(simulate === "" ? {} : { file: simulate });
  if (machine.paths().join() === "C:") furnish(machine);
  return machine;
}

/** Rows in columns, each as wide as its widest text. */
export function columns(rows: readonly (readonly string[])[], indent = ""): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((text, i) => widths[i] = Math.max(widths[i] ?? 0, text.length));
  return rows
    .map((row) => (indent + row.map((text, i) => text.padEnd(widths[i]!)).join("  ")).trimEnd())
    .join("\n");
}

/** What is held, and where, as {@linkcode columns} takes it. */
export function holdRow(hold: Hold): string[] {
  return Object.values(hold).slice(0, 2).map(String);
}

/** An error for people: its message, and the stack as well where it is none of the library's, so a mistake in the code. */
function readable(error: unknown): string {
  if (error instanceof ReleaseError || error instanceof UnwindError) {
    const held = columns(error.holds.map(holdRow), "  ");
    return `error: ${error.message}.\nStill held, and to be given back by deno task unmount SCRATCH:\n${held}`;
  }
  const expected = error instanceof LayerError || error instanceof UsageError || error instanceof DOMException;
  return expected ? `error: ${error.message}` : Deno.inspect(error);
}

/** An error as JSON takes it. */
function plain(error: unknown): unknown {
  if (!(error instanceof Error)) return { message: String(error) };
  const { name, message } = error;
  return {
    ...error,
    name,
    message,
    ...(error instanceof AggregateError && { errors: error.errors.map(plain) }),
    ...(error instanceof UnwindError && { holds: error.holds }),
  };
}
