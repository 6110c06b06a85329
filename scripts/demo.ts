/**
 * `deno task demo`: the life of a container's layers, on a simulated Windows host; with `--vm`, layers in VMs. Needs no
 * Windows, and no permission.
 *
 * @module
 */

import { mountWCOWLayers, unmountWCOWLayers } from "../mod.ts";
import { SimulatedHost } from "../src/simulated/mod.ts";
import { columns, holdRow } from "./support/command.ts";
import { demoVMs } from "./support/demo_vm.ts";

const LAYERS = ["C:\\layers\\app", "C:\\layers\\servercore"];
const SCRATCH = "C:\\containers\\web";
const FOLDER = "C:\\mnt\\web";

/** Shows it. Answers how much was held at the end. */
async function demo(): Promise<number> {
  const host = new SimulatedHost();
  LAYERS.forEach((layer) => host.addLayer(layer));
  host.addScratch(SCRATCH);

  title("1. Mount the layers of a container");
  print([
    ["layer", LAYERS[0]!, "topmost, read-only"],
    ["layer", LAYERS[1]!, "base, read-only"],
    ["scratch", SCRATCH, "takes what the container writes"],
  ]);
  const before = host.calls.length;
  const layers = await mountWCOWLayers("web", [...LAYERS, SCRATCH], { host, volumeMountPath: FOLDER });
  console.log(`\n  mounted by ${host.calls.length - before} calls of Windows functions:\n`);
  print([
    ["path", layers.path, ""],
    ["folder", layers.volumeMountPath!, "the same volume, under a name for people"],
  ]);

  title("2. What is held of the host, and which call took it");
  printHeld(host);

  title("3. Unmount, knowing the scratch folder alone, as another process would");
  const released = await unmountWCOWLayers(SCRATCH, { host });
  print(released.map(({ hold }) => ["gave back", ...holdRow(hold)]));
  console.log(`\n  ${FOLDER} is there still: ${host.exists(FOLDER) ? "yes" : "no, as the mount had created it"}`);

  title("4. A mount that fails half-way");
  const marker = host.calls.length;
  host.fail({ function: "SetVolumeMountPointW", code: 5 });
  try {
    await mountWCOWLayers("web", [...LAYERS, SCRATCH], { host, volumeMountPath: FOLDER });
  } catch (error) {
    console.log(`  ${error}\n`);
  }
  const undone = ["RemoveDirectoryW", "UnprepareLayer", "DeactivateLayer"];
  const undoing = host.calls.slice(marker).filter((call) => undone.includes(call.function));
  print(undoing.map((call) => ["undone by", call.function, String(call.args.path ?? call.args.id)]));

  title("5. What is held now");
  if (host.held().length > 0) printHeld(host);
  console.log(`  ${host.held().length} held`);
  return host.held().length;
}

function title(text: string): void {
  console.log(`\n%c${text}\n`, "font-weight: bold");
}

function print(rows: readonly (readonly string[])[]): void {
  console.log(columns(rows, "  "));
}

function printHeld(host: SimulatedHost): void {
  const rows = host.held().map(({ kind, target, by }) => [kind, target, by ? `${by.function}, call ${by.call}` : ""]);
  print([["kind", "where", "taken by"], ...rows]);
}

const held = Deno.args.includes("--vm") ? await demoVMs() : await demo();
Deno.exitCode = held === 0 ? 0 : 1;
