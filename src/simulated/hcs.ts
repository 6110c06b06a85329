/**
 * vmcompute.dll, the functions for compute systems, simulated.
 *
 * @module
 */

import { fromWin32, win32 } from "../errors/codes.ts";
import {
  big,
  buffer,
  type Context,
  type Decoder,
  define,
  HRESULT,
  type OpenHandle,
  put64,
  type RawResult,
  type SimulatedDll,
  text,
} from "./call.ts";
import { closeSystem } from "./closing.ts";
import type { NotificationName } from "./compute_service.ts";
import { boot, bootGuest, TERMINATED_DURING_START } from "./guest_boot.ts";
import { runtimeIdOf } from "./runtime_id.ts";
import { Failure, SimulationError, unknown } from "./simulation_error.ts";
import { type Document, InvalidDocument, modifyVM, objectOf, openDisks, stopVM, type VirtualMachine } from "./vm.ts";

export { runtimeIdOf };

const OPERATION_PENDING = 0xc0370103;
// vmcompute.dll has these codes; it is computecore.dll that returns 0x8037….
const INVALID_STATE = 0xc0370105;
const INVALID_JSON = 0xc037010d;
const SYSTEM_NOT_FOUND = 0xc037010e;
const SYSTEM_ALREADY_EXISTS = 0xc037010f;
const SYSTEM_ALREADY_STOPPED = 0xc0370110;

interface SystemHandle extends OpenHandle {
  readonly type: "computeSystem";
}

type Result = Uint8Array<ArrayBuffer>;

// Fails with a result document.
function refuse({ process }: Context, result: Result, code: number, document: object): never {
  put64(result, process.memory.allocateWide(JSON.stringify(document)));
  throw new Failure(code);
}

const PROVIDER_OF_DOCUMENTS = "17103e3f-3c6e-4677-bb17-3b267eb5be57";
const PROVIDER_OF_VMS = "51ddfa29-d5c8-4803-be4b-2ecb715570fe";

// Runs `read`. If the document is invalid, fails as Windows does.
function checked<T>(context: Context, result: Result, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof InvalidDocument)) throw error;
    const code = 0x8007000d;
    return refuse(context, result, INVALID_JSON, {
      Error: code | 0,
      ErrorMessage: "",
      ErrorEvents: [{
        Provider: PROVIDER_OF_DOCUMENTS,
        EventId: 11000,
        Data: [
          { Type: "String", Value: `%%${code}` },
          { Type: "String", Value: "0x8007000D" },
          { Type: "String", Value: `Invalid JSON document '${error.path}'` },
        ],
      }],
    });
  }
}

const json: Decoder<string> = text;

function parse(document: string): unknown {
  try {
    return JSON.parse(document);
  } catch {
    throw new InvalidDocument("$");
  }
}

function systemOf({ windows, process }: Context, system: bigint): VirtualMachine {
  const { target } = process.handles.get<SystemHandle>(system, "computeSystem");
  const vm = windows.state.systems[target];
  if (vm === undefined) throw new Failure(SYSTEM_NOT_FOUND);
  return vm;
}

function openHandle({ windows, process }: Context, vm: VirtualMachine, out: Result): void {
  vm.handles.push(windows.by.process);
  put64(out, process.handles.open({ type: "computeSystem", target: vm.id }));
}

/**
 * Completes an operation in the way that the host is configured for: synchronously, or with a notification. `done` is what
 * the operation does; if it throws a {@linkcode Failure}, the operation fails with that.
 */
function operate(
  context: Context,
  vm: VirtualMachine,
  fn: string,
  name: NotificationName,
  done: (context: Context) => void,
): RawResult {
  const { service } = context.process;
  const completion = service.completionOf(fn);
  if (completion === "synchronous") {
    done(context);
    return;
  }
  const finish = (now: Context) => {
    if (now.windows.state.systems[vm.id] === undefined) return;
    service.notify(vm.id, name, service.failureOf(name) || outcomeOf(() => done(now)));
  };
  if (completion === "atOnce") finish(context);
  else if (completion !== "never") service.later(vm.id, completion, () => context.later(finish));
  return pending();
}

function pending(): number {
  return OPERATION_PENDING | 0;
}

function outcomeOf(done: () => void): number {
  try {
    done();
    return 0;
  } catch (error) {
    if (error instanceof Failure) return error.code;
    throw error;
  }
}

const onSystem = { computeSystem: big, options: json, result: buffer };

/** The functions of vmcompute.dll for compute systems. */
export const hcsFunctions: SimulatedDll = {
  HcsCloseComputeSystem: define(HRESULT, { computeSystem: big }, (context, { computeSystem }) => {
    const { process, windows } = context;
    const { target } = process.handles.get<SystemHandle>(computeSystem, "computeSystem");
    if (!process.service.close(computeSystem)) {
      throw new SimulationError(`the handle of ${target} was closed before its callback was unregistered`);
    }
    process.handles.close(computeSystem);
    const vm = windows.state.systems[target];
    if (vm === undefined) return;
    if (vm.handles.filter((owner) => owner === windows.by.process).length === 1) process.service.forget(vm.id);
    closeSystem(windows, vm.id, windows.by.process);
  }),

  HcsCreateComputeSystem: define(
    HRESULT,
    { id: text, configuration: json, identity: big, computeSystem: buffer, result: buffer },
    (context, { id, configuration, computeSystem, result }) => {
      const { windows } = context;
      if (windows.state.systems[id] !== undefined) {
        refuse(context, result, SYSTEM_ALREADY_EXISTS, {
          Error: 0xc037010f | 0,
          ErrorMessage: "A virtual machine or container with the specified identifier already exists.",
        });
      }
      const runtimeId = runtimeIdOf(id);
      if (Object.keys(windows.state.systems).some((other) => runtimeIdOf(other) === runtimeId)) {
        unknown(`creating a system whose GUID another one has: ${id}`);
      }
      const vm = checked(context, result, () => newVM(context, id, parse(configuration)));
      windows.state.systems[id] = vm;
      openHandle(context, vm, computeSystem);
      return operate(context, vm, "HcsCreateComputeSystem", "SystemCreateCompleted", () => {});
    },
  ),

  HcsEnumerateComputeSystems: define(
    HRESULT,
    { query: json, computeSystems: buffer, result: buffer },
    (context, { query, computeSystems, result }) => {
      const keys = ["Ids", "Types", "Names", "Owners"];
      const filter = checked(context, result, () => objectOf(parse(query), keys, "$")) as Record<string, string[]>;
      const found = Object.values(context.windows.state.systems).filter((vm) =>
        (filter.Ids?.includes(vm.id) ?? true) && (filter.Owners?.includes(vm.owner) ?? true) &&
        (filter.Types?.includes("VirtualMachine") ?? true) && filter.Names === undefined
      );
      returnDocument(context, computeSystems, found.map(propertiesOf));
    },
  ),

  HcsGetComputeSystemProperties: define(
    HRESULT,
    { computeSystem: big, propertyQuery: json, properties: buffer, result: buffer },
    (context, { computeSystem, propertyQuery, properties, result }) => {
      const vm = systemOf(context, computeSystem);
      const { PropertyTypes = [] } = checked(
        context,
        result,
        () => objectOf(parse(propertyQuery), ["PropertyTypes"], "$"),
      );
      const types = PropertyTypes as string[];
      if (types.some((type) => type !== "GuestConnection")) unknown(`querying the properties ${types}`);
      const guest = types.length > 0 && vm.state === "Running" && { GuestConnectionInfo: GUEST_CONNECTION };
      returnDocument(context, properties, { ...propertiesOf(vm), ...guest });
    },
  ),

  HcsGetServiceProperties: define(
    HRESULT,
    { propertyQuery: json, properties: buffer, result: buffer },
    (context, { propertyQuery, properties, result }) => {
      const { PropertyTypes } = checked(context, result, () => objectOf(parse(propertyQuery), ["PropertyTypes"], "$"));
      if (String(PropertyTypes) !== "ProcessorTopology") {
        unknown(`querying the properties ${PropertyTypes} of the service`);
      }
      returnDocument(context, properties, { Properties: [PROCESSORS] });
    },
  ),

  HcsModifyComputeSystem: define(
    HRESULT,
    { computeSystem: big, configuration: json, result: buffer },
    (context, { computeSystem, configuration, result }) => {
      const vm = systemOf(context, computeSystem);
      if (vm.state === "Stopped") throw new Failure(SYSTEM_ALREADY_STOPPED);
      if (vm.state !== "Running") unknown(`changing a system that is ${vm.state}`);
      checked(context, result, () => modifyVM(context.windows, vm, parse(configuration)));
    },
  ),

  HcsModifyServiceSettings: define(HRESULT, { settings: json, result: buffer }, () => {
    unknown("changing settings of the compute service");
  }),

  HcsOpenComputeSystem: define(
    HRESULT,
    { id: text, computeSystem: buffer, result: buffer },
    (context, { id, computeSystem }) => {
      const vm = context.windows.state.systems[id];
      if (vm === undefined) throw new Failure(SYSTEM_NOT_FOUND);
      openHandle(context, vm, computeSystem);
    },
  ),

  HcsPauseComputeSystem: change("HcsPauseComputeSystem", "SystemPauseCompleted", "Running", "Paused"),

  HcsRegisterComputeSystemCallback: define(
    HRESULT,
    { computeSystem: big, callback: big, context: big, callbackHandle: buffer },
    ({ process }, { computeSystem, callback, context, callbackHandle }) => {
      const { target: id } = process.handles.get<SystemHandle>(computeSystem, "computeSystem");
      const handle = process.service.register({ system: computeSystem, id, callback, context });
      // Only of computecore.dll it is known that it refuses this.
      if (handle === undefined) unknown(`registering a second callback for a handle of ${id}`);
      put64(callbackHandle, handle);
    },
  ),

  HcsResumeComputeSystem: change("HcsResumeComputeSystem", "SystemResumeCompleted", "Paused", "Running"),

  HcsSaveComputeSystem: define(HRESULT, onSystem, () => {
    unknown("saving a system");
  }),

  HcsShutdownComputeSystem: stop("HcsShutdownComputeSystem"),

  HcsStartComputeSystem: define(HRESULT, onSystem, (context, { computeSystem, result }) => {
    const vm = systemOf(context, computeSystem);
    if (vm.state === "Stopped") throw new Failure(SYSTEM_ALREADY_STOPPED);
    if (vm.state !== "Created") throw new Failure(INVALID_STATE);
    powerOn(context, vm, result);
    const run = ({ windows }: Context) => {
      const started = windows.state.systems[vm.id];
      if (started === undefined || started.state === "Stopped") throw new Failure(TERMINATED_DURING_START);
      started.state = "Running";
      if (started.isDirect) bootGuest(context, started);
    };
    const start = (now: Context) => operate(now, vm, "HcsStartComputeSystem", "SystemStartCompleted", run);
    if (vm.os === "Windows" || vm.isDirect) return start(context);
    // Windows waits for the guest, and the guest waits for its entropy.
    const booted = boot(context, vm).then(() => context.later(start));
    if (context.process.service.completionOf("HcsStartComputeSystem") === "synchronous") return booted;
    booted.catch((error) => {
      if (!(error instanceof Failure)) context.process.fault = error;
    });
    return pending();
  }),

  HcsTerminateComputeSystem: stop("HcsTerminateComputeSystem"),

  HcsUnregisterComputeSystemCallback: define(HRESULT, { callbackHandle: big }, ({ process }, { callbackHandle }) => {
    if (!process.service.unregister(callbackHandle)) throw new Failure(fromWin32(win32.ERROR_INVALID_HANDLE));
  }),
};

function change(
  fn: string,
  name: NotificationName,
  from: VirtualMachine["state"],
  to: VirtualMachine["state"],
): SimulatedDll[string] {
  return define(HRESULT, onSystem, (context, { computeSystem }) => {
    const vm = systemOf(context, computeSystem);
    if (vm.state === "Stopped") throw new Failure(SYSTEM_ALREADY_STOPPED);
    if (vm.state !== from) throw new Failure(INVALID_STATE);
    return operate(context, vm, fn, name, ({ windows }) => windows.state.systems[vm.id]!.state = to);
  });
}

function stop(fn: string): SimulatedDll[string] {
  return define(HRESULT, onSystem, (context, { computeSystem }) => {
    const vm = systemOf(context, computeSystem);
    if (vm.state === "Stopped") throw new Failure(SYSTEM_ALREADY_STOPPED);
    const end = ({ windows }: Context) => stopVM(windows, windows.state.systems[vm.id]!);
    const result = operate(context, vm, fn, "SystemExited", end);
    if (context.windows.state.systems[vm.id]?.state === "Stopped" && result === undefined) {
      context.process.service.notify(vm.id, "SystemExited");
    }
    return result;
  });
}

function powerOn(context: Context, vm: VirtualMachine, result: Result): void {
  openDisks(context.windows, vm, ({ code }, key, path) =>
    refuse(context, result, code, {
      Error: code | 0,
      ErrorMessage: "",
      ErrorEvents: [
        { Provider: PROVIDER_OF_VMS, EventId: 12030, Flags: 13, Data: [{ Type: "String", Value: vm.id }] },
        {
          Provider: PROVIDER_OF_VMS,
          EventId: 12010,
          Flags: 5,
          Data: [
            { Type: "String", Value: vm.id },
            { Type: "String", Value: "Synthetic Storage" },
            { Type: "String", Value: `Instance ID ${key}` },
            { Type: "String", Value: path },
          ],
        },
      ],
    }));
}

const GUEST_CONNECTION = {
  SupportedSchemaVersions: [{ Major: 2, Minor: 1 }],
  ProtocolVersion: 4,
  GuestDefinedCapabilities: {
    NamespaceAddRequestSupported: true,
    SignalProcessSupported: true,
    DumpStacksSupported: true,
    DeleteContainerStateSupported: true,
    UpdateContainerSupported: true,
  },
};

const PROCESSORS = {
  LogicalProcessorCount: 2,
  LogicalProcessors: [
    { LpIndex: 0, NodeNumber: 0, PackageId: 0, CoreId: 0, RootVpIndex: 0 },
    { LpIndex: 1, NodeNumber: 0, PackageId: 0, CoreId: 1, RootVpIndex: 1 },
  ],
};

function returnDocument({ process }: Context, out: Result, document: unknown): void {
  put64(out, process.memory.allocateWide(JSON.stringify(document)));
}

function propertiesOf(vm: VirtualMachine): Document {
  return {
    Id: vm.id,
    // Of a VM, too, as vmcompute.dll has it.
    SystemType: "Container",
    RuntimeOsType: vm.os,
    Owner: vm.owner,
    RuntimeId: runtimeIdOf(vm.id),
    ...(vm.state === "Stopped" ? { Stopped: true, ExitType: "ForcedExit" } : { State: vm.state }),
  };
}

const SYSTEM_KEYS = ["Owner", "SchemaVersion", "VirtualMachine", "ShouldTerminateOnLastHandleClosed"];
const VM_KEYS = [
  ...["StopOnReset", "Chipset", "ComputeTopology", "Devices", "GuestState", "RestoreState", "RegistryChanges"],
  ...["StorageQoS", "GuestConnection", "SecuritySettings", "DebugOptions"],
];
const DEVICE_KEYS = [
  ...["ComPorts", "Scsi", "VirtualPMem", "NetworkAdapters", "VideoMonitor", "Keyboard", "Mouse", "HvSocket"],
  ...["EnhancedModeVideo", "GuestCrashReporting", "VirtualSmb", "Plan9", "Battery", "FlexibleIov", "SharedMemory"],
  "VirtualPci",
];
const MEMORY_KEYS = [
  ...["SizeInMB", "AllowOvercommit", "EnableHotHint", "EnableColdHint", "EnableEpf", "EnableDeferredCommit"],
  ...["EnableColdDiscardHint", "LowMmioGapInMB", "HighMmioBaseInMB", "HighMmioGapInMB"],
];
const PROCESSOR_KEYS = ["Count", "Limit", "Weight", "ExposeVirtualizationExtensions", "CpuGroup"];

function newVM({ windows }: Context, id: string, document: unknown): VirtualMachine {
  const system = objectOf(document, SYSTEM_KEYS, "$");
  const machine = objectOf(system.VirtualMachine, VM_KEYS, "$.VirtualMachine");
  const topology = objectOf(machine.ComputeTopology, ["Memory", "Processor"], "$.VirtualMachine.ComputeTopology");
  objectOf(topology.Memory, MEMORY_KEYS, "$.VirtualMachine.ComputeTopology.Memory");
  objectOf(topology.Processor, PROCESSOR_KEYS, "$.VirtualMachine.ComputeTopology.Processor");
  const devices = objectOf(machine.Devices, DEVICE_KEYS, "$.VirtualMachine.Devices");
  const kernel = (machine.Chipset as { LinuxKernelDirect?: { KernelCmdLine: string } }).LinuxKernelDirect;
  const uefi = (machine.Chipset as { Uefi?: { BootThis: { OptionalData?: string } } }).Uefi;
  const commandLine = kernel?.KernelCmdLine ?? uefi?.BootThis.OptionalData ?? "";
  const scsi = devices.Scsi as Record<string, { Attachments?: Record<string, { Path: string }> }> ?? {};
  const controllers = CONTROLLERS.filter((guid) => scsi[guid] !== undefined);
  const pmem = devices.VirtualPMem as
    | { MaximumCount: number; MaximumSizeBytes: number; Devices?: Record<string, { HostPath: string }> }
    | undefined;
  const shares = (devices.VirtualSmb as { Shares?: { Name: string; Path: string }[] } | undefined)?.Shares ?? [];
  return {
    id,
    owner: String(system.Owner ?? ""),
    os: commandLine === "" ? "Windows" : "Linux",
    commandLine,
    ...(machine.GuestConnection === undefined && { isDirect: true }),
    endsWithHandle: system.ShouldTerminateOnLastHandleClosed === true,
    by: windows.by,
    state: "Created",
    handles: [],
    controllers,
    disks: Object.fromEntries(
      controllers.flatMap((guid, i) =>
        Object.entries(scsi[guid]!.Attachments ?? {}).map(([lun, { Path }]) => [`${i}:${lun}`, { path: Path }])
      ),
    ),
    shares: Object.fromEntries(shares.map(({ Name, Path }) => [Name, { path: Path }])),
    pmemCount: pmem?.MaximumCount ?? 0,
    pmemSize: pmem?.MaximumSizeBytes ?? 0,
    pmem: Object.fromEntries(
      Object.entries(pmem?.Devices ?? {}).map(([device, { HostPath }]) => [device, { path: HostPath }]),
    ),
    mounts: {},
    trees: {},
  };
}

const CONTROLLERS = [
  "df6d0690-79e5-55b6-a5ec-c1e2f77f580a",
  "0110f83b-de10-5172-a266-78bca56bf50a",
  "b5d2d8d4-3a75-51bf-945b-3444dc6b8579",
  "305891a9-b251-5dfe-91a2-c25d9212275b",
];
