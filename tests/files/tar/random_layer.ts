// Layers that are drawn, written and read again.
import { fromBytes } from "../../../src/files/bytes/random_access.ts";
import { checkedEntries } from "../../../src/files/layer/check_layer.ts";
import { FILE_SECURITY, FOLDER_SECURITY } from "../../../src/files/layer/default_security.ts";
import { type FileTimes, type LayerEntry, MOUNT_POINT_TAG, SYMLINK_TAG } from "../../../src/files/layer/entry.ts";
import { readLayerTar, writeLayerTar } from "../../../src/files/tar/layer_tar.ts";
import { readTar } from "../../../src/files/tar/read_tar.ts";
import { writeTar } from "../../../src/files/tar/write_tar.ts";
import type { Random } from "../../support/random.ts";
import { bytesOf, gzip, inPieces } from "./tars.ts";

const MOST_ENTRIES = 40;
const SIZES = [0, 0, 1, 10, 511, 512, 513, 1024, 5000];
const NAMES = ["a", "Ä", "日本語", "😀", "x y", "very-long-name-".repeat(15), "a.b.c", "=1", "%$&'(){}"];

type Entry = LayerEntry & { readonly bytes: Uint8Array<ArrayBuffer> };

/** A layer that Windows takes. */
export function randomLayer(random: Random): Entry[] {
  const folders = ["Files"];
  const files: string[] = [];
  const entries: Entry[] = [folder("Hives", random), folder("Files", random)];
  for (let count = random(MOST_ENTRIES); count > 0; count--) {
    const parent = folders[random(folders.length)]!;
    const path = `${parent}/${NAMES[random(NAMES.length)]}${count}`;
    switch (random(8)) {
      case 0:
        folders.push(path);
        entries.push(folder(path, random));
        break;
      case 1:
        entries.push({ ...entry(path, "reparse", random), ...reparse(random) });
        break;
      case 2:
        if (files.length > 0) entries.push({ ...entry(path, "link", random), target: files[random(files.length)]! });
        break;
      case 3:
        entries.push({ path, type: "whiteout", ...contents(new Uint8Array()) });
        break;
      default:
        files.push(path);
        entries.push(file(path, random));
        for (let stream = random(6) - 3; stream > 0; stream--) {
          const times = { ...entries.at(-1)!.times!, creation: entries.at(-1)!.times!.write };
          entries.push({
            path: `${path}:${NAMES[random(4)]}${stream}`,
            type: "stream",
            times,
            ...drawnContents(random),
          });
        }
    }
  }
  return entries;
}

function contents(bytes: Uint8Array<ArrayBuffer>) {
  const pieces = () => bytes.byteLength < 600 ? [bytes] : [bytes.subarray(0, 300), bytes.subarray(300)];
  return { bytes, size: bytes.byteLength, contents: () => ReadableStream.from(pieces()) };
}

function drawnContents(random: Random) {
  return contents(Uint8Array.from({ length: SIZES[random(SIZES.length)]! }, () => random(256)));
}

function time(random: Random): bigint {
  const exact = BigInt(random(2 ** 31)) << 31n | BigInt(random(2 ** 31));
  return [0n, 1n, 116444736000000000n, 132223104000000000n, exact, exact / 10_000_000n * 10_000_000n][random(6)]!;
}

function times(random: Random): FileTimes {
  return { creation: time(random), write: time(random), access: time(random), change: time(random) };
}

function entry(path: string, type: LayerEntry["type"], random: Random): Entry {
  const attributes = { file: [0x20, 0x21, 0x26, 0x80, 0x220], folder: [0x10, 0x11], reparse: [0x420, 0x410] };
  const choice = attributes[type as keyof typeof attributes] ?? [0x20];
  return {
    path,
    type,
    attributes: choice[random(choice.length)]!,
    times: times(random),
    ...contents(new Uint8Array()),
  };
}

function folder(path: string, random: Random): Entry {
  return { ...entry(path, "folder", random), securityDescriptor: FOLDER_SECURITY };
}

function file(path: string, random: Random): Entry {
  const names = ["$KERNEL.PURGE.ESBCACHE", "A", "B B"].slice(0, random(4));
  return {
    ...entry(path, "file", random),
    securityDescriptor: FILE_SECURITY,
    ...names.length > 0 && {
      extendedAttributes: names.map((name) => ({
        name,
        flags: 0,
        value: Uint8Array.of(...name.slice(random(3)).split("").map(Number)),
      })),
    },
    ...drawnContents(random),
  };
}

function reparse(random: Random): Partial<Entry> {
  const tag = random(2) === 0 ? SYMLINK_TAG : MOUNT_POINT_TAG;
  const targets = ["..\\..\\outside", "C:\\Windows", "/usr/bin", "\\\\server\\share", "é".repeat(200)];
  return { securityDescriptor: FOLDER_SECURITY, reparse: { tag, target: targets[random(targets.length)]! } };
}

/** Draws a layer, writes and reads it in some ways. What is wrong. */
export async function roundTripFaults(random: Random): Promise<string[]> {
  const layer = randomLayer(random);
  const tar = await bytesOf(writeLayerTar(layer));
  const source = () => {
    switch (random(3)) {
      case 0:
        return fromBytes(tar);
      case 1:
        return inPieces(tar, 1 + random(2000));
      default:
        return gzip(tar).then((packed) => inPieces(packed, 1 + random(2000)));
    }
  };
  const expected = layer.map(({ contents: _, bytes, ...entry }) => shown({ ...entry, data: bytes.toHex() }));
  const read = checkedEntries(readLayerTar(await source()), { isBase: undefined });
  const actual = await Array.fromAsync(
    read,
    async ({ contents, offset: _, ...entry }) => shown({ ...entry, data: (await bytesOf(contents())).toHex() }),
  );
  const faults = expected.flatMap((text, i) => text === actual[i] ? [] : [`wrote ${text}, read ${actual[i]}`]);
  if (actual.length !== expected.length) faults.push(`wrote ${expected.length} entries, read ${actual.length}`);
  for (const again of [writeTar(readTar(await source())), writeLayerTar(readLayerTar(await source()))]) {
    if ((await bytesOf(again)).toHex() !== tar.toHex()) faults.push("the tar that is written again differs");
  }
  return faults;
}

function shown(entry: object): string {
  return JSON.stringify(
    Object.entries(entry).sort(([a], [b]) => a < b ? -1 : 1),
    (_, value) => typeof value === "bigint" ? String(value) : value instanceof Uint8Array ? value.toHex() : value,
  );
}
