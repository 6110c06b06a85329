/**
 * Folders of the host that a Windows VM sees, over VSMB.
 *
 * A share has the life of a device (see `device.ts`), with one request to attach it and one to remove it. It gets a new name
 * each time it is attached, `s1`, `s2` and so on in hexadecimal, because a guest may remember names. A folder is shared
 * once, even if it is named by different paths.
 *
 * A share whose files may be mapped into the VM's memory stays until the VM ends, and is used again: the guest may have its
 * files open after the containers have ended.
 *
 * @module
 */

import type { HostFile } from "../../checks/host_file.ts";
import { NativeError } from "../../errors/windows_errors.ts";
import type { Host } from "../../ffi/host.ts";
import { fileFlag, fileId, openFile } from "../../ffi/kernel32.ts";
import { addShare, removeShare, type VirtualSmbShareOptions } from "../../hcsschema/requests.ts";
import type { HoldOf } from "../../holds/hold.ts";
import { mapsByFileIdOnly } from "../../session/builds.ts";
import { noteVMFile } from "../../session/vm_files.ts";
import { removalFrom } from "../removal.ts";
import type { RunningVM } from "../running_vm.ts";
import { type Device, DeviceRegistry, type DeviceUse } from "./device.ts";

/** A folder that a VM sees, read-only. */
export type VSMBShare = Device<HoldOf<"vsmbShare">>;

/** Options of {@linkcode VSMBShares}. */
export interface VSMBOptions {
  /** Whether files are never mapped into the VM's memory, as in a VM whose memory is physically backed. */
  readonly noDirectMap: boolean;
}

const GUEST_PREFIX = "\\\\?\\VMSMB\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\\";

// The options with which the Windows container tools share layers.
const LAYER_OPTIONS: VirtualSmbShareOptions = {
  ReadOnly: true,
  ShareRead: true,
  CacheIo: true,
  TakeBackupPrivilege: true,
  PseudoOplocks: true,
};

/** The shares of a VM. */
export class VSMBShares {
  readonly #vm: RunningVM;
  readonly #noDirectMap: boolean;
  readonly #shares = new DeviceRegistry<VSMBShare>();
  #names = 0;

  /** Starts with no shares. */
  constructor(vm: RunningVM, options: VSMBOptions) {
    this.#vm = vm;
    this.#noDirectMap = options.noDirectMap;
  }

  /**
   * Reserves the share of a folder.
   *
   * @throws {NativeError} if the folder can't be opened.
   */
  reserve(folder: HostFile): DeviceUse<VSMBShare> {
    return this.#shares.reserve(folder.key, () => {
      const direct = !this.#noDirectMap && canMapFiles(this.#vm.host, folder.path);
      return this.#share(folder, { ...LAYER_OPTIONS, ...(!direct && { NoDirectmap: true }) });
    });
  }

  /** Returns the share of a folder, or undefined if no container uses it. */
  find(folder: HostFile): VSMBShare | undefined {
    return this.#shares.find(folder.key);
  }

  #share(folder: HostFile, options: VirtualSmbShareOptions): VSMBShare {
    const vm = this.#vm;
    const hostPath = folder.path;
    const forget = noteVMFile(vm.host, folder, vm);
    let name = "";
    return {
      get hold() {
        return { kind: "vsmbShare", vm: vm.id, hostPath, name, guestPath: GUEST_PREFIX + name } as const;
      },
      attach: () => {
        name = `s${(++this.#names).toString(16)}`;
        return vm.modify(addShare({ Name: name, Path: hostPath, Options: options }));
      },
      ...removalFrom(vm, { requests: [() => removeShare(name)] }),
      free: forget,
      stays: options.NoDirectmap !== true,
    };
  }
}

function canMapFiles(host: Host, path: string): boolean {
  if (!mapsByFileIdOnly(host)) return true;
  using folder = openFile(host, path, { flags: fileFlag.BACKUP_SEMANTICS });
  try {
    fileId(host, folder.value, path);
    return true;
  } catch (error) {
    if (error instanceof NativeError) return false;
    throw error;
  }
}
