/**
 * What a mount returns: where it is, where each layer went, and how it is released.
 *
 * @module
 */

import type { Mounted } from "../holds/mounted.ts";

/**
 * What carries a layer.
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
    /** A virtual disk that is attached to the host: the scratch. */
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
 * Where a layer went.
 *
 * @category What a mount returns
 */
export interface LayerPlacement {
  /** The layer's folder or disk on the host. */
  readonly layer: string;
  /** Whether it is the scratch, which takes what the container writes. */
  readonly scratch: boolean;
  /** What carries it. */
  readonly device: LayerDevice;
  /** Where its files are found: in the guest if it is in a VM, else on the host. */
  readonly path: string;
}

/**
 * Layers mounted by {@linkcode mountWCOWLayers}.
 *
 * @category What a mount returns
 */
export interface MountedLayers extends Mounted {
  /** Root of the container's file system: `\\?\Volume{guid}\` on the host, `c:\mounts\scsi\mN` in a VM. */
  readonly path: string;
  /** The folder at which that volume is mounted as well, if one was asked for. */
  readonly volumeMountPath: string | undefined;
  /** Where each layer went: the read-only ones in the order in which they were given, then the scratch. */
  readonly placements: readonly LayerPlacement[];
}

/**
 * A volume mounted by {@linkcode mountSandboxVolume}.
 *
 * @category What a mount returns
 */
export interface MountedVolume extends Mounted {
  /** The folder at which the volume is found. */
  readonly path: string;
  /** The volume, `\\?\Volume{guid}\`. */
  readonly volume: string;
}
