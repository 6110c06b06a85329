/**
 * Modules of the tests that run in a Deno of their own.
 *
 * @module
 */

const TESTS = new URL("..", import.meta.url);

/** A module of the tests, by its path in `tests`, with these permissions. */
export function deno(permissions: readonly string[], module: string, ...args: string[]): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", "--no-check", ...permissions, new URL(module, TESTS).pathname, ...args],
    cwd: new URL("..", TESTS).pathname,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}
