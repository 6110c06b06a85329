/**
 * Folders of the host that a Windows VM sees, over VSMB.
 *
 * A share lives as any device does (see `device.ts`); in the VM it takes one request to add and one to remove. Its name
 * is new each time that it is added, `s1`, `s2` and so on in hexadecimal, as a guest may remember a name. The same folder
 * is one share, however its path is written.
 *
 * @module
 */

import { NativeError } from "../../errors/windows_errors.ts";
import type { Host } from "../../ffi/host.ts";
import { fileFlag, openFile, probeFileId } from "../../ffi/kernel32.ts";
import { buildNumber } from "../../ffi/ntdll.ts";
import { addShare, removeShare, type VirtualSmbShareOptions } from "../../hcsschema/requests.ts";
import { type Device, DeviceRegistry, type DeviceUse } from "./device.ts";
import type { HostFile } from "../../checks/host_file.ts";
import { type Modifier, takeAway } from "../running_vm.ts";

/** A folder that a VM sees, read-only. */
export interface VSMBShare extends Device {
  /** The folder on the host. */
  readonly hostPath: string;
  /** Name of the share; empty until it is added. */
  readonly name: string;
  /** Where the guest finds it. */
  readonly guestPath: string;
}

/** Options of {@linkcode VSMBShares}. */
export interface VSMBOptions {
  /** Whether files are never mapped into the VM's memory, as in a VM whose memory is physically backed. */
  readonly noDirectMap: boolean;
}

const GUEST_PREFIX = "\\\\?\\VMSMB\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\\";

// As the tools for Windows containers share a layer.
const LAYER_OPTIONS: VirtualSmbShareOptions = {
  ReadOnly: true,
  ShareRead: true,
  CacheIo: true,
  TakeBackupPrivilege: true,
  PseudoOplocks: true,
};

/** The shares of a VM. */
export class VSMBShares {
  readonly #vm: Modifier;
  readonly #noDirectMap: boolean;
  readonly #shares = new DeviceRegistry<Share>();
  #names = 0;

  /** No shares. */
  constructor(vm: Modifier, options: VSMBOptions) {
    this.#vm = vm;
    this.#noDirectMap = options.noDirectMap;
  }

  /**
   * A use of the share of a folder; the folder is shared once `ready()` is called.
   *
   * @throws {NativeError} if the folder can't be opened.
   */
  place(folder: HostFile): DeviceUse<VSMBShare> {
    return this.#shares.place(folder.key, () => {
      const direct = !this.#noDirectMap && !needsNoDirectMap(this.#vm.host, folder.path);
      const options = { ...LAYER_OPTIONS, ...(!direct && { NoDirectmap: true }) };
      return new Share(this.#vm, folder.path, options, () => `s${(++this.#names).toString(16)}`);
    });
  }

  /** The share of a folder, `undefined` where it isn't shared. */
  find(folder: HostFile): VSMBShare | undefined {
    return this.#shares.find(folder.key);
  }
}

class Share implements VSMBShare {
  name = "";

  constructor(
    readonly vm: Modifier,
    readonly hostPath: string,
    readonly options: VirtualSmbShareOptions,
    readonly newName: () => string,
  ) {}

  get guestPath(): string {
    return GUEST_PREFIX + this.name;
  }

  async add(): Promise<void> {
    this.name = this.newName();
    await this.vm.modify(addShare({ Name: this.name, Path: this.hostPath, Options: this.options }));
  }

  readonly removal = [() => takeAway(this.vm, removeShare(this.name))];

  free(): void {}
}

const FIRST_WITHOUT = 18362;
const LAST_WITHOUT = 19042;

// These builds can't map files of a file system that has no 128-bit file ids.
function needsNoDirectMap(host: Host, path: string): boolean {
  const build = buildNumber(host);
  if (build < FIRST_WITHOUT || build > LAST_WITHOUT) return false;
  using folder = openFile(host, path, { flags: fileFlag.BACKUP_SEMANTICS });
  try {
    probeFileId(host, folder.value, path);
    return false;
  } catch (error) {
    if (error instanceof NativeError) return true;
    throw error;
  }
}
