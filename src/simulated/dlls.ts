/**
 * The simulated functions, by DLL and by name.
 *
 * @module
 */

import { advapi32 } from "../ffi/advapi32.ts";
import { backup } from "../ffi/backup.ts";
import { cimfs } from "../ffi/cimfs.ts";
import { cimfsWriter } from "../ffi/cim_writer.ts";
import { computestorage } from "../ffi/computestorage.ts";
import { kernel32 } from "../ffi/kernel32.ts";
import { naming } from "../ffi/naming.ts";
import { fileChange, ntFiles } from "../ffi/nt_files.ts";
import { ntdll } from "../ffi/ntdll.ts";
import { offreg } from "../ffi/offreg.ts";
import { ole32 } from "../ffi/ole32.ts";
import type { Dll } from "../ffi/table.ts";
import { virtdisk } from "../ffi/virtdisk.ts";
import { vmcompute } from "../ffi/vmcompute.ts";
import { vmcomputeHcs } from "../ffi/vmcompute_hcs.ts";
import { ws2 } from "../ffi/ws2_32.ts";
import { advapi32Functions } from "./advapi32.ts";
import { REQUESTS } from "./bridge_guest.ts";
import { define, HRESULT, type SimulatedDll, type SimulatedFunction, since } from "./call.ts";
import { backupFunctions } from "./backup.ts";
import { cimfsFunctions } from "./cimfs.ts";
import { cimWriterFunctions } from "./cim_writer.ts";
import { computestorageFunctions } from "./computestorage.ts";
import { hcsFunctions } from "./hcs.ts";
import { kernel32Functions } from "./kernel32.ts";
import { fileChangeFunctions, ntFilesFunctions } from "./nt_files.ts";
import { offregFunctions } from "./offreg.ts";
import { overlayFunctions } from "./overlay.ts";
import { ntdllFunctions, ole32Functions } from "./system.ts";
import { virtdiskFunctions } from "./virtdisk.ts";
import { vmcomputeFunctions } from "./vmcompute.ts";
import { ws2Functions } from "./ws2_32.ts";

/** The functions of each DLL. */
export const DLLS: ReadonlyMap<Dll, SimulatedDll> = new Map([
  [advapi32, advapi32Functions],
  [kernel32, kernel32Functions],
  [naming, kernel32Functions],
  [backup, backupFunctions],
  [fileChange, fileChangeFunctions],
  [ntFiles, ntFilesFunctions],
  [ntdll, ntdllFunctions],
  [offreg, offregFunctions],
  [ole32, ole32Functions],
  [vmcompute, vmcomputeFunctions],
  [vmcomputeHcs, hcsFunctions],
  [ws2, ws2Functions],
  [cimfs, cimfsFunctions],
  [cimfsWriter, cimWriterFunctions],
  [computestorage, { ...computestorageFunctions, ...since(20348, overlayFunctions) }],
  [virtdisk, virtdiskFunctions],
] as [Dll, SimulatedDll][]);

/** What a guest is asked for, which can fail, and take time, as a function of Windows can. */
export const IN_GUEST: SimulatedFunction = define(HRESULT, {}, () => {});
const GUEST_REQUESTS = Object.values(REQUESTS).map((name) => `guest:${name}`);

/** All functions by name. */
export const FUNCTIONS: ReadonlyMap<string, SimulatedFunction> = new Map([
  ...[...DLLS.values()].flatMap((functions) => Object.entries(functions)),
  ...GUEST_REQUESTS.map((name): [string, SimulatedFunction] => [name, IN_GUEST]),
]);

/** The names of those that can take time. */
export const SLOW: readonly string[] = [
  ...[...DLLS.keys()].flatMap(({ symbols }) =>
    Object.entries(symbols).filter(([, { nonblocking }]) => nonblocking === true).map(([name]) => name)
  ),
  ...GUEST_REQUESTS,
];
