/**
 * Command lines, by the rules of `parseArgs` of `node:util`, which takes longer to load than a command has to do.
 *
 * @module
 */

import { UsageError } from "./errors.ts";

/** A command line, parsed. */
export interface CommandLine {
  /** Its options, by name: texts of those that take a value, and true for the others. */
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  /** All else. */
  readonly positionals: readonly string[];
}

/** The kinds of options, by name: with a value, with one that may be left out and is empty then, and without. */
export type Options = Readonly<Record<string, "string" | "optional" | "boolean">>;

const SHORT = { "-h": "--help" } as const;

// The tasks give it before the user does.
const MAY_BE_REPEATED = ["simulate"];

/**
 * Parses a command line. A value follows its option behind `=`, or as the next argument unless it may be left out; behind
 * `--` there are no options.
 *
 * @throws {UsageError} for an unknown option, a missing or empty value, or one too many.
 */
export function parseCommandLine(args: readonly string[], options: Options): CommandLine {
  const values: Record<string, string | boolean> = Object.create(null);
  const positionals: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--") {
      positionals.push(...args.slice(i + 1));
      break;
    }
    if (!arg.startsWith("-") || arg === "-") {
      positionals.push(arg);
      continue;
    }
    const [, option, value] = /^([^=]*)(?:=(.*))?$/s.exec(SHORT[arg as keyof typeof SHORT] ?? arg)!;
    const name = option!.slice(2);
    if (!option!.startsWith("--") || !Object.hasOwn(options, name)) throw new UsageError(`Unknown option '${option}'`);
    if (options[name] === "boolean") {
      if (value !== undefined) throw new UsageError(`Option '${option}' does not take an argument`);
      values[name] = true;
      continue;
    }
    const isLeftOut = value === undefined && options[name] === "optional";
    const text = isLeftOut ? "" : value ?? args[++i];
    if (text === undefined) throw new UsageError(`Option '${option} <value>' argument missing`);
    if (value === undefined && text.startsWith("-") && text !== "-") {
      throw new UsageError(`Option '${option}' argument is ambiguous`);
    }
    // As of a variable that isn't set. Of --adopt, no value means all.
    if (text === "" && !isLeftOut) throw new UsageError(`${option} is empty`);
    // One of the two would be passed over without a word.
    if (Object.hasOwn(values, name) && !MAY_BE_REPEATED.includes(name)) {
      throw new UsageError(`${option} is given twice`);
    }
    values[name] = text;
  }
  return { values, positionals };
}
