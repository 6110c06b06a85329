// Runs the commands as a person would: in a process of their own, with the grants of their tasks.
import config from "../../deno.json" with { type: "json" };
import { SimulatedHost } from "../../src/simulated/mod.ts";

export const ROOT = new URL("../../", import.meta.url);

/** How a process ended. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How to start a process. */
export interface StartOptions {
  readonly cwd?: string | URL;
  readonly env?: Record<string, string>;
}

/** Starts Deno. */
export function start(args: readonly string[], options: StartOptions = {}): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: options.cwd ?? ROOT,
    env: { NO_COLOR: "1", ...options.env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** How a process that was started ended. */
export async function ended(child: Deno.ChildProcess): Promise<Ended> {
  const { code, stdout, stderr } = await child.output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

/** Runs Deno. */
export function run(args: readonly string[], options?: StartOptions): Promise<Ended> {
  return ended(start(args, options));
}

/** A file for a simulated machine, and the tasks that work on it. Dispose it. */
export class Machine implements Disposable {
  readonly #folder = Deno.makeTempDirSync({ prefix: "hcs-layers-" });
  /** The file: there once something has used it. */
  readonly file = `${this.#folder}/machine.json`;

  /** The arguments for Deno of a `:simulated` task of deno.json, with this machine's file in place of the task's. */
  args(task: "mount:simulated" | "unmount:simulated", ...args: string[]): string[] {
    const command = config.tasks[task].command.replaceAll("simulated-host.state", this.file);
    return [...command.split(" ").slice(1), ...args];
  }

  /** Runs `deno task mount:simulated`. */
  mount(...args: string[]): Promise<Ended> {
    return run(this.args("mount:simulated", ...args));
  }

  /** Runs `deno task unmount:simulated`. */
  unmount(...args: string[]): Promise<Ended> {
    return run(this.args("unmount:simulated", ...args));
  }

  /** The machine, seen from this process. */
  host(): SimulatedHost {
    return new SimulatedHost({ file: this.file });
  }

  /** What is held of the machine: kinds and places. */
  held(): string[] {
    return this.host().held().map(({ kind, target }) => `${kind} ${target}`);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }
}
