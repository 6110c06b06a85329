/**
 * Images of the simulated host in their files, as the published format has them, for who reads images.
 *
 * @module
 */

import { fromBytes } from "../../src/files/mod.ts";
import { bytesOf, streamBytes } from "../../src/simulated/contents.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { foldName } from "../../src/simulated/names.ts";
import { stateOf } from "../../src/simulated/snapshot.ts";
import type { FileMetadata, Node } from "../../src/simulated/windows.ts";
import { type CimNode, writeCim } from "./cim_writer.ts";

const NAME = "image.cim";
const FLAGS = [[0x1, 1], [0x2, 2], [0x4, 4], [0x20, 8], [0x200, 16]] as const;

/** The files of an image of a simulated host. */
export function cimOfHost(host: SimulatedHost, path: string) {
  const image = Object.values(stateOf(host.snapshot()).nodes).find((node) => foldName(node.path) === foldName(path))
    ?.image;
  if (image === undefined) throw new Error(`${path} is no image`);
  const { files } = writeCim(treeOf(image), { guid: "00112233-4455-6677-8899-0000000000c0" });
  const open = (name: string) => Promise.resolve(files.has(name) ? fromBytes(files.get(name)!, name) : undefined);
  return { folder: { open }, name: NAME };
}

function treeOf(image: Readonly<Record<string, Node>>): CimNode {
  const folders = new Map<string, Map<string, CimNode>>();
  const childrenOf = (key: string) => folders.get(key) ?? folders.set(key, new Map()).get(key)!;
  for (const [key, node] of Object.entries(image)) {
    if (key === "\\") continue;
    const [parent, name] = [key.slice(0, key.lastIndexOf("\\")), node.path.slice(node.path.lastIndexOf("\\") + 1)];
    childrenOf(parent).set(name, {
      ...metadataOf(node.metadata),
      ...node.type === "folder" ? { children: childrenOf(key) } : { contents: bytesOf(node) },
      ...node.streams && {
        streams: new Map(Object.entries(node.streams).map(([stream, text]) => [stream, streamBytes(text)])),
      },
    });
  }
  return { ...metadataOf(image["\\"]?.metadata), children: childrenOf("") };
}

function metadataOf(metadata: FileMetadata | undefined): CimNode {
  if (metadata === undefined) return {};
  const { attributes, creationTime, lastWriteTime, changeTime, lastAccessTime, ...parts } = metadata;
  const bytes = Object.entries(parts).map(([name, base64]) => [name, Uint8Array.fromBase64(base64)]);
  return {
    flags: FLAGS.reduce((all, [bit, flag]) => (attributes & bit) === 0 ? all : all | flag, 0),
    times: [BigInt(creationTime), BigInt(lastWriteTime), BigInt(changeTime), BigInt(lastAccessTime)],
    ...Object.fromEntries(bytes),
  };
}
