/**
 * `deno task vhd`: virtual disks.
 *
 * @module
 */

import type { Host } from "../mod.ts";
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
import { CommandError, UsageError } from "./support/errors.ts";
import { openHost } from "./support/host.ts";
import { throwIfInterrupted } from "./support/interrupt.ts";
import { program, shellArgument } from "./support/program.ts";
import { columns } from "./support/text.ts";
import { windowsPath } from "./support/windows_path.ts";

const help = `\
Creates, attaches and shows virtual disks.

Usage: ${program("vhd")} [OPTION]... COMMAND ARGUMENT...

  create DISK SIZE         create an empty disk that grows with what is written to it
  create-diff DISK PARENT  create a disk that holds what differs from PARENT
  attach DISK              attach a disk to this host, and leave it attached; prints its device, \\\\.\\PhysicalDriveN
  detach DISK              detach a disk, whoever attached it
  expand SCRATCH SIZE      make the disk sandbox.vhdx of a scratch folder larger, and the volume on it
  info DISK                show size and parent of a disk, and whether it is in use

Disks to be created end in .vhdx; nothing is ever overwritten. SIZE is a number of bytes, or has a unit: 20GiB, 512MiB,
1TiB.

  --block-size=SIZE    create, create-diff: size of the disk's blocks; Windows chooses if not given
${HOST_HELP}

${POPULATE_HELP}

Examples:
  ${program("vhd")} create C:/disks/data.vhdx 20GiB
  ${program("vhd")} attach C:/disks/data.vhdx
  ${program("vhd")} info --json C:/disks/data.vhdx
  ${program("vhd")} detach C:/disks/data.vhdx`;

/** The arguments of the actions, as `--help` calls them. */
interface Operands {
  readonly DISK: string;
  readonly PARENT: string;
  readonly SCRATCH: string;
  readonly SIZE: number;
}

interface Work {
  readonly host: Host;
  readonly signal: AbortSignal;
  readonly blockSize: number | undefined;
}

interface Action {
  readonly takes: readonly (keyof Operands)[];
  /** What it does, where that can take long. */
  readonly doing?: string;
  /** Adds to a simulated machine what is missing. */
  populate(machine: SimulatedHost, operands: Operands): void;
  run(operands: Operands, work: Work): Promise<Result>;
}

const SIMULATED_SIZE = 20 * 2 ** 30;

function addDisk(machine: SimulatedHost, path: string): void {
  if (!machine.exists(path)) machine.addFile(path, SIMULATED_SIZE);
}

function addFolderOf(machine: SimulatedHost, path: string): void {
  machine.addFolder(path.slice(0, path.lastIndexOf("\\")));
}

const storage = () => import("../src/storage/mod.ts");

const ACTIONS: Readonly<Record<string, Action>> = {
  create: {
    takes: ["DISK", "SIZE"],
    populate: (machine, { DISK }) => addFolderOf(machine, DISK),
    async run({ DISK: path, SIZE: size }, { host, signal, blockSize }) {
      await (await storage()).createVhdx(path, { size, blockSize, host, signal });
      return { text: path, json: { path, size } };
    },
  },
  "create-diff": {
    takes: ["DISK", "PARENT"],
    populate(machine, { DISK, PARENT }) {
      addFolderOf(machine, DISK);
      addDisk(machine, PARENT);
    },
    async run({ DISK: path, PARENT: parent }, { host, signal, blockSize }) {
      await (await storage()).createDifferencingDisk(path, parent, { blockSize, host, signal });
      return { text: path, json: { path, parent } };
    },
  },
  attach: {
    takes: ["DISK"],
    doing: "attaching",
    populate: (machine, { DISK }) => addDisk(machine, DISK),
    async run({ DISK: path }, { host, signal }) {
      const { attachDisk, detachDisk } = await storage();
      const hold = { kind: "attachedDisk", path } as const;
      await using undo = new AsyncDisposableStack();
      const attach = async () => {
        await using disk = await attachDisk(path, { permanent: true, host, signal });
        undo.defer(async () => {
          try {
            await detachDisk(path, { host });
          } catch (cause) {
            const message = `${path} can't be detached: ${(cause as Error).message}`;
            throw new CommandError(message, { cause, holds: [hold] });
          }
        });
        return disk.physicalPath();
      };
      const device = await attach();
      // The last thing: what comes later isn't noticed.
      await throwIfInterrupted(signal);
      undo.move();
      return { text: device, json: { path, device }, holds: [hold] };
    },
  },
  detach: {
    takes: ["DISK"],
    doing: "detaching",
    populate: (machine, { DISK }) => addDisk(machine, DISK),
    async run({ DISK: path }, { host, signal }) {
      const wasAttached = await (await storage()).detachDisk(path, { host, signal });
      return { text: wasAttached ? `detached ${path}` : `${path} isn't attached`, json: { path, wasAttached } };
    },
  },
  expand: {
    takes: ["SCRATCH", "SIZE"],
    doing: "expanding",
    populate(machine, { SCRATCH }) {
      if (!machine.exists(`${SCRATCH}\\sandbox.vhdx`)) machine.addScratch(SCRATCH);
    },
    async run({ SCRATCH: scratch, SIZE: size }, { host, signal }) {
      await (await storage()).expandScratch(scratch, size, { host, signal });
      return { text: `expanded ${scratch} to ${shown(size)}`, json: { scratch, size } };
    },
  },
  info: {
    takes: ["DISK"],
    populate: (machine, { DISK }) => addDisk(machine, DISK),
    async run({ DISK: path }, { host, signal }) {
      const { isDiskInUse, openDisk } = await storage();
      const inUse = isDiskInUse(path, { host });
      await using disk = await openDisk(path, { host, signal });
      const { size, fileSize, blockSize, sectorSize, parent } = disk.info();
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

function plan({ values, positionals }: Arguments): Job {
  const [name = "", ...args] = positionals;
  const action = Object.hasOwn(ACTIONS, name) ? ACTIONS[name]! : undefined;
  if (action === undefined) {
    const given = name === "" ? "" : `, not ${name}`;
    throw new UsageError(`vhd needs a command${given}: ${Object.keys(ACTIONS).join(", ")}`);
  }
  const { takes, doing } = action;
  if (args.length !== takes.length) {
    const wanted = takes.length === 1 ? "one argument" : "two arguments";
    throw new UsageError(`vhd ${name} takes ${wanted}, ${takes.join(" and ")}, not ${args.length}`);
  }
  const { simulate, "block-size": blocks } = values;
  const operands = Object.fromEntries(
    takes.map((word, i) => [word, word === "SIZE" ? bytesIn(args[i]!) : windowsPath(args[i]!, word)]),
  ) as unknown as Operands;
  const blockSize = blocks === undefined ? undefined : bytesIn(blocks);
  const [first] = takes;
  return {
    async run(signal) {
      const call = (host: Host) => action.run(operands, { host, signal, blockSize });
      const populate = (machine: SimulatedHost) => action.populate(machine, operands);
      const host = await openHost({ command: "vhd", simulate, call, populate });
      using _ = doing === undefined ? undefined : progress(`${doing} ${args[0]}`);
      return await call(host);
    },
    words: { path: first!, parent: "PARENT", folder: "SCRATCH", size: "SIZE", blockSize: "--block-size" },
    ...((name === "attach" || name === "detach") && {
      undo: `${program("vhd")} detach ${shellArgument(operands.DISK)}`,
      mayHold: [{ kind: "attachedDisk", path: operands.DISK }] as const,
    }),
  };
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

if (import.meta.main) await main({ help, options: { ...HOST_OPTIONS, "block-size": "string" }, plan });
