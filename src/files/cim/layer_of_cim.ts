/**
 * The layer in an image.
 *
 * @module
 */

import { FormatError } from "../../errors/file_errors.ts";
import { parseReparse } from "../backup/reparse_buffer.ts";
import { streamOf } from "../bytes/random_access.ts";
import { ATTRIBUTE_REPARSE, type LayerEntry, type LayerEntryType, type ReparsePoint } from "../layer/entry.ts";
import { nameProblem } from "../layer/layer_path.ts";
import type { LayerSource } from "../layer/layer_source.ts";
import type { CimEntry } from "./cim_entry.ts";
import { IdSet } from "./id_set.ts";
import type { CimImage } from "./open_cim.ts";

const MOST_IN_PATHS = 2 ** 28;

/** The layer in an image that is open. Contents can be read as long as that is. */
export function layerOfCim(image: CimImage): LayerSource {
  return {
    name: image.name,
    form: "image",
    async *entries({ signal, onFinding } = {}) {
      try {
        const names = await linkedFiles(image, signal);
        let inPaths = 0;
        for await (const entry of image.walk({ signal })) {
          // Who compares entries keeps their paths in memory, and an image can have long ones in a few bytes.
          if ((inPaths += entry.path.length) > MOST_IN_PATHS) {
            throw new FormatError(image.name, `its paths have more than ${MOST_IN_PATHS} characters`, {
              entry: entry.path,
              reason: "limit",
            });
          }
          const problem = onFinding && nameProblem(entry.path.slice(entry.path.lastIndexOf("\\") + 1));
          if (problem !== undefined) {
            onFinding!({ severity: "error", rule: "path", problem: `its path ${problem}`, path: pathOf(entry) });
          }
          yield* entriesOf(entry, names);
        }
      } catch (error) {
        if (onFinding === undefined || !(error instanceof FormatError)) throw error;
        onFinding({
          severity: "error",
          rule: "format",
          problem: error.message,
          path: error.entry,
          offset: error.offset,
        });
      }
    },
  };
}

// How many names a file has isn't stored. Of those with more than one, the first is remembered.
async function linkedFiles(image: CimImage, signal: AbortSignal | undefined): Promise<Map<number, string | undefined>> {
  const [reached, linked] = [new IdSet(), new Map<number, undefined>()];
  for await (const { id, isFolder } of image.walk({ signal })) {
    if (!isFolder && !reached.add(id)) linked.set(id, undefined);
  }
  return linked;
}

function pathOf({ path }: CimEntry): string {
  return path.slice(1).replaceAll("\\", "/");
}

async function* entriesOf(entry: CimEntry, linked: Map<number, string | undefined>): AsyncGenerator<LayerEntry> {
  const path = pathOf(entry);
  const first = linked.get(entry.id);
  if (first !== undefined) {
    yield { path, type: "link", size: 0, target: first, contents: empty };
    return;
  }
  if (linked.has(entry.id)) linked.set(entry.id, path);
  const isReparse = (entry.attributes & ATTRIBUTE_REPARSE) !== 0;
  const type: LayerEntryType = isReparse ? "reparse" : entry.isFolder ? "folder" : "file";
  const [securityDescriptor, extendedAttributes] = [await entry.securityDescriptor(), await entry.extendedAttributes()];
  yield {
    path,
    type,
    size: type === "file" ? entry.size : 0,
    attributes: entry.attributes,
    times: entry.times,
    ...securityDescriptor && { securityDescriptor },
    ...extendedAttributes.length > 0 && { extendedAttributes },
    ...isReparse && { reparse: await reparseOf(entry) },
    contents: type === "file" ? () => contentsOf(entry) : empty,
  };
  for await (const { name, size } of entry.streams()) {
    yield { path: `${path}:${name}`, type: "stream", size, contents: () => contentsOf(entry, name) };
  }
}

/** The reparse point of an entry that is one. */
export async function reparseOf(entry: CimEntry): Promise<ReparsePoint> {
  const data = await entry.reparseData() ?? new Uint8Array();
  try {
    return parseReparse(data);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new FormatError(entry.path, cause.message, { cause });
  }
}

// Opened once somebody reads.
function contentsOf(entry: CimEntry, stream?: string): ReadableStream<Uint8Array> {
  return ReadableStream.from(async function* () {
    yield* streamOf(await entry.contents(stream));
  }());
}

function empty(): ReadableStream<Uint8Array> {
  return ReadableStream.from([]);
}
