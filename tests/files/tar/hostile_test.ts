import { assert, assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { fromBytes } from "../../../src/files/bytes/random_access.ts";
import { checkedEntries, lintLayer } from "../../../src/files/layer/check_layer.ts";
import { layerOfTar } from "../../../src/files/tar/layer_of_tar.ts";
import { readLayerTar } from "../../../src/files/tar/layer_tar.ts";
import { HOSTILE_TARS } from "./hostile_tars.ts";
import { inPieces, refusal } from "./tars.ts";

const LIMITS = { maxEntries: 10_000 };

Deno.test("tars that were made to do harm, or damaged, are refused with the reason, and found by lintLayer()", async () => {
  assert(HOSTILE_TARS.length > 250, `${HOSTILE_TARS.length}`);
  assertEquals(new Set(HOSTILE_TARS.map(({ name }) => name)).size, HOSTILE_TARS.length);
  for (const { name, problem, bytes } of HOSTILE_TARS) {
    const tar = await bytes();
    const stream = tar instanceof ReadableStream ? tar : inPieces(tar, 1000);
    const error = await refusal(checkedEntries(readLayerTar(stream, LIMITS)));
    assertStringIncludes(error.message, problem, name);
    if (tar instanceof ReadableStream) continue;
    const layer = layerOfTar(fromBytes(tar), LIMITS);
    const found = await Array.fromAsync(lintLayer(layer));
    const errors = found.filter(({ severity }) => severity === "error").map((finding) => finding.problem);
    assert(errors.some((text) => text.includes(problem)), `${name}: ${errors}`);
  }
});
