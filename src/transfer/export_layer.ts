/**
 * Exporting layers of plain folders to tars.
 *
 * @module
 */

import { withHostOptions } from "../checks/arguments.ts";
import { existingParents, kindOf, requireKind } from "../checks/existing.ts";
import { requireGrantsFor } from "../checks/grants.ts";
import { realFolder } from "../checks/real_path.ts";
import { diskOf, namedFolder, parentFolders } from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import type { Host } from "../ffi/host.ts";
import { openRoot } from "../ffi/nt_files.ts";
import { activateLayer, exportLayer as exportNative } from "../ffi/vmcompute.ts";
import { untilAborted } from "../files/bytes/until_aborted.ts";
import { writeLayerTar } from "../files/tar/layer_tar.ts";
import { withHolds } from "../holds/hold_list.ts";
import { acquireActivation, activationOf } from "../host_holds/activation.ts";
import { acquireTransportFolder, closeRecord, transportPath } from "../host_holds/transfer.ts";
import { acquireFilter } from "../host_holds/wcifs_filter.ts";
import { isInstance, optional } from "../options.ts";
import type { PlannedTransfer } from "../records/place.ts";
import { withPlaceRecord } from "../session/place_records.ts";
import { changeScratch } from "../session/scratch_changes.ts";
import { parentLayers, sessionOf } from "../session/session.ts";
import { enablePrivileges } from "../storage/privileges.ts";
import { baseEntries, transportedEntries } from "./exported_files.ts";
import { Progress, progressListener, type TransferOptions } from "./transfer_options.ts";

/**
 * A layer that was exported.
 *
 * @category Layers as tars
 */
export interface ExportedLayer {
  /** Bytes of the contents of its files. */
  readonly size: number;
}

const BACKUP = ["SeBackupPrivilege"];

/** `exportLayer` of `mod.ts`. */
export async function exportLayer(
  layer: string,
  parents: readonly string[],
  into: WritableStream<Uint8Array>,
  options: TransferOptions = {},
): Promise<ExportedLayer> {
  const writer = writerOf(into);
  try {
    return await exportTo(layer, parents, writer, options);
  } catch (error) {
    // Who reads the tar would wait for more. It isn't waited for: it may be stuck in a write.
    writer.abort(error).catch(() => {});
    throw error;
  } finally {
    writer.releaseLock();
  }
}

type Writer = WritableStreamDefaultWriter<Uint8Array>;

function writerOf(into: WritableStream<Uint8Array>): Writer {
  if (!isInstance(into, WritableStream, ({ locked }) => typeof locked === "boolean")) {
    throw new InvalidInputError("into", "is no WritableStream", into);
  }
  if (into.locked) throw new InvalidInputError("into", "is locked: something else writes to it");
  return into.getWriter();
}

// The end of `pipeTo()` waits for a write that is stuck, whatever the signal says.
async function write(tar: ReadableStream<Uint8Array>, writer: Writer, signal: AbortSignal | undefined): Promise<void> {
  for await (const chunk of tar) {
    if (!(writer.desiredSize! > 0)) await untilAborted(writer.ready, signal);
    // What goes wrong with it, the next one is told, or the end.
    writer.write(chunk).catch(() => {});
  }
  await untilAborted(writer.close(), signal);
}

async function exportTo(
  layer: string,
  parents: readonly string[],
  writer: Writer,
  options: TransferOptions,
): Promise<ExportedLayer> {
  const further = { onProgress: optional(progressListener) };
  return await withHostOptions(options, further, [layer, parents], async ({ host, signal, onProgress }) => {
    const named = namedFolder(layer, "layer");
    const below = parentFolders(parents, "parents");
    signal?.throwIfAborted();
    requireGrantsFor(host, "importLayer");
    requireKind(host, named, "layer", "folder");
    const folder = realFolder(host, named, "layer");
    const layers = existingParents(host, below, "parents");
    const transfer: PlannedTransfer = { kind: "export", target: folder, mark: crypto.randomUUID() };
    const progress = new Progress(onProgress);
    using _layers = sessionOf(host).mounts.need([folder, ...layers]);
    const holds = await withPlaceRecord(host, transfer, signal, async (holds) => {
      using _privileges = enablePrivileges(BACKUP, { host });
      const path = layers.length === 0 ? folder : transportPath(transfer);
      const transport = layers.length === 0
        ? undefined
        : await holds.acquire((expect) => Promise.resolve(acquireTransportFolder(host, path, expect)), signal);
      progress.begin("windows");
      await handOut(host, { folder, layers, transport: transport && path }, signal);
      progress.begin("files");
      {
        using handle = openRoot(host, path).handle;
        const root = { handle, path };
        const entries = layers.length === 0 ? baseEntries(host, root) : transportedEntries(host, root, folder);
        await write(writeLayerTar(progress.counted(entries, signal)), writer, signal);
      }
      await transport?.release();
      return holds;
    });
    await closeRecord(holds);
    return { size: progress.bytes };
  });
}

interface HandOut {
  readonly folder: string;
  readonly layers: readonly string[];
  readonly transport: string | undefined;
}

// Has Windows hand out the files of a layer. Its filter is attached once before, as the container tools do.
function handOut(host: Host, { folder, layers, transport }: HandOut, signal: AbortSignal | undefined): Promise<void> {
  return changeScratch(host, folder, signal, () =>
    withHolds(async (holds) => {
      const activation = await holds.acquire(async (expect) => {
        if (kindOf(host, diskOf(folder)) !== undefined) {
          return await acquireActivation(host, folder, { signal, expect });
        }
        const held = activationOf(host, folder);
        expect(held);
        await activateLayer(host, folder);
        return held;
      }, signal);
      const filter = await holds.acquire(
        (expect) => acquireFilter(host, { scratch: folder, layers }, { restsOn: [activation], signal, expect }),
        signal,
      );
      await filter.release();
      holds.disown([filter]);
      signal?.throwIfAborted();
      if (transport !== undefined) await exportNative(host, folder, transport, parentLayers(host, layers));
      await holds.release();
    }));
}
