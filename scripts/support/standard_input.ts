/**
 * The standard input as a layer.
 *
 * @module
 */

import type { LayerSource, RandomAccess } from "../../src/files/mod.ts";
import { CommandError } from "./errors.ts";

/** What errors call it. */
const NAME = "The standard input";

/** The layer in a tar on the standard input, which can be read once. */
export async function layerOfInput(): Promise<LayerSource & AsyncDisposable> {
  const { layerOfTar } = await import("../../src/files/mod.ts");
  return { ...layerOfTar(inputBytes()), [Symbol.asyncDispose]: () => Promise.resolve() };
}

function inputBytes(): RandomAccess {
  let position = 0;
  const skipped = new Uint8Array(64 * 1024);
  const next = async (into: Uint8Array) => {
    const count = await Deno.stdin.read(into) ?? 0;
    position += count;
    return count;
  };
  return {
    name: NAME,
    // Unknown.
    size: Number.MAX_SAFE_INTEGER,
    async read(at, into) {
      if (at < position) {
        throw new CommandError(`${NAME} can be read only once, and this command reads a layer twice: use a file`);
      }
      while (position < at) {
        if (await next(skipped.subarray(0, at - position)) === 0) return 0;
      }
      return await next(into);
    },
  };
}
