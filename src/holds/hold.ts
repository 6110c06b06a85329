/**
 * The central idea of the library. Everything that is acquired from Windows is a hold: a record of what is held and where,
 * with the way to release it. A mount is a list of holds.
 *
 * @module
 */

/**
 * A record of what is held of Windows, and where. It is plain data, so it survives `JSON.stringify`.
 *
 * - Most holds on the host outlive the process, and another process can release them from their records, as
 *   `unmountWCOWLayers` does.
 * - `openDisk` and `openImage` end with the process.
 * - `newFile`, `newDisk`, `newLayer`, `transportFolder`, `baseOSLayer` and `vmScratch` stand for something that a function created. They are released only
 *   if the function fails.
 * - `computeSystem`, and holds with a `vm`, end with the VM. Only the process that created the VM can release them. A
 *   `vmAccess`, however, outlives the VM, because it is in the file's access list.
 *
 * @category What a mount returns
 */
export type Hold =
  | {
    /** The disk of a scratch layer, attached to the host by `ActivateLayer`. */
    readonly kind: "activation";
    /** Folder of the scratch layer. */
    readonly scratch: string;
  }
  | {
    /** The WCIFS filter, attached to a scratch volume by `PrepareLayer`. */
    readonly kind: "filter";
    /** Folder of the scratch layer. */
    readonly scratch: string;
    /** Folders of the read-only layers, topmost first. Empty if another process attached the filter. */
    readonly layers: readonly string[];
  }
  | {
    /** A CIM image of a container's layers, mounted by `CimMountImage`. */
    readonly kind: "cimVolume";
    /** The volume, `\\?\Volume{guid}\`. */
    readonly volume: string;
    /** Folder of the scratch layer. */
    readonly scratch: string;
    /** Path of the image, if it is known. */
    readonly image?: string;
  }
  | {
    /** A CIM image, mounted by `mountCimImage`. */
    readonly kind: "cimImage";
    /** The volume, `\\?\Volume{guid}\`. */
    readonly volume: string;
    /** Path of the image. */
    readonly image: string;
  }
  | {
    /** The UnionFS filter, attached to a scratch volume by `HcsAttachOverlayFilter`. */
    readonly kind: "overlay";
    /** Folder of the scratch layer. */
    readonly scratch: string;
    /** Volume of the scratch, if it is known. */
    readonly volume?: string;
    /** Folder of the topmost read-only layer, if it is known. */
    readonly layer?: string;
    /** Volume of the image that is shown, if it is known. */
    readonly image?: string;
  }
  | {
    /** A folder for a mount point or a scratch, with the parents that were missing. */
    readonly kind: "folder";
    /** Path of the folder. */
    readonly folder: string;
    /**
     * The folders that were created for it, the innermost first. If undefined, as in another process, marks on the folders
     * tell which ones this library created.
     */
    readonly created?: readonly string[];
  }
  | {
    /** A volume mounted at a folder by `SetVolumeMountPointW`. */
    readonly kind: "mountPoint";
    /** Path of the folder. */
    readonly folder: string;
    /** The volume, `\\?\Volume{guid}\`, if it is known. */
    readonly volume?: string;
  }
  | {
    /** A file that was created, such as the disk of a new scratch. */
    readonly kind: "newFile";
    /** Path of the file. */
    readonly path: string;
  }
  | {
    /** A disk file that was created and is open. */
    readonly kind: "newDisk";
    /** Path of the file. */
    readonly path: string;
  }
  | {
    /** A disk that this process has open. */
    readonly kind: "openDisk";
    /** Path of the file. */
    readonly path: string;
  }
  | {
    /** A CIM image that this process is writing. */
    readonly kind: "openImage";
    /** Path under which it is written. */
    readonly path: string;
  }
  | {
    /** A layer that is being imported, and that nobody has used. */
    readonly kind: "newLayer";
    /** Folder of the layer. */
    readonly layer: string;
  }
  | {
    /** Files on their way into a layer or out of it. */
    readonly kind: "transportFolder";
    /** Path of the folder. */
    readonly folder: string;
  }
  | {
    /** What Windows creates in a base layer: `Hives` and `Layout`. */
    readonly kind: "baseOSLayer";
    /** Folder of the layer. */
    readonly layer: string;
  }
  | {
    /** The disk that a Windows VM writes to, copied from the template of its image. */
    readonly kind: "vmScratch";
    /** Path of the file. */
    readonly path: string;
    /** Path of the template. */
    readonly template: string;
  }
  | {
    /** A VM of this process. */
    readonly kind: "computeSystem";
    /** Id of the VM. */
    readonly id: string;
  }
  | {
    /** The right of a VM to open a file of the host. */
    readonly kind: "vmAccess";
    /** Id of the VM. */
    readonly vm: string;
    /** The file. */
    readonly hostPath: string;
  }
  | {
    /** A folder of the host that a VM sees (VSMB). */
    readonly kind: "vsmbShare";
    /** Id of the VM. */
    readonly vm: string;
    /** The folder. */
    readonly hostPath: string;
    /** Name of the share. */
    readonly name: string;
    /** Its path in the guest. */
    readonly guestPath: string;
  }
  | {
    /** A disk attached to a VM. */
    readonly kind: "scsiAttachment";
    /** Id of the VM. */
    readonly vm: string;
    /** File of the disk. */
    readonly hostPath: string;
    /** Number of the controller. */
    readonly controller: number;
    /** Number of the disk on the controller (LUN). */
    readonly lun: number;
  }
  | {
    /** A disk mounted in the guest. */
    readonly kind: "scsiMount";
    /** Id of the VM. */
    readonly vm: string;
    /** Its path in the guest. */
    readonly guestPath: string;
    /** Number of the controller. */
    readonly controller: number;
    /** Number of the disk on the controller (LUN). */
    readonly lun: number;
  }
  | {
    /** CIM images on disks of a VM that the guest has mounted as one volume. */
    readonly kind: "guestVolume";
    /** Id of the VM. */
    readonly vm: string;
    /** The volume in the guest, `\\?\Volume{guid}\`. */
    readonly volume: string;
  }
  | {
    /** A file that a VM sees as persistent memory. */
    readonly kind: "vpmemFile";
    /** Id of the VM. */
    readonly vm: string;
    /** The file. */
    readonly hostPath: string;
    /** Its path in the guest. */
    readonly guestPath: string;
    /** Number of the vPMem device. */
    readonly device: number;
  }
  | {
    /** Layers that the guest has combined into the root of a container. */
    readonly kind: "layerTree";
    /** Id of the VM. */
    readonly vm: string;
    /** Its path in the guest. */
    readonly guestPath: string;
  };

/** The record of one kind of hold. */
export type HoldOf<K extends Hold["kind"]> = Extract<Hold, { readonly kind: K }>;

/** Something that is held: its record, and the way to release it. */
export interface Held<H extends Hold = Hold> {
  /** The record. */
  readonly hold: H;
  /** The holds that it rests on. They can't be released while this is held. */
  readonly restsOn: readonly Held[];

  /**
   * Releases it. Returns false if there was nothing to release, for instance because another process has already released
   * it.
   *
   * @throws the error that prevents the release. Another call tries again.
   */
  release(): Promise<boolean>;

  /**
   * Releases it if nothing has to be waited for, and fails otherwise. Then what else is held is released before `release`
   * waits.
   */
  releaseNow?(): Promise<boolean>;
}
