/**
 * Megabytes a second of a layer's tar that is checked: of a file, whose contents are left out, and of a stream, which is read
 * to its end, as an import does; against reading the file and nothing else.
 *
 * @module
 */

import { checkedEntries, layerOfTar, lintLayer, openFile, readLayerTar } from "../../src/files/mod.ts";
import { FILE_SECURITY, FOLDER_SECURITY } from "../../src/files/layer/default_security.ts";
import { writeTar } from "../../src/files/tar/write_tar.ts";
import type { NewTarEntry } from "../../src/files/tar/write_tar.ts";

const FOLDERS = 50;
const FILES = 100;
// Of the files of a Windows image most are small.
const SIZES = [500, 3_000, 12_000, 40_000, 150_000];
const ROUNDS = 5;

function* entries(): Generator<NewTarEntry> {
  const time = "1577836800.1234567";
  const metadata = (attributes: number, security: Uint8Array) =>
    new Map(Object.entries({
      mtime: time,
      atime: time,
      ctime: time,
      "LIBARCHIVE.creationtime": time,
      "MSWINDOWS.fileattr": String(attributes),
      "MSWINDOWS.rawsd": security.toBase64(),
    }));
  const [file, folder] = [metadata(0x20, FILE_SECURITY), metadata(0x10, FOLDER_SECURITY)];
  yield { name: "Files", type: "5", pax: folder };
  for (let i = 0; i < FOLDERS; i++) {
    yield { name: `Files/folder${i}`, type: "5", pax: folder };
    for (let j = 0; j < FILES; j++) {
      const size = SIZES[j % SIZES.length]!;
      const contents = () => ReadableStream.from([new Uint8Array(size)]);
      yield { name: `Files/folder${i}/file${j}.dll`, type: "0", size, pax: file, contents };
    }
  }
}

async function exhaust(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items);
}

/** Prints the figures. */
export async function benchTarLint(): Promise<void> {
  const path = await Deno.makeTempFile({ suffix: ".tar" });
  try {
    await Deno.writeFile(path, writeTar(entries()));
    const { size } = await Deno.stat(path);
    const ways: Readonly<Record<string, () => Promise<void>>> = {
      "lint of a file": async () => {
        using file = await openFile(path);
        await exhaust(lintLayer(layerOfTar(file)));
      },
      "check of a stream": async () => exhaust(checkedEntries(readLayerTar((await Deno.open(path)).readable))),
      "reading alone": async () => exhaust((await Deno.open(path)).readable),
    };
    for (const [name, work] of Object.entries(ways)) {
      let best = Infinity;
      for (let round = 0; round < ROUNDS; round++) {
        const start = performance.now();
        await work();
        best = Math.min(best, performance.now() - start);
      }
      console.log(`${name.padEnd(20)}${(size / 1000 / best).toFixed(0).padStart(6)} MB/s`);
    }
  } finally {
    await Deno.remove(path);
  }
}

if (import.meta.main) await benchTarLint();
