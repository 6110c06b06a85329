/**
 * The messages between a host and the service in a guest, and what is read of those of the guest.
 *
 * Guests are written in several languages, so keys are found whatever their case, `null` is as good as nothing, and only
 * what is needed is looked at.
 *
 * @module
 */

import { UnexpectedAnswerError } from "../../errors/state_errors.ts";
import { GuestError } from "../../errors/vm_errors.ts";

/** The types of requests. */
export const requestType = {
  Create: 0x10100101,
  Start: 0x10100201,
  ShutdownGraceful: 0x10100301,
  ShutdownForced: 0x10100401,
  GetProperties: 0x10100901,
  ModifySettings: 0x10100a01,
  NegotiateProtocol: 0x10100b01,
  DumpStacks: 0x10100c01,
  DeleteContainerState: 0x10100d01,
  ModifyServiceSettings: 0x10200101,
} as const;

/** The name of a request. */
export type RequestName = keyof typeof requestType;

/** The type of the notification that a container has ended. */
export const CONTAINER_ENDED = 0x30100101;

/** What a frame is, by the first 4 bits of its type. */
export const kind = { RESPONSE: 2, NOTIFICATION: 3 } as const;

/** The keys of a document in lower case, with their values. */
export type Fields = ReadonlyMap<string, unknown>;

// What is no UTF-8 is replaced, as other hosts do.
const DECODER = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Reads the answer to a request.
 *
 * @throws {GuestError} if it is an error.
 * @throws {UnexpectedAnswerError} if it can't be read.
 */
export function readAnswer(request: RequestName, body: Uint8Array<ArrayBuffer>): Fields {
  const text = DECODER.decode(body);
  const answer = readDocument(request, text);
  const result = answer.get("result") ?? 0;
  if (!Number.isInteger(result) || (result as number) < -0x80000000 || (result as number) > 0xffffffff) {
    throw new UnexpectedAnswerError(request, "has a Result that is no HRESULT", text);
  }
  if (result !== 0) throw new GuestError(request, result as number, textsOf(answer));
  return answer;
}

/**
 * Returns the container that a notification is about, or `""`.
 *
 * @throws {UnexpectedAnswerError} if it can't be read.
 */
export function readNotification(body: Uint8Array<ArrayBuffer>): string {
  return read("a notification", readDocument("a notification", DECODER.decode(body)), "ContainerId", "string") ?? "";
}

interface Kinds {
  readonly boolean: boolean;
  readonly number: number;
  readonly object: object;
  readonly string: string;
}

/**
 * Returns the value of a key, or `undefined` if there is none.
 *
 * @throws {UnexpectedAnswerError} if it is a value of another kind.
 */
export function read<K extends keyof Kinds>(
  request: string,
  fields: Fields,
  key: string,
  kind: K,
): Kinds[K] | undefined {
  const value = fields.get(key.toLowerCase());
  if (value !== undefined && (typeof value !== kind || Array.isArray(value))) {
    throw new UnexpectedAnswerError(request, `has a ${key} that is no ${kind}`, value);
  }
  return value as Kinds[K] | undefined;
}

/** Returns the keys of a document, or none if it isn't there. Of keys that differ in their case alone, the last counts. */
export function fieldsOf(document: object | undefined): Fields {
  const entries = Object.entries(document ?? {}).filter(([, value]) => value !== null);
  return new Map(entries.map(([key, value]) => [key.toLowerCase(), value]));
}

function readDocument(request: string, text: string): Fields {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (cause) {
    throw new UnexpectedAnswerError(request, "is not JSON", text, { cause });
  }
  if (typeof document !== "object" || Array.isArray(document)) {
    throw new UnexpectedAnswerError(request, "is not an object", document);
  }
  return fieldsOf(document ?? undefined);
}

// Linux guests say what went wrong in both places, Windows guests in their records alone.
function textsOf(answer: Fields): string[] {
  const records = answer.get("errorrecords");
  const ofRecords = Array.isArray(records)
    ? records.map((record) => typeof record === "object" ? fieldsOf(record ?? undefined).get("message") : undefined)
    : [];
  const texts = [answer.get("errormessage"), ...ofRecords];
  return [...new Set(texts.filter((text) => typeof text === "string" && text !== "") as string[])];
}
