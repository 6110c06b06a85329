/**
 * Small layers as tars.
 *
 * @module
 */

import { type LayerEntry, type TarSource, writeLayerTar } from "../../src/files/mod.ts";

const NOW = 132_223_104_001_234_567n;
const TIMES = { creation: NOW, write: NOW + 1n, access: NOW + 2n, change: NOW + 3n };

/** An entry, of which only what matters is given. */
export type Given = Partial<Omit<LayerEntry, "contents">> & { readonly path: string; readonly text?: string };

/** Returns an entry. */
export function entry({ text = "", type = "file", ...given }: Given): LayerEntry {
  const bytes = new TextEncoder().encode(text);
  const attributes = type === "folder" ? 0x10 : type === "reparse" ? 0x420 : 0x20;
  return {
    type,
    size: bytes.byteLength,
    ...type !== "whiteout" && { times: TIMES, attributes },
    contents: () => ReadableStream.from(bytes.byteLength === 0 ? [] : [bytes]),
    ...given,
  };
}

/** Returns a folder. */
export function folder(path: string): LayerEntry {
  return entry({ path, type: "folder" });
}

/** Returns a tar with entries. */
export function tar(...entries: readonly LayerEntry[]): ReadableStream<Uint8Array> & TarSource {
  return writeLayerTar(entries);
}

/** The entries of a base layer. */
export function baseEntries(): LayerEntry[] {
  const hives = ["DEFAULT", "SAM", "SECURITY", "SOFTWARE", "SYSTEM"];
  return [
    ...["Files", "Files/Windows", "Files/Windows/System32", "Files/Windows/System32/config"].map(folder),
    ...hives.map((hive) => entry({ path: `Files/Windows/System32/config/${hive}`, text: `hive ${hive}` })),
    folder("Files/data"),
    entry({ path: "Files/data/a.txt", text: "hello" }),
    entry({ path: "Files/data/a.txt:one", type: "stream", text: "stream" }),
    entry({ path: "Files/data/b.txt", type: "link", target: "Files/data/a.txt" }),
    entry({ path: "Files/data/gone.txt", text: "gone" }),
    entry({ path: "Files/data/l", type: "reparse", reparse: { tag: 0xa000000c, target: "a.txt" } }),
  ];
}

/** The entries of a layer above it. */
export function childEntries(): LayerEntry[] {
  return [
    folder("Files"),
    folder("Hives"),
    entry({ path: "Hives/System_Delta", text: "delta" }),
    folder("Files/data"),
    entry({ path: "Files/data/gone.txt", type: "whiteout" }),
    entry({ path: "Files/data/new.txt", text: "new" }),
    entry({ path: "Files/data/old.txt", type: "link", target: "Files/data/a.txt" }),
  ];
}
