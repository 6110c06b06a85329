/**
 * Windows utility VMs: what they are made of.
 *
 * @module
 */

import { join } from "jsr:@std/path@^1.1.0/windows";
import { InvalidInputError } from "../../errors/windows_errors.ts";
import type { Host } from "../../ffi/host.ts";
import { type DebugOptions, type RegistryValue, windowsVM } from "../../hcsschema/create.ts";
import { hostPath, kindOf, requireKind, text } from "../../checks/arguments.ts";
import { commonSettings, type CommonVMOptions, type VMPlan } from "./vm_plan.ts";

/** Options of a Windows VM. */
export interface WindowsVMOptions extends CommonVMOptions {
  /** The system in it. */
  os: "windows";
  /**
   * Absolute paths of the folders of the image that it boots: read-only ones from the topmost to the base, of which the
   * first one with a folder `UtilityVM` is booted, and last the folder for the disk that the guest writes to. The disk,
   * `sandbox.vhdx`, is made of the image's template where it is missing, and stays when the VM is closed.
   */
  layerFolders: readonly string[];
  /** Whether folders of the host are never mapped into the guest's memory. Default: false. */
  noDirectMap?: boolean;
  /** Whether containers see the network compartments of the whole VM. Default: false. */
  disableCompartmentNamespace?: boolean;
  /** Folder in containers for dumps of crashed processes. Turns the guest's own error reporting off. */
  processDumpLocation?: string;
  /** Folder of the host for states of a crashed guest. All VMs must be allowed to write to it. */
  dumpFolder?: string;
  /** Further values of the guest's registry. */
  registryValues?: readonly RegistryValue[];
}

const SCRATCH_DISK = "sandbox.vhdx";

/**
 * Plans a Windows VM.
 *
 * @throws {InvalidInputError} if an option is refused.
 */
export function planWindowsVM(host: Host, options: WindowsVMOptions, build: number): VMPlan {
  const { layerFolders } = options;
  if (!Array.isArray(layerFolders) || layerFolders.length < 2) {
    throw new InvalidInputError(
      "options.layerFolders",
      "needs at least two folders, an image's and one for the disk",
      layerFolders,
    );
  }
  const folders = layerFolders.map((folder, i) => hostPath(folder, `options.layerFolders[${i}]`));
  const common = commonSettings(options, build, (overcommit) => ({ EnableHotHint: overcommit }));
  const registryValues = registryOf(options);
  const noDirectMap = common.physicallyBacked || (options.noDirectMap ?? false);
  const scratchFolder = folders.at(-1)!;
  requireKind(host, scratchFolder, `options.layerFolders[${folders.length - 1}]`, "folder");
  const image = folders.find((folder) => kindOf(host, join(folder, "UtilityVM")) === "folder");
  if (image === undefined) {
    throw new InvalidInputError(
      "options.layerFolders",
      "has no folder with a utility VM in it (UtilityVM)",
      layerFolders,
    );
  }
  const files = join(image, "UtilityVM", "Files");
  const template = join(image, "UtilityVM", "SystemTemplate.vhdx");
  const path = join(scratchFolder, SCRATCH_DISK);
  requireKind(host, files, "options.layerFolders", "folder");
  if (kindOf(host, path) === undefined) requireKind(host, template, "options.layerFolders", "file");
  const debug = debugOf(host, options.dumpFolder, common.id);
  return {
    os: "windows",
    id: common.id,
    processorCount: common.processorCount,
    document: (processors) =>
      windowsVM({
        ...common.settings(processors),
        osShare: {
          Name: "os",
          Path: files,
          Options: {
            ReadOnly: true,
            ShareRead: true,
            CacheIo: true,
            TakeBackupPrivilege: true,
            ...(noDirectMap && { NoDirectmap: true }),
            PseudoOplocks: true,
          },
        },
        scratchPath: path,
        registryValues,
        debug,
      }),
    physicallyBacked: common.physicallyBacked,
    noDirectMap,
    scsi: { controllers: 1, own: [{ controller: 0, lun: 0, hostPath: path }] },
    vpmem: { deviceCount: 0, deviceSizeBytes: 0, multiMapping: false },
    encryptScratch: false,
    scratch: { path, template },
  };
}

function registryOf(options: WindowsVMOptions): RegistryValue[] {
  const values: RegistryValue[] = [];
  if (options.processDumpLocation !== undefined) {
    text(options.processDumpLocation, "options.processDumpLocation", "");
    // The reporting service runs from the start, as dumps of some exceptions are lost else, and reports nothing.
    values.push(
      dword("System", "ControlSet001\\Services\\WerSvc", "Start", 2),
      dword("Software", "Microsoft\\Windows\\Windows Error Reporting", "Disabled", 1),
    );
  }
  if (!options.disableCompartmentNamespace) {
    values.push(dword("System", "CurrentControlSet\\Services\\gns", "EnableCompartmentNamespace", 1));
  }
  return [...values, ...options.registryValues ?? []];
}

function dword(hive: "System" | "Software", key: string, name: string, value: number): RegistryValue {
  return { Key: { Hive: hive, Name: key }, Name: name, Type: "DWord", DWordValue: value };
}

function debugOf(host: Host, dumpFolder: string | undefined, id: string): DebugOptions {
  if (dumpFolder === undefined) return {};
  const folder = hostPath(dumpFolder, "options.dumpFolder");
  requireKind(host, folder, "options.dumpFolder", "folder");
  return {
    BugcheckSavedStateFileName: join(folder, `${id}-savedstate.vmrs`),
    BugcheckNoCrashdumpSavedStateFileName: join(folder, `${id}-savedstate_nocrashdump.vmrs`),
  };
}
