/**
 * The bridge: requests to the service in a guest and their answers, over a stream of bytes.
 *
 * One loop writes, one message after another, and one reads. An answer belongs to the request with its id, in whatever
 * order. When the connection ends, all that wait are told why.
 *
 * @module
 */

import { messageOf, printable } from "../../errors/printable.ts";
import { GuestConnectionError } from "../../errors/vm_errors.ts";
import { hex } from "../../errors/codes.ts";
import { serializeStrictly } from "../../hcsschema/serialize.ts";
import { log } from "../../log.ts";
import { type Frame, frameOf, FrameReader, setId } from "./frames.ts";
import {
  CONTAINER_ENDED,
  type Fields,
  kind,
  readAnswer,
  readNotification,
  type RequestName,
  requestType,
} from "./messages.ts";

/** A connection that carries bytes. One call may read, and one may write, at a time. */
export interface ByteStream {
  /** Reads bytes into `buffer`. Returns how many, and 0 at the end. */
  read(buffer: Uint8Array<ArrayBuffer>): Promise<number>;
  /** Writes all of `bytes`. Resolves when the connection has taken them. */
  write(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Closes it. What waits for it ends. */
  close(): void;
}

/** What a bridge needs besides its stream. */
export interface BridgeOptions {
  /** Id of the VM that the guest is in, for the log. */
  readonly vm: string;
  /** Resolves after `ms` milliseconds, unless `signal` is aborted: `deadline` of a host. */
  deadline(ms: number, signal: AbortSignal): Promise<void>;
  /** Called for each container that has ended. Returns false if nobody knows it. */
  onContainerEnded(container: string): boolean;
}

/** Options of a request. */
export interface RequestOptions {
  /** Aborting it takes the request back if it wasn't sent yet: the call rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

interface Call {
  readonly request: RequestName;
  readonly frame: Uint8Array<ArrayBuffer>;
  /** Settles the call, once. */
  settle(how: () => Fields): void;
  /** Ends its limit. */
  readonly over: AbortController;
  id?: number;
  isSettled?: boolean;
}

// As long as other hosts wait for an answer.
const ANSWER_MS = 5 * 60_000;

// A guest must not fill the log of the host.
const MOST_STRAYS_LOGGED = 10;

/** The requests to a guest. It owns its stream. */
export class Bridge implements Disposable {
  /** Resolves when the connection has ended, with the reason. */
  readonly ended: Promise<GuestConnectionError>;
  readonly #stream: ByteStream;
  readonly #options: BridgeOptions;
  readonly #tellEnd: (end: GuestConnectionError) => void;
  // Those that weren't sent yet.
  readonly #queue: Call[] = [];
  // Those that wait for an answer, by their ids.
  readonly #sent = new Map<number, Call>();
  #nextId = 0;
  // Nothing else can be sent before it is written, whether anybody waits for its answer or not.
  #writing: Call | undefined;
  #strays = 0;
  #end: GuestConnectionError | undefined;

  /** A bridge over a stream that nobody else uses. */
  constructor(stream: ByteStream, options: BridgeOptions) {
    this.#stream = stream;
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<GuestConnectionError>();
    this.ended = promise;
    this.#tellEnd = resolve;
    this.#read();
  }

  /** Why nothing can be sent any more; `undefined` while it can. */
  get end(): GuestConnectionError | undefined {
    return this.#end;
  }

  /**
   * Sends a request, and returns its answer.
   *
   * @param options With `abandons`, aborting also ends the wait for the answer. Otherwise it is waited for, as the guest
   * does what it was asked for, and nobody else would tell whether it did.
   * @throws {GuestError} if the guest answers with an error.
   * @throws {UnexpectedAnswerError} if its answer can't be read.
   * @throws {GuestConnectionError} if the connection is lost, or the guest doesn't answer within five minutes.
   * @throws {TypeError} if `document` has no JSON text. Nothing was sent.
   */
  async request(
    request: RequestName,
    document: object,
    { signal, abandons = false }: RequestOptions & { abandons?: boolean } = {},
  ): Promise<Fields> {
    signal?.throwIfAborted();
    if (this.#end !== undefined) throw this.#end;
    const frame = frameOf(requestType[request], serializeStrictly(document));
    return await new Promise((resolve, reject) => {
      const over = new AbortController();
      const settle = (how: () => Fields) => {
        call.isSettled = true;
        if (call !== this.#writing) over.abort();
        signal?.removeEventListener("abort", abort);
        try {
          resolve(how());
        } catch (error) {
          reject(error);
        }
      };
      const call: Call = { request, frame, settle, over };
      const abort = () => {
        if (call.id !== undefined && !abandons) return;
        this.#forget(call);
        settle(() => {
          throw signal!.reason;
        });
      };
      signal?.addEventListener("abort", abort);
      this.#queue.push(call);
      this.#write();
    });
  }

  /** Closes the connection. What waits for an answer rejects with a {@linkcode GuestConnectionError}. */
  [Symbol.dispose](): void {
    this.#finish(new GuestConnectionError("closed"));
  }

  #forget(call: Call): void {
    if (call.id === undefined) this.#queue.splice(this.#queue.indexOf(call), 1);
    else this.#sent.delete(call.id);
  }

  async #write(): Promise<void> {
    if (this.#writing !== undefined) return;
    for (let call; (call = this.#queue.shift()) !== undefined;) {
      const id = this.#nextId++;
      call.id = id;
      this.#writing = call;
      this.#sent.set(id, call);
      setId(call.frame, id);
      this.#limit(call);
      try {
        await this.#stream.write(call.frame);
      } catch (cause) {
        this.#finish(new GuestConnectionError("failed", { cause }));
      }
      this.#writing = undefined;
      if (call.isSettled) call.over.abort();
    }
  }

  #limit({ request, over: { signal } }: Call): void {
    const detail = `${request} was sent ${ANSWER_MS / 60_000} minutes ago`;
    this.#options.deadline(ANSWER_MS, signal).then(
      () => signal.aborted || this.#finish(new GuestConnectionError("hung", { detail })),
      () => {},
    );
  }

  async #read(): Promise<void> {
    const frames = new FrameReader();
    try {
      while (this.#end === undefined) {
        const size = await this.#stream.read(frames.space);
        if (size === 0) throw new GuestConnectionError(frames.isInside ? "torn" : "ended");
        for (const frame of frames.take(size)) this.#receive(frame);
      }
    } catch (error) {
      this.#finish(
        error instanceof GuestConnectionError ? error : new GuestConnectionError("failed", { cause: error }),
      );
    }
  }

  #receive({ type, id, body }: Frame): void {
    switch (type >>> 28) {
      case kind.RESPONSE:
        return this.#answer(id, body);
      case kind.NOTIFICATION:
        return this.#notify(type, body);
      default:
        throw new GuestConnectionError("invalid", { detail: `a message of the type ${hex(type)}` });
    }
  }

  #answer(id: number, body: Uint8Array<ArrayBuffer>): void {
    const call = this.#sent.get(id);
    if (call === undefined) {
      // The answer to a request that was given up is expected.
      if (id >= this.#nextId) this.#stray(() => `answers the request ${id}, which was never sent`);
      return;
    }
    this.#sent.delete(id);
    call.settle(() => readAnswer(call.request, body));
  }

  #notify(type: number, body: Uint8Array<ArrayBuffer>): void {
    if (type !== CONTAINER_ENDED) return this.#stray(() => `sent a notification of the type ${hex(type)}`);
    try {
      const container = readNotification(body);
      if (!this.#options.onContainerEnded(container)) this.#stray(() => `reports the end of ${printable(container)}`);
    } catch (error) {
      this.#stray(() => messageOf(error));
    }
  }

  // Nobody waits for it, so it harms nobody.
  #stray(message: () => string): void {
    if (this.#strays++ < MOST_STRAYS_LOGGED) log("warn", () => `the guest in ${this.#options.vm} ${message()}`);
  }

  #finish(end: GuestConnectionError): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    const calls = [...this.#sent.values(), ...this.#queue.splice(0)];
    this.#sent.clear();
    for (const call of calls) {
      call.settle(() => {
        throw end;
      });
    }
    try {
      this.#stream.close();
    } catch (error) {
      log("warn", () => `closing the connection with the guest in ${this.#options.vm}: ${messageOf(error)}`);
    }
    this.#tellEnd(end);
  }
}
