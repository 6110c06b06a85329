/**
 * A connection with the service in a guest: what can be asked of it.
 *
 * @module
 */

import { computeCodeOf } from "../../errors/codes.ts";
import { InUseError, UnexpectedAnswerError } from "../../errors/state_errors.ts";
import { type GuestConnectionError, GuestError } from "../../errors/vm_errors.ts";
import {
  messageFor,
  modification,
  negotiation,
  propertyQuery,
  PROTOCOL_VERSION,
  THE_VM,
  type TimeZoneInformation,
  vmConfiguration,
} from "../../hcsschema/guest_messages.ts";
import type { GuestDefinedCapabilities } from "../../hcsschema/queries.ts";
import { changeText, type GuestModificationRequest } from "../../hcsschema/requests.ts";
import { Bridge, type BridgeOptions, type ByteStream, type RequestOptions } from "./bridge.ts";
import { type Fields, fieldsOf, read, type RequestName } from "./messages.ts";

/** What a connection begins with. */
export interface ConnectOptions extends RequestOptions, Pick<BridgeOptions, "vm" | "deadline"> {
  /** The time zone for a guest that asks for one, as Windows guests do. */
  readonly timeZone: TimeZoneInformation | null;
}

/** What a guest said when the connection began. */
interface Negotiated {
  readonly os: string;
  readonly capabilities: GuestDefinedCapabilities;
  readonly wantsCreate: boolean;
  readonly wantsStart: boolean;
}

/** The end of a container that is waited for. Disposing of it ends the wait. */
export interface ContainerEnd extends Disposable {
  /**
   * Resolves when the guest reports the end.
   *
   * @throws {GuestConnectionError} if the connection is lost before.
   */
  readonly ended: Promise<void>;
}

/** Those who wait for the end of a container, by its id. */
type Watched = Map<string, PromiseWithResolvers<void>>;

const SYSTEM_NOT_FOUND = 0x010e;

/** A guest with which the version of the protocol is agreed. It owns its stream. */
export class BridgeConnection implements Disposable {
  /** The operating system in the guest, in lower case: `windows` or `linux`. */
  readonly os: string;
  /** What the guest can do. */
  readonly capabilities: GuestDefinedCapabilities;
  readonly #bridge: Bridge;
  readonly #watched: Watched;

  private constructor(bridge: Bridge, watched: Watched, { os, capabilities }: Negotiated) {
    this.#bridge = bridge;
    this.#watched = watched;
    this.os = os;
    this.capabilities = capabilities;
  }

  /**
   * Begins a connection with a guest that has booted. If that fails, the stream is closed.
   *
   * @throws {GuestError} if the guest refuses, for instance the version of the protocol.
   * @throws {UnexpectedAnswerError} if its answer can't be read, or names another version.
   * @throws {GuestConnectionError} if the connection is lost.
   * @throws the reason of `signal`.
   */
  static async connect(stream: ByteStream, options: ConnectOptions): Promise<BridgeConnection> {
    const watched: Watched = new Map();
    const onContainerEnded = (container: string) => {
      watched.get(container)?.resolve();
      return watched.delete(container);
    };
    const { vm, deadline, timeZone, signal } = options;
    const bridge = new Bridge(stream, { vm, deadline, onContainerEnded });
    const ask = { signal, abandons: true };
    try {
      const negotiated = readNegotiated(await bridge.request("NegotiateProtocol", messageFor("", negotiation), ask));
      if (negotiated.wantsCreate) {
        await bridge.request("Create", messageFor(THE_VM, vmConfiguration(timeZone)), ask);
        if (negotiated.wantsStart) await bridge.request("Start", messageFor(THE_VM), ask);
      }
      bridge.ended.then((end) => watched.forEach(({ reject }) => reject(end)));
      return new BridgeConnection(bridge, watched, negotiated);
    } catch (error) {
      bridge[Symbol.dispose]();
      throw error;
    }
  }

  /** Why the guest can't be reached any more; `undefined` while it can. */
  get end(): GuestConnectionError | undefined {
    return this.#bridge.end;
  }

  /** Resolves when the connection has ended, with the reason. */
  get ended(): Promise<GuestConnectionError> {
    return this.#bridge.ended;
  }

  /**
   * Changes the guest. Once the request is sent, its end is waited for, also after `signal` is aborted.
   *
   * @throws {GuestError} if the guest refuses.
   * @throws {UnexpectedAnswerError} if its answer can't be read: the change may have been made.
   * @throws {GuestConnectionError} if the connection is lost: the change may have been made.
   */
  async modify(request: GuestModificationRequest, options?: RequestOptions): Promise<void> {
    try {
      await this.request("ModifySettings", THE_VM, modification(request), options);
    } catch (error) {
      if (!(error instanceof GuestError)) throw error;
      const texts = error.guestText === "" ? [] : error.guestText.split("\n");
      throw new GuestError(error.operation, error.code, texts, [changeText({ GuestRequest: request })]);
    }
  }

  /** Changes a service in a Windows guest. */
  async modifyService(type: string, settings: object, options?: RequestOptions): Promise<void> {
    await this.request("ModifyServiceSettings", THE_VM, { PropertyType: type, Settings: settings }, options);
  }

  /**
   * Returns properties of a container: the basic ones, or those that `types` names.
   *
   * @throws {UnexpectedAnswerError} if the answer can't be read.
   */
  async properties(container: string, types: readonly string[] = [], options?: RequestOptions): Promise<unknown> {
    const ask = { ...options, abandons: true };
    const answer = await this.request("GetProperties", container, propertyQuery(types), ask);
    const text = read("GetProperties", answer, "Properties", "string") ?? "";
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new UnexpectedAnswerError("GetProperties", "has Properties that are not JSON", text, { cause });
    }
  }

  /** Returns the stacks of the guest's service, or `""` if it can't tell them. */
  async dumpStacks(options?: RequestOptions): Promise<string> {
    if (!this.capabilities.DumpStacksSupported) return "";
    const answer = await this.request("DumpStacks", THE_VM, {}, options);
    return read("DumpStacks", answer, "GuestStacks", "string") ?? "";
  }

  /** Makes the guest forget a container, if it can. */
  async deleteContainerState(container: string, options?: RequestOptions): Promise<void> {
    if (this.capabilities.DeleteContainerStateSupported) {
      await this.request("DeleteContainerState", container, {}, options);
    }
  }

  /** Shuts a container down, or ends it by force. Does nothing if there is no such container. */
  async shutdown(container: string, options: RequestOptions & { force?: boolean } = {}): Promise<void> {
    const { force = false, signal } = options;
    try {
      await this.request(force ? "ShutdownForced" : "ShutdownGraceful", container, {}, { signal, abandons: true });
    } catch (error) {
      if (!(error instanceof GuestError && computeCodeOf(error.code) === SYSTEM_NOT_FOUND)) throw error;
    }
  }

  /**
   * Waits for the end of a container, from now on: also of one that is created later.
   *
   * @throws {InUseError} if somebody waits for it already.
   * @throws {GuestConnectionError} if the connection is lost.
   */
  watch(container: string): ContainerEnd {
    if (this.end !== undefined) throw this.end;
    if (this.#watched.has(container)) throw new InUseError(container, "is waited for already");
    const watch = Promise.withResolvers<void>();
    this.#watched.set(container, watch);
    // It is no failure if nobody waits.
    watch.promise.catch(() => {});
    return {
      ended: watch.promise,
      [Symbol.dispose]: () => {
        if (this.#watched.get(container) === watch) this.#watched.delete(container);
      },
    };
  }

  /** Sends a request about a container, and returns its answer, as {@linkcode Bridge.request}. */
  request(
    request: RequestName,
    container: string,
    body: object = {},
    options?: RequestOptions & { abandons?: boolean },
  ): Promise<Fields> {
    return this.#bridge.request(request, messageFor(container, body), options);
  }

  /** Closes the connection. What waits for an answer rejects. */
  [Symbol.dispose](): void {
    this.#bridge[Symbol.dispose]();
  }
}

const NEGOTIATE = "NegotiateProtocol";

const CAPABILITIES = [
  "NamespaceAddRequestSupported",
  "SignalProcessSupported",
  "DumpStacksSupported",
  "DeleteContainerStateSupported",
  "UpdateContainerSupported",
] as const satisfies readonly (keyof GuestDefinedCapabilities)[];

function readNegotiated(answer: Fields): Negotiated {
  const version = read(NEGOTIATE, answer, "Version", "number") ?? 0;
  if (version !== PROTOCOL_VERSION) {
    throw new UnexpectedAnswerError(NEGOTIATE, `is not the version ${PROTOCOL_VERSION}`, version);
  }
  const offered = fieldsOf(read(NEGOTIATE, answer, "Capabilities", "object"));
  const defined = fieldsOf(read(NEGOTIATE, offered, "GuestDefinedCapabilities", "object"));
  const can = CAPABILITIES.filter((capability) => read(NEGOTIATE, defined, capability, "boolean"));
  return {
    os: (read(NEGOTIATE, offered, "RuntimeOsType", "string") || "windows").toLowerCase(),
    capabilities: Object.fromEntries(can.map((capability) => [capability, true])),
    wantsCreate: read(NEGOTIATE, offered, "SendHostCreateMessage", "boolean") ?? false,
    wantsStart: read(NEGOTIATE, offered, "SendHostStartMessage", "boolean") ?? false,
  };
}
