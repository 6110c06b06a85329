/**
 * What a mount returns.
 *
 * @module
 */

import type { Mounted } from "../holds/mounted.ts";

/**
 * What makes the files of a layer available.
 *
 * @category What a mount returns
 */
export type LayerDevice =
  | {
    /** The WCIFS filter shows the layer's folder through the scratch volume. */
    readonly kind: "wcifs";
  }
  | {
    /** The UnionFS filter shows a mounted CIM image, which has the files of all read-only layers. */
    readonly kind: "cim";
    /** Path of the image. */
    readonly image: string;
  }
  | {
    /** A virtual disk attached to the host. Only the scratch is one. */
    readonly kind: "disk";
  }
  | {
    /** A folder that the VM sees (VSMB). */
    readonly kind: "vsmb";
    /** Name of the share. */
    readonly share: string;
  }
  | {
    /** A SCSI disk of the VM. */
    readonly kind: "scsi";
    /** Number of the controller. */
    readonly controller: number;
    /** Number of the disk on the controller (LUN). */
    readonly lun: number;
  }
  | {
    /** Persistent memory of the VM. */
    readonly kind: "vpmem";
    /** Number of the device. */
    readonly device: number;
  };

/**
 * Where the files of a layer are.
 *
 * @category What a mount returns
 */
export interface LayerPlacement {
  /** The layer's folder or disk on the host. */
  readonly layer: string;
  /** Whether it is the scratch, to which the container writes. */
  readonly scratch: boolean;
  /** What makes its files available. */
  readonly device: LayerDevice;
  /** Path of its files: in the guest if it is in a VM, otherwise on the host. */
  readonly path: string;
}

/**
 * Layers mounted by {@linkcode mountWCOWLayers}.
 *
 * @category What a mount returns
 */
export interface MountedLayers extends Mounted {
  /** The id of its record, by which {@linkcode releaseMount} knows it. Undefined in a VM, and if the host keeps none. */
  readonly id?: string;
  /** Root of the container's file system: `\\?\Volume{guid}\` on the host, `c:\mounts\scsi\mN` in a VM. */
  readonly path: string;
  /** The folder at which that volume is also mounted, if the option was set. */
  readonly volumeMountPath: string | undefined;
  /** Where the files of each layer are: the read-only layers in the order of the arguments, then the scratch. */
  readonly placements: readonly LayerPlacement[];
}

/**
 * A volume mounted by {@linkcode mountSandboxVolume}.
 *
 * @category What a mount returns
 */
export interface MountedVolume extends Mounted {
  /** The id of its record, by which {@linkcode releaseMount} knows it. Undefined if the host keeps none. */
  readonly id?: string;
  /** The folder at which the volume is mounted. */
  readonly path: string;
  /** The volume, `\\?\Volume{guid}\`. */
  readonly volume: string;
}
