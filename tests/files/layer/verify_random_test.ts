// Layers that are drawn, as they are and as images of them, beside the tars that they were made of.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { importCimLayer } from "../../../mod.ts";
import {
  type LayerEntry,
  layerOfCim,
  type LayerSource,
  openCim,
  verifyLayer,
  writeLayerTar,
} from "../../../src/files/mod.ts";
import { SimulatedHost } from "../../../src/simulated/mod.ts";
import { baseEntries } from "../../support/layer_tars.ts";
import { randomTest } from "../../support/random.ts";
import { randomLayer } from "../tar/random_layer.ts";

function given(entries: readonly LayerEntry[], form?: LayerSource["form"]): LayerSource {
  return {
    name: "layer",
    form,
    async *entries() {
      yield* entries;
    },
  };
}

const [BASE, APP] = ["C:\\layers\\base", "C:\\layers\\app"];

randomTest(
  "verifyLayer() finds nothing in images that were imported, and whatever is taken out of a layer",
  async (random) => {
    for (let stream = 0; stream < 15; stream++) {
      const draw = random(stream);
      const entries = randomLayer(draw);
      const host = new SimulatedHost({ build: 27900 });
      host.addFolder("C:\\layers\\cim-layers");
      await importCimLayer(BASE, writeLayerTar(baseEntries()), [], { host });
      const { image } = await importCimLayer(APP, writeLayerTar(entries), [BASE], { host });
      await using open = await openCim(host.imageFiles(image));
      const imported = await verifyLayer(layerOfCim(open), [given(entries), given(baseEntries())]);
      assertEquals(
        imported.mismatches.map(({ part, path, problem }) => `${part} ${path}: ${problem}`),
        [],
        `${stream}`,
      );

      const taken = draw(entries.length);
      const rest = entries.filter((_, i) => i !== taken);
      const { path, type } = entries[taken]!;
      const { isSame, mismatches } = await verifyLayer(given(rest), [given(entries)]);
      assertEquals(
        [isSame, mismatches.some((told) => told.path === path)],
        [false, true],
        `${stream}: ${type} ${path}`,
      );
      const more = await verifyLayer(given(entries), [given(rest)]);
      assertEquals(
        [more.isSame, more.mismatches.some((told) => told.path === path)],
        [false, true],
        `${stream}: ${path}`,
      );
    }
  },
);
