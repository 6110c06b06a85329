/**
 * The tar of a layer, to be read as often as needed.
 *
 * @module
 */

import { FormatError } from "../../errors/file_errors.ts";
import type { RandomAccess } from "../bytes/random_access.ts";
import type { LayerSource } from "../layer/layer_source.ts";
import { layerEntryOf, readLayerTar } from "./layer_tar.ts";
import { readWhole } from "./read_tar.ts";
import { readTarOptions, type TarLimits } from "./tar_limits.ts";
import { nameOf } from "./tar_source.ts";
import { unknownKeys } from "./windows_metadata.ts";

/** The layer in a tar, packed with gzip or not. */
export function layerOfTar(bytes: RandomAccess, limits: TarLimits = {}): LayerSource {
  nameOf(bytes);
  readTarOptions(limits);
  return {
    name: bytes.name,
    form: "tar",
    async *entries({ signal, onFinding } = {}) {
      const options = { ...limits, name: bytes.name, signal };
      if (onFinding === undefined) return yield* readLayerTar(bytes, options);
      try {
        const onRest = (offset: number) => {
          const problem = "something follows its end, such as another tar: nobody reads it";
          onFinding({ severity: "warning", rule: "format", problem, offset });
        };
        for await (const entry of readWhole(bytes, options, onRest)) {
          const { name: path, offset } = entry;
          let isWrong = false;
          const layerEntry = layerEntryOf(entry, (rule, problem) => {
            isWrong = true;
            onFinding({ severity: "error", rule, problem, path, offset });
          });
          for (const key of unknownKeys(entry)) {
            const problem = `Windows knows no ${key}: it is ignored`;
            onFinding({ severity: "warning", rule: "metadata", problem, path, offset });
          }
          if (layerEntry !== undefined && !isWrong) yield layerEntry;
        }
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        onFinding({ severity: "error", rule: "format", problem: error.problem, offset: error.offset });
      }
    },
  };
}
