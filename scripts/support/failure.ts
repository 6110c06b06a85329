/**
 * How a failure is told: in the words of the command line, with what is still held, and what to do about it.
 *
 * @module
 */

import { HungCallError, InvalidInputError, LayerError, ReleaseError } from "../../mod.ts";
import { visible } from "../../src/errors/printable.ts";
import type { Job } from "./command.ts";
import { CommandError, UsageError } from "./errors.ts";
import { type HeldRecord, holdRow } from "./holds.ts";
import { populatedMachineFile } from "./host.ts";
import { inspect, printLine, toJson, UNPRINTABLE } from "./output.ts";
import { columns } from "./text.ts";

/** What is known of the command that failed. */
export interface FailedCommand {
  /** What it was to do, if its arguments were good. */
  readonly job: Job | undefined;
  /** Whether JSON is wanted. */
  readonly json: boolean;
  /** Aborted if Ctrl+C was pressed. */
  readonly signal: AbortSignal | undefined;
}

/** Tells of a failure, and returns the exit code. Nothing that is wrong with the error or the outputs makes it throw. */
export function report(error: unknown, command: FailedCommand): number {
  try {
    return tell(error, command);
  } catch {
    return tell(new CommandError(UNPRINTABLE), command);
  }
}

function tell(error: unknown, command: FailedCommand): number {
  const holds = heldBy(error, command.job);
  // Who reads the output, such as head, has enough of it.
  const isCutOff = error instanceof CommandError && error.cause instanceof Deno.errors.BrokenPipe;
  if (isCutOff && holds.length === 0) return 1;
  const text = command.json ? asJson(error, holds, command) : asText(error, holds, command);
  // What can't be told on the standard output is told on the other one.
  const outputs = command.json ? [Deno.stdout, Deno.stderr] : [Deno.stderr];
  outputs.some((output) => {
    try {
      printLine(output, text);
      return true;
    } catch {
      return false;
    }
  });
  if (error instanceof UsageError) return 2;
  if (holds.length > 0 || isHanging(error)) return 3;
  const isInterrupted = command.signal?.aborted && error === command.signal.reason && isAbortError(error);
  return isInterrupted ? 130 : 1;
}

function isAbortError(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

function isHanging(error: unknown): boolean {
  return error instanceof HungCallError && error.over !== undefined;
}

function heldBy(error: unknown, job: Job | undefined): readonly HeldRecord[] {
  if (error instanceof SuppressedError) return [...heldBy(error.error, job), ...heldBy(error.suppressed, job)];
  // What it was called for is undone once it returns, which this process doesn't wait for.
  if (isHanging(error)) return job?.mayHold ?? [];
  return error instanceof ReleaseError || error instanceof CommandError ? error.holds : job?.left?.() ?? [];
}

function asText(error: unknown, holds: readonly HeldRecord[], { job, signal }: FailedCommand): string {
  const known = error instanceof LayerError || error instanceof CommandError || error instanceof UsageError ||
    error instanceof SuppressedError || error === signal?.reason;
  // All else is a mistake in the code: its stack helps to find it.
  const lines = [`error: ${known ? messageOf(error, job) : inspect(error)}`];
  const advice = adviceOn(error, job);
  if (advice !== undefined) lines.push(advice);
  const machine = populatedMachineFile();
  if (holds.length > 0) {
    lines.push("Still held:", columns(holds.map(holdRow), "  "));
    if (job?.undo !== undefined) lines.push(`To release it: ${job.undo}`);
  } else if (isHanging(error) && job?.undo !== undefined) {
    lines.push(`To release what it leaves: ${job.undo}`);
  } else if (machine !== undefined && advice === undefined && error instanceof InvalidInputError) {
    // What is in the way was added by an earlier command.
    lines.push(`To start over with a new simulated machine, delete ${machine}`);
  }
  return lines.join("\n").split("\n").map(visible).join("\n");
}

function asJson(error: unknown, holds: readonly HeldRecord[], { job }: FailedCommand): string {
  const fields: unknown = JSON.parse(toJson(error));
  return toJson({
    error: {
      ...(typeof fields === "object" ? fields : {}),
      message: messageOf(error, job),
      ...(error instanceof InvalidInputError && { argument: wordFor(error.argument, job) }),
      advice: adviceOn(error, job),
      holds,
    },
  });
}

function adviceOn(error: unknown, job: Job | undefined): string | undefined {
  if (error instanceof UsageError) return "--help tells the usage";
  return error instanceof LayerError ? job?.advice?.(error) : undefined;
}

function messageOf(error: unknown, job: Job | undefined): string {
  if (error instanceof SuppressedError) return `${messageOf(error.suppressed, job)}. ${messageOf(error.error, job)}`;
  if (!(error instanceof Error)) return typeof error === "string" ? error : toJson(error);
  let { message } = error;
  if (error instanceof InvalidInputError && message.startsWith(error.argument)) {
    message = wordFor(error.argument, job) + message.slice(error.argument.length);
  }
  // Arguments that are named further on have an index or a capital letter, which tells them from words.
  for (const [name, word] of Object.entries(job?.words ?? {})) {
    if (/[A-Z[]/.test(name)) message = message.replaceAll(name, word);
  }
  // The library prints values as JSON; paths are to be pasted back.
  return message.replace(/"(?:[^"\\]|\\.)*"/g, (text) => /\\\\|^"\d+"$/.test(text) ? visible(JSON.parse(text)) : text);
}

function wordFor(argument: string, job: Job | undefined): string {
  return job?.words?.[argument] ?? argument;
}
