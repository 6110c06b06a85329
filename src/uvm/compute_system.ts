/**
 * A compute system: a virtual machine as the compute service knows it, with its handle, its callback and its
 * notifications.
 *
 * @module
 */

import { computeCodeOf } from "../errors/codes.ts";
import { messageOf } from "../errors/printable.ts";
import { UnexpectedAnswerError } from "../errors/state_errors.ts";
import { VMStateError } from "../errors/vm_errors.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { Host, NativeCallback } from "../ffi/host.ts";
import {
  closeSystem,
  computeError,
  createSystem,
  modifySystem,
  notification,
  openSystem,
  operate,
  type Progress,
  registerCallback,
  stopSystem,
  type SystemOperation,
  systemProperties,
  unregisterCallback,
} from "../ffi/vmcompute_hcs.ts";
import { basicProperties, type PropertyQuery, type SystemProperties } from "../hcsschema/queries.ts";
import { log } from "../log.ts";
import { Notifications } from "./notifications.ts";

/** What stops a wait. The request to the compute service goes on. */
export interface WaitOptions {
  /** Stops waiting; the call rejects with its reason. */
  signal?: AbortSignal | undefined;
}

const SYSTEM_NOT_FOUND = 0x010e;
const SYSTEM_ALREADY_STOPPED = 0x0110;

// A system that was told to end does so within a second or two; its disks stay open that long.
const EXIT_LIMIT_MS = 10_000;

const COMPLETION = {
  HcsStartComputeSystem: notification.SystemStartCompleted,
  HcsPauseComputeSystem: notification.SystemPauseCompleted,
  HcsResumeComputeSystem: notification.SystemResumeCompleted,
  HcsSaveComputeSystem: notification.SystemSaveCompleted,
} as const satisfies Record<SystemOperation, number>;

/**
 * A compute system of which this process has a handle. {@linkcode ComputeSystem.close} gives the handle and the
 * callback back; until then the callback keeps the process alive. The system itself ends with its last handle, if it
 * was created so.
 */
export class ComputeSystem implements AsyncDisposable {
  /** Id of the system. */
  readonly id: string;
  /** The machine that it runs on. */
  readonly host: Host;
  readonly #notifications: Notifications;
  #handle: bigint;
  #callback: NativeCallback | undefined;
  #registration: bigint | undefined;
  // Calls that Windows is at work on, and which have the handle.
  readonly #calls = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  private constructor(
    host: Host,
    id: string,
    init: { notifications: Notifications; handle: bigint; callback: NativeCallback },
  ) {
    this.host = host;
    this.id = id;
    this.#notifications = init.notifications;
    this.#handle = init.handle;
    this.#callback = init.callback;
  }

  /**
   * Creates a compute system, and waits until it is there.
   *
   * @param document What it is made of.
   * @throws {NativeError} if the compute service refuses.
   * @throws {VMStateError} if the system ends before it is there.
   * @throws the reason of `signal`. A system that comes to be all the same is ended.
   */
  static async create(host: Host, id: string, document: object, options: WaitOptions = {}): Promise<ComputeSystem> {
    const { signal } = options;
    let progress: Progress = "done";
    const system = await ComputeSystem.#attach(host, id, signal, async () => {
      const created = await createSystem(host, id, document);
      progress = created.progress;
      return created.system;
    }, (handle) => stopSystem(host, "HcsTerminateComputeSystem", handle, id));
    try {
      await system.#completed("HcsCreateComputeSystem", notification.SystemCreateCompleted, progress, signal);
      return system;
    } catch (error) {
      await system.#discard();
      throw error;
    }
  }

  /**
   * Opens a compute system that exists, created by any process.
   *
   * @throws {NativeError} if there is none with that id, or the compute service refuses.
   */
  static open(host: Host, id: string, options: WaitOptions = {}): Promise<ComputeSystem> {
    return ComputeSystem.#attach(host, id, options.signal, () => openSystem(host, id), () => Promise.resolve(true));
  }

  // Gets a handle and registers a callback with it; `end` does what has to come before a handle is closed again.
  static async #attach(
    host: Host,
    id: string,
    signal: AbortSignal | undefined,
    open: () => Promise<bigint>,
    end: (handle: bigint) => Promise<boolean>,
  ): Promise<ComputeSystem> {
    signal?.throwIfAborted();
    const notifications = new Notifications(host, id);
    // First, as it takes a permission of its own.
    const callback = await host.callback((raw) => notifications.deliver(raw));
    const opening = open();
    let handle: bigint;
    try {
      handle = await notifications.during(opening, signal);
    } catch (error) {
      callback[Symbol.dispose]();
      // Nobody waits for the handle any more, but it may come.
      opening.then((late) => attempt(id, () => end(late), () => closeSystem(host, late, id)), () => {});
      throw error;
    }
    const system = new ComputeSystem(host, id, { notifications, handle, callback });
    try {
      system.#registration = await registerCallback(host, handle, id, callback.address);
      return system;
    } catch (error) {
      await system.#discard(end);
      throw error;
    }
  }

  /** Why the system can't be used any more; `undefined` while it can. */
  get end(): VMStateError | undefined {
    return this.#notifications.end;
  }

  /** Starts it, and waits until it runs: for a VM with a guest connection, until its guest answers. */
  start(options: WaitOptions = {}): Promise<void> {
    return this.#operate("HcsStartComputeSystem", options);
  }

  /** Pauses it. */
  pause(options: WaitOptions = {}): Promise<void> {
    return this.#operate("HcsPauseComputeSystem", options);
  }

  /** Resumes it after {@linkcode ComputeSystem.pause}. */
  resume(options: WaitOptions = {}): Promise<void> {
    return this.#operate("HcsResumeComputeSystem", options);
  }

  /** Saves its state. `how` is the document that says where. */
  save(how: object, options: WaitOptions = {}): Promise<void> {
    return this.#operate("HcsSaveComputeSystem", options, how);
  }

  /**
   * Changes it.
   *
   * @throws {NativeError} if the compute service or the guest refuses.
   * @throws {VMStateError} if the system has ended, or ends meanwhile.
   */
  async modify(request: object, options: WaitOptions = {}): Promise<void> {
    await this.#call((handle) => modifySystem(this.host, handle, this.id, request), options.signal);
  }

  /** Its properties: the basic ones, or those that `query` asks for. */
  async properties(query: PropertyQuery = basicProperties, options: WaitOptions = {}): Promise<SystemProperties> {
    const text = await this.#call((handle) => systemProperties(this.host, handle, this.id, query), options.signal);
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new UnexpectedAnswerError("HcsGetComputeSystemProperties", "is not JSON", text, { cause });
    }
  }

  /** Asks the guest to shut down. Doesn't wait until it has: see {@linkcode ComputeSystem.waitForExit}. */
  async shutdown(options: WaitOptions = {}): Promise<void> {
    await this.#stop("HcsShutdownComputeSystem", options.signal);
  }

  /**
   * Ends it, and waits until it has ended, up to 10 seconds. One that has ended already is fine.
   *
   * @throws {NativeError} if the compute service refuses.
   */
  async terminate(options: WaitOptions = {}): Promise<void> {
    const runs = await this.#stop("HcsTerminateComputeSystem", options.signal);
    if (runs && !await this.waitForExit(EXIT_LIMIT_MS)) {
      log("warn", () => `the compute system ${this.id} was told to end, and doesn't say that it has`);
    }
    this.#notifications.finish(new VMStateError(this.id, "exited"));
  }

  /** Waits until it has stopped running, however it ends; at most `limit` milliseconds. Returns whether it has. */
  waitForExit(limit: number): Promise<boolean> {
    return this.#notifications.waitForExit(limit);
  }

  /**
   * Releases callback and handle; from here on every call is refused. Waits until Windows has returned from all calls
   * that were made. After a failure, another call goes on with what is left; calls side by side are one.
   *
   * @throws {NativeError} if Windows refuses.
   */
  close(): Promise<void> {
    this.#notifications.finish(new VMStateError(this.id, "closed"));
    return this.#closing ??= this.#close().finally(() => this.#closing = undefined);
  }

  /** {@linkcode ComputeSystem.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#calls);
    if (this.#registration !== undefined) {
      await unregisterCallback(this.host, this.#registration, this.id);
      this.#registration = undefined;
    }
    // Not before: Windows may call it until it is unregistered.
    this.#callback?.[Symbol.dispose]();
    this.#callback = undefined;
    if (this.#handle !== 0n) {
      await closeSystem(this.host, this.#handle, this.id);
      this.#handle = 0n;
    }
  }

  #discard(end = (handle: bigint) => stopSystem(this.host, "HcsTerminateComputeSystem", handle, this.id)) {
    return attempt(this.id, () => end(this.#handle), () => this.close());
  }

  async #operate(fn: SystemOperation, { signal }: WaitOptions, how?: object): Promise<void> {
    const type = COMPLETION[fn];
    this.#notifications.forget(type);
    let progress: Progress = "pending";
    try {
      progress = await this.#call((handle) => operate(this.host, fn, handle, this.id, how), signal);
    } catch (error) {
      // The requested operation counts first, even if the system ended right after it.
      if (error !== this.end || !this.#notifications.has(type)) throw error;
    }
    await this.#completed(fn, type, progress, signal);
  }

  async #completed(fn: string, type: number, progress: Progress, signal: AbortSignal | undefined): Promise<void> {
    if (progress === "done") return;
    const { status, data } = await this.#notifications.wait(type, signal);
    if ((status | 0) < 0) throw computeError(this.host, fn, status, this.id, data);
  }

  // Returns false if it had stopped already.
  async #stop(fn: "HcsShutdownComputeSystem" | "HcsTerminateComputeSystem", signal?: AbortSignal): Promise<boolean> {
    if (this.#notifications.exited) return false;
    if (this.#handle === 0n || this.end?.reason === "closed") throw this.end;
    const work = this.#track((handle) => stopSystem(this.host, fn, handle, this.id));
    return await (this.end === undefined ? this.#notifications.during(work, signal) : work);
  }

  async #call<T>(fn: (handle: bigint) => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    signal?.throwIfAborted();
    if (this.end !== undefined) throw this.end;
    try {
      return await this.#notifications.during(this.#track(fn), signal);
    } catch (error) {
      if (!hasStopped(error)) throw error;
      // The notification of it is late, or lost.
      const end = new VMStateError(this.id, "exited", { cause: error, code: error.code });
      this.#notifications.finish(end);
      throw end;
    }
  }

  #track<T>(fn: (handle: bigint) => Promise<T>): Promise<T> {
    const call = fn(this.#handle);
    this.#calls.add(call);
    const done = () => void this.#calls.delete(call);
    call.then(done, done);
    return call;
  }
}

// Gives up a system that nobody will ever use, step by step; there is no caller to report a failure to.
async function attempt(id: string, ...steps: (() => Promise<unknown>)[]): Promise<void> {
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      log("warn", () => `giving up the compute system ${id}: ${messageOf(error)}`);
    }
  }
}

function hasStopped(error: unknown): error is NativeError {
  const code = error instanceof NativeError ? computeCodeOf(error.code) : undefined;
  return code === SYSTEM_ALREADY_STOPPED || code === SYSTEM_NOT_FOUND;
}
