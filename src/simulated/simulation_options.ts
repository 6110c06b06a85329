/**
 * The options of a simulated host.
 *
 * @module
 */

import type { ObservedAnswers } from "./answers.ts";
import type { CompanyOptions } from "./company.ts";
import type { Completion } from "./compute_service.ts";
import type { NativeCall } from "./trace.ts";

/**
 * Options of {@linkcode SimulatedHost}.
 *
 * @category Simulation
 */
export interface SimulatedHostOptions {
  /** Build of Windows of a new machine. Default: 20348, Windows Server 2022. */
  build?: number;
  /** Revision of that build. Default: 2031. */
  revision?: number;
  /**
   * Path of a file that contains the machine, and is created if it is missing. Each call reads and updates it, so that
   * several processes can share the machine. Needs `--allow-read` and `--allow-write` for the file. On Linux, with
   * `--allow-all`, a process that was killed is noticed when what it has open is in the way; otherwise
   * {@linkcode SimulatedHost.endProcess} says so. Default: the machine is in memory.
   */
  file?: string;
  /**
   * How long slow functions take: milliseconds by their names, or a function that returns the milliseconds of a call, or a
   * promise that resolves when it is done. Default: slow functions return immediately. Fast functions always do, and are
   * refused by name. The milliseconds are those of the option `clock`, and real ones without it.
   */
  latency?: Readonly<Record<string, number>> | ((call: NativeCall) => number | Promise<unknown> | undefined);
  /**
   * How {@linkcode SimulatedHost.clock} moves, on which all that takes time then takes it.
   *
   * - `"manual"`: by `advance()` alone.
   * - `"automatic"`: also by itself, to the next thing that is due, as soon as all code waits for the clock.
   *
   * Default: a sleep moves the clock forward by its length, and returns at once; `latency` and `completion` are in real
   * milliseconds.
   */
  clock?: "manual" | "automatic";
  /**
   * Chooses the order in which the slow calls that run, notifications and sleeps come to their ends, where several could be
   * next. Two hosts with one seed, on which one program does the same, have the same `calls`, on every machine. With it, no
   * slow call is done at once, and the clock is `"automatic"` if the option `clock` doesn't say otherwise. Default: what
   * began first ends first.
   */
  seed?: number;
  /**
   * The folder in which the library keeps records of mounts, or false to keep none. Default: `C:\\ProgramData\\hcs-layers`.
   */
  records?: string | false;
  /**
   * The number of threads that slow functions run on, each of which is taken until its function is done. A function that
   * waits, such as `accept`, takes one as long as it waits. Deno has four for each processor. Default: enough.
   */
  poolThreads?: number;
  /**
   * Decides what a function returns if nobody knows what Windows does: an HRESULT, a Win32 code, or a name in winerror.h,
   * with which it fails without a change; or 0, if it returns nothing but success. With `undefined`, and by default, the
   * {@linkcode SimulationError} is thrown.
   */
  whenUnknown?: (situation: UnknownCall) => number | string | undefined;
  /**
   * How operations on compute systems end. Default: `"synchronous"`; on a clock that moves by itself, VMs start after 2.6 s,
   * as they do on real hosts.
   */
  completion?: Completion | ((fn: string) => Completion);
  /** Whether a new machine gives drive letters to the volumes of new disks, as Windows can. Default: false. */
  automount?: boolean;
  /** Whether a new machine leaves new disks offline, without volumes, as its SAN policy can say. Default: false. */
  offlineDisks?: boolean;
  /** What else runs on a new machine, and is in the way at times. Default: nothing. */
  company?: CompanyOptions;
  /** Whether the result of `GetLayerMountPath` ends with `\`. Default: false, as on Windows. */
  mountPathSeparator?: boolean;
  /**
   * The report that `deno task observe` wrote on a real host: `JSON.parse(await Deno.readTextFile("observe.json"))`. In the
   * situations in which calls failed there, they fail with the same codes here, also where nobody knew before, and before
   * `whenUnknown` is asked.
   */
  answers?: ObservedAnswers;
}

/**
 * A call in a situation in which nobody knows what Windows does.
 *
 * @category Simulation
 */
export interface UnknownCall extends NativeCall {
  /** The situation, such as `activating a layer twice: C:\\scratch`. For people: its text can change. */
  readonly what: string;
}

/** The names of all options. */
export const OPTIONS: Readonly<Record<keyof SimulatedHostOptions, true>> = {
  build: true,
  revision: true,
  file: true,
  latency: true,
  clock: true,
  seed: true,
  records: true,
  poolThreads: true,
  whenUnknown: true,
  completion: true,
  automount: true,
  offlineDisks: true,
  company: true,
  mountPathSeparator: true,
  answers: true,
};
