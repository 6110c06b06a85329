/**
 * The commands that are built for other machines, and the grants of their tasks.
 *
 * @module
 */

import config from "../deno.json" with { type: "json" };

const ROOT = new URL("..", import.meta.url);

/** The commands that work on a Windows host, and on files of any system. */
export const COMMANDS = ["mount", "unmount", "list", "recover", "vhd", "observe", "layer", "cim"] as const;

/** A command that is built. */
export type BuiltCommand = (typeof COMMANDS)[number];

/**
 * The flags with which the task of a command runs, its grants among them. A task takes Windows' folder from the environment;
 * what is built for another machine has it in its default place.
 */
export function flagsOf(command: BuiltCommand): string[] {
  const words = config.tasks[command].command.replaceAll("$SystemRoot", "C:/Windows").split(" ");
  return words.filter((word) => word.startsWith("--"));
}

/** Runs Deno in the checkout, and shows what it prints. Throws if it fails. */
export async function runDeno(args: readonly string[]): Promise<void> {
  const { code } = await new Deno.Command(Deno.execPath(), { args: [...args], cwd: ROOT, stdin: "null" }).spawn()
    .status;
  if (code !== 0) throw new Error(`deno ${args[0]} has failed`);
}
