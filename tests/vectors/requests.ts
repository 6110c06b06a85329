/**
 * Requests to a VM, as they lie in the calls of HcsModifyComputeSystem.
 *
 * @module
 */

import type { Call, Run } from "./run.ts";

/** A request, as far as it is looked at. */
export interface Request {
  readonly ResourcePath?: string;
  readonly RequestType?: string;
  readonly Settings?: Readonly<Record<string, unknown>>;
  readonly GuestRequest?: {
    readonly RequestType?: string;
    readonly ResourceType?: string;
    readonly Settings?: Readonly<Record<string, unknown>>;
  };
}

/** The function that takes requests. */
export const MODIFY = "HcsModifyComputeSystem";

/** The request of a call; `undefined` for other functions. */
export function requestOf({ fn, args }: Call): Request | undefined {
  return fn === MODIFY ? JSON.parse(String(args.configuration)) : undefined;
}

/** A call like another, for another request. */
export function callFor(like: Call, request: Request): Call {
  return { ...like, args: { ...like.args, configuration: JSON.stringify(request) } };
}

/** A call with the path of the disk in it replaced, if it lets a VM open one or attaches one to write to. */
export function withDiskPath(call: Call, map: (path: string) => string): Call {
  if (call.fn === "GrantVmAccess") {
    return { ...call, args: { ...call.args, filepath: map(String(call.args.filepath)) } };
  }
  const request = requestOf(call);
  if (request === undefined || request.RequestType !== "Add" || addsLayer(call)) return call;
  if (!isSCSI(request.ResourcePath ?? "")) return call;
  return callFor(call, { ...request, Settings: { ...request.Settings, Path: map(String(request.Settings!.Path)) } });
}

/** What a request takes or gives back. */
export interface Change {
  readonly takes: boolean;
  /** `device` for the host's part, `guest` for what is the guest's alone. */
  readonly kind: "device" | "guest";
  /** What it is. */
  readonly what: string;
}

/** What a call takes from a VM or gives back; `undefined` if it does neither. */
export function changeOf(call: Call): Change | undefined {
  const request = requestOf(call);
  if (request === undefined) return undefined;
  const { ResourcePath, RequestType, Settings, GuestRequest } = request;
  if (ResourcePath !== undefined) {
    const what = ResourcePath.endsWith("/Shares") ? `vsmb:${Settings?.Name}` : ResourcePath;
    return { takes: RequestType === "Add", kind: "device", what };
  }
  const { ContainerRootPath, ContainerPath, MountPath, VolumeGUID } = GuestRequest?.Settings ?? {};
  const path = ContainerRootPath ?? ContainerPath ?? MountPath ?? VolumeGUID;
  if (path === undefined) return undefined;
  return { takes: GuestRequest!.RequestType === "Add", kind: "guest", what: `${GuestRequest!.ResourceType}:${path}` };
}

/** The one key of all requests that ask for the same thing. */
export function requestKey(call: Call): string {
  const { RequestType, GuestRequest } = requestOf(call)!;
  const { kind, what } = changeOf(call) ?? { kind: "guest", what: removes(call) ? removedDevice(call) : "" };
  // The names of volumes are random.
  const thing = GuestRequest?.ResourceType === "WCOWBlockCims" ? "" : what;
  return [RequestType ?? GuestRequest?.RequestType, kind, GuestRequest?.ResourceType, thing].join(" ");
}

/** Whether a call adds a layer, which is done side by side with the others: shares, vPMem, and disks to read. */
export function addsLayer(call: Call): boolean {
  const change = changeOf(call);
  if (change === undefined || !change.takes) return false;
  const { Settings, GuestRequest } = requestOf(call)!;
  return change.kind === "device" && !isSCSI(change.what) || (Settings ?? GuestRequest?.Settings)?.ReadOnly === true;
}

/** Whether a call takes something away from a VM, or is one step of that. */
export function removes(call: Call): boolean {
  const request = requestOf(call);
  return (request?.RequestType ?? request?.GuestRequest?.RequestType) === "Remove";
}

/** The device that a call of {@linkcode removes} is about: a guest lets go of a disk before the host detaches it. */
export function removedDevice(call: Call): string {
  const { GuestRequest } = requestOf(call)!;
  if (GuestRequest?.ResourceType === "VPMemDevice" && requestOf(call)!.ResourcePath === undefined) {
    return vpmemDevice(String(GuestRequest.Settings!.MountPath));
  }
  if (GuestRequest?.ResourceType !== "SCSIDevice") return changeOf(call)!.what;
  return `${SCSI}${FIRST_CONTROLLER}/Attachments/${GuestRequest.Settings!.Lun ?? 0}`;
}

// A guest has it mounted at its place on the host.
function vpmemDevice(mountPath: string): string {
  const [, device, offset] = mountPath.match(/\/p(\d+)(?:-(\d+)-\d+)?$/) ?? [];
  return `VirtualMachine/Devices/VirtualPMem/Devices/${device}${offset === undefined ? "" : `/Mappings/${offset}`}`;
}

/** Tells the calls that remove what the recording had added as a layer, up to the end of a step. */
export function removesLayerOf(run: Run, step: number): (call: Call) => boolean {
  const before = run.trace.slice(0, run.result.steps[step]!.calls[1]);
  return (call) => {
    if (!removes(call)) return false;
    const device = removedDevice(call);
    const added = before.findLast((other) => changeOf(other)?.takes === true && changeOf(other)!.what === device);
    return added !== undefined && addsLayer(added);
  };
}

/** The path of the disk that a Windows guest has mounted at a path. */
export function diskMountedAt(guestPath: string, calls: readonly Call[]): string | undefined {
  const takes = (what: string) =>
    calls.findLast((call) => changeOf(call)?.takes === true && changeOf(call)!.what === what);
  const mount = takes(`MappedVirtualDisk:${guestPath}`);
  if (mount === undefined) return undefined;
  const { Lun = 0 } = requestOf(mount)!.GuestRequest!.Settings!;
  const attachment = takes(`${SCSI}${FIRST_CONTROLLER}/Attachments/${Lun}`);
  return attachment && String(requestOf(attachment)!.Settings!.Path);
}

/** Whether a device is a disk on a SCSI controller. */
export function isSCSI(device: string): boolean {
  return device.startsWith(SCSI);
}

const SCSI = "VirtualMachine/Devices/Scsi/";
const FIRST_CONTROLLER = "df6d0690-79e5-55b6-a5ec-c1e2f77f580a";
