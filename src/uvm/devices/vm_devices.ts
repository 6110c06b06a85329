/**
 * What mounting layers needs of a VM.
 *
 * @module
 */

import type { Modifier } from "../running_vm.ts";
import type { SCSIDisks } from "./scsi.ts";
import type { VPMemDevices } from "./vpmem.ts";
import type { VSMBShares } from "./vsmb.ts";

/** A VM that can carry layers. */
export interface LayerVM extends Modifier {
  /** The folders that it sees; of use with a Windows guest. */
  readonly vsmb: VSMBShares;
  /** Its disks. */
  readonly scsi: SCSIDisks;
  /** Its persistent memory; of use with a Linux guest. */
  readonly vpmem: VPMemDevices;
  /** Whether its memory is physically backed, so that no file of the host can be mapped into it. */
  readonly physicallyBacked: boolean;
  /** Whether the guest encrypts scratch disks. */
  readonly encryptScratch: boolean;
}
