/**
 * `deno task vhd`: virtual disks.
 *
 * @module
 */

import { windowsHost } from "../mod.ts";
import type { SimulatedHost } from "../src/simulated/mod.ts";
import {
  attachDisk,
  createDifferencingDisk,
  createVhdx,
  detachDisk,
  expandScratch,
  type Host,
  isDiskInUse,
  openDisk,
} from "../src/storage/mod.ts";
import { type Answer, type Arguments, columns, main, openHost, SHARED_HELP, UsageError } from "./support/command.ts";

const help = `\
Creates, attaches and shows virtual disks.

Usage: deno task vhd [OPTION]... COMMAND ARGUMENT...

  create DISK SIZE         create an empty disk that grows with what is written to it
  create-diff DISK PARENT  create a disk that holds what differs from PARENT
  attach DISK              attach a disk to this host, and leave it attached; prints its device, \\\\.\\PhysicalDriveN
  detach DISK              detach a disk, whoever attached it
  expand SCRATCH SIZE      make the disk sandbox.vhdx of a scratch folder larger, and the volume on it
  info DISK                show size and parent of a disk, and whether it is in use

Paths are absolute Windows paths, those of disks to be created end in .vhdx; nothing is ever overwritten.
SIZE is a number of bytes, or has a unit: 20GiB, 512MiB, 1TiB.

  --block-size=SIZE    create, create-diff: size of the disk's blocks; Windows chooses if not given
${SHARED_HELP}

A simulated machine that is new gets the folders and disks named here, disks of 20 GiB, but for those to be created.`;

interface Job {
  readonly host: Host;
  readonly signal: AbortSignal;
  readonly blockSize: number | undefined;
}

interface Command {
  /** How many arguments it takes. */
  readonly takes: number;
  /** What it does, where it can take long. */
  readonly doing?: string;
  /** Puts on a new simulated machine what it needs. */
  furnish(machine: SimulatedHost, args: readonly string[]): void;
  run(args: readonly string[], job: Job): Promise<Answer>;
}

const SIMULATED_SIZE = 20 * 2 ** 30;
const disk = (machine: SimulatedHost, path: string) => machine.addFile(path, SIMULATED_SIZE);
const folderOf = (path: string) => path.slice(0, path.lastIndexOf("\\"));

const COMMANDS: Readonly<Record<string, Command>> = {
  create: {
    takes: 2,
    furnish: (machine, [path]) => machine.addFolder(folderOf(path!)),
    async run([path, size], { host, signal, blockSize }) {
      const bytes = bytesIn(size!);
      await createVhdx(path!, { size: bytes, blockSize, host, signal });
      return { text: path!, json: { path, size: bytes } };
    },
  },
  "create-diff": {
    takes: 2,
    furnish(machine, [path, parent]) {
      machine.addFolder(folderOf(path!));
      disk(machine, parent!);
    },
    async run([path, parent], { host, signal, blockSize }) {
      await createDifferencingDisk(path!, parent!, { blockSize, host, signal });
      return { text: path!, json: { path, parent } };
    },
  },
  attach: {
    takes: 1,
    doing: "attaching",
    furnish: (machine, [path]) => disk(machine, path!),
    async run([path], { host, signal }) {
      await using attached = await attachDisk(path!, { permanent: true, host, signal });
      try {
        signal.throwIfAborted();
        const device = attached.physicalPath();
        return { text: device, json: { path, device } };
      } catch (error) {
        await attached.detach();
        throw error;
      }
    },
  },
  detach: {
    takes: 1,
    doing: "detaching",
    furnish: (machine, [path]) => disk(machine, path!),
    async run([path], { host, signal }) {
      const wasAttached = await detachDisk(path!, { host, signal });
      return { text: wasAttached ? `detached ${path}` : `${path} isn't attached`, json: { path, wasAttached } };
    },
  },
  expand: {
    takes: 2,
    doing: "expanding",
    furnish: (machine, [scratch]) => machine.addScratch(scratch!),
    async run([scratch, size], { host, signal }) {
      const bytes = bytesIn(size!);
      await expandScratch(scratch!, bytes, { host, signal });
      return { text: `expanded ${scratch} to ${shown(bytes)}`, json: { scratch, size: bytes } };
    },
  },
  info: {
    takes: 1,
    furnish: (machine, [path]) => disk(machine, path!),
    async run([path], { host, signal }) {
      const inUse = isDiskInUse(path!, { host });
      await using opened = await openDisk(path!, { host, signal });
      const { size, fileSize, blockSize, sectorSize, parent } = opened.info();
      return {
        text: columns([
          ["size", shown(Number(size))],
          ["file", shown(Number(fileSize))],
          ["blocks", shown(blockSize)],
          ["sectors", shown(sectorSize)],
          ["parent", parent === undefined ? "none" : `${parent.path}${parent.found ? "" : " (missing)"}`],
          ["in use", inUse ? "yes" : "no"],
        ]),
        json: { path, size: Number(size), fileSize: Number(fileSize), blockSize, sectorSize, parent, inUse },
      };
    },
  },
};

const UNITS = ["", "KiB", "MiB", "GiB", "TiB"];

function bytesIn(text: string): number {
  const [, number, unit = ""] = /^(\d+)([KMGT]iB)?$/.exec(text) ?? [];
  if (number === undefined) {
    throw new UsageError(`${text} is no size: a number of bytes, or one with KiB, MiB, GiB or TiB behind it`);
  }
  return Number(number) * 1024 ** UNITS.indexOf(unit);
}

function shown(bytes: number): string {
  const unit = UNITS.findLastIndex((_, power) => bytes > 0 && bytes % 1024 ** power === 0);
  return unit > 0 ? `${bytes / 1024 ** unit} ${UNITS[unit]}` : `${bytes} bytes`;
}

async function run({ values, positionals, signal }: Arguments): Promise<Answer> {
  const [name = "", ...args] = positionals;
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name]! : undefined;
  if (command === undefined) {
    throw new UsageError(`vhd needs a command: ${Object.keys(COMMANDS).join(", ")}. --help tells the usage`);
  }
  if (args.length !== command.takes) {
    const wanted = command.takes === 1 ? "one argument" : "two arguments";
    throw new UsageError(`vhd ${name} takes ${wanted}, not ${args.length}. --help tells the usage`);
  }
  const size = values["block-size"];
  const blockSize = size === undefined ? undefined : bytesIn(size);
  // On Deno's pool, so that the progress line can move meanwhile.
  const host = values.simulate === undefined
    ? windowsHost()
    : await openHost(values.simulate, (machine) => command.furnish(machine, args));
  using _ = command.doing === undefined ? undefined : progress(`${command.doing} ${args[0]}`);
  return await command.run(args, { host, signal, blockSize });
}

/** A line that says for how long something has been going on, where somebody can see it. */
function progress(doing: string): Disposable | undefined {
  if (!Deno.stderr.isTerminal()) return undefined;
  const write = (text: string) => Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[K${text}`));
  const begin = Date.now();
  const show = () => write(`${doing} … ${Math.round((Date.now() - begin) / 1000)} s`);
  show();
  const timer = setInterval(show, 1000);
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      write("");
    },
  };
}

if (import.meta.main) await main({ help, options: ["block-size"], run });
