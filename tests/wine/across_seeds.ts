/**
 * The simulated host, which needs no Windows, on a Deno for Windows.
 *
 * @module
 */

import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { traces } from "../proofs/seeds.ts";
import type { AcrossTest } from "./across.ts";
import { CHECKOUT } from "./prepare.ts";

const SEEDS = 1000;

/** All of them. */
export const acrossSeeds: readonly AcrossTest[] = [{
  name: `${SEEDS} seeds give the same traces as on Linux`,
  async run(wine) {
    const program = ["run", "--no-prompt", "--no-remote", `${CHECKOUT}\\tests\\proofs\\seeds.ts`, `${SEEDS}`];
    const { code, stdout, stderr } = await wine.run(program, { cwd: CHECKOUT });
    assertEquals([code, stderr], [0, ""]);
    assertEquals(JSON.parse(stdout), await traces(SEEDS));
  },
}];
