/**
 * The result documents of vmcompute.dll: what the compute service reports about a call, in particular about a failed one.
 *
 * @module
 */

/** A result document. Windows may add keys. */
export interface ResultError {
  /** The HRESULT, signed. */
  readonly Error?: number;
  /** A sentence, often empty. */
  readonly ErrorMessage?: string;
  /** What happened, from the general to the specific. */
  readonly ErrorEvents?: readonly ErrorEvent[];
}

/** One thing that happened. Windows may add keys. */
export interface ErrorEvent {
  /** The event as a sentence. */
  readonly Message?: string;
  /** Part of the compute service in which it happened. */
  readonly StackTrace?: string;
  /** Id of the event's provider. */
  readonly Provider?: string;
  /** Number of the event at its provider. */
  readonly EventId?: number;
  /** Flags of the event. */
  readonly Flags?: number;
  /** The component that reported it. */
  readonly Source?: string;
  /** The values in the event, if there is no sentence that contains them. */
  readonly Data?: readonly { readonly Type?: string; readonly Value?: unknown }[];
}

/**
 * Formats a result document for people: one line for its message, and one for each of its events. Text that is not a result
 * document becomes one line; an empty text has no lines. Parts of an unexpected form are left out, so that such a document
 * never hides the failure that it describes.
 */
export function resultLines(text: string): string[] {
  if (text.trim() === "") return [];
  let result: unknown;
  try {
    result = JSON.parse(text);
  } catch {
    return [text.trim()];
  }
  if (!isObject(result)) return [];
  const { ErrorMessage, ErrorEvents } = result as Loose<ResultError>;
  const events = Array.isArray(ErrorEvents) ? ErrorEvents.filter(isObject).map(eventLine) : [];
  return isScalar(ErrorMessage) ? [`${ErrorMessage}`, ...events] : events;
}

/** A document whose values may be anything. */
type Loose<T> = { readonly [K in keyof T]?: unknown };

function eventLine({ Message, StackTrace, Provider, EventId, Flags, Source, Data }: Loose<ErrorEvent>): string {
  const items = Array.isArray(Data) ? Data.filter(isObject) : [];
  const values = items.map(({ Value }: { Value?: unknown }) => Value).filter(isScalar);
  const part = (name: string, value: unknown) => isScalar(value) && value !== 0 && ` ${name} ${value}`;
  return [
    `[${isScalar(Message) ? Message : values.join(", ") || "Event"}`,
    part("at", StackTrace),
    part("provider", Provider),
    part("event", EventId),
    part("flags", Flags),
    part("source", Source),
    "]",
  ].filter(Boolean).join("");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** Returns whether a value has a text. */
function isScalar(value: unknown): value is string | number | boolean {
  return typeof value === "string" ? value !== "" : typeof value === "number" || typeof value === "boolean";
}
