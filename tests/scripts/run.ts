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

/** Runs Deno with its standard output at a file or device. Returns what it wrote to the error output. */
export async function runInto(output: string, args: readonly string[]): Promise<Omit<Ended, "stdout">> {
  const shell = new Deno.Command("sh", {
    args: ["-c", `exec "$0" "$@" > ${output}`, Deno.execPath(), ...args],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "null",
  });
  const { code, stderr } = await shell.output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}

/** Runs a command line of a shell, in which `"$@"` starts Deno. */
export async function runInShell(line: string, args: readonly string[]): Promise<Ended> {
  const shell = new Deno.Command("bash", {
    args: ["-c", line, "bash", Deno.execPath(), ...args],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "null",
  });
  const { code, stdout, stderr } = await shell.output();
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
  args(task: `${"mount" | "unmount" | "list" | "recover" | "vhd" | "observe"}:simulated`, ...args: string[]): string[] {
    const command = config.tasks[task].command.replaceAll("simulated-host.state", this.file);
    return [...command.split(" ").slice(1), ...args];
  }

  /** How a command of the checkout is started on this machine, as the commands themselves tell it. */
  program(command: string): string {
    const { file } = this;
    return `deno run --allow-read=${file} --allow-write=${file} scripts/${command}.ts --simulate=${file}`;
  }

  /** Runs `deno task mount:simulated`. */
  mount(...args: string[]): Promise<Ended> {
    return run(this.args("mount:simulated", ...args));
  }

  /** Runs `deno task unmount:simulated`. */
  unmount(...args: string[]): Promise<Ended> {
    return run(this.args("unmount:simulated", ...args));
  }

  /** Runs `deno task vhd:simulated`. */
  vhd(...args: string[]): Promise<Ended> {
    return run(this.args("vhd:simulated", ...args));
  }

  /**
   * Starts a command, and interrupts it while it waits for this machine, which something else uses: at its first call, or
   * once `reached` matches the machine's state. Returns undefined if it ended without having waited then.
   */
  async interrupt(args: readonly string[], reached = /^/): Promise<Ended | undefined> {
    this.host();
    using file = await Deno.open(this.file, { read: true, write: true });
    await file.lock(true);
    const child = start(args);
    const end = ended(child);
    let over = false;
    end.then(() => over = true);
    const until = async (condition: () => Promise<boolean>) => {
      while (!over && !(await condition())) await new Promise((resolve) => setTimeout(resolve, 1));
    };
    const isWaiting = async () => new RegExp(`-> FLOCK .* ${child.pid} `).test(await Deno.readTextFile("/proc/locks"));
    for (;;) {
      await until(isWaiting);
      if (over) return undefined;
      if (reached.test(await Deno.readTextFile(this.file))) break;
      await file.unlock();
      await file.lock(true);
    }
    child.kill("SIGINT");
    await until(() => isIdle(child.pid));
    await file.unlock();
    return await end;
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

/** Whether all threads of a process wait, with no signal on its way to one of them. */
async function isIdle(pid: number): Promise<boolean> {
  const statuses = await Promise.all(
    Array.from(
      Deno.readDirSync(`/proc/${pid}/task`),
      ({ name }) => Deno.readTextFile(`/proc/${pid}/task/${name}/status`),
    ),
  );
  return statuses.every((status) => /^State:\tS/m.test(status) && !/^(SigPnd|ShdPnd):\t.*[1-9a-f]/m.test(status));
}
