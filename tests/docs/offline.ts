/**
 * Runs programs that reach nothing but this machine: proxies that aren't there stand before everything else, npm keeps
 * to its cache, and as root on Linux they run in a network of their own, which has a loopback device alone.
 *
 * @module
 */

import { type Ended, ended } from "../scripts/run.ts";

const NOBODY = "http://127.0.0.1:9";

/** Programs without a network. Dispose it: that ends those that still run. */
export class Offline implements AsyncDisposable {
  readonly #folder: string;
  readonly #keeper: Deno.ChildProcess | undefined;
  readonly #background: Deno.ChildProcess[] = [];
  readonly #env: Record<string, string>;

  private constructor(folder: string, keeper: Deno.ChildProcess | undefined) {
    this.#folder = folder;
    this.#keeper = keeper;
    const kept = ["HOME", "SystemRoot", "USERPROFILE"].map((name) => [name, Deno.env.get(name)]);
    this.#env = {
      ...Object.fromEntries(kept.filter(([, value]) => value !== undefined)),
      PATH: [this.programs, Deno.env.get("PATH")].join(Deno.build.os === "windows" ? ";" : ":"),
      DENO_DIR: `${folder}/cache`,
      DENO_NO_UPDATE_CHECK: "1",
      NO_COLOR: "1",
      NO_PROXY: "127.0.0.1,localhost",
      HTTP_PROXY: NOBODY,
      HTTPS_PROXY: NOBODY,
      npm_config_offline: "true",
      npm_config_update_notifier: "false",
    };
  }

  /** With `deno` in the path, and an empty cache. */
  static async open(): Promise<Offline> {
    const folder = await Deno.makeTempDir({ prefix: "hcs-layers-docs-" });
    const offline = new Offline(folder, await network());
    await Deno.mkdir(offline.programs);
    await Deno.symlink(Deno.execPath(), `${offline.programs}/${Deno.build.os === "windows" ? "deno.exe" : "deno"}`);
    return offline;
  }

  /** A folder in the path of programs. */
  get programs(): string {
    return `${this.#folder}/programs`;
  }

  /** Makes an empty folder. */
  makeFolder(name: string): string {
    const folder = `${this.#folder}/${name}`;
    Deno.mkdirSync(folder, { recursive: true });
    return folder;
  }

  /** Runs Deno to its end. */
  deno(args: readonly string[], cwd: string): Promise<Ended> {
    return this.run(Deno.execPath(), args, cwd);
  }

  /** Runs a program to its end. */
  run(program: string, args: readonly string[], cwd: string): Promise<Ended> {
    return ended(this.#spawn(program, args, cwd));
  }

  /** Starts a program that runs until this is disposed of. */
  start(program: string, args: readonly string[], cwd: string): void {
    this.#background.push(this.#spawn(program, args, cwd));
  }

  #spawn(program: string, args: readonly string[], cwd: string): Deno.ChildProcess {
    const inside = this.#keeper === undefined
      ? [program, ...args]
      : ["nsenter", `--net=/proc/${this.#keeper.pid}/ns/net`, program, ...args];
    return new Deno.Command(inside[0]!, {
      args: inside.slice(1),
      cwd,
      env: this.#env,
      clearEnv: true,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#background) {
      child.kill();
      await child.output();
    }
    await this.#keeper?.stdin.close();
    await this.#keeper?.status;
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** A process in a network of its own, if this system lets us have one. */
async function network(): Promise<Deno.ChildProcess | undefined> {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) return undefined;
  try {
    const keeper = new Deno.Command("unshare", {
      args: ["--net", "sh", "-c", "PATH=$PATH:/usr/sbin:/sbin ip link set lo up && echo up && exec cat"],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const reader = keeper.stdout.getReader();
    const { done } = await reader.read();
    await reader.cancel();
    if (!done) return keeper;
    await keeper.stdin.close();
    await keeper.status;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return undefined;
}
