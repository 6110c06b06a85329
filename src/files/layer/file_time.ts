/**
 * Times of files as text.
 *
 * @module
 */

const PER_MS = 10_000n;
const EPOCH_MS = 11_644_473_600_000n;

/** A FILETIME in ISO 8601, to 100 ns. */
export function timeText(time: bigint): string {
  const date = new Date(Number(time / PER_MS - EPOCH_MS)).toISOString();
  return date.replace("Z", `${String(time % PER_MS).padStart(4, "0")}Z`);
}
