/**
 * `deno task mount`: mounts layers and leaves them mounted.
 *
 * @module
 */

import type { Host, InvalidInputError, LayerError, WCOWLayers } from "../mod.ts";
import type { SimulatedHost } from "../src/simulated/mod.ts";
import {
  type Arguments,
  HOST_HELP,
  HOST_OPTIONS,
  type Job,
  main,
  POPULATE_HELP,
  type Result,
} from "./support/command.ts";
import { UsageError } from "./support/errors.ts";
import { openHost } from "./support/host.ts";
import { throwIfInterrupted } from "./support/interrupt.ts";
import { layersFrom } from "./support/layer_source.ts";
import { program, shellArgument } from "./support/program.ts";
import { columns } from "./support/text.ts";
import { nameOf, windowsPath } from "./support/windows_path.ts";

const help = `\
Mounts the layers of a process-isolated Windows container, and leaves them mounted until they are unmounted.
Prints the root of the container's file system, \\\\?\\Volume{guid}\\, and nothing else.

Usage: ${program("mount")} [OPTION]... LAYER... SCRATCH
       ${program("mount")} [OPTION]... --from=FILE

  LAYER                folder of a read-only layer, the topmost first, the base layer last
  SCRATCH              folder of the scratch layer, with its disk sandbox.vhdx

  --from=FILE          take the layers and the scratch that FILE names, or the standard input if it is -: a mount of
                       containerd as JSON, or an OCI specification
  --id=ID              id of the container; the scratch folder's name if not given
  --mount-point=FOLDER mount the volume at FOLDER too, which is missing or empty
  --create-scratch     create SCRATCH, or its disk, if it is missing
  --vm=windows|linux   with --simulate: show where the layers are placed in a VM, which ends with the command.
                       With linux, LAYER and SCRATCH are virtual disks
${HOST_HELP}

${POPULATE_HELP}

Examples:
  ${program("mount")} C:/layers/app C:/layers/servercore C:/containers/web
  ${program("mount")} --create-scratch --mount-point=C:/mnt/web C:/layers/servercore C:/containers/web
  ctr snapshots --snapshotter windows prepare --mounts web sha256:… | ${program("mount")} --from=-
  ${program("unmount")} C:/containers/web`;

interface MountRequest {
  readonly id: string;
  /** The layers as they were named, if that is in a file. */
  readonly from: WCOWLayers | undefined;
  /** The folders of the layers. */
  readonly layers: readonly string[];
  readonly scratch: string;
  readonly volumeMountPath: string | undefined;
  readonly createScratch: boolean;
  readonly simulate: string | undefined;
}

async function plan(args: Arguments): Promise<Job> {
  const { values, positionals } = args;
  if (values.from === undefined) return planned(args, positionals);
  if (positionals.length > 0) throw new UsageError("--from names the layers: leave out LAYER and SCRATCH");
  if (values.vm !== undefined) throw new UsageError("--from doesn't go with --vm");
  const from = await layersFrom(values.from);
  const layers = from.kind === "folders"
    ? from.layers
    : from.kind === "images"
    ? from.layers.map(({ folder }) => folder)
    : [];
  return planned(args, [...layers, from.scratch], from);
}

function planned({ values, has }: Arguments, positionals: readonly string[], from?: WCOWLayers): Job {
  if (from === undefined && positionals.length < 2) {
    throw new UsageError("mount needs the folder of one LAYER or more, and of the SCRATCH");
  }
  const last = positionals.length - 1;
  const words = positionals.map((_, i) => i === last ? "SCRATCH" : last === 1 ? "LAYER" : `LAYER ${i + 1}`);
  const paths = positionals.map((path, i) => windowsPath(path, words[i]!));
  const scratch = paths[last]!;
  // A root has no name, and is refused later.
  const { id = nameOf(scratch) || "root", simulate, vm, "mount-point": mountPoint } = values;
  const request: MountRequest = {
    id,
    from,
    layers: paths.slice(0, last),
    scratch,
    volumeMountPath: mountPoint === undefined ? undefined : windowsPath(mountPoint, "--mount-point"),
    createScratch: has("create-scratch"),
    simulate,
  };
  return {
    run: vm === undefined ? (signal) => mount(request, signal) : inVM(vm, request),
    words: {
      ...from === undefined && Object.fromEntries(words.map((word, i) => [`layerFolders[${i}]`, word])),
      ...Object.fromEntries(words.map((word, i) => [`layers.layers[${i}].vhdPath`, word])),
      "layers.scratchVhdPath": "SCRATCH",
      containerId: "--id",
      volumeMountPath: "--mount-point",
      createScratch: "--create-scratch",
      releaseCimFSHostLayers: "unmount",
      unmountWCOWLayers: "unmount",
    },
    advice: (error) => advise(error, request),
    undo: `${program("unmount")} ${shellArgument(scratch)}`,
    mayHold: [{ kind: "activation", scratch }],
    isRecovered: true,
  };
}

async function mount(request: MountRequest, signal: AbortSignal): Promise<Result> {
  const { id, from, layers, scratch, volumeMountPath, createScratch, simulate } = request;
  const { mountWCOWLayers } = await import("../mod.ts");
  const call = (host: Host) =>
    mountWCOWLayers(id, from ?? [...layers, scratch], {
      host,
      signal,
      volumeMountPath,
      createScratch,
      permanent: true,
    });
  const host = await openHost({
    command: "mount",
    simulate,
    call,
    populate(machine) {
      for (const layer of layers) if (!machine.exists(layer)) machine.addLayer(layer);
      for (const image of imagesIn(from)) if (!machine.exists(image)) machine.addFile(image, IMAGE_BYTES);
      const isMissing = !machine.exists(`${scratch}\\sandbox.vhdx`) && !isFile(machine, scratch);
      if (!createScratch && isMissing) machine.addScratch(scratch);
    },
  });
  await using undo = new AsyncDisposableStack();
  const mounted = undo.use(await call(host));
  await throwIfInterrupted(signal);
  undo.move();
  const { id: mountId, ...rest }: { readonly id?: string } = mounted.toJSON();
  return { text: mounted.path, json: { id, ...mountId !== undefined && { mountId }, ...rest }, holds: mounted.holds };
}

const IMAGE_BYTES = 2 ** 20;

// The files of the images.
function imagesIn(layers: WCOWLayers | undefined): string[] {
  if (layers === undefined || layers.kind === "folders") return [];
  if (layers.kind === "images") return layers.layers.map(({ image }) => image);
  return [...layers.layers, ...layers.merged === undefined ? [] : [layers.merged]].map(({ path }) => path);
}

function isFile(machine: SimulatedHost, path: string): boolean {
  if (!machine.exists(path)) return false;
  try {
    machine.readDir(path);
    return false;
  } catch {
    return true;
  }
}

function inVM(os: string, request: MountRequest): Job["run"] {
  const { id, layers, scratch, simulate, volumeMountPath } = request;
  if (os !== "windows" && os !== "linux") throw new UsageError(`--vm takes windows or linux, not ${os}`);
  if (simulate === undefined || volumeMountPath !== undefined) {
    throw new UsageError("--vm goes with --simulate, and not with --mount-point");
  }
  return async (signal) => {
    const { mountInVM, placementRows } = await import("./support/simulated_vm.ts");
    const mounted = await mountInVM(os, { id, layers, scratch, simulate, signal });
    return { text: `${mounted.path}\n\n${columns(placementRows(mounted))}`, json: { id, ...mounted } };
  };
}

function advise(error: LayerError, { scratch, layers, volumeMountPath, createScratch }: MountRequest) {
  const unmount = program("unmount");
  if (error.name === "InUseError") return `To unmount it: ${unmount} ${shellArgument(scratch)}`;
  if (error.name !== "InvalidInputError") return undefined;
  const { argument } = error as InvalidInputError;
  if (argument === `layerFolders[${layers.length}]` && nameOf(scratch) !== "" && !createScratch) {
    return "--create-scratch creates a scratch where there is none";
  }
  if (argument === "volumeMountPath") {
    const folder = shellArgument(volumeMountPath!);
    return `If a mount left it: ${unmount} --mount-point=${folder} ${shellArgument(scratch)}`;
  }
  return undefined;
}

if (import.meta.main) {
  const options = {
    ...HOST_OPTIONS,
    id: "string",
    from: "string",
    "mount-point": "string",
    vm: "string",
    "create-scratch": "boolean",
  } as const;
  await main({ help, options, plan });
}
