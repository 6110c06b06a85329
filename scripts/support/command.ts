/**
 * What the commands have in common: arguments in, text or JSON out, exit codes.
 *
 * @module
 */

import type { LayerError } from "../../mod.ts";
import { type CommandLine, type Options, parseCommandLine } from "./command_line.ts";
import { CommandError, UsageError } from "./errors.ts";
import type { HeldRecord } from "./holds.ts";
import { interruptSignal } from "./interrupt.ts";
import { printLine, toJson } from "./output.ts";
import { program } from "./program.ts";

/** The arguments of a command, parsed. */
export interface Arguments {
  /** Its options that take a value, by name. */
  readonly values: Readonly<Record<string, string | undefined>>;
  /** Whether an option without a value was given. */
  has(flag: string): boolean;
  /** All else. */
  readonly positionals: readonly string[];
}

/** What a command prints, in both forms. */
export interface Result {
  /** For people and for `$(…)`. */
  readonly text: string;
  /** For `--json`. */
  readonly json?: unknown;
  /** What the command leaves held on purpose. */
  readonly holds?: readonly HeldRecord[];
  /** What failed, after which the text is printed nevertheless. As JSON, it is printed alone, and tells the rest as well. */
  readonly failure?: CommandError;
}

/** What a command line asks for. */
export interface Job {
  /** Does it. `signal` is aborted by Ctrl+C. */
  run(signal: AbortSignal): Promise<Result>;
  /** What the library calls the arguments, and what `--help` calls them. */
  readonly words?: Readonly<Record<string, string>>;
  /** What to do about an error, where the command knows more than the library. */
  advice?(error: LayerError): string | undefined;
  /** The command line that releases what a failure left held. */
  readonly undo?: string;
  /** What was found to be held still after a failure that doesn't tell. */
  readonly left?: () => readonly HeldRecord[];
  /** What may be held if it is broken off. */
  readonly mayHold?: readonly HeldRecord[];
  /** Whether recovery releases that as well. */
  readonly isRecovered?: boolean;
}

/** A command. */
export interface Command {
  /** What `--help` prints. */
  readonly help: string;
  /** Its options besides `--help` and `--version`. */
  readonly options: Options;
  /**
   * Looks at the arguments.
   *
   * @throws {UsageError} if they are wrong.
   */
  plan(args: Arguments): Job | Promise<Job>;
}

/** The options of all commands that work on a machine. */
export const HOST_OPTIONS = { json: "boolean", simulate: "optional", timeout: "string" } as const;

const SIMULATE_HELP = Deno.build.standalone
  ? `\
  --simulate           work on a simulated host in memory`
  : `\
  --simulate[=FILE]    work on a simulated host: in memory, or in FILE, which other commands can share. The :simulated
                       tasks do that with simulated-host.state; another FILE has to be granted:
                       deno run --allow-read=FILE --allow-write=FILE …`;

/** The part of `--help` that is the same for all commands that work on a machine. */
export const HOST_HELP = `\
  --json               print JSON; a failure as {"error":{"name":…,"message":…,"holds":[…]}}
${SIMULATE_HELP}
  --timeout=SECONDS    give up after SECONDS, and undo what was begun
  --version            print the version
  -h, --help           print this

Exit codes: 0 done; 1 failed, with nothing left behind; 2 wrong usage; 3 something is still held, and listed; 130 stopped
by Ctrl+C, with nothing left behind. If a call of Windows hangs for 5 s after that, or after the time limit: 3, with what may
be held, if that is known. A second Ctrl+C doesn't wait for Windows either.`;

/** The part of `--help` on what commands add to a simulated machine. */
export const POPULATE_HELP = Deno.build.standalone
  ? "A simulated machine has the layers and disks that are named here."
  : "A simulated machine gets the layers and disks that are named here and missing on it. Delete FILE to start over.";

/** Runs a command with this process's arguments, and sets the exit code. */
export async function main(command: Command): Promise<void> {
  const json = Deno.args.includes("--json");
  let job: Job | undefined;
  let signal: AbortSignal | undefined;
  try {
    const { values, positionals } = parse(command);
    if (values.help) return printResult({ text: command.help }, false);
    if (values.version) return printResult({ text: await version() }, false);
    const seconds = secondsIn(values.timeout as string | undefined);
    job = await command.plan({
      values: values as Arguments["values"],
      has: (flag) => values[flag] === true,
      positionals,
    });
    signal = interruptSignal(async () => {
      const { report } = await import("./failure.ts");
      const holds = job?.mayHold ?? [];
      const error = new CommandError(
        "Interrupted twice, with a call of Windows under way: what is listed may be held" +
          (job?.isRecovered ? `, until ${program("recover")} releases it` : ""),
        { holds },
      );
      Deno.exit(report(error, { job, json, signal }));
    }, seconds);
    const result = await job.run(signal);
    const { failure } = result;
    if (failure === undefined || !json) printResult(result, json);
    if (failure !== undefined) throw failure;
  } catch (error) {
    const { report } = await import("./failure.ts");
    Deno.exitCode = report(error, { job, json, signal });
    // A call of Windows that hangs would keep the process, and a read or write of another program that is stuck.
    if (signal?.aborted || (error as Error | null)?.name === "HungCallError") Deno.exit();
  }
}

function secondsIn(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seconds = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && seconds >= 0.001 && seconds <= MOST_SECONDS) return seconds;
  throw new UsageError(`--timeout takes a number of seconds from 0.001 to ${MOST_SECONDS}, not ${text}`);
}

// Of which a timer counts no more.
const MOST_SECONDS = 2_147_483;

function parse({ options }: Command): CommandLine {
  const quoted = Deno.args.find((arg) => arg.includes('"'));
  if (quoted !== undefined) {
    throw new UsageError(
      `An argument has a " in it: ${quoted}\n` +
        'Windows takes \\" for a quotation mark: leave out the \\ before a closing ", as in "C:\\My Layers\\app"',
    );
  }
  return parseCommandLine(Deno.args, { help: "boolean", version: "boolean", ...options });
}

async function version(): Promise<string> {
  const { default: { version } } = await import("../../deno.json", { with: { type: "json" } });
  return `hcs-layers ${version}`;
}

function printResult({ text, json: value, holds = [] }: Result, json: boolean): void {
  try {
    if (json) printLine(Deno.stdout, toJson(value));
    else if (text !== "") printLine(Deno.stdout, text);
  } catch (cause) {
    throw new CommandError(`The result can't be printed: ${(cause as Error).message}`, { cause, holds });
  }
}
