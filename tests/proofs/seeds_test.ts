import { assert, assertEquals } from "jsr:@std/assert@^1.0.0";
import { traces } from "./seeds.ts";

const SEEDS = 1000;

Deno.test(`${SEEDS} seeds give the same traces twice, and many orders`, async () => {
  const first = await traces(SEEDS);
  assertEquals(await traces(SEEDS), first);
  assert(first.different > SEEDS / 10, `${first.different} of them differ`);
});
