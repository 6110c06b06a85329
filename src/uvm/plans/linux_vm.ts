/**
 * The options of Linux utility VMs, and the documents made from them.
 *
 * @module
 */

import { join } from "jsr:@std/path@^1.1.0/windows";
import { boolean, text, wholeNumber } from "../../checks/arguments.ts";
import { kindOf, requireKind } from "../../checks/existing.ts";
import { isVHDX, windowsPath } from "../../checks/windows_path.ts";
import { InvalidInputError } from "../../errors/input_error.ts";
import type { Host } from "../../ffi/host.ts";
import { vsockService } from "../../ffi/ws2_32.ts";
import { type Chipset, linuxVM, type VirtualPMemController } from "../../hcsschema/create.ts";
import type { VirtualPMemImageFormat } from "../../hcsschema/requests.ts";
import { type Check, type Checked, fieldsOf, oneOf, optional } from "../../options.ts";
import { buildOf, firstBuild, requireBuild } from "../../session/builds.ts";
import { MAXIMUM_CONTROLLERS } from "../devices/scsi.ts";
import { MAXIMUM_PMEM_DEVICES, PAGE_BYTES } from "../devices/vpmem.ts";
import { COMMON_OPTIONS, commonSettings, type CommonVMOptions, requireConsistent, type VMPlan } from "./vm_plan.ts";

/**
 * Options of a Linux VM.
 *
 * @category Layers in a VM
 */
export interface LinuxVMOptions extends CommonVMOptions {
  /** The operating system in it. */
  os: "linux";
  /** Absolute path of the folder with the kernel and the root file system. Default: `C:\Program Files\Linux Containers`. */
  bootFolder?: string;
  /** Whether the kernel is booted without firmware. Default: true on Windows build 18286 and later, which it needs. */
  kernelDirect?: boolean;
  /** File name of the kernel in the folder. Default: `vmlinux` if it exists and `kernelDirect` is true, otherwise `kernel`. */
  kernelFile?: string;
  /**
   * File name of the root file system in the folder: a disk (`.vhd`, `.vhdx`) or an initial RAM disk. Default:
   * `rootfs.vhd` if it exists, otherwise `initrd.img`; with `fullyPhysicallyBacked` the other way round. A disk uses vPMem
   * device 0, or the first SCSI slot if there is no vPMem or `fullyPhysicallyBacked` is set.
   */
  rootFile?: string;
  /** Additional options of the kernel. */
  kernelOptions?: string;
  /** Pipe of the host for the guest's console, such as `\\.\pipe\vm1`. Starts a shell there. */
  consolePipe?: string;
  /** Whether the VM has a screen and a keyboard. Starts a shell there. Default: false. */
  graphicsConsole?: boolean;
  /** Whether PCI devices can be passed to it. Default: false. */
  vpciEnabled?: boolean;
  /** The command that the guest runs. Default: `/bin/gcs -v4 -log-format json -loglevel info`. */
  command?: string;
  /** Whether the standard output of the command is written to the log. Default: false. */
  forwardStdout?: boolean;
  /** Whether its standard error, which is the log of the guest, is written to the log. Default: true. */
  forwardStderr?: boolean;
  /** Whether the guest's clock is not synchronized with the host's. Default: false. */
  disableTimeSync?: boolean;
  /** Whether the guest leaves possible secrets out of its log. Default: false. */
  scrubLogs?: boolean;
  /** Folder in the guest for dumps of crashed processes. */
  processDumpLocation?: string;
  /** Whether the guest may report pages that it doesn't use. Needs Windows build 18967. Default: false. */
  enableColdDiscardHint?: boolean;
  /** Number of SCSI controllers for 64 disks each, 0 to 4. Default: 1, or 4 if there is no vPMem. */
  scsiControllerCount?: number;
  /** Number of vPMem devices, 0 to 128. Default: 64. */
  vpmemDeviceCount?: number;
  /** Size of a vPMem device, and of the largest file on it, in bytes: a multiple of 4096. Default: 4 GiB. */
  vpmemSizeBytes?: number;
  /** Whether several files share a vPMem device. Default: true on Windows build 18362 and later, which it needs. */
  vpmemMultiMapping?: boolean;
  /** Whether the guest encrypts scratch disks, with new keys that it never stores. Default: false. */
  encryptScratch?: boolean;
}

const OPTIONS = {
  ...COMMON_OPTIONS,
  os: oneOf("linux"),
  bootFolder: optional(windowsPath),
  kernelDirect: optional(boolean),
  kernelFile: optional(text),
  rootFile: optional(text),
  kernelOptions: optional(text),
  consolePipe: optional(pipe),
  graphicsConsole: optional(boolean),
  vpciEnabled: optional(boolean),
  command: optional(text),
  forwardStdout: optional(boolean),
  forwardStderr: optional(boolean),
  disableTimeSync: optional(boolean),
  scrubLogs: optional(boolean),
  processDumpLocation: optional(text),
  enableColdDiscardHint: optional(boolean),
  scsiControllerCount: optional(wholeNumber(0, MAXIMUM_CONTROLLERS)),
  vpmemDeviceCount: optional(wholeNumber(0, MAXIMUM_PMEM_DEVICES)),
  vpmemSizeBytes: optional(wholePages),
  vpmemMultiMapping: optional(boolean),
  encryptScratch: optional(boolean),
} as const satisfies Record<keyof LinuxVMOptions, Check<unknown>>;

/** {@linkcode LinuxVMOptions} as the caller gave them, each checked. */
export type LinuxVMInput = Checked<typeof OPTIONS>;

function pipe(path: unknown, argument: string): string {
  if (typeof path !== "string" || !/^\\\\\.\\pipe\\[^\\]+$/i.test(path)) {
    throw new InvalidInputError(argument, "is not a pipe of the host (\\\\.\\pipe\\name)", path);
  }
  return path;
}

function wholePages(bytes: unknown, argument: string): number {
  const size = wholeNumber(PAGE_BYTES)(bytes, argument);
  if (size % PAGE_BYTES !== 0) throw new InvalidInputError(argument, `is not a multiple of ${PAGE_BYTES}`, size);
  return size;
}

const DEFAULT_BOOT_FOLDER = "C:\\Program Files\\Linux Containers";
const DEFAULT_COMMAND = "/bin/gcs -v4 -log-format json -loglevel info";
const DEFAULT_PMEM_DEVICES = 64;
const DEFAULT_PMEM_BYTES = 4 * 2 ** 30;
/** The vsock port from which the guest reads entropy. */
export const ENTROPY_PORT = 1;
/** The vsock port to which the guest writes its log. */
export const LOG_PORT = 109;
// The vsock port to which the guest connects to be asked for something.
const BRIDGE_PORT = 0x40000000;

/**
 * Checks the options of a Linux VM, without a look at the host.
 *
 * @throws {InvalidInputError} if an option is refused, or two contradict each other.
 */
export function linuxVMInput(options: unknown): LinuxVMInput {
  const input = fieldsOf(options, OPTIONS, "options");
  requireConsistent(input);
  return input;
}

/**
 * Plans a Linux VM.
 *
 * @throws {InvalidInputError} if a file isn't there, or the VM couldn't boot from it.
 * @throws {UnsupportedBuildError} if this Windows is too old for an option.
 */
export function planLinuxVM(host: Host, options: LinuxVMInput): VMPlan {
  const cold = options.enableColdDiscardHint ?? false;
  if (cold) requireBuild(host, "enableColdDiscardHint", "enableColdDiscardHint");
  const { settings, ...common } = commonSettings(options, host, () => ({ EnableColdDiscardHint: cold }));
  const devices = devicesOf(host, options);
  const boot = bootOf(host, options);
  const { consolePipe = "" } = options;
  const onPMem = boot.isDisk && devices.deviceCount > 0 && !common.physicallyBacked;
  const onScsi = boot.isDisk && !onPMem;
  if (onScsi && devices.controllers === 0) {
    throw new InvalidInputError("options.scsiControllerCount", "is 0, and the VM boots from a SCSI disk", 0);
  }
  const pmem: VirtualPMemController | undefined = devices.deviceCount === 0 ? undefined : {
    ...(onPMem && { Devices: { 0: { HostPath: boot.root, ReadOnly: true, ImageFormat: boot.format } } }),
    MaximumCount: devices.deviceCount,
    MaximumSizeBytes: devices.deviceSizeBytes,
  };
  const rootArguments = boot.isDisk
    ? `root=/dev/${onPMem ? "pmem0" : "sda"} ro rootwait init=/init`
    : boot.direct
    ? ""
    : `initrd=/${boot.rootFile}`;
  const command = commandOf(options);
  return {
    os: "linux",
    ...common,
    document(processors) {
      const kernelArguments = rootArguments + kernelArgumentsOf(options, consolePipe !== "", processors, command);
      return linuxVM({
        ...settings(processors),
        chipset: chipsetOf(boot, kernelArguments),
        scsiControllers: devices.controllers,
        bootDisk: onScsi ? boot.root : "",
        pmem,
        consolePipe,
        graphicsConsole: options.graphicsConsole ?? false,
      });
    },
    bootFiles: [boot.root],
    noDirectMap: false,
    scsi: {
      controllers: devices.controllers,
      own: onScsi ? [{ controller: 0, lun: 0, hostPath: boot.root }] : [],
    },
    vpmem: {
      deviceCount: devices.deviceCount,
      deviceSizeBytes: devices.deviceSizeBytes,
      multiMapping: devices.multiMapping,
      ...(onPMem && { bootPath: boot.root }),
    },
    encryptScratch: options.encryptScratch ?? false,
    sockets: {
      log: (options.forwardStdout ?? false) || (options.forwardStderr ?? true),
      ...(common.guestConnection === "direct" && { bridge: vsockService(BRIDGE_PORT) }),
    },
  };
}

interface LinuxDevices {
  readonly controllers: number;
  readonly deviceCount: number;
  readonly deviceSizeBytes: number;
  readonly multiMapping: boolean;
}

function devicesOf(host: Host, options: LinuxVMInput): LinuxDevices {
  const deviceCount = options.vpmemDeviceCount ?? DEFAULT_PMEM_DEVICES;
  if (options.vpmemMultiMapping) requireBuild(host, "vpmemMultiMapping", "vpmemMultiMapping");
  return {
    controllers: options.scsiControllerCount ?? (deviceCount === 0 ? MAXIMUM_CONTROLLERS : 1),
    deviceCount,
    deviceSizeBytes: options.vpmemSizeBytes ?? DEFAULT_PMEM_BYTES,
    multiMapping: options.vpmemMultiMapping ?? buildOf(host) >= firstBuild.vpmemMultiMapping,
  };
}

interface Boot {
  readonly folder: string;
  readonly direct: boolean;
  readonly kernelFile: string;
  readonly rootFile: string;
  /** Path of the root file system. */
  readonly root: string;
  readonly isDisk: boolean;
  readonly format: VirtualPMemImageFormat;
}

function bootOf(host: Host, options: LinuxVMInput): Boot {
  const folder = options.bootFolder ?? DEFAULT_BOOT_FOLDER;
  const direct = options.kernelDirect ?? buildOf(host) >= firstBuild.kernelDirect;
  if (direct) requireBuild(host, "kernelDirect", "kernelDirect");
  const has = (file: string) => kindOf(host, join(folder, file)) === "file";
  const defaultKernel = direct && has("vmlinux") ? "vmlinux" : "kernel";
  // A file on persistent memory would be mapped into the VM.
  const roots = ["rootfs.vhd", "initrd.img"];
  if (options.fullyPhysicallyBacked) roots.reverse();
  const defaultRoot = roots.find(has) ?? "initrd.img";
  const { kernelFile = defaultKernel, rootFile = defaultRoot } = options;
  const root = join(folder, rootFile);
  requireKind(host, join(folder, kernelFile), "options.bootFolder", "file");
  requireKind(host, root, "options.bootFolder", "file");
  return {
    folder,
    direct,
    kernelFile,
    rootFile,
    root,
    isDisk: /\.vhdx?$/i.test(rootFile),
    format: isVHDX(rootFile) ? "Vhdx" : "Vhd1",
  };
}

function commandOf(options: LinuxVMInput): string {
  const dumps = options.processDumpLocation;
  return [
    "/bin/vsockexec",
    options.forwardStdout && `-o ${LOG_PORT}`,
    (options.forwardStderr ?? true) && `-e ${LOG_PORT}`,
    options.command ?? DEFAULT_COMMAND,
    options.disableTimeSync && "-disable-time-sync",
    options.scrubLogs && "-scrub-logs",
    dumps !== undefined && `-core-dump-location ${dumps}`,
  ].filter(Boolean).join(" ");
}

function kernelArgumentsOf(options: LinuxVMInput, console: boolean, processors: number, command: string): string {
  const graphics = options.graphicsConsole ?? false;
  const debugging = console || graphics;
  const init = debugging ? `sh -c "${command} & exec sh"` : command;
  return [
    console ? " 8250_core.nr_uarts=1 8250_core.skip_txen_test=1 console=ttyS0,115200" : " 8250_core.nr_uarts=0",
    graphics && " console=tty",
    // A panic ends the VM, unless it has a console on which somebody can read the message.
    !debugging && " panic=-1 quiet",
    options.kernelOptions !== undefined && ` ${options.kernelOptions}`,
    !options.vpciEnabled && " pci=off",
    ` nr_cpus=${processors} brd.rd_nr=0 pmtmr=0 -- -e ${ENTROPY_PORT} ${init}`,
  ].filter(Boolean).join("");
}

function chipsetOf(boot: Boot, kernelArguments: string): Chipset {
  if (!boot.direct) {
    return {
      Uefi: {
        BootThis: {
          DeviceType: "VmbFs",
          DevicePath: `\\${boot.kernelFile}`,
          OptionalData: kernelArguments,
          VmbFsRootPath: boot.folder,
        },
      },
    };
  }
  return {
    LinuxKernelDirect: {
      KernelFilePath: join(boot.folder, boot.kernelFile),
      ...(!boot.isDisk && { InitRdPath: boot.root }),
      KernelCmdLine: kernelArguments,
    },
  };
}
