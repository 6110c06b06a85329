/**
 * The service in a simulated guest that answers requests over the bridge: `/bin/gcs` of Linux, or the one of Windows.
 *
 * It knows nothing of the side that asks it, not even how that writes its messages: it is a second opinion.
 *
 * @module
 */

import { hex } from "../errors/codes.ts";
import { Failure, SimulationError, unknown } from "./simulation_error.ts";

/** One end of a connection. Reading returns 0 at its end. */
export interface GuestStream {
  /** Reads up to `target.length` bytes. Returns how many. */
  read(target: Uint8Array<ArrayBuffer>): Promise<number>;
  /** Writes bytes. */
  write(bytes: Uint8Array<ArrayBuffer>): unknown;
  /** Closes it. */
  close(): void;
  /** Closes it, and has the other end learn why. */
  fail?(error: Error): void;
}

/** A message that a guest received. */
export interface GuestMessage {
  /** Its type. */
  readonly type: number;
  /** Its id. */
  readonly id: bigint;
  /** Its body. */
  readonly text: string;
}

/** Settings of a simulated guest. */
export interface BridgeGuestOptions {
  /** The operating system in it. */
  readonly os: "Windows" | "Linux";
  /** The only version of the protocol that it speaks. Default: 4. */
  readonly protocol?: number;
  /** What it says that it can do. Default: what those of today say. `undefined` as a value: nothing. */
  readonly capabilities?: object | undefined;
  /** Does what a request about a resource asks for. Throws a {@linkcode Failure} if that fails. Default: nothing. */
  modify?(request: Readonly<Record<string, unknown>>): void | Promise<void>;
  /**
   * Runs what a request, by its name, asks for. Throws a {@linkcode Failure} in place of what `answer` does. Default: that.
   */
  around?(
    name: string,
    request: Readonly<Record<string, unknown>>,
    answer: () => Promise<object | undefined>,
  ): Promise<object | undefined>;
  /** Returns the bytes with which it answers a message, or nothing. Default: what `usual` returns. */
  respond?(message: GuestMessage, usual: () => Promise<Bytes | undefined>): Promise<Bytes | undefined>;
}

type Bytes = Uint8Array<ArrayBuffer>;

/** What guests say that they can do: the Linux guest of v0.12.3, and the Windows guest of builds 20348 and 26100. */
export const GUEST_CAPABILITIES: Readonly<Record<BridgeGuestOptions["os"], object>> = {
  Linux: {
    SupportedSchemaVersions: [{ Major: 2, Minor: 1 }],
    RuntimeOsType: "Linux",
    GuestDefinedCapabilities: {
      NamespaceAddRequestSupported: true,
      SignalProcessSupported: true,
      DumpStacksSupported: true,
      DeleteContainerStateSupported: true,
    },
  },
  Windows: {
    SendHostCreateMessage: true,
    SendHostStartMessage: true,
    HvSocketConfigOnStartup: true,
    SendLifecycleNotifications: true,
    SupportedSchemaVersions: [{ Major: 1, Minor: 0 }, { Major: 2, Minor: 1 }],
    RuntimeOsType: "Windows",
    GuestDefinedCapabilities: { NamespaceAddRequestSupported: true, SignalProcessSupported: true },
  },
};

const HEADER_BYTES = 16;
const NO_GUID = "00000000-0000-0000-0000-000000000000";

const E_NOTIMPL = 0x80004001;
const E_FAIL = 0x80004005;
const UNKNOWN_MESSAGE = 0xc037010b;
const UNSUPPORTED_PROTOCOL_VERSION = 0xc037010c;
const INVALID_JSON = 0xc037010d;
const SYSTEM_NOT_FOUND = 0xc037010e;

/** The names of the requests, by their types without the kind. */
export const REQUESTS: Readonly<Record<number, string>> = {
  0x0100101: "Create",
  0x0100201: "Start",
  0x0100301: "ShutdownGraceful",
  0x0100401: "ShutdownForced",
  0x0100501: "ExecuteProcess",
  0x0100601: "WaitForProcess",
  0x0100701: "SignalProcess",
  0x0100801: "ResizeConsole",
  0x0100901: "GetProperties",
  0x0100a01: "ModifySettings",
  0x0100b01: "NegotiateProtocol",
  0x0100c01: "DumpStacks",
  0x0100d01: "DeleteContainerState",
};

const RESOURCES = {
  Linux: ["CombinedLayers", "MappedVirtualDisk", "SCSIDevice", "SecurityPolicy", "VPMemDevice"],
  Windows: ["CombinedLayers", "HvSocket", "MappedDirectory", "MappedVirtualDisk"],
};

/** A failure of which the guest says more than the code. */
class GuestFailure extends Failure {
  constructor(code: number, readonly text: string) {
    super(code);
  }
}

/** Returns a message as it is sent. */
export function guestMessage(type: number, id: bigint, body: object | string): Bytes {
  const text = new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body));
  const bytes = new Uint8Array(HEADER_BYTES + text.length);
  const header = new DataView(bytes.buffer);
  header.setUint32(0, type, true);
  header.setUint32(4, bytes.length, true);
  header.setBigUint64(8, id, true);
  bytes.set(text, HEADER_BYTES);
  return bytes;
}

/** Returns the answer to a message. */
export function answerTo({ type, id }: GuestMessage, body: object | string): Bytes {
  return guestMessage((type & 0x0fffffff | 0x20000000) >>> 0, id, body);
}

/** How a connection with a guest ended: it was closed, or the guest crashed, or was powered off. */
export type GuestEnd = "closed" | "crashed" | "off";

/** A guest that is reachable over one connection. */
export class BridgeGuest {
  readonly #options: BridgeGuestOptions;
  readonly #stream: GuestStream;
  #isNegotiated = false;
  #hasPolicy = false;
  #isDeaf = false;
  #end: GuestEnd | undefined;

  /** A guest at the end of a connection. It says nothing until {@linkcode BridgeGuest.serve} is called. */
  constructor(stream: GuestStream, options: BridgeGuestOptions) {
    this.#stream = stream;
    this.#options = options;
  }

  /**
   * Answers what arrives, each request on its own, until the connection ends. Returns how it did.
   *
   * @throws {SimulationError} if nobody knows what such a guest answers.
   */
  async serve(): Promise<GuestEnd> {
    const failed = Promise.withResolvers<never>();
    try {
      await Promise.race([
        failed.promise,
        this.#read((message) => {
          this.#respond(message).catch(failed.reject);
        }),
      ]);
    } catch (error) {
      this.#stream.fail?.(error as Error);
      throw error;
    } finally {
      this.#stop("closed");
    }
    return this.#end!;
  }

  /** Stops reading, as a guest that hangs. */
  deafen(): void {
    this.#isDeaf = true;
  }

  /** Ends without a word, as a guest that crashes. */
  crash(): void {
    this.#stop("crashed");
  }

  #stop(end: GuestEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#stream.close();
  }

  /** Reports the end of a container. */
  async notify(container: string): Promise<void> {
    const body = { ContainerId: container, ActivityId: NO_GUID, Type: "UnexpectedExit", Operation: "None", Result: 0 };
    await this.send(guestMessage(0x30100101, 0n, body));
  }

  /** Sends bytes. They are lost if the connection has ended. */
  async send(bytes: Bytes): Promise<void> {
    try {
      await this.#stream.write(bytes);
    } catch {
      // Reading tells that it has ended.
    }
  }

  async #receive(chunk: Bytes): Promise<number> {
    if (this.#isDeaf) await new Promise<never>(() => {});
    try {
      return await this.#stream.read(chunk);
    } catch {
      return 0;
    }
  }

  async #read(receive: (message: GuestMessage) => void): Promise<void> {
    let bytes: Bytes = new Uint8Array(0);
    const chunk = new Uint8Array(0x10000);
    for (let size; (size = await this.#receive(chunk)) > 0;) {
      const all = new Uint8Array(bytes.length + size);
      all.set(bytes);
      all.set(chunk.subarray(0, size), bytes.length);
      bytes = all;
      while (bytes.length >= HEADER_BYTES) {
        const header = new DataView(bytes.buffer, bytes.byteOffset);
        const length = header.getUint32(4, true);
        if (length < HEADER_BYTES) throw new SimulationError(`a message of ${length} bytes was sent to the guest`);
        if (bytes.length < length) break;
        const text = new TextDecoder().decode(bytes.subarray(HEADER_BYTES, length));
        receive({ type: header.getUint32(0, true), id: header.getBigUint64(8, true), text });
        bytes = bytes.subarray(length);
      }
    }
  }

  async #respond(message: GuestMessage): Promise<void> {
    const usual = () => this.#usual(message);
    const answer = await (this.#options.respond?.(message, usual) ?? usual());
    if (answer !== undefined) await this.send(answer);
  }

  async #usual(message: GuestMessage): Promise<Bytes | undefined> {
    let activity: unknown;
    try {
      const request = parsed(message);
      activity = request.ActivityId;
      const answer = await this.#answer(message, request);
      return answer && answerTo(message, { Result: 0, ActivityId: activity, ...answer });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      const text = error instanceof GuestFailure ? error.text : `HRESULT ${hex(error.code)}`;
      return answerTo(message, this.#failure(error.code | 0, activity, text));
    }
  }

  #failure(Result: number, ActivityId: unknown, text: string): object {
    if (this.#options.os === "Windows") {
      const where = { FileName: "onecore\\vm\\compute\\common\\bridge\\bridgeclient.cpp", Line: 1170 };
      return { Result, ErrorRecords: [{ Message: text, ModuleName: "vmcomputeagent.exe", ...where }] };
    }
    const record = { Result, Message: text, ModuleName: "gcs", FileName: "", Line: 0xffffffff };
    return { Result, ActivityId, ErrorMessage: text, ErrorRecords: [record] };
  }

  // Returns what the answer has besides its base, or nothing if there is none.
  async #answer(message: GuestMessage, request: Request): Promise<object | undefined> {
    const name = REQUESTS[message.type & 0x0fffffff];
    if (message.type >>> 28 !== 1 || name === undefined || this.#isNegotiated === (name === "NegotiateProtocol")) {
      throw this.#notKnown(message);
    }
    const answer = () => this.#usualAnswer(name, message, request);
    return await (this.#options.around?.(name, request, answer) ?? answer());
  }

  async #usualAnswer(name: string, message: GuestMessage, request: Request): Promise<object | undefined> {
    const { os, protocol = 4 } = this.#options;
    switch (name) {
      case "NegotiateProtocol":
        if (!(Number(request.MinimumVersion) <= protocol && protocol <= Number(request.MaximumVersion))) {
          throw new Failure(UNSUPPORTED_PROTOCOL_VERSION);
        }
        this.#isNegotiated = true;
        return {
          Version: protocol,
          Capabilities: "capabilities" in this.#options ? this.#options.capabilities : GUEST_CAPABILITIES[os],
        };
      case "Create":
        return this.#create(request);
      case "Start":
        return {};
      case "ModifySettings":
        await this.#modify(message, request.Request);
        return {};
      case "GetProperties":
        if (os === "Windows") unknown("asking a Windows guest for properties");
        throw new GuestFailure(SYSTEM_NOT_FOUND, `failed to get container ${request.ContainerId}`);
      case "DumpStacks":
        return os === "Linux" ? { GuestStacks: "goroutine 1 [running]:\nmain.main()\n" } : unknown(`asking for stacks`);
      case "ShutdownGraceful":
      case "ShutdownForced":
        if (os === "Windows" || request.ContainerId !== NO_GUID) unknown(`sending ${name} for ${request.ContainerId}`);
        // The guest is off before it could answer.
        this.#stop("off");
        return undefined;
      default:
        return unknown(`sending ${name} to a guest`);
    }
  }

  #notKnown({ type, text }: GuestMessage): Failure {
    if (this.#options.os === "Windows") {
      if (!this.#isNegotiated) unknown("sending a request to a Windows guest before NegotiateProtocol");
      const bytes = new TextEncoder().encode(text).length;
      return new GuestFailure(UNKNOWN_MESSAGE, `Message Type ${type} unknown (${bytes} byte)`);
    }
    const known = type >>> 28 === 1 ? REQUESTS[type & 0x0fffffff] : type === 0x30100101 ? "Notification" : undefined;
    const header = known === undefined ? `${type}` : `ComputeSystem${known}V1`;
    return new GuestFailure(
      E_NOTIMPL,
      `HRESULT ${hex(E_NOTIMPL)}: bridge: function not supported, header type: ${header}`,
    );
  }

  #create({ ContainerId, ContainerConfig }: Request): object | undefined {
    if (this.#options.os === "Linux" || ContainerId !== NO_GUID) unknown(`creating the container ${ContainerId}`);
    const { SystemType, TimeZoneInformation } = JSON.parse(String(ContainerConfig));
    if (SystemType !== "Container") unknown("creating a guest by a document of the second schema");
    if (!isObject(TimeZoneInformation)) {
      // Bugcheck 0xEF.
      this.crash();
      return undefined;
    }
    const { StandardDate, DaylightDate } = TimeZoneInformation;
    if (!isObject(StandardDate) || !isObject(DaylightDate)) unknown("creating a guest with a part of a time zone");
    return {};
  }

  async #modify({ text }: GuestMessage, request: unknown): Promise<void> {
    const { os, modify } = this.#options;
    const fail = (code: number, why: string): never => {
      throw new GuestFailure(code, `failed to unmarshal JSON in message ${JSON.stringify(text)}: ${why}`);
    };
    if (!isObject(request)) return fail(INVALID_JSON, `HRESULT ${hex(INVALID_JSON)}: no ModificationRequest`);
    const { RequestType, ResourceType, Settings } = request;
    if (!RESOURCES[os].includes(String(ResourceType))) {
      if (os === "Windows") unknown(`asking a Windows guest for ${ResourceType}`);
      fail(E_FAIL, `invalid ResourceType '${ResourceType}'`);
    }
    if (!isObject(Settings)) {
      if (os === "Windows") unknown(`sending Settings that are none to a Windows guest`);
      fail(INVALID_JSON, `HRESULT ${hex(INVALID_JSON)}: no ${ResourceType}`);
    }
    if (ResourceType === "SecurityPolicy") {
      if (this.#hasPolicy) throw new GuestFailure(E_FAIL, "security policy has already been set");
      this.#hasPolicy = true;
    }
    await modify?.({ ...request, RequestType: RequestType ?? "Add" });
  }
}

type Request = Readonly<Record<string, unknown>>;

function parsed({ text }: GuestMessage): Request {
  try {
    const request = JSON.parse(text);
    if (isObject(request)) return request;
  } catch {
    // The guest says so.
  }
  throw new GuestFailure(INVALID_JSON, `failed to unmarshal JSON in message ${JSON.stringify(text)}`);
}

function isObject(value: unknown): value is Request {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
