/**
 * Prepares what runs the real Windows build of Deno on a Linux host: a Debian root with Wine 10, a Wine prefix,
 * `deno.exe`, and the recording DLLs of `c/`.
 *
 * All of it lies outside the checkout, as the layers of an overlay: `debian-…`, `prefix-…`, `deno-…` and `dlls-…`. Each
 * is built under another name and renamed when complete, so that one that is there is whole, and is reused. A run mounts
 * them in namespaces of its own, with a writable layer in memory: whatever a test does to its `C:` is gone afterwards,
 * runs at the same time do not see each other, and the kernel clears up even when everything is killed.
 *
 * `deno run -A tests/wine/prepare.ts [arguments for deno.exe]` prepares, and runs `deno.exe` where arguments are given.
 *
 * @module
 */

/** The checkout, as Windows sees it. It can't be written to from there. */
export const CHECKOUT = "Z:\\hcs-layers";

/** {@linkcode WineRoot.exchange}, as Windows sees it. */
export const EXCHANGE = "C:\\exchange";

/** `deno.exe`, as Windows sees it. */
export const DENO_EXE = "C:\\deno\\deno.exe";

/** The folder of the recording DLLs and `cycle.exe`, as Windows sees it. */
export const SYSTEM32 = "C:\\windows\\system32";

/** What runs a program and ends with its exit code. */
const RUN_EXE = `${SYSTEM32}\\run.exe`;

/** Where and with what a Windows program runs. */
export interface ProgramOptions {
  /** Its environment, beyond what Wine and Deno need. Nothing is taken over from the host. */
  readonly env?: Readonly<Record<string, string>>;
  /** The current folder, a Windows path that exists on `C:` or `Z:`. {@linkcode CHECKOUT} if not given. */
  readonly cwd?: string;
}

// A thread that Wine ends with its process can say that it doesn't reach the server any more. The program wrote nothing.
const OF_WINE = /^wine client error:.*\r?\n/gm;

/** How to run a program to its end. */
export interface RunOptions extends ProgramOptions {
  /** After this time it is killed; two minutes if not given. */
  readonly timeoutMs?: number;
  /** What it reads; nothing if not given. */
  readonly stdin?: string | Uint8Array<ArrayBuffer>;
  /** `"inherit"` shows the output (also the error output) at once, instead of returning it. */
  readonly stdout?: "piped" | "inherit";
}

/** How a program ended. */
export interface RunResult {
  /** Its exit code; 137 when it was killed. */
  readonly code: number;
  /** What it wrote. */
  readonly stdout: string;
  /** What it wrote to the error output. */
  readonly stderr: string;
  /** Whether it was killed after {@linkcode RunOptions.timeoutMs}. */
  readonly timedOut: boolean;
}

/** How to start a program. */
export interface SpawnOptions extends ProgramOptions {
  /** `"null"` if not given, as with the other two. */
  readonly stdin?: "piped" | "inherit" | "null";
  /** See {@linkcode Deno.CommandOptions.stdout}. */
  readonly stdout?: "piped" | "inherit" | "null";
  /** See {@linkcode Deno.CommandOptions.stderr}. */
  readonly stderr?: "piped" | "inherit" | "null";
}

const DEBIAN_SUITE = "trixie";
const DEBIAN_PACKAGES = ["wine64", "wine", "ca-certificates", "gcc-mingw-w64-x86-64"];
/** Part of the layers' names: raise it when the way they are made changes. */
const RECIPE = 1;

const PREFIX = "/wineprefix";
const CHECKOUT_FOLDER = "/hcs-layers";
const EXCHANGE_FOLDER = `${PREFIX}/drive_c/exchange`;

// For programs of the host: `chroot` and its like aren't in everybody's PATH, root's included.
const HOST_ENVIRONMENT = {
  PATH: `${Deno.env.get("PATH") ?? "/usr/bin:/bin"}:/usr/sbin:/sbin`,
  DEBIAN_FRONTEND: "noninteractive",
};

/** For every process inside. The locale makes Wine take arguments and file names for UTF-8. */
const ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: "/usr/bin:/bin",
  HOME: "/root",
  LC_ALL: "C.UTF-8",
  WINEPREFIX: PREFIX,
  WINEDEBUG: "-all",
  // Wine has a virtdisk.dll of its own.
  WINEDLLOVERRIDES: "virtdisk=n,b",
  XDG_RUNTIME_DIR: "/run/user",
};

const DENO_ENVIRONMENT: Readonly<Record<string, string>> = {
  DENO_DIR: "C:\\deno\\cache",
  DENO_NO_UPDATE_CHECK: "1",
  NO_COLOR: "1",
};

/**
 * `sh -c MOUNT sh ROOT LAYERS [MODE HOST INSIDE]… -- PROGRAM…`: puts the layers together at `ROOT/mnt/root`, binds
 * folders of the host, and runs the program in there. Only for a mount namespace of its own. Layers are named
 * relative to the root, as a `:` or `,` in their path would end them.
 */
const MOUNT = `
set -e
cd "$1"
mount -t tmpfs tmpfs mnt
mkdir mnt/upper mnt/work mnt/root
mount -t overlay overlay -o "lowerdir=$2,upperdir=mnt/upper,workdir=mnt/work" mnt/root
mount -t proc proc mnt/root/proc
mount --rbind /dev mnt/root/dev
mkdir -p mnt/root/run/user
shift 2
while [ "$1" != -- ]; do
  mkdir -p "mnt/root$3"
  mount --bind "$2" "mnt/root$3"
  mount -o "remount,bind,$1" "mnt/root$3"
  shift 3
done
shift
exec chroot mnt/root "$@"
`;

/** Why this host can't have a {@linkcode WineRoot}; ends as `skipped`. */
class Unavailable extends Error {}

type Log = (line: string) => void;

/** A folder of the host that is seen inside. */
interface Bind {
  readonly mode: "ro" | "rw";
  readonly host: string;
  readonly inside: string;
}

/** Wine with `deno.exe` and the recording DLLs. Dispose it: that ends every process inside. */
export class WineRoot implements AsyncDisposable {
  /** A folder of the host that Windows sees as {@linkcode EXCHANGE}: for files to pass in and out. */
  readonly exchange: string;
  readonly #root: string;
  readonly #keeper: Deno.ChildProcess;

  /** For {@linkcode prepareWine}. The keeper is the process whose end is the end of the namespaces. */
  constructor(root: string, exchange: string, keeper: Deno.ChildProcess) {
    this.#root = root;
    this.exchange = exchange;
    this.#keeper = keeper;
  }

  /** Runs `deno.exe` with these arguments to its end. */
  run(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return this.runProgram(DENO_EXE, args, options);
  }

  /** Runs a Windows program to its end. */
  async runProgram(
    program: string,
    args: readonly string[],
    options: RunOptions = {},
  ): Promise<RunResult> {
    const piped = options.stdout !== "inherit";
    const child = this.spawn(RUN_EXE, [program, ...args], {
      ...options,
      stdin: options.stdin === undefined ? "null" : "piped",
      stdout: piped ? "piped" : "inherit",
      stderr: piped ? "piped" : "inherit",
    });
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      kill(child);
    }, options.timeoutMs ?? 120_000);
    try {
      const read = (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => new Response(stream).text();
      const [{ code }, stdout, stderr] = await Promise.all([
        child.status,
        piped ? read(child.stdout) : "",
        piped ? read(child.stderr) : "",
        options.stdin === undefined ? undefined : feed(child, options.stdin),
      ]);
      return { code, stdout, stderr: stderr.replaceAll(OF_WINE, ""), timedOut };
    } finally {
      clearTimeout(timer);
    }
  }

  /** Starts a Windows program. Killing the child kills the program, as by TerminateProcess: nothing of it runs on. */
  spawn(program: string, args: readonly string[], options: SpawnOptions = {}): Deno.ChildProcess {
    const env = { ...ENVIRONMENT, ...DENO_ENVIRONMENT, ...options.env };
    return new Deno.Command("nsenter", {
      env: HOST_ENVIRONMENT,
      args: [
        `--mount=/proc/${this.#keeper.pid}/ns/mnt`,
        `--pid=/proc/${this.#keeper.pid}/ns/pid_for_children`,
        // nsenter has to stay behind as the parent: what kills it is to kill the program too.
        ...["setpriv", "--pdeathsig", "KILL", "chroot", `${this.#root}/mnt/root`],
        ...["env", "-i", "-C", insidePath(options.cwd ?? CHECKOUT)],
        ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
        ...["wine", program, ...args],
      ],
      stdin: options.stdin ?? "null",
      stdout: options.stdout ?? "null",
      stderr: options.stderr ?? "null",
    }).spawn();
  }

  /** Ends every process inside, and removes {@linkcode WineRoot.exchange}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#keeper.stdin.close();
    await this.#keeper.status;
    await Deno.remove(this.exchange, { recursive: true });
  }
}

/**
 * Prepares Wine, or says in a sentence why there is none on this host. The first time it takes a few minutes and
 * 3 GB in `$HCS_LAYERS_WINE_ROOT`, or else `hcs-layers/wine` in the user's cache folder.
 */
export async function prepareWine(
  options: { readonly log?: (line: string) => void } = {},
): Promise<WineRoot | { skipped: string }> {
  const log = options.log ?? ((line: string) => console.error(line));
  try {
    checkHost();
    const root = cacheFolder();
    await Deno.mkdir(`${root}/mnt`, { recursive: true });
    return await start(root, await prepareLayers(root, log));
  } catch (error) {
    if (error instanceof Unavailable) return { skipped: error.message };
    throw error;
  }
}

function checkHost(): void {
  if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") {
    throw new Unavailable("Wine tests run on x64 Linux only.");
  }
  if (Deno.uid() !== 0) throw new Unavailable("Wine tests need root, for chroot and mounts.");
}

function cacheFolder(): string {
  const { HCS_LAYERS_WINE_ROOT, XDG_CACHE_HOME, HOME = "/root" } = Deno.env.toObject();
  return HCS_LAYERS_WINE_ROOT || `${XDG_CACHE_HOME || `${HOME}/.cache`}/hcs-layers/wine`;
}

/** Makes the layers that are missing, and returns all of them, topmost first. */
async function prepareLayers(root: string, log: Log): Promise<string[]> {
  const sources = `${import.meta.dirname}/c`;
  const debian = `debian-${RECIPE}`;
  const prefix = `prefix-${RECIPE}`;
  const deno = `deno-${Deno.version.deno}`;
  const dlls = `dlls-${RECIPE}-${await hashFolder(sources)}`;

  using file = await Deno.open(`${root}/lock`, { create: true, write: true });
  if (!(await file.tryLock(true))) {
    log("Wine: waiting for another run that prepares it");
    await file.lock(true);
  }
  const layer = async (name: string, what: string, build: (folder: string) => Promise<void>) => {
    if (await exists(`${root}/${name}`)) return;
    log(`Wine: ${what}`);
    const partial = `${root}/${name}.partial`;
    await removeAll(partial);
    await Deno.mkdir(partial);
    await build(partial);
    await Deno.rename(partial, `${root}/${name}`);
  };
  await layer(
    debian,
    `installing Debian ${DEBIAN_SUITE} with Wine and a C compiler, 2 minutes`,
    (to) => makeDebian(to, log),
  );
  await layer(prefix, "making a Wine prefix", (to) => makePrefix(root, debian, to));
  await layer(deno, `fetching deno.exe ${Deno.version.deno} from npm`, fetchDeno);
  await layer(dlls, "compiling the recording DLLs", (to) => compileDlls(root, debian, sources, to));
  return [dlls, deno, prefix, debian];
}

async function makeDebian(to: string, log: Log): Promise<void> {
  if (!(await exists("/usr/sbin/debootstrap"))) {
    log("Wine: installing debootstrap");
    await must("There is no debootstrap, and apt-get can't install it", "apt-get", ["update"]);
    await must("There is no debootstrap, and apt-get can't install it", "apt-get", ["install", "-y", "debootstrap"]);
  }
  const mirror = await debianMirror();
  await must(
    "debootstrap can't install Debian",
    ...contained([
      "debootstrap",
      "--variant=minbase",
      `--include=${DEBIAN_PACKAGES.join()}`,
      DEBIAN_SUITE,
      to,
      ...(mirror === undefined ? [] : [mirror]),
    ]),
  );
  // Only for installing more, and a sixth of the size.
  await removeAll(`${to}/var/cache/apt`);
  await removeAll(`${to}/var/lib/apt/lists`);
}

/** The mirror that the host's own apt uses, where that is a Debian. debootstrap knows one itself. */
async function debianMirror(): Promise<string | undefined> {
  const { stdout } = await output("apt-get", [
    "indextargets",
    "--format",
    "$(LABEL) $(REPO_URI)",
    "Created-By: Packages",
  ]);
  return stdout.match(/^Debian (https?:.*)$/m)?.[1];
}

async function makePrefix(root: string, debian: string, to: string): Promise<void> {
  // No Mono and no Gecko: Wine would ask for them in a window.
  const environment = { ...ENVIRONMENT, WINEDLLOVERRIDES: "mscoree,mshtml=" };
  // The file `wineserver` names the running server.
  const script = `wineboot -i && wineserver -w && rm -f ${PREFIX}/wineserver && cp -a ${PREFIX} /to/`;
  await must(
    "Wine can't make a prefix",
    ...inside(root, [debian], [{ mode: "rw", host: to, inside: "/to" }], script, environment),
  );
}

async function fetchDeno(to: string): Promise<void> {
  const name = `@deno/win32-x64@${Deno.version.deno}`;
  await must(`npm can't fetch ${name}`, "npm", ["pack", name, "--silent", "--pack-destination", to]);
  const folder = `${to}${PREFIX}/drive_c/deno`;
  const archive = `${to}/deno-win32-x64-${Deno.version.deno}.tgz`;
  await Deno.mkdir(folder, { recursive: true });
  await must("tar can't unpack deno.exe", "tar", [
    "-xzf",
    archive,
    "-C",
    folder,
    "--strip-components=1",
    "package/deno.exe",
  ]);
  await Deno.remove(archive);
}

async function compileDlls(root: string, debian: string, sources: string, to: string): Promise<void> {
  const system32 = `${to}${PREFIX}/drive_c/windows/system32`;
  await Deno.mkdir(system32, { recursive: true });
  const [program, args] = inside(root, [debian], [
    { mode: "ro", host: sources, inside: "/sources" },
    { mode: "rw", host: system32, inside: "/to" },
  ], "sh /sources/build.sh /to");
  const { success, stderr } = await output(program, args);
  // A mistake in our own sources is no reason to skip the tests.
  if (!success) throw new Error(`the recording DLLs do not compile:\n${stderr}`);
}

/** Mounts the layers and starts the processes that stay for the whole time. */
async function start(root: string, layers: readonly string[]): Promise<WineRoot> {
  const exchange = await Deno.makeTempDir({ prefix: "hcs-layers-wine-" });
  // Wine's server and services stay up for the later programs. `read` ends when we close stdin, or are gone; then
  // the kernel ends all other processes of the namespace.
  const script = "wineserver -p && wine wineboot >/dev/null 2>&1 && echo ready && read _";
  const [program, args] = inside(root, layers, [
    { mode: "ro", host: `${import.meta.dirname}/../..`, inside: CHECKOUT_FOLDER },
    { mode: "rw", host: exchange, inside: EXCHANGE_FOLDER },
  ], script);
  const keeper = new Deno.Command(program, {
    args,
    env: HOST_ENVIRONMENT,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const reader = keeper.stdout.getReader();
  const { done } = await reader.read();
  await reader.cancel();
  if (!done) {
    await keeper.stderr.cancel();
    return new WineRoot(root, exchange, keeper);
  }
  const [stderr] = await Promise.all([new Response(keeper.stderr).text(), keeper.stdin.close(), keeper.status]);
  await Deno.remove(exchange, { recursive: true });
  throw new Unavailable(`Wine can't be started in namespaces of its own: ${lastLine(stderr)}.`);
}

/** A command in namespaces of its own, which end with it: mounts and processes inside, and it with this thread. */
function contained(command: readonly string[]): [string, string[]] {
  return ["setpriv", [
    ...["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"],
    ...command,
  ]];
}

/** A shell script inside the layers. */
function inside(
  root: string,
  layers: readonly string[],
  binds: readonly Bind[],
  script: string,
  env: Readonly<Record<string, string>> = ENVIRONMENT,
): [string, string[]] {
  return contained([
    ...["sh", "-c", MOUNT, "sh", root, layers.join(":")],
    ...binds.flatMap((bind) => [bind.mode, bind.host, bind.inside]),
    ...["--", "env", "-i", ...Object.entries(env).map(([name, value]) => `${name}=${value}`)],
    ...["sh", "-c", script],
  ]);
}

/** Where a Windows path lies inside the root. */
function insidePath(path: string): string {
  const [, drive, rest] = path.match(/^([cz]):\\(.*)$/i) ?? [];
  if (drive === undefined || rest === undefined) throw new TypeError(`not a path on C: or Z:: ${path}`);
  return `${drive.toLowerCase() === "c" ? `${PREFIX}/drive_c` : ""}/${rest.replaceAll("\\", "/")}`;
}

function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has just ended by itself.
  }
}

async function feed(child: Deno.ChildProcess, input: string | Uint8Array<ArrayBuffer>): Promise<void> {
  try {
    await new Blob([input]).stream().pipeTo(child.stdin);
  } catch {
    // A program may end without having read everything.
  }
}

async function must(complaint: string, program: string, args: string[]): Promise<void> {
  const { success, stdout, stderr } = await output(program, args);
  if (!success) throw new Unavailable(`${complaint}: ${lastLine(stderr) || lastLine(stdout)}.`);
}

async function output(program: string, args: string[]): Promise<{ success: boolean; stdout: string; stderr: string }> {
  try {
    const command = new Deno.Command(program, { args, stdin: "null", env: HOST_ENVIRONMENT });
    const { success, stdout, stderr } = await command.output();
    const text = new TextDecoder();
    return { success, stdout: text.decode(stdout), stderr: text.decode(stderr) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { success: false, stdout: "", stderr: `there is no ${program}` };
    throw error;
  }
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1)?.trim().replace(/\.$/, "") ?? "";
}

async function hashFolder(folder: string): Promise<string> {
  const parts: (string | Uint8Array<ArrayBuffer>)[] = [];
  const names = (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name).sort();
  for (const name of names) parts.push(`${name}\0`, await Deno.readFile(`${folder}/${name}`));
  const digest = await crypto.subtle.digest("SHA-256", await new Blob(parts).arrayBuffer());
  return new Uint8Array(digest).toHex().slice(0, 16);
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function removeAll(path: string): Promise<void> {
  if (await exists(path)) await Deno.remove(path, { recursive: true });
}

if (import.meta.main) {
  const wine = await prepareWine();
  if ("skipped" in wine) {
    console.error(wine.skipped);
    Deno.exit(1);
  }
  await using _ = wine;
  if (Deno.args.length > 0) {
    Deno.exitCode = (await wine.run(Deno.args, { stdout: "inherit", timeoutMs: 3_600_000 })).code;
  }
}
