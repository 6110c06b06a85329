/**
 * A CIM image while it is written.
 *
 * @module
 */

import { InvalidInputError } from "../errors/input_error.ts";
import { ClosedError } from "../errors/state_errors.ts";
import {
  addToMergedImage,
  type CimFileMetadata,
  cimMergeFlag,
  type CimMetadata,
  closeImage,
  commitImage,
  createCimFile,
  createCimLink,
  createCimMergeLink,
  createCimStream,
  deleteCimPath,
  type OpenImage,
  rootHashOf,
  sealImage,
  tombstoneCimPath,
  writeCimStream,
} from "../ffi/cim_writer.ts";
import type { Host } from "../ffi/host.ts";
import { attribute, isNotFound } from "../ffi/kernel32.ts";
import type { Held, HoldOf } from "../holds/hold.ts";
import type { HoldList } from "../holds/hold_list.ts";
import { untilAborted } from "../files/bytes/until_aborted.ts";
import { count } from "../files/option_checks.ts";
import { newFileOf } from "../host_holds/new_file.ts";
import { closeRecord, moveOnceFree, temporaryPath } from "../host_holds/transfer.ts";
import type { PlannedTransfer } from "../records/place.ts";
import { withPlaceRecord } from "../session/place_records.ts";
import { cimContents, cimMetadata } from "./file_in_image.ts";
import { pathInImage, streamName } from "./layer_paths.ts";
import { type Contents, piecesOf } from "./pieces.ts";

/** An image to begin. */
export interface ImageInit {
  /** Its path, at which nothing is. */
  readonly target: string;
  /** Begins it at the path that it has until it is complete. */
  readonly create: (path: string) => Promise<OpenImage>;
  /** Whether it gets a root hash. */
  readonly isVerified?: boolean;
  /** Called with its path once it is complete, before it gets its own. */
  readonly whenComplete?: (path: string) => void;
}

/** Begins an image. */
export async function beginImage(
  host: Host,
  { target, create, isVerified = false, whenComplete = () => {} }: ImageInit,
  signal: AbortSignal | undefined,
): Promise<CimWriter> {
  const transfer: PlannedTransfer = { kind: "newImage", target, mark: crypto.randomUUID() };
  const temporary = temporaryPath(transfer);
  return await withPlaceRecord(host, transfer, signal, async (holds) => {
    // Nothing else has its name, so whatever is there is this call's.
    const file = newFileOf(host, temporary);
    holds.adopt(file);
    let image: OpenImage | undefined;
    const close = async () => {
      const open = image;
      image = undefined;
      if (open !== undefined) await closeImage(open);
      return open !== undefined;
    };
    await holds.acquire(async () => {
      image = await create(temporary);
      return { hold: { kind: "openImage", path: temporary }, restsOn: [file], release: close };
    }, signal);
    return new CimWriter(host, { image: image!, holds, close, temporary, target, isVerified, whenComplete });
  });
}

/** Returns the hold on an image that is being written. Releasing it leaves nothing of an image that isn't complete. */
export function heldWriter(writer: CimWriter, restsOn: readonly Held[] = []): Held<HoldOf<"openImage">> {
  return {
    hold: { kind: "openImage", path: writer.path },
    restsOn,
    async release() {
      await writer[Symbol.asyncDispose]();
      return true;
    },
  };
}

interface WriterInit {
  readonly image: OpenImage;
  readonly holds: HoldList;
  readonly close: () => Promise<boolean>;
  readonly temporary: string;
  readonly target: string;
  readonly isVerified: boolean;
  readonly whenComplete: (path: string) => void;
}

/**
 * A CIM image that is being written: its paths are relative, with `\`, such as `Files\Windows\win.ini`, and a folder comes before
 * what is in it. Calls run one after the other. After one that has failed, the image can't be completed: dispose of it
 * (`await using`), which leaves nothing.
 *
 * @category CIM images
 */
export class CimWriter implements AsyncDisposable {
  readonly #host: Host;
  readonly #init: WriterInit;
  #state: "open" | "broken" | "over" = "open";
  #cause: unknown;
  #rootHash: Uint8Array<ArrayBuffer> | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  readonly #disposal = new AbortController();

  /** @ignore */
  constructor(host: Host, init: WriterInit) {
    this.#host = host;
    this.#init = init;
  }

  /** Path that the image has once it is complete. */
  get path(): string {
    return this.#init.target;
  }

  /** Of a verified image that is complete: its root hash, of 32 bytes. */
  get rootHash(): Uint8Array<ArrayBuffer> | undefined {
    return this.#rootHash;
  }

  /** Adds a folder. If it is there already, what is in it stays. */
  addFolder(path: string, metadata: CimMetadata): Promise<void> {
    return this.#run(() => {
      const { attributes, ...rest } = cimMetadata(metadata);
      const folder = { ...rest, attributes: (attributes | attribute.DIRECTORY) >>> 0, size: 0n };
      return this.#file(pathInImage(path), folder, new Uint8Array());
    });
  }

  /**
   * Adds a file, in place of one at the same path.
   *
   * @param size Length of its contents in bytes, which Windows has to know before.
   */
  addFile(path: string, metadata: CimMetadata, size: number, contents: Contents): Promise<void> {
    return this.#run(() => {
      const file = { ...cimMetadata(metadata), size: BigInt(count(size, "size")) };
      return this.#file(pathInImage(path), file, cimContents(contents));
    });
  }

  async #file(path: string, metadata: CimFileMetadata, contents: Contents): Promise<void> {
    const stream = createCimFile(this.#host, this.#init.image, path, metadata);
    await this.#write(stream, path, Number(metadata.size), contents);
  }

  async #write(stream: bigint, path: string, size: number, contents: Contents): Promise<void> {
    const { image } = this.#init;
    const pieces = piecesOf(contents, size, path);
    try {
      for (;;) {
        // Contents may never come: who disposes of the image doesn't wait for them.
        const { value: piece } = await untilAborted(pieces.next(), this.#disposal.signal);
        if (piece === undefined) break;
        await writeCimStream(this.#host, image, { stream, path }, piece);
      }
    } finally {
      pieces.return(undefined).catch(() => {});
      image.functions.CimCloseStream(stream);
    }
  }

  /**
   * Adds an alternate data stream to a file that was added.
   *
   * @param size Length of its contents in bytes.
   */
  addStream(path: string, name: string, size: number, contents: Contents): Promise<void> {
    return this.#run(async () => {
      const full = `${pathInImage(path)}:${streamName(name)}`;
      const [bytes, given] = [count(size, "size"), cimContents(contents)];
      const stream = createCimStream(this.#host, this.#init.image, full, BigInt(bytes));
      await this.#write(stream, full, bytes, given);
    });
  }

  /** Gives a file one more path. */
  addLink(path: string, existing: string): Promise<void> {
    return this.#run(() => createCimLink(this.#host, this.#init.image, pathInImage(path), pathInImage(existing)));
  }

  /** Gives a file that an image below this one has one more path, which it has once they are merged. Only for block images. */
  addMergeLink(path: string, existing: string): Promise<void> {
    return this.#run(() => createCimMergeLink(this.#host, this.#init.image, pathInImage(path), pathInImage(existing)));
  }

  /** Hides what the images below this one have at a path, once they are merged. Only for block images. */
  addTombstone(path: string): Promise<void> {
    return this.#run(() => tombstoneCimPath(this.#host, this.#init.image, pathInImage(path)));
  }

  /** Removes a path, of a folder with all that is in it. Returns false if there is nothing. */
  remove(path: string): Promise<boolean> {
    return this.#run(() => {
      try {
        deleteCimPath(this.#host, this.#init.image, pathInImage(path));
        return true;
      } catch (error) {
        if (isNotFound(error)) return false;
        throw error;
      }
    });
  }

  /** Adds what is in a block image, `block\name`. The topmost comes first. Only for block images. */
  addImage(source: string): Promise<void> {
    const { SINGLE_FILE, VERIFIED } = cimMergeFlag;
    const flags = SINGLE_FILE | (this.#init.isVerified ? VERIFIED : 0);
    return this.#run(() => addToMergedImage(this.#host, this.#init.image, source, flags));
  }

  /**
   * Completes the image, which then is at its path.
   *
   * @throws {InvalidInputError} if there is something at its path by now. Then the image is gone.
   */
  async commit(): Promise<void> {
    await this.#run(async () => {
      const { image, close, isVerified, holds, temporary, target, whenComplete } = this.#init;
      await commitImage(this.#host, image);
      await close();
      if (isVerified) {
        await sealImage(this.#host, image);
        this.#rootHash = await rootHashOf(this.#host, image);
        if (this.#rootHash === undefined) {
          throw new InvalidInputError("image", "isn't sealed after CimSealImage", target);
        }
      }
      whenComplete(temporary);
      await moveOnceFree(this.#host, temporary, target, "image");
      this.#state = "over";
      await closeRecord(holds);
    });
  }

  /** Closes the image. Unless it was completed, nothing of it is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposal.abort(new ClosedError(this.path));
    await this.#turn;
    this.#state = "over";
    await this.#init.holds.release();
  }

  // One after the other, as Windows has one stream open in an image.
  #run<T>(work: () => T | Promise<T>): Promise<T> {
    const run = this.#turn.then(async () => {
      if (this.#state === "over") throw new ClosedError(this.path);
      if (this.#state === "broken") throw this.#cause;
      try {
        return await work();
      } catch (error) {
        if (this.#state === "open") [this.#state, this.#cause] = ["broken", error];
        throw error;
      }
    });
    this.#turn = run.catch(() => {});
    return run;
  }
}
