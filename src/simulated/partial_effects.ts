/**
 * What functions leave that fail in the middle.
 *
 * @module
 */

import type { Context, RawResult } from "./call.ts";
import type { OpenHandle } from "./call.ts";
import { modifyVM, openDisks } from "./vm.ts";
import { parentOf, type Windows } from "./windows.ts";

type Args = Readonly<Record<string, unknown>>;

const SCRATCH_SIZE = 20 * 2 ** 30;
const MIB = 2 ** 20;

// A disk whose file is there, but that isn't formatted.
function leaveDisk(windows: Windows, path: string, size: number): void {
  windows.add({ path, type: "file", size: MIB, disk: { size, blockSize: MIB }, createdBy: windows.by });
}

function leaveFolder({ windows }: Context, path: string): void {
  windows.addFolders(path);
}

// Removes what is in a folder, but not the folder.
function empty({ windows }: Context, path: string): void {
  for (const child of windows.children(windows.existing(path).path)) windows.remove(child.path);
}

function systemOf({ windows, process }: Context, handle: unknown) {
  return windows.state.systems[process.handles.get<OpenHandle>(handle as bigint, "computeSystem").target];
}

const PARTS: Readonly<Record<string, (context: Context, args: Args) => void>> = {
  CopyFileW({ windows }, { to }) {
    if (windows.node(String(to)) === undefined && windows.node(parentOf(String(to))) !== undefined) {
      windows.add({ path: String(to), type: "file", size: 0, createdBy: windows.by });
    }
  },
  CopyLayer: (context, { destination }) => leaveFolder(context, String(destination)),
  CreateSandboxLayer({ windows }, { id }) {
    windows.addFolders(String(id));
    const path = `${id}\\sandbox.vhdx`;
    if (windows.node(path) === undefined) leaveDisk(windows, path, SCRATCH_SIZE);
  },
  CreateVirtualDisk({ windows }, { path, parameters }) {
    const at = String(path);
    const { size } = parameters as { size: number };
    if (windows.node(at) === undefined && windows.node(parentOf(at)) !== undefined) leaveDisk(windows, at, size);
  },
  DestroyLayer: (context, { id }) => empty(context, String(id)),
  ExportLayer: (context, { path }) => leaveFolder(context, String(path)),
  HcsDestroyLayer: (context, { path }) => empty(context, String(path)),
  HcsImportLayer: (context, { path }) => leaveFolder(context, String(path)),
  // One part is done, and the other isn't: the host's comes first, but the guest's of a removal (modify.go in hcsshim's
  // internal/uvm sends them in that order).
  HcsModifyComputeSystem(context, { computeSystem, configuration }) {
    const request = JSON.parse(String(configuration));
    const vm = systemOf(context, computeSystem);
    if (vm?.state !== "Running" || request.GuestRequest === undefined || request.ResourcePath === undefined) return;
    modifyVM(context.windows, vm, request, request.RequestType === "Remove" ? "guest" : "host");
  },
  HcsSetupBaseOSLayer({ windows }, { path, vhd }) {
    if (vhd !== 0n || windows.node(String(path)) === undefined) return;
    if (windows.node(`${path}\\Hives`) !== undefined) return;
    windows.add({ path: `${path}\\Hives`, type: "folder", createdBy: windows.by });
  },
  // The disks are open, and the VM doesn't run.
  HcsStartComputeSystem(context, { computeSystem }) {
    const vm = systemOf(context, computeSystem);
    if (vm?.state === "Created") openDisks(context.windows, vm, () => {});
  },
  ImportLayer: (context, { id }) => leaveFolder(context, String(id)),
  // The folder links to the volume, and the list of the volume's mount points doesn't have it.
  SetVolumeMountPointW({ windows }, { volumeMountPoint, volumeName }) {
    const node = windows.node(String(volumeMountPoint), "stay");
    if (node === undefined || node.volume !== undefined || !windows.hasVolume(String(volumeName))) return;
    Object.assign(node, { volume: volumeName, mountedBy: windows.by, isUnlisted: true });
  },
};

/** Returns whether a function can fail in the middle. */
export function hasMiddle(name: string): boolean {
  return Object.hasOwn(PARTS, name);
}

/** Does what a function does until its middle. Where it has nothing to do, nothing. */
export function doPartially(name: string, context: Context, args: Args): RawResult {
  PARTS[name]!(context, args);
}
