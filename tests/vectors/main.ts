/**
 * `deno task test:vectors [--wine]` plays the runs in `$HCS_LAYERS_VECTORS`, or else those in `v0.12.3/`, `head/`, `handmade/`,
 * `gcs/`, `tar/`, `cimwrite/` and `transport/`, on the simulated host; with `--wine` on the recording DLLs, in `deno.exe` under Wine. Connections with guests
 * and tars need neither, and VMs with one are played on the simulated host alone. It prints each run that differs with its first difference, and ends with `N passed, N failed, N skipped`.
 *
 * @module
 */

import { CHECKOUT, EXCHANGE, prepareWine } from "../wine/prepare.ts";
import type { MachineMaker } from "./machine.ts";
import { play, type Verdict } from "./player.ts";
import { filesIn, readRuns, RECORDINGS } from "./recordings.ts";
import { playImage } from "./image_player.ts";
import { IMAGE_RECORDINGS, isImageRun } from "./image_run.ts";
import { simulatedMachine } from "./simulated.ts";
import { isTarCase, TAR_RECORDINGS } from "./tar_case.ts";
import { playTar } from "./tar_player.ts";
import { playTransport } from "./transport_player.ts";
import { isTransportRun, TRANSPORT_RECORDINGS } from "./transport_run.ts";
import { wineMachine } from "./wine.ts";
import { playWire } from "./wire_player.ts";
import { isWireRun, WIRE_RECORDINGS } from "./wire_run.ts";

const folder = Deno.env.get("HCS_LAYERS_VECTORS");
const FOLDERS = folder
  ? [folder]
  : [...RECORDINGS, WIRE_RECORDINGS, TAR_RECORDINGS, IMAGE_RECORDINGS, TRANSPORT_RECORDINGS];

async function playAll(newMachine: MachineMaker): Promise<number> {
  const verdicts: Verdict[] = [];
  for (const run of await readRuns(FOLDERS)) {
    const verdict = isTarCase(run)
      ? await playTar(run)
      : isImageRun(run)
      ? await playImage(run)
      : isTransportRun(run)
      ? await playTransport(run)
      : isWireRun(run)
      ? await playWire(run)
      : await play(run, newMachine);
    verdicts.push(verdict);
    if (verdict.outcome === "failed") {
      const which = isTarCase(run)
        ? "tar"
        : isImageRun(run)
        ? "image"
        : isTransportRun(run)
        ? "transport"
        : `${run.upstream}${"isHead" in run && run.isHead ? ", head" : ""}`;
      console.log(`${run.name} (${which}) differs: ${verdict.reason!.replaceAll("\n", "\n  ")}`);
    }
  }
  const of = (outcome: Verdict["outcome"]) => verdicts.filter((verdict) => verdict.outcome === outcome);
  for (const [ours, runs] of counted(verdicts.flatMap(({ deviations }) => deviations))) {
    console.log(`deviation (runs: ${runs}): ${ours}`);
  }
  const skips = counted(of("skipped").map(({ reason }) => reason!));
  if (skips.length > 0) console.log(`skipped: ${skips.map(([reason, runs]) => `${runs} (${reason})`).join(", ")}`);
  const [passed, failed, skipped] = [of("passed"), of("failed"), of("skipped")].map((list) => list.length);
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  return failed === 0 && verdicts.length > 0 ? 0 : 1;
}

function counted(texts: readonly string[]): [text: string, times: number][] {
  return [...Map.groupBy(texts, (text) => text)].map(([text, { length }]) => [text, length]);
}

async function playUnderWine(): Promise<number> {
  const wine = await prepareWine();
  if ("skipped" in wine) {
    console.error(wine.skipped);
    return 1;
  }
  await using _ = wine;
  await Deno.mkdir(`${wine.exchange}/vectors`);
  // Runs of different folders may have the same name.
  const played = FOLDERS.filter((folder) =>
    ![WIRE_RECORDINGS, TAR_RECORDINGS, IMAGE_RECORDINGS, TRANSPORT_RECORDINGS].includes(folder)
  );
  for (const [i, folder] of played.entries()) {
    for (const { name, path } of await filesIn(folder)) {
      await Deno.copyFile(path, `${wine.exchange}/vectors/${i}-${name}`);
    }
  }
  const { code } = await wine.run(["run", "-A", `${CHECKOUT}\\tests\\vectors\\main.ts`, "--wine"], {
    env: { HCS_LAYERS_VECTORS: `${EXCHANGE}\\vectors` },
    stdout: "inherit",
    timeoutMs: 600_000,
  });
  return code;
}

async function main(): Promise<number> {
  if (!Deno.args.includes("--wine")) return await playAll(simulatedMachine);
  return Deno.build.os === "windows" ? await playAll(wineMachine) : await playUnderWine();
}

if (import.meta.main) Deno.exitCode = await main();
