/**
 * The result documents of vmcompute.dll: what the compute service has to say about a call, most of all about a failed
 * one.
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
  /** Where in the compute service. */
  readonly StackTrace?: string;
  /** Id of the event's provider. */
  readonly Provider?: string;
  /** Number of the event at its provider. */
  readonly EventId?: number;
  /** Flags of the event. */
  readonly Flags?: number;
  /** What reported it. */
  readonly Source?: string;
  /** The values in the event, where there is no sentence made of them. */
  readonly Data?: readonly { readonly Type?: string; readonly Value?: unknown }[];
}

/**
 * A result document for people: a line for its message, and one for each of its events. Text that is no result document
 * is a line as it is, as it is all that there is; an empty text has no lines.
 */
export function resultLines(text: string): string[] {
  if (text.trim() === "") return [];
  let result: ResultError;
  try {
    result = JSON.parse(text);
  } catch {
    return [text.trim()];
  }
  const events = Array.isArray(result?.ErrorEvents) ? result.ErrorEvents.map(eventLine) : [];
  return result?.ErrorMessage ? [result.ErrorMessage, ...events] : events;
}

function eventLine(event: ErrorEvent): string {
  const values = (event.Data ?? []).map((item) => item.Value).filter((value) => value !== undefined && value !== "");
  const message = event.Message || values.join(", ");
  return [
    `[${message || "Event"}`,
    event.StackTrace && ` at ${event.StackTrace}`,
    event.Provider && ` provider ${event.Provider}`,
    event.EventId && ` event ${event.EventId}`,
    event.Flags && ` flags ${event.Flags}`,
    event.Source && ` source ${event.Source}`,
    "]",
  ].filter(Boolean).join("");
}
