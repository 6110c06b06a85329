/**
 * Importing layers from tars into plain folders.
 *
 * @module
 */

import { dirname } from "jsr:@std/path@^1.1.0/windows";
import { text, withHostOptions } from "../checks/arguments.ts";
import { existingParents, requireAbsent, requireKind } from "../checks/existing.ts";
import { type Operation, requireGrantsFor } from "../checks/grants.ts";
import { isWithin, namedFolder, parentFolders, requireDistinct } from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import type { Host } from "../ffi/host.ts";
import { checkedEntries } from "../files/layer/check_layer.ts";
import type { LayerEntry } from "../files/layer/entry.ts";
import { readLayerTar } from "../files/tar/layer_tar.ts";
import type { TarLimits } from "../files/tar/tar_limits.ts";
import { tarLimits } from "../files/tar/tar_limits.ts";
import { type TarSource, tarSource } from "../files/tar/tar_source.ts";
import {
  acquireNewLayer,
  acquireTransportFolder,
  closeRecord,
  completeLayer,
  transportPath,
} from "../host_holds/transfer.ts";
import { optional } from "../options.ts";
import type { PlannedTransfer } from "../records/place.ts";
import { claim } from "../session/creations.ts";
import { withPlaceRecord } from "../session/place_records.ts";
import { sessionOf } from "../session/session.ts";
import { enablePrivileges } from "../storage/privileges.ts";
import { FolderLayer } from "./folder_layer.ts";
import { type ImportOptions, Progress, progressListener } from "./transfer_options.ts";

/**
 * A layer that was imported.
 *
 * @category Layers as tars
 */
export interface ImportedLayer {
  /** Absolute path of its folder. */
  readonly layer: string;
  /** Bytes of the contents of its files. */
  readonly size: number;
}

/** The privileges that Windows asks for where files are restored with all that belongs to them. */
export const RESTORE = ["SeBackupPrivilege", "SeRestorePrivilege", "SeSecurityPrivilege"];

/** `importLayer` of `mod.ts`. */
export async function importLayer(
  layer: string,
  tar: TarSource,
  parents: readonly string[],
  options: ImportOptions = {},
): Promise<ImportedLayer> {
  return await withHostOptions(options, IMPORT, [layer, parents], async ({ host, signal, ...how }) => {
    const given = prepareImport(host, { layer, parents, tar, signal, ...how }, "importLayer");
    const transfer: PlannedTransfer = { kind: "newLayer", target: given.layer, mark: crypto.randomUUID() };
    using _layer = claim(host, given.layer, "layer");
    using _parents = sessionOf(host).mounts.need(given.parents);
    const { size, holds } = await withPlaceRecord(host, transfer, signal, async (holds) => {
      using _privileges = enablePrivileges(RESTORE, { host });
      await holds.acquire((expect) => Promise.resolve(acquireNewLayer(host, transfer, expect)), signal);
      const isBase = given.parents.length === 0;
      const folder = transportPath(transfer);
      const transport = isBase
        ? undefined
        : await holds.acquire((expect) => Promise.resolve(acquireTransportFolder(host, folder, expect)), signal);
      const size = await fill(host, given, transport && folder);
      await transport?.release();
      completeLayer(host, transfer);
      return { size, holds };
    });
    await closeRecord(holds);
    return { layer: given.layer, size };
  });
}

async function fill(host: Host, given: PreparedImport, transport: string | undefined): Promise<number> {
  const { layer, parents, signal, name, onProgress } = given;
  const progress = new Progress(onProgress);
  using files = new FolderLayer(host, { layer, transport, parents, name });
  const entries = entriesOf(given);
  for await (const entry of progress.counted(entries, signal)) await files.add(entry);
  progress.begin("windows");
  await files.finish(signal);
  return progress.bytes;
}

/** The checks of {@linkcode ImportOptions}. */
export const IMPORT = { onProgress: optional(progressListener), limits: optional(tarLimits), name: optional(text) };

/** What a function that imports is given. */
export interface GivenImport {
  readonly layer: string;
  readonly parents: readonly string[];
  readonly tar: TarSource;
  readonly signal: AbortSignal | undefined;
  readonly name?: string | undefined;
  readonly limits?: TarLimits | undefined;
  readonly onProgress?: ImportOptions["onProgress"];
}

/** That with checked paths. */
export interface PreparedImport extends GivenImport {
  readonly name: string;
  readonly limits: TarLimits | undefined;
}

/** Reads the entries of a tar that is to be a layer, and refuses it at the first that can't be in one. */
export function entriesOf({ tar, parents, name, limits, signal }: PreparedImport): AsyncIterable<LayerEntry> {
  return checkedEntries(readLayerTar(tar, { ...limits, name, signal }), { isBase: parents.length === 0, name });
}

/** Checks what a function that imports is given, before anything is changed. */
export function prepareImport(host: Host, given: GivenImport, operation: Operation): PreparedImport {
  const { layer, parents, signal, name = "tar", limits } = given;
  const folder = namedFolder(layer, "layer");
  const tar = tarSource(given.tar, "tar");
  const named = parentFolders(parents, "parents");
  named.forEach((parent, i) => requireDistinct(folder, parent, `parents[${i}]`, "is the new layer itself"));
  named.forEach((parent, i) => {
    if (isWithin(folder, parent)) {
      throw new InvalidInputError("layer", `is in parents[${i}], which stays as it is`, layer);
    }
  });
  signal?.throwIfAborted();
  requireGrantsFor(host, operation);
  requireKind(host, dirname(folder), "layer", "folder");
  requireAbsent(host, folder, "layer");
  return { ...given, tar, layer: folder, parents: existingParents(host, named, "parents"), name, limits };
}
