/**
 * Times of extended headers, which are decimal seconds since 1970, as FILETIMEs: exact, for all that Windows can have.
 *
 * @module
 */

const PER_SECOND = 10_000_000n;
const DIGITS = 7;
// From 1601 to 1970.
const EPOCH = 11_644_473_600n * PER_SECOND;
const MOST = 2n ** 63n - 1n;

/** The FILETIME of a time in an extended header: undefined if it is none, or before 1601. What is finer than 100 ns is cut. */
export function fileTimeOf(text: string): bigint | undefined {
  const [, sign, seconds, fraction = ""] = /^(-?)(\d{1,20})(?:\.(\d*))?$/.exec(text) ?? [];
  if (seconds === undefined) return undefined;
  const units = BigInt(seconds) * PER_SECOND + BigInt(fraction.slice(0, DIGITS).padEnd(DIGITS, "0"));
  const time = EPOCH + (sign === "-" ? -units : units);
  return time < 0n || time > MOST ? undefined : time;
}

/** A FILETIME as a time of an extended header. */
export function paxTimeOf(time: bigint): string {
  const units = time - EPOCH;
  const positive = units < 0n ? -units : units;
  const fraction = String(positive % PER_SECOND).padStart(DIGITS, "0").replace(/0+$/, "");
  return `${units < 0n ? "-" : ""}${positive / PER_SECOND}${fraction === "" ? "" : `.${fraction}`}`;
}

/** The whole seconds since 1970 of a FILETIME, rounded down. */
export function secondsOf(time: bigint): number {
  return Number(time / PER_SECOND - EPOCH / PER_SECOND);
}
