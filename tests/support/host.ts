import type { Host } from "../../src/ffi/host.ts";
import { type NativeCall, SimulatedHost, type SimulatedHostOptions } from "../../src/simulated/mod.ts";

/** Read-only layers, topmost first. */
export const LAYERS = [
  "C:\\layers\\ro05",
  "C:\\layers\\ro04",
  "C:\\layers\\ro03",
  "C:\\layers\\ro02",
  "C:\\layers\\ro01",
];
export const SCRATCH = "C:\\scratch\\c1";
export const STACK = [...LAYERS, SCRATCH];
export const MOUNT = "C:\\mnt\\c1";
export const INFO = { Flavour: 1, HomeDir: "" };

/** A machine with the folders of {@linkcode STACK}, or of another stack. */
export function machine(options?: SimulatedHostOptions, stack: readonly string[] = STACK): SimulatedHost {
  const host = new SimulatedHost(options);
  stack.slice(0, -1).forEach((folder) => host.addLayer(folder));
  host.addScratch(stack.at(-1)!);
  return host;
}

/** What is held, as `kind target`. */
export function held(host: SimulatedHost): string[] {
  return host.held().map(({ kind, target }) => `${kind} ${target}`);
}

const CHANGES = /^(?!.*MountPath$)(.*Layer|NameToGuid|(Set|Delete)VolumeMountPointW|(Create|Remove)DirectoryW)$/;

/** The calls that change the machine, and `NameToGuid`, in order: `Function subject`, with the code of those that failed. */
export function changes(host: SimulatedHost, from = 0): string[] {
  return host.calls.slice(from).filter((call) => CHANGES.test(call.function)).map((call) => {
    const subject = call.args["id"] ?? call.args["name"] ?? call.args["volumeMountPoint"] ?? call.args["path"];
    return `${call.function} ${subject}${call.result === "0x00000000" ? "" : ` ${call.result}`}`;
  });
}

/** A latency that holds back the calls that match until they are let go. */
export class Brake {
  #waiting: { call: NativeCall; go: () => void }[] = [];
  #arrivals: (() => void)[] = [];

  constructor(readonly matches: (call: NativeCall) => boolean) {}

  /** The option of the host. */
  readonly latency = (call: NativeCall): Promise<void> | undefined => {
    if (!this.matches(call)) return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ call, go: resolve });
    this.#arrivals.splice(0).forEach((arrived) => arrived());
    return promise;
  };

  /** Resolves once a call is held back. */
  async arrival(): Promise<void> {
    if (this.#waiting.length === 0) await new Promise<void>((resolve) => this.#arrivals.push(resolve));
  }

  /** Lets go the call that has waited longest. */
  release(): void {
    this.#waiting.shift()!.go();
  }
}

/** Runs what is queued, as far as it doesn't wait for anything but promises. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** A host on which a function of a DLL is replaced. */
export function withFunction(host: Host, name: string, replacement: unknown): Host {
  const symbols: Host["symbols"] = (dll) =>
    name in dll.symbols ? { ...host.symbols(dll), [name]: replacement } : host.symbols(dll);
  return new Proxy(host, {
    get(target, key) {
      if (key === "symbols") return symbols;
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** Runs a module of the tests in a Deno of its own, with these permissions. */
export function deno(permissions: readonly string[], module: string, ...args: string[]): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      "--no-check",
      ...permissions,
      new URL(`../${module}`, import.meta.url).pathname,
      ...args,
    ],
    cwd: new URL("../..", import.meta.url).pathname,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}
