// The writer of the tests and the reader agree, on random images.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { randomTest } from "../../support/random.ts";
import { differences } from "./written.ts";

randomTest("random images, some made from others, are read as they were written", async (random) => {
  for (let stream = 0; stream < 30; stream++) assertEquals(await differences(random(stream)), [], `stream ${stream}`);
});
