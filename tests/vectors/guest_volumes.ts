/**
 * Volumes of images in Windows guests. Their names are random, so ours are renamed to the recorded ones, in their order.
 *
 * @module
 */

import { requestOf } from "./requests.ts";
import type { Call } from "./run.ts";
import { mapTexts } from "./texts.ts";

/** A copy of what ours did or returned, with the recorded names. */
export function withRecordedVolumes<T>(ours: T, made: readonly Call[], recorded: readonly Call[]): T {
  const names = volumesOf(recorded);
  return volumesOf(made).reduce(
    (value, volume, i) =>
      names[i] === undefined ? value : mapTexts(value, (text) => text.replaceAll(volume, names[i]!)),
    ours,
  );
}

function volumesOf(calls: readonly Call[]): string[] {
  const volumes = calls.flatMap((call) => {
    const { RequestType, Settings } = requestOf(call)?.GuestRequest ?? {};
    return RequestType === "Add" && Settings?.VolumeGUID !== undefined ? [String(Settings.VolumeGUID)] : [];
  });
  return [...new Set(volumes)];
}
