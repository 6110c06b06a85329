/**
 * A compute system: a virtual machine of the compute service, with its handle, its callback and its notifications.
 *
 * @module
 */

import { returnedJson } from "../checks/returned_json.ts";
import { computeCodeOf, win32 } from "../errors/codes.ts";
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
import type { ModifySettingRequest } from "../hcsschema/requests.ts";
import { log } from "../log.ts";
import { settlesWithin } from "../session/waiting.ts";
import { Notifications } from "./notifications.ts";

/** Options of calls that wait for the compute service. */
export interface WaitOptions {
  /** Stops the wait: the call rejects with the signal's reason. The request to the compute service goes on. */
  signal?: AbortSignal | undefined;
}

/** Options of {@linkcode ComputeSystem.create}. */
export interface CreateOptions extends WaitOptions {
  /** Called if the system may come to be after the call has rejected, with a promise that settles when it has ended. */
  onLate?: ((late: Promise<void>) => void) | undefined;
}

const INVALID_STATE = 0x0105;
const SYSTEM_NOT_FOUND = 0x010e;
const SYSTEM_ALREADY_STOPPED = 0x0110;

// A terminated system ends within a second or two. Its disks stay open until then.
const EXIT_LIMIT_MS = 10_000;

const ENDING_LIMIT_MS = 5_000;

const COMPLETION = {
  HcsStartComputeSystem: notification.SystemStartCompleted,
  HcsPauseComputeSystem: notification.SystemPauseCompleted,
  HcsResumeComputeSystem: notification.SystemResumeCompleted,
  HcsSaveComputeSystem: notification.SystemSaveCompleted,
} as const satisfies Record<SystemOperation, number>;

/**
 * A compute system of which this process has a handle. {@linkcode ComputeSystem.close} closes the handle and releases the
 * callback; until then the callback keeps the process alive. If the document of the system says so, the system ends when
 * its last handle is closed.
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
  // Running native calls that use the handle.
  readonly #calls = new Set<Promise<unknown>>();
  readonly #failedToClose = new Set<string>();
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
   * Creates a compute system, and waits until that is done.
   *
   * @param document The settings of the system.
   * @throws {NativeError} if the compute service refuses.
   * @throws {VMStateError} if the system ends while it is being created.
   * @throws the reason of `signal`. If the system is created nevertheless, it is ended: before this rejects, or, if that
   * takes longer than 10 seconds, when the promise that `onLate` receives has settled.
   */
  static async create(host: Host, id: string, document: object, options: CreateOptions = {}): Promise<ComputeSystem> {
    const { signal, onLate } = options;
    let progress: Progress = "done";
    const system = await ComputeSystem.#attach(
      host,
      id,
      signal,
      async () => {
        const created = await createSystem(host, id, document);
        progress = created.progress;
        return created.system;
      },
      (handle) => stopSystem(host, "HcsTerminateComputeSystem", handle, id),
      onLate,
    );
    try {
      await system.#completed("HcsCreateComputeSystem", notification.SystemCreateCompleted, progress, signal);
      return system;
    } catch (error) {
      await system.#discard();
      throw error;
    }
  }

  /**
   * Opens an existing compute system, no matter which process created it.
   *
   * @throws {NativeError} if there is none with that id, or the compute service refuses.
   */
  static open(host: Host, id: string, options: WaitOptions = {}): Promise<ComputeSystem> {
    return ComputeSystem.#attach(host, id, options.signal, () => openSystem(host, id), () => Promise.resolve(true));
  }

  // Gets a handle and registers a callback. If that fails, `end` runs before the handle is closed.
  static async #attach(
    host: Host,
    id: string,
    signal: AbortSignal | undefined,
    open: () => Promise<bigint>,
    end: (handle: bigint) => Promise<boolean>,
    onLate: (late: Promise<void>) => void = () => {},
  ): Promise<ComputeSystem> {
    signal?.throwIfAborted();
    const notifications = new Notifications(host, id);
    // First, because this needs an additional permission.
    const callback = await host.callback((raw) => notifications.deliver(raw));
    const opening = open();
    let handle: bigint;
    try {
      handle = await notifications.during(opening, signal);
    } catch (error) {
      callback[Symbol.dispose]();
      // Nobody waits for the handle any more, but Windows may still return one.
      const endLate = (late: bigint) => attempt(id, () => end(late), () => twice(() => closeSystem(host, late, id)));
      const late = opening.then(endLate, () => {});
      if (!await settlesWithin(host, late, EXIT_LIMIT_MS)) onLate(late);
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

  /** Starts it, and waits until it runs. If it has a guest connection, waits until the guest responds. */
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

  /** Saves its state. `how` is the document that names the file. */
  save(how: object, options: WaitOptions = {}): Promise<void> {
    return this.#operate("HcsSaveComputeSystem", options, how);
  }

  /**
   * Changes it.
   *
   * @throws {NativeError} if the compute service or the guest refuses.
   * @throws {VMStateError} if the system has ended, or ends meanwhile.
   */
  async modify(request: ModifySettingRequest, options: WaitOptions = {}): Promise<void> {
    try {
      await this.#call((handle) => modifySystem(this.host, handle, this.id, request), options.signal);
    } catch (error) {
      const removes = (request.RequestType ?? request.GuestRequest?.RequestType) === "Remove";
      if (!(removes && isInvalidState(error) && await this.#hasEnded())) throw error;
      throw this.#finish(error);
    }
  }

  // A system that is about to stop refuses all changes, and so does one that is paused, or in a state that nobody knows.
  async #hasEnded(): Promise<boolean> {
    if (await this.waitForExit(ENDING_LIMIT_MS)) return true;
    try {
      const { State, Stopped } = await this.properties();
      return State === "Stopped" || Stopped === true;
    } catch (error) {
      return error === this.end;
    }
  }

  /** Returns the basic properties, or those that `query` names. */
  async properties(query: PropertyQuery = basicProperties, options: WaitOptions = {}): Promise<SystemProperties> {
    const text = await this.#call((handle) => systemProperties(this.host, handle, this.id, query), options.signal);
    const properties: unknown = returnedJson("HcsGetComputeSystemProperties", text, (document) => document);
    if (typeof properties !== "object" || properties === null || Array.isArray(properties)) {
      throw new UnexpectedAnswerError("HcsGetComputeSystemProperties", "is not an object", properties);
    }
    return properties;
  }

  /** Requests a shutdown from the guest. {@linkcode ComputeSystem.waitForExit} waits until it is done. */
  async shutdown(options: WaitOptions = {}): Promise<void> {
    await this.#stop("HcsShutdownComputeSystem", options.signal);
  }

  /**
   * Ends it, and waits up to 10 seconds until it has ended. Does nothing if it has already ended.
   *
   * @throws {NativeError} if the compute service refuses.
   */
  async terminate(options: WaitOptions = {}): Promise<void> {
    const runs = await this.#stop("HcsTerminateComputeSystem", options.signal);
    if (runs && !await this.waitForExit(EXIT_LIMIT_MS)) {
      log("warn", () => `the compute system ${this.id} was terminated, but did not report its end`);
    }
    this.#notifications.finish(new VMStateError(this.id, "exited"));
  }

  /**
   * Waits for `work` while the system lives. If the wait ends early, `work` still goes on.
   *
   * @throws {VMStateError} if the system ends.
   * @throws the reason of `signal`.
   */
  during<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#notifications.during(work, signal);
  }

  /** Waits until it has stopped running for any reason, but at most `limit` milliseconds. Returns whether it has. */
  waitForExit(limit: number): Promise<boolean> {
    return this.#notifications.waitForExit(limit);
  }

  /**
   * Releases the callback and the handle; from now on every call is refused. Waits until all running native calls have
   * returned. After a failure, another call continues with what is left. Concurrent calls share one release.
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
    const registration = this.#registration;
    if (registration !== undefined) {
      await this.#closeHandle("registration", () => unregisterCallback(this.host, registration, this.id));
      this.#registration = undefined;
      this.#freeCallback();
    }
    if (this.#handle !== 0n) {
      await this.#closeHandle("system", () => closeSystem(this.host, this.#handle, this.id));
      this.#handle = 0n;
    }
    // If registering it failed, Windows may call it until the handle is closed.
    this.#freeCallback();
  }

  #freeCallback(): void {
    const callback = this.#callback;
    this.#callback = undefined;
    callback?.[Symbol.dispose]();
  }

  // A call that failed may have closed its handle nevertheless.
  async #closeHandle(kind: "registration" | "system", close: () => Promise<void>): Promise<void> {
    try {
      await close();
    } catch (error) {
      const isGone = error instanceof NativeError && error.win32 === win32.ERROR_INVALID_HANDLE;
      if (!isGone || !this.#failedToClose.has(kind)) {
        this.#failedToClose.add(kind);
        throw error;
      }
    }
  }

  #discard(end = (handle: bigint) => stopSystem(this.host, "HcsTerminateComputeSystem", handle, this.id)) {
    return attempt(this.id, () => end(this.#handle), () => twice(() => this.close()));
  }

  async #operate(fn: SystemOperation, { signal }: WaitOptions, how?: object): Promise<void> {
    const type = COMPLETION[fn];
    this.#notifications.forget(type);
    let progress: Progress = "pending";
    try {
      progress = await this.#call((handle) => operate(this.host, fn, handle, this.id, how), signal);
    } catch (error) {
      // If the operation was completed, it succeeded, even if the system ended right after it.
      if (error !== this.end || !this.#notifications.has(type)) throw error;
    }
    await this.#completed(fn, type, progress, signal);
  }

  async #completed(fn: string, type: number, progress: Progress, signal: AbortSignal | undefined): Promise<void> {
    if (progress === "done") return;
    const { status, data } = await this.#notifications.wait(type, signal);
    if ((status | 0) < 0) throw computeError(this.host, fn, status, this.id, data);
  }

  // Returns false if it had already stopped.
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
      throw this.#finish(error);
    }
  }

  // Notes that the system has ended; the notification of that is late or lost. Returns why.
  #finish(cause: NativeError): VMStateError {
    this.#notifications.finish(new VMStateError(this.id, "exited", { cause, code: cause.code }));
    return this.end!;
  }

  #track<T>(fn: (handle: bigint) => Promise<T>): Promise<T> {
    const call = fn(this.#handle);
    this.#calls.add(call);
    const done = () => void this.#calls.delete(call);
    call.then(done, done);
    return call;
  }
}

// Cleans up a system that nobody will use. Failures are only logged, because there is no caller to report them to.
async function attempt(id: string, ...steps: (() => Promise<unknown>)[]): Promise<void> {
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      log("warn", () => `cleaning up the compute system ${id}: ${messageOf(error)}`);
    }
  }
}

// Nobody has what is closed so, and could close it again after a failure.
function twice(close: () => Promise<void>): Promise<void> {
  return close().catch(close);
}

/** Whether there is no such system, or it has stopped. */
export function hasStopped(error: unknown): error is NativeError {
  const code = error instanceof NativeError ? computeCodeOf(error.code) : undefined;
  return code === SYSTEM_ALREADY_STOPPED || code === SYSTEM_NOT_FOUND;
}

/** Whether a system is in no state for a call. */
export function isInvalidState(error: unknown): error is NativeError {
  return error instanceof NativeError && computeCodeOf(error.code) === INVALID_STATE;
}
