/**
 * What the commands are called by whoever started this one: tasks of a checkout, bundles, or executables.
 *
 * @module
 */

/** A command. */
export type CommandName = "mount" | "unmount" | "list" | "recover" | "vhd" | "layer" | "cim" | "observe" | "demo";

/** The option with which the `:simulated` tasks start their commands. */
const TASK_MACHINE = "--simulate=simulated-host.state";

const lastPart = (path: string) => path.slice(path.search(/[^\\/]*$/));

/** How to start a command in the form in which this one was started, on the same machine. */
export function program(command: CommandName): string {
  const machine = Deno.args.findLast((arg) => arg === "--simulate" || arg.startsWith("--simulate="));
  if (Deno.build.standalone) {
    const self = lastPart(Deno.mainModule).replace(/\.[^.]*$/, "");
    return withOption(sibling(lastPart(Deno.execPath()), self, command), machine);
  }
  const file = lastPart(Deno.mainModule);
  if (!file.endsWith(".ts")) return withOption(`deno run … ${sibling(file, "", command)}`, machine);
  if (machine === undefined) return `deno task ${command}`;
  if (machine === TASK_MACHINE) return `deno task ${command}:simulated`;
  const state = machine.slice("--simulate=".length);
  const grants = state === "" ? "" : `${quoted(`--allow-read=${state}`)} ${quoted(`--allow-write=${state}`)} `;
  return withOption(`deno run ${grants}scripts/${command}.ts`, machine);
}

/** How to start a command on a simulated machine. */
export function simulatedForm(command: CommandName): string {
  const fromCheckout = !Deno.build.standalone && Deno.mainModule.endsWith(".ts");
  return fromCheckout ? `deno task ${command}:simulated` : "The option --simulate";
}

/** The file of a command, named like that of another command. */
function sibling(file: string, self: string, command: CommandName): string {
  if (self === command) return file;
  return /unmount|mount|list|recover|vhd|layer|cim|observe/.test(file)
    ? file.replace(/unmount|mount|list|recover|vhd|layer|cim|observe/, command)
    : command;
}

function withOption(program: string, option: string | undefined): string {
  return option === undefined ? program : `${program} ${quoted(option)}`;
}

/** An argument as bash, cmd and PowerShell take it alike: with `/`, and with quotes only if it needs them. */
export function shellArgument(path: string): string {
  return quoted(path.startsWith("\\\\") ? path : path.replaceAll("\\", "/"));
}

function quoted(text: string): string {
  return /^[\w:/.=-]+$/.test(text) ? text : `"${text}"`;
}
