import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { randomTest } from "../../support/random.ts";
import { roundTripFaults } from "./random_layer.ts";

randomTest(
  "layers that are drawn are read as they were written, from streams and bytes, packed or not",
  async (random) => {
    for (let stream = 0; stream < 40; stream++) {
      assertEquals(
        await roundTripFaults(random(stream)),
        [],
        `stream ${stream}`,
      );
    }
  },
);
