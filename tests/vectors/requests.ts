/**
 * Requests to a VM, as they lie in the calls of HcsModifyComputeSystem.
 *
 * @module
 */

import { type Call, succeeded } from "./run.ts";

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
  return change.kind === "device" && !isSCSI(change.what) || GuestRequest?.ResourceType === "VPMemDevice" ||
    (Settings ?? GuestRequest?.Settings)?.ReadOnly === true;
}

/** A part of a mount in a VM: what is in one wave doesn't rest on each other, and is added and removed side by side. */
export interface Wave {
  readonly takes: boolean;
  /** 0 for devices, and for the right to open their files; 1 for what the guest mounts of disks; 2 for what rests on these. */
  readonly rank: 0 | 1 | 2;
  /** Calls about one of these are in their order. */
  readonly device: string;
}

/** The wave that a call is in; `undefined` for those that are made on their own. */
export function waveOf(call: Call): Wave | undefined {
  if (call.fn === "GrantVmAccess") return { takes: true, rank: 0, device: String(call.args.filepath) };
  const { GuestRequest, ResourcePath = "", Settings } = requestOf(call) ?? {};
  switch (GuestRequest?.ResourceType) {
    case "CombinedLayers":
      return { takes: !removes(call), rank: 2, device: "" };
    case "MappedVirtualDisk":
    case "MappedVirtualDiskForContainerScratch":
      return { takes: !removes(call), rank: 1, device: changeOf(call)!.what };
    case "SCSIDevice":
      return { takes: false, rank: 0, device: removedDevice(call) };
    case "VPMemDevice":
      return {
        takes: !removes(call),
        rank: 0,
        device: ResourcePath || vpmemDevice(String(GuestRequest.Settings!.MountPath)),
      };
    default: {
      const change = changeOf(call);
      if (change?.kind !== "device") return undefined;
      const file = isSCSI(change.what) && change.takes ? String(Settings!.Path) : change.what;
      return { takes: change.takes, rank: 0, device: file };
    }
  }
}

/**
 * Calls in the order of their waves: neighbors that add something with what others rest on first, those that remove last. If a
 * device couldn't be added, nothing is mounted.
 */
export function inWaves(all: readonly Call[]): Call[] {
  const isFailed = (call: Call) => waveOf(call)?.takes === true && waveOf(call)!.rank === 0 && !succeeded(call);
  const calls = all.some(isFailed) ? all.filter((call) => waveOf(call)?.rank !== 1) : all;
  return runsBy(calls, (call) => `${waveOf(call)?.takes}`).flatMap((run) => {
    const { takes } = waveOf(run[0]!) ?? {};
    if (takes === undefined) return run;
    const rank = (call: Call) => waveOf(call)!.rank * (takes ? 1 : -1);
    return run.toSorted((a, b) => rank(a) - rank(b));
  });
}

/** Calls with one order for what is in one wave, where it can be in any. */
export function withSortedWaves(calls: readonly Call[]): Call[] {
  const wave = (call: Call) => {
    const { takes, rank } = waveOf(call) ?? {};
    return `${takes} ${rank}`;
  };
  return runsBy(calls, wave).flatMap((run) => {
    const device = (call: Call) => waveOf(call)?.device ?? "";
    return run.toSorted((a, b) => device(a) < device(b) ? -1 : device(a) > device(b) ? 1 : 0);
  });
}

// The calls in runs of neighbors that have the same key.
function runsBy(calls: readonly Call[], keyOf: (call: Call) => string): Call[][] {
  const runs: Call[][] = [];
  calls.forEach((call, i) => {
    if (i === 0 || keyOf(calls[i - 1]!) !== keyOf(call)) runs.push([]);
    runs.at(-1)!.push(call);
  });
  return runs;
}

/** Whether a call attaches a disk to write to, or gives a VM the right to open it. */
export function attachesScratch(call: Call): boolean {
  const change = changeOf(call);
  return call.fn === "GrantVmAccess" || change?.takes === true && isSCSI(change.what) && !addsLayer(call);
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
