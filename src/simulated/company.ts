/**
 * What else runs on the machine and is in the way at times: scanners that open new and changed files, and a system that
 * lets go of disks and names late.
 *
 * @module
 */

import { requireOptions } from "./known_names.ts";
import { addOpening, bitsOf, EVERY_USE, type FileUse, isOpenable, USES } from "./open_files.ts";
import { SimulationError } from "./simulation_error.ts";
import { keyOf, type Windows } from "./windows.ts";

/**
 * What else runs on a {@linkcode SimulatedHost}. Nothing of it does by default. Times are in milliseconds of the host's
 * clock; with `Infinity` it never ends.
 *
 * @category Simulation
 */
export interface CompanyOptions {
  /** A virus scanner, an indexer or a backup, which opens each new or changed file as soon as it can. */
  scanner?: ScannerOptions;
  /**
   * For how long Windows has the file of a disk open after the call that detached the disk has returned. It was seen to be
   * up to seconds: WSL tries for 5 s to open a disk that was just detached (`src/windows/common/disk.cpp`).
   */
  diskReleaseDelay?: number;
  /**
   * For how long the name of a file or folder is still taken after the call that deleted it has returned, because somebody
   * has it open who lets others delete it ("delete pending"). Whoever opens it meanwhile gets `ERROR_ACCESS_DENIED`.
   */
  deletePendingFor?: number;
}

/**
 * A scanner.
 *
 * @category Simulation
 */
export interface ScannerOptions {
  /** For how long it has each file open. */
  holds: number;
  /** What it lets others do meanwhile. Default: everything, as scanners are meant to. */
  share?: readonly FileUse[];
  /** Opens only files whose paths end so, regardless of case. Default: all. */
  files?: string;
}

/** {@linkcode CompanyOptions} in the state of a machine, which has to survive JSON. */
export interface Company {
  readonly scanner?: { readonly holds: number; readonly share: number; readonly files: string };
  readonly diskReleaseDelay?: number;
  readonly deletePendingFor?: number;
}

/** Returns the company that the options describe. */
export function companyOf(options: CompanyOptions): Company {
  requireOptions(options, { scanner: true, diskReleaseDelay: true, deletePendingFor: true }, "company");
  const { scanner, diskReleaseDelay, deletePendingFor } = options;
  if (scanner !== undefined) requireOptions(scanner, { holds: true, share: true, files: true }, "scanner");
  return {
    ...(scanner && {
      scanner: {
        holds: duration(scanner.holds, "scanner.holds"),
        share: scanner.share === undefined ? EVERY_USE : bitsOf(scanner.share),
        files: scanner.files?.toLowerCase() ?? "",
      },
    }),
    ...(diskReleaseDelay !== undefined && { diskReleaseDelay: duration(diskReleaseDelay, "diskReleaseDelay") }),
    ...(deletePendingFor !== undefined && { deletePendingFor: duration(deletePendingFor, "deletePendingFor") }),
  };
}

/** Checks a duration, and returns it in a form that survives JSON. */
export function duration(ms: number, name: string): number {
  if (!(ms >= 0)) throw new SimulationError(`${name} is no number of milliseconds: ${ms}`);
  return Math.min(ms, Number.MAX_VALUE);
}

/** Lets the scanner open a file that is new or was changed, or, if it can't yet, wait for it. */
export function scan(windows: Windows, path: string): void {
  const { scanner } = windows.state.company;
  const node = windows.state.nodes[keyOf(path)];
  if (
    scanner === undefined || node === undefined || node.type === "folder" ||
    !node.path.toLowerCase().endsWith(scanner.files)
  ) return;
  const opening = { access: USES.read, share: scanner.share };
  node.isUnscanned = !isOpenable(windows, node, opening);
  if (!node.isUnscanned) addOpening(windows, node, { ...opening, until: windows.now + scanner.holds });
}
