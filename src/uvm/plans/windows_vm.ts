/**
 * The options of Windows utility VMs, and the documents made from them.
 *
 * @module
 */

import { join } from "jsr:@std/path@^1.1.0/windows";
import { boolean, documentOf, string, text, wholeNumber } from "../../checks/arguments.ts";
import { kindOf, requireKind } from "../../checks/existing.ts";
import { diskOf, shortPath, templateOf, utilityVMOf, windowsPath } from "../../checks/windows_path.ts";
import { InvalidInputError } from "../../errors/input_error.ts";
import type { Host } from "../../ffi/host.ts";
import { type DebugOptions, type RegistryKey, type RegistryValue, windowsVM } from "../../hcsschema/create.ts";
import { type Check, type Checked, fieldsOf, hasKind, itemsOf, oneOf, optional } from "../../options.ts";
import { COMMON_OPTIONS, commonSettings, type CommonVMOptions, requireConsistent, type VMPlan } from "./vm_plan.ts";

/**
 * The layers of a container that a Windows VM boots from: what `parseWCOWLayers` returns for plain folders.
 *
 * @category Layers in a VM
 */
export interface BootLayers {
  /** Plain folders; no others can be booted. */
  readonly kind: "folders";
  /** Folders of the read-only layers, the topmost first. The VM boots from the first one with a folder `UtilityVM`. */
  readonly layers: readonly string[];
  /** Folder of the container's scratch. The disk that the guest writes to is in its folder `vm`, which is created if missing. */
  readonly scratch: string;
}

/**
 * Options of a Windows VM.
 *
 * @category Layers in a VM
 */
export interface WindowsVMOptions extends CommonVMOptions {
  /** The operating system in it. */
  os: "windows";
  /**
   * Absolute paths of the folders of the image to boot: the read-only layers, the topmost first, then the folder for the
   * disk that the guest writes to. The VM boots from the first layer with a folder `UtilityVM`. If the disk,
   * `sandbox.vhdx`, is missing, it is copied from the template in that layer. It stays when the VM is closed. Or the layers of the
   * container that the VM is for.
   */
  layerFolders: readonly string[] | BootLayers;
  /** Whether folders of the host are never mapped into the guest's memory. Default: false. */
  noDirectMap?: boolean;
  /** Whether containers see the network compartments of the whole VM. Default: false. */
  disableCompartmentNamespace?: boolean;
  /** Folder in containers for dumps of crashed processes. Turns off the guest's own error reporting. */
  processDumpLocation?: string;
  /** Folder of the host for the state of a crashed guest. All VMs must be allowed to write to it. */
  dumpFolder?: string;
  /** Additional values for the guest's registry. */
  registryValues?: readonly RegistryValue[];
}

const registryValue = documentOf<RegistryValue>({
  Key: documentOf<RegistryKey>({
    Hive: oneOf("System", "Software", "Security", "Sam"),
    Name: text,
    Volatile: optional(boolean),
  }),
  Name: string,
  Type: oneOf("None", "String", "ExpandedString", "MultiString", "Binary", "DWord", "QWord", "CustomType"),
  StringValue: optional(string),
  BinaryValue: optional(string),
  DWordValue: optional(wholeNumber(0, 2 ** 32 - 1)),
  QWordValue: optional(wholeNumber()),
  CustomType: optional(wholeNumber()),
});

// The service to which the guest connects to be asked for something.
const BRIDGE_SERVICE = "acef5661-84a1-4e44-856b-6245e69f4620";

const OPTIONS = {
  ...COMMON_OPTIONS,
  os: oneOf("windows"),
  layerFolders: bootFolders,
  noDirectMap: optional(boolean),
  disableCompartmentNamespace: optional(boolean),
  processDumpLocation: optional(text),
  dumpFolder: optional(windowsPath),
  registryValues: optional((values: unknown, argument: string) => itemsOf(values, argument, registryValue)),
} as const satisfies Record<keyof WindowsVMOptions, Check<unknown>>;

/** Where a VM boots from. */
interface BootFolders {
  /** The folders of which one has the utility VM. */
  readonly images: readonly string[];
  /** The folder that has to be there for the disk, and what names it. */
  readonly scratch: string;
  readonly argument: string;
  /** The folder of the disk. */
  readonly disk: string;
}

function bootFolders(folders: unknown, argument: string): BootFolders {
  if (hasKind(folders)) {
    const { layers, scratch } = fieldsOf(folders, {
      kind: oneOf("folders"),
      layers: (value: unknown, argument: string) =>
        itemsOf(value, argument, windowsPath, { least: 1, problem: "names no layer" }),
      scratch: windowsPath,
    }, argument);
    return { images: layers, scratch, ...diskIn(join(scratch, "vm"), `${argument}.scratch`) };
  }
  const images = itemsOf(folders, argument, windowsPath, {
    least: 2,
    problem: "needs at least two folders: one of the image, and one for the disk",
  });
  const scratch = images.at(-1)!;
  return { images, scratch, ...diskIn(scratch, `${argument}[${images.length - 1}]`) };
}

function diskIn(folder: string, argument: string): Pick<BootFolders, "disk" | "argument"> {
  // GrantVmAccess takes no longer one.
  shortPath(diskOf(folder), argument);
  return { disk: folder, argument };
}

/** {@linkcode WindowsVMOptions} as the caller gave them, each checked. */
export type WindowsVMInput = Checked<typeof OPTIONS>;

/**
 * Checks the options of a Windows VM, without a look at the host.
 *
 * @throws {InvalidInputError} if an option is refused, or two contradict each other.
 */
export function windowsVMInput(options: unknown): WindowsVMInput {
  const input = fieldsOf(options, OPTIONS, "options");
  requireConsistent(input);
  return input;
}

/**
 * Plans a Windows VM.
 *
 * @throws {InvalidInputError} if a file or folder isn't there.
 * @throws {UnsupportedBuildError} if this Windows is too old for an option.
 */
export function planWindowsVM(host: Host, options: WindowsVMInput): VMPlan {
  const { images, scratch, argument, disk } = options.layerFolders;
  const { settings, ...common } = commonSettings(options, host, (overcommit) => ({ EnableHotHint: overcommit }));
  const values = registryOf(options);
  const noDirectMap = common.physicallyBacked || (options.noDirectMap ?? false);
  requireKind(host, scratch, argument, "folder");
  const hasFolder = kindOf(host, disk) !== undefined;
  if (hasFolder) requireKind(host, disk, argument, "folder");
  const image = images.find((folder) => kindOf(host, utilityVMOf(folder)) === "folder");
  if (image === undefined) {
    throw new InvalidInputError(
      "options.layerFolders",
      "has no folder with a utility VM in it (UtilityVM)",
      images,
    );
  }
  const files = join(utilityVMOf(image), "Files");
  const template = templateOf(image);
  const path = diskOf(disk);
  requireKind(host, files, "options.layerFolders", "folder");
  if (kindOf(host, path) === undefined) requireKind(host, template, "options.layerFolders", "file");
  const debug = debugOf(host, options.dumpFolder, common.id);
  return {
    os: "windows",
    ...common,
    document: (processors) =>
      windowsVM({
        ...settings(processors),
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
        registryValues: values,
        debug,
      }),
    bootFiles: [files, path],
    noDirectMap,
    scsi: { controllers: 1, own: [{ controller: 0, lun: 0, hostPath: path }] },
    vpmem: { deviceCount: 0, deviceSizeBytes: 0, multiMapping: false },
    encryptScratch: false,
    scratch: { path, template, ...(!hasFolder && { folder: disk }) },
    ...(common.guestConnection === "direct" && { sockets: { entropy: false, log: false, bridge: BRIDGE_SERVICE } }),
  };
}

function registryOf(options: WindowsVMInput): RegistryValue[] {
  const values: RegistryValue[] = [];
  if (options.processDumpLocation !== undefined) {
    // Without a running reporting service, dumps of some exceptions are lost. It runs, but is set to report nothing.
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

function debugOf(host: Host, folder: string | undefined, id: string): DebugOptions {
  if (folder === undefined) return {};
  requireKind(host, folder, "options.dumpFolder", "folder");
  return {
    BugcheckSavedStateFileName: join(folder, `${id}-savedstate.vmrs`),
    BugcheckNoCrashdumpSavedStateFileName: join(folder, `${id}-savedstate_nocrashdump.vmrs`),
  };
}
