/**
 * `deno task demo`: the life of a container's layers, on a simulated host.
 *
 * @module
 */

import { mountWCOWLayers, unmountWCOWLayers } from "../../mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { holdRow } from "./holds.ts";
import { type Demonstration, Transcript } from "./transcript.ts";

const LAYERS = ["C:\\layers\\app", "C:\\layers\\servercore"];
const SCRATCH = "C:\\containers\\web";
const FOLDER = "C:\\mnt\\web";

/** Mounts, shows what is held, unmounts, and fails half-way. */
export async function demoHost(): Promise<Demonstration> {
  const shown = new Transcript();
  const host = new SimulatedHost();
  const printHeld = () => {
    const rows = host.held().map(({ kind, target, by }) => [kind, target, by ? `${by.function}, call ${by.call}` : ""]);
    shown.table([["kind", "where", "taken by"], ...rows]);
  };
  LAYERS.forEach((layer) => host.addLayer(layer));
  host.addScratch(SCRATCH);

  shown.scene("1. Mount the layers of a container");
  shown.table([
    ["layer", LAYERS[0]!, "topmost, read-only"],
    ["layer", LAYERS[1]!, "base, read-only"],
    ["scratch", SCRATCH, "takes what the container writes"],
  ]);
  const before = host.calls.length;
  const layers = await mountWCOWLayers("web", [...LAYERS, SCRATCH], { host, volumeMountPath: FOLDER });
  shown.lines("", `  mounted by ${host.calls.length - before} calls of Windows functions:`, "");
  shown.table([
    ["path", layers.path, ""],
    ["folder", layers.volumeMountPath!, "the same volume, under a name for people"],
  ]);

  shown.scene("2. What is held of the host, and which call took it");
  printHeld();

  shown.scene("3. Unmount, knowing the scratch folder alone, as another process would");
  const released = await unmountWCOWLayers(SCRATCH, { host });
  shown.table(released.map(({ hold }) => ["released", ...holdRow(hold)]));
  const there = host.exists(FOLDER) ? "yes" : "no, as the mount had created it";
  shown.lines("", `  ${FOLDER} is there still: ${there}`);

  shown.scene("4. A mount that fails half-way");
  const marker = host.calls.length;
  host.fail({ function: "SetVolumeMountPointW", code: 5 });
  try {
    await mountWCOWLayers("web", [...LAYERS, SCRATCH], { host, volumeMountPath: FOLDER });
  } catch (error) {
    shown.lines(`  ${error}`, "");
  }
  const undone = ["RemoveDirectoryW", "UnprepareLayer", "DeactivateLayer"];
  const undoing = host.calls.slice(marker).filter((call) => undone.includes(call.function));
  shown.table(undoing.map((call) => ["undone by", call.function, String(call.args.path ?? call.args.id)]));

  shown.scene("5. What is held now");
  const held = host.held().length;
  if (held > 0) printHeld();
  shown.lines(`  ${held} held`);
  return { text: shown.text, held };
}
