/**
 * The functions of CimFS.dll that write images, simulated. What Microsoft documents of them is held to; an image is in the memory
 * of the process until it is committed.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import type { AddressSpace } from "./address_space.ts";
import {
  big,
  buffer,
  type Context,
  type Decoder,
  define,
  HRESULT,
  INFALLIBLE,
  number,
  type OpenHandle,
  optionalText,
  put32,
  put64,
  type SimulatedDll,
  since,
  text,
  win32Failure,
} from "./call.ts";
import { bytesOf, fileWith, streamText } from "./contents.ts";
import { closeFile } from "./kernel32.ts";
import { foldName, lastName, parentOf } from "./names.ts";
import { addOpening, requireOpenable, USES } from "./open_files.ts";
import { unknown } from "./simulation_error.ts";
import type { FileMetadata, Node, Windows } from "./windows.ts";

const BLOCK_IMAGES = 27766;
const VERIFIED_IMAGES = 27800;
const SINGLE_FILE = 0x8;
const KNOWN_CREATE_FLAGS = 0x1 | 0x2 | 0x4 | SINGLE_FILE | 0x10 | 0x40;
const VERIFIED = 0x40;
const DIRECTORY = 0x10;
const HASH_BYTES = 32;
const FIXED_HEADER_BYTES = 4096;
// Writing an image keeps others from writing to its folder; those who read are let in.
const WRITTEN = { access: USES.read | USES.write, share: USES.read } as const;

interface ImageHandle extends OpenHandle {
  readonly type: "cimImage";
  /** What is in it so far, by the keys of the paths. */
  readonly nodes: Record<string, Node>;
  readonly isBlock: boolean;
  /** The largest number of files that have several paths. */
  linkedFiles: number;
  isCommitted: boolean;
  hasStream: boolean;
}

interface StreamHandle extends OpenHandle {
  readonly type: "cimStream";
  readonly image: ImageHandle;
  readonly key: string;
  /** The name of an alternate data stream. */
  readonly name?: string;
  readonly size: number;
  readonly written: Uint8Array[];
}

interface Metadata extends FileMetadata {
  readonly size: number;
}

const metadata: Decoder<Metadata> = (raw, memory) => {
  const { buffer, byteOffset } = raw as Uint8Array;
  const view = new DataView(buffer, byteOffset, 96);
  const part = (at: number) => partAt(memory, view.getBigUint64(at, true), view.getUint32(at + 8, true));
  const [securityDescriptor, reparse, extendedAttributes] = [part(48), part(64), part(80)];
  return {
    attributes: view.getUint32(0, true),
    size: Number(view.getBigUint64(8, true)),
    creationTime: `${view.getBigUint64(16, true)}`,
    lastWriteTime: `${view.getBigUint64(24, true)}`,
    changeTime: `${view.getBigUint64(32, true)}`,
    lastAccessTime: `${view.getBigUint64(40, true)}`,
    ...securityDescriptor !== undefined && { securityDescriptor },
    ...reparse !== undefined && { reparse },
    ...extendedAttributes !== undefined && { extendedAttributes },
  };
};

function partAt(memory: AddressSpace, address: bigint, bytes: number): string | undefined {
  return address === 0n ? undefined : memory.view(address, bytes).toBase64();
}

/** The functions of CimFS.dll that write images. */
export const cimWriterFunctions: SimulatedDll = {
  CimCloseImage: define(INFALLIBLE, { image: big }, (context, { image }) => {
    closeFile(context, image, context.process.handles.close(image));
  }),

  CimCloseStream: define(INFALLIBLE, { stream: big }, ({ process }, { stream }) => {
    const { image, key, name, size, written } = process.handles.get<StreamHandle>(stream, "cimStream");
    process.handles.close(stream);
    image.hasStream = false;
    // What isn't written reads as zeros.
    const bytes = new Uint8Array(size);
    let at = 0;
    for (const chunk of written) {
      bytes.set(chunk, at);
      at += chunk.byteLength;
    }
    const node = image.nodes[key];
    if (node === undefined) return;
    if (name !== undefined) node.streams = { ...node.streams, [name]: streamText(bytes) };
    else if (node.type === "file") image.nodes[key] = { ...node, ...fileWith(node.path, bytes) };
  }),

  CimCommitImage: define(HRESULT, { image: big }, (context, { image }) => {
    const open = requireImage(context, image);
    if (open.hasStream) unknown("committing an image one of whose streams is open");
    open.isCommitted = true;
    const { windows } = context;
    const file = windows.node(open.target);
    windows.add({
      ...file ?? { path: open.target, type: "file", createdBy: windows.by },
      size: 4096,
      image: open.nodes,
      ...open.isBlock && { isBlockImage: true },
    });
    windows.changed.add(open.target);
  }),

  CimCreateAlternateStream: define(
    HRESULT,
    { image: big, path: text, size: big, stream: buffer },
    (context, { image, path, size, stream }) => {
      const open = requireImage(context, image);
      const at = path.indexOf(":");
      if (at < 0) throw win32Failure(win32.ERROR_INVALID_PARAMETER);
      const [file, name] = [path.slice(0, at), path.slice(at + 1).replace(/:\$DATA$/i, "")];
      const node = open.nodes[keyIn(file)];
      if (node === undefined) throw win32Failure(win32.ERROR_FILE_NOT_FOUND);
      node.streams = { ...node.streams, [name]: "" };
      put64(stream, openStream(context, open, { key: keyIn(file), name, size: Number(size) }));
    },
  ),

  CimCreateFile: define(
    HRESULT,
    { image: big, path: text, metadata, stream: buffer },
    (context, { image, path, metadata: { size, ...kept }, stream }) => {
      const open = requireImage(context, image);
      const [key, plain] = [keyIn(path), path.replace(/^\\+/, "")];
      requireParent(open, plain);
      const type = (kept.attributes & DIRECTORY) !== 0 ? "folder" : "file";
      if (type === "folder" && open.nodes[key]?.type === "folder") {
        open.nodes[key] = { ...open.nodes[key], metadata: kept };
      } else {
        removeFrom(open, key);
        open.nodes[key] = { ...type === "file" ? fileWith(plain, "") : { path: plain, type }, metadata: kept };
      }
      put64(stream, openStream(context, open, { key, size }));
    },
  ),

  CimCreateHardLink: define(
    HRESULT,
    { image: big, newPath: text, oldPath: text },
    (context, { image, newPath, oldPath }) => {
      const open = requireImage(context, image);
      const target = open.nodes[keyIn(oldPath)];
      if (target === undefined) throw win32Failure(win32.ERROR_FILE_NOT_FOUND);
      if (target.type === "folder") throw win32Failure(win32.ERROR_ACCESS_DENIED);
      requireParent(open, newPath);
      target.sameFile ??= ++open.linkedFiles;
      open.nodes[keyIn(newPath)] = { ...JSON.parse(JSON.stringify(target)), path: newPath };
    },
  ),

  CimCreateImage: define(
    HRESULT,
    { folder: text, oldName: optionalText, newName: optionalText, image: buffer },
    (context, { folder, oldName, newName, image }) => {
      const { windows } = context;
      if (newName === null || newName === oldName) unknown("writing into an existing image");
      const place = windows.node(folder);
      if (place?.type !== "folder") throw win32Failure(win32.ERROR_PATH_NOT_FOUND);
      requireOpenable(windows, place, WRITTEN);
      const path = `${place.path}\\${newName}`;
      if (windows.node(path) !== undefined) throw win32Failure(win32.ERROR_FILE_EXISTS);
      put64(image, openImage(context, path, place, oldName === null ? {} : imageAt(windows, `${folder}\\${oldName}`)));
    },
  ),

  CimDeletePath: define(HRESULT, { image: big, path: text }, (context, { image, path }) => {
    const open = requireImage(context, image);
    if (open.nodes[keyIn(path)] === undefined) throw win32Failure(win32.ERROR_PATH_NOT_FOUND);
    removeFrom(open, keyIn(path));
  }),

  CimWriteStream: define(
    HRESULT,
    { stream: big, data: buffer, size: number },
    ({ process }, { stream, data, size }) => {
      const { written, size: whole } = process.handles.get<StreamHandle>(stream, "cimStream");
      if (written.reduce((sum, { byteLength }) => sum + byteLength, size) > whole) {
        unknown("writing more into a stream of an image than its size");
      }
      written.push(data.slice(0, size));
    },
  ),

  ...since(BLOCK_IMAGES, {
    CimAddFsToMergedImage2: define(
      HRESULT,
      { image: big, path: text, flags: number },
      (context, { image, path }) => {
        const open = requireImage(context, image);
        // The topmost comes first, and what it has or hides stays.
        const below = imageAt(context.windows, parentOf(path));
        for (const [key, node] of Object.entries(below)) {
          if (!isHidden(open, key)) open.nodes[key] ??= JSON.parse(JSON.stringify(node));
        }
        open.nodes["\\"] ??= { path: "", type: "folder" };
        open.nodes["\\"].removed = [...open.nodes["\\"].removed ?? [], ...below["\\"]?.removed ?? []];
        resolveLinks(open);
      },
    ),

    CimCreateImage2: define(
      HRESULT,
      { block: text, flags: number, oldName: optionalText, newName: optionalText, image: buffer },
      (context, { block, flags, oldName, newName, image }) => {
        const { windows } = context;
        if (oldName !== null || newName === null) unknown("writing into an existing block image");
        if ((flags & ~KNOWN_CREATE_FLAGS) !== 0) throw win32Failure(win32.ERROR_INVALID_PARAMETER);
        if ((flags & SINGLE_FILE) === 0) unknown("writing an image to a disk");
        if ((flags & VERIFIED) !== 0 && windows.state.build < VERIFIED_IMAGES) unknown("writing a verified image");
        const { path } = windows.place(block);
        if (windows.node(path) !== undefined) throw win32Failure(win32.ERROR_FILE_EXISTS);
        if (windows.node(parentOf(path))?.type !== "folder") throw win32Failure(win32.ERROR_PATH_NOT_FOUND);
        windows.add({ ...fileWith(path, ""), createdBy: windows.by });
        put64(image, openImage(context, path, windows.existing(path), {}));
      },
    ),

    CimCreateMergeLink: define(
      HRESULT,
      { image: big, newPath: text, oldPath: text },
      (context, { image, newPath, oldPath }) => {
        const open = requireImage(context, image);
        requireParent(open, newPath);
        open.nodes[keyIn(newPath)] = { ...fileWith(newPath, ""), mergeLink: oldPath };
      },
    ),

    CimTombstoneFile: define(HRESULT, { image: big, path: text }, (context, { image, path }) => {
      const open = requireImage(context, image);
      const root = open.nodes["\\"] ??= { path: "", type: "folder" };
      root.removed = [...root.removed ?? [], `\\${path}`];
    }),
  }),

  ...since(VERIFIED_IMAGES, {
    CimGetVerificationInformation: define(
      HRESULT,
      {
        block: text,
        isSealed: buffer,
        hashSize: buffer,
        signatureSize: buffer,
        headerSize: buffer,
        hash: buffer,
        signature: (raw) => raw,
      },
      ({ windows }, { block, isSealed, hashSize, signatureSize, headerSize, hash }) => {
        const { sealed } = windows.existing(block);
        put32(isSealed, sealed === undefined ? 0 : 1);
        put64(hashSize, BigInt(HASH_BYTES));
        put64(signatureSize, 0n);
        put64(headerSize, BigInt(FIXED_HEADER_BYTES));
        if (sealed !== undefined) hash.set(Uint8Array.fromHex(sealed));
      },
    ),

    CimSealImage: define(
      HRESULT,
      { block: text, hashSize: buffer, headerSize: buffer, hash: buffer },
      ({ windows }, { block, hashSize, headerSize, hash }) => {
        const node = windows.existing(block);
        if (node.image === undefined) unknown("sealing what is no image");
        node.sealed = rootHash(node.image);
        put64(hashSize, BigInt(HASH_BYTES));
        put64(headerSize, BigInt(FIXED_HEADER_BYTES));
        hash.set(Uint8Array.fromHex(node.sealed));
      },
    ),
  }),
};

function openImage(context: Context, target: string, locked: Node, nodes: Record<string, Node>): bigint {
  const { windows, process } = context;
  const isBlock = locked.path === target;
  const handle: ImageHandle = {
    type: "cimImage",
    target,
    file: locked.path,
    nodes: JSON.parse(JSON.stringify(nodes)),
    isBlock,
    linkedFiles: Object.values(nodes).reduce((most, { sameFile = 0 }) => Math.max(most, sameFile), 0),
    isCommitted: false,
    hasStream: false,
  };
  const value = process.handles.open(handle);
  addOpening(windows, locked, { ...WRITTEN, process: windows.by.process, handle: `${value}` });
  return value;
}

function requireImage({ process }: Context, image: bigint): ImageHandle {
  const open = process.handles.get<ImageHandle>(image, "cimImage");
  if (open.isCommitted) unknown("writing an image that was committed");
  return open;
}

function openStream(
  { process }: Context,
  image: ImageHandle,
  { key, name, size }: { readonly key: string; readonly name?: string; readonly size: number },
): bigint {
  if (image.hasStream) unknown("opening a second stream of an image");
  image.hasStream = true;
  const target = name === undefined ? key : `${key}:${name}`;
  const handle: StreamHandle = {
    type: "cimStream",
    target,
    image,
    key,
    ...name !== undefined && { name },
    size,
    written: [],
  };
  return process.handles.open(handle);
}

function requireParent({ nodes }: ImageHandle, path: string): void {
  const parent = parentOf(path.replace(/^\\+/, ""));
  if (parent === "") return;
  if (nodes[keyIn(parent)]?.type !== "folder") unknown(`writing ${path} into an image that doesn't have its folder`);
}

function removeFrom({ nodes }: ImageHandle, key: string): void {
  for (const other of Object.keys(nodes)) if (`${other}\\`.startsWith(`${key}\\`)) delete nodes[other];
}

function isHidden({ nodes }: ImageHandle, key: string): boolean {
  const removed = (nodes["\\"]?.removed ?? []).map(foldName);
  if (key === "\\") return true;
  for (let end = key.length; end > 0; end = key.lastIndexOf("\\", end - 1)) {
    const part = key.slice(0, end);
    if (removed.includes(part) || end < key.length && nodes[part]?.type === "file") return true;
  }
  return false;
}

// They can lead to each other.
function resolveLinks({ nodes }: ImageHandle): void {
  for (let isChanged = true; isChanged;) {
    isChanged = false;
    for (const [key, { mergeLink, path }] of Object.entries(nodes)) {
      const target = mergeLink === undefined ? undefined : nodes[keyIn(mergeLink)];
      if (target === undefined || target.mergeLink !== undefined) continue;
      nodes[key] = { ...JSON.parse(JSON.stringify(target)), path };
      isChanged = true;
    }
  }
}

function imageAt(windows: Windows, path: string): Record<string, Node> {
  const node = windows.node(path);
  if (node?.type !== "file") throw win32Failure(win32.ERROR_FILE_NOT_FOUND);
  return node.image ?? unknown(`reading ${lastName(path)}, of which nobody knows what is in it`);
}

function keyIn(path: string): string {
  return `\\${foldName(path.replace(/^\\+/, ""))}`;
}

// A number of what is in it, FNV-1a: the same content has the same.
function rootHash(image: Readonly<Record<string, Node>>): string {
  const parts = Object.keys(image).sort().map((key) => [key, image[key]!.type, bytesOf(image[key]!).toBase64()]);
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(JSON.stringify(parts))) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash.toString(16).padStart(16, "0").repeat(4);
}
