/**
 * Every function that the package exports, every method of what they return, and every argument, option and field of
 * them: what is valid there, by the name that an error has to give it.
 *
 * @module
 */

import * as mod from "../../mod.ts";
import type { Disk } from "../../src/host_holds/disk.ts";
import type {
  GuestModificationRequest,
  Layer,
  ModifySettingRequest,
  RegistryKey,
  RegistryValue,
} from "../../src/hcsschema/mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { fromBytes, type RandomAccess, wrapFiles } from "../../src/files/mod.ts";
import * as storage from "../../src/storage/mod.ts";
import { GIB, hostWith } from "../support/host.ts";

/** What kinds of values there are. Those of `choice` and `path` are texts, of which few are valid. */
export type Kind =
  | "boolean"
  | "choice"
  | "function"
  | "handle"
  | "host"
  | "number"
  | "path"
  | "pathOrBoolean"
  | "settings"
  | "signal"
  | "size"
  | "sink"
  | "string"
  | "tar"
  | "text"
  | "vm";

/** A place where a caller passes a value. */
export type Place =
  & { readonly optional?: boolean }
  & (
    | { readonly kind: Kind; readonly valid: unknown }
    | { readonly kind: "list"; readonly items: readonly Place[]; readonly least: number }
    /** The fields of an object that is `plain` are named without it. Others than these are for Windows to judge in a `document`. */
    | {
      readonly kind: "object";
      readonly fields: Readonly<Record<string, Place>>;
      readonly plain?: boolean;
      readonly document?: boolean;
    }
  );

/** The arguments of each function, by name and in order. */
export type Table = Readonly<Record<string, Readonly<Record<string, Place>>>>;

/** What the values of a table belong to. */
export interface World {
  readonly host: SimulatedHost;
  readonly linux: mod.UtilityVM;
  readonly windows: mod.UtilityVM;
  readonly created: mod.UtilityVM;
  readonly disk: Disk;
  readonly mounted: mod.Mounted;
  /** A layer with one parent. */
  readonly tar: RandomAccess;
}

const [BASE, TOP, SCRATCH, BLANK] = ["C:\\layers\\base", "C:\\layers\\top", "C:\\scratch", "C:\\disks\\blank.vhdx"];
const [CIM, IMAGE] = ["C:\\cim\\app", "C:\\image"];
const GUID = "11111111-2222-3333-4444-555555555555";
const VOLUME = `\\\\?\\Volume{${GUID}}\\`;
const NEW = "C:\\disks\\new.vhdx";
const LINUX_LAYER = "C:\\layers\\base.vhd";
const LINUX_SCRATCH = "C:\\layers\\scratch.vhdx";

/** A host on which every call of the table succeeds. */
export async function newWorld(front = (host: SimulatedHost) => host): Promise<World> {
  const host = front(hostWith({
    layers: [BASE, TOP, "C:\\export", "C:\\full"],
    cimLayers: [CIM],
    scratches: [SCRATCH, "C:\\scratch 2", "C:\\vm1", "C:\\vm2"],
    folders: ["C:\\dumps", "C:\\new scratch"],
    files: {
      [LINUX_LAYER]: 2 ** 20,
      [LINUX_SCRATCH]: GIB,
      "C:\\cim\\one.bcim": 2 ** 20,
      "C:\\cim\\two.bcim": 2 ** 20,
    },
    disks: { [BLANK]: GIB, "C:\\disks\\open.vhdx": GIB },
    linuxBoot: { "C:\\Program Files\\Linux Containers": "initrd.img" },
    windowsBoot: [IMAGE],
  }, { build: 27900 }));
  host.addVolume(GUID);
  const linux = await mod.createUtilityVM({ os: "linux" }, { host });
  const windows = await mod.createUtilityVM({ os: "windows", layerFolders: [IMAGE, "C:\\vm1"] }, { host });
  await linux.start();
  await windows.start();
  const created = await mod.createUtilityVM({ os: "windows", layerFolders: [IMAGE, "C:\\vm2"] }, { host });
  const disk = await storage.openDisk("C:\\disks\\open.vhdx", { host });
  const mounted = await mod.mountSandboxVolume("C:\\mnt\\world", VOLUME, { host });
  await mod.mountWCOWLayers("c2", [BASE, "C:\\scratch 2"], { vm: windows });
  const tar = fromBytes(new Uint8Array(await new Response(wrapFiles(undefined) as BodyInit).arrayBuffer()));
  return { host, linux, windows, created, disk, mounted, tar };
}

const of = (kind: Kind) => (valid: unknown): Place => ({ kind, valid });
const [boolean, choice, handle, number] = [of("boolean")(true), of("choice"), of("handle"), of("number")];
const [path, size, string, text, vm] = [of("path"), of("size"), of("string"), of("text"), of("vm")];
const limits = { signal: optional(of("signal")(new AbortController().signal)), timeout: optional(number(60_000)) };

function optional(place: Place): Place {
  return { ...place, optional: true };
}

function list(items: readonly Place[], least = items.length): Place {
  return { kind: "list", items, least };
}

function object(fields: Readonly<Record<string, Place>>, { plain = false } = {}): Place & { kind: "object" } {
  return { kind: "object", fields, plain };
}

function allOptional<K extends string>(fields: Readonly<Record<K, Place>>): Record<K, Place> {
  return Object.fromEntries(
    Object.entries<Place>(fields).map(([name, place]) => [name, optional(place)]),
  ) as Record<K, Place>;
}

function document<T extends object>(fields: Readonly<Record<keyof T & string, Place>>): Place {
  return { kind: "object", fields, document: true };
}

const paths = (...valid: string[]) => list(valid.map(path));
const parents = optional(list([path(BASE)], 0));
const waiting = optional(object(limits, { plain: true }));

const schemaLayer = document<Layer>(allOptional({
  Id: text(GUID),
  Path: text(BASE),
  PathType: text("AbsolutePath"),
  Cache: text("Enabled"),
}));
const data = document<storage.LayerData>({
  SchemaVersion: document<storage.Version>(allOptional({ Major: number(2), Minor: number(1) })),
  Layers: optional(list([schemaLayer], 0)),
  FilterType: optional(choice("UnionFS")),
});
const osLayer = (type: string) =>
  document<storage.OsLayerOptions>({
    Type: choice(type),
    DisableCiCacheOptimization: optional(boolean),
    SkipUpdateBcdForBoot: optional(boolean),
  });
const baseDisks = object({ base: path(NEW), differencing: path("C:\\disks\\diff.vhdx"), size: size(GIB) });
const registryValue = document<RegistryValue>({
  Key: document<RegistryKey>({ Hive: choice("Software"), Name: text("Key"), Volatile: optional(boolean) }),
  Name: string("Value"),
  Type: choice("DWord"),
  ...allOptional({ StringValue: string(""), BinaryValue: string("AA=="), DWordValue: number(5) }),
  ...allOptional({ QWordValue: number(5), CustomType: number(5) }),
});
const commonVM = allOptional({
  id: text("vm9"),
  owner: text("tests"),
  memorySizeInMB: number(512),
  allowOvercommit: boolean,
  enableDeferredCommit: boolean,
  fullyPhysicallyBacked: boolean,
  lowMMIOGapInMB: number(128),
  highMMIOBaseInMB: number(128),
  highMMIOGapInMB: number(128),
  processorCount: number(1),
  processorLimit: number(100),
  processorWeight: number(100),
  cpuGroupId: choice(GUID),
  storageQoS: object(allOptional({ iopsMaximum: number(100), bandwidthMaximum: number(100) })),
  guestConnection: choice("internal"),
  concurrentChanges: boolean,
});
// What containerd passes. Other fields than these are ignored.
const mount = (type: string): Place => ({
  ...object({
    type: choice(type),
    source: path(SCRATCH),
    options: list([text(`parentLayerPaths=["C:\\\\layers\\\\top"]`)]),
  }),
  document: true,
});

const linuxVM = object({
  os: choice("linux"),
  ...commonVM,
  ...allOptional({
    bootFolder: path("C:\\Program Files\\Linux Containers"),
    kernelDirect: boolean,
    kernelFile: text("kernel"),
    rootFile: text("initrd.img"),
    kernelOptions: text("debug"),
    consolePipe: path("\\\\.\\pipe\\vm9"),
    graphicsConsole: boolean,
    vpciEnabled: boolean,
    command: text("/bin/gcs"),
    forwardStdout: boolean,
    forwardStderr: boolean,
    disableTimeSync: boolean,
    scrubLogs: boolean,
    processDumpLocation: text("/dumps"),
    enableColdDiscardHint: boolean,
    scsiControllerCount: number(1),
    vpmemDeviceCount: number(5),
    vpmemSizeBytes: size(4096),
    vpmemMultiMapping: boolean,
    encryptScratch: boolean,
  }),
});
const windowsVM = object({
  os: choice("windows"),
  ...commonVM,
  layerFolders: paths(IMAGE, "C:\\new scratch"),
  ...allOptional({
    noDirectMap: boolean,
    disableCompartmentNamespace: boolean,
    processDumpLocation: text("C:\\dumps"),
    dumpFolder: path("C:\\dumps"),
    registryValues: list([registryValue], 0),
  }),
});
const attachOptions = allOptional({
  readOnly: boolean,
  driveLetter: boolean,
  permanent: boolean,
  bypassEncryptionPolicy: boolean,
});
const requestType = optional(choice("Update"));
const settings = optional(of("settings")({}));
const request = document<ModifySettingRequest>({
  ResourcePath: optional(text("VirtualMachine/Devices/Scsi")),
  RequestType: requestType,
  Settings: settings,
  GuestRequest: optional(
    document<GuestModificationRequest>({
      RequestType: requestType,
      ResourceType: optional(text("SCSIDevice")),
      Settings: settings,
    }),
  ),
});

/** The table, with the values of a world. Methods are named `Class.method`; a function with two forms has a row for each. */
export function tableOf(world: World): Table {
  const host = of("host")(world.host);
  // They can be left out unless one of them is needed; the host is, here, so that no call goes to this machine.
  const onHost = (fields: Readonly<Record<string, Place>> = {}): Place => ({
    ...object({ host, ...limits, ...fields }, { plain: true }),
    optional: Object.values(fields).every((field) => field.optional),
  });
  const options = onHost();
  const mountOptions = onHost(allOptional({ permanent: boolean }));
  const progress = { onProgress: of("function")(() => {}) };
  const limitsOfTar = allOptional({
    maxEntries: number(100),
    maxEntrySize: number(2 ** 20),
    maxTotalSize: number(2 ** 20),
    maxDepth: number(100),
    maxHeaderSize: number(2 ** 20),
  });
  const imported = { ...progress, limits: object(limitsOfTar), name: text("layer.tar") };
  const tar = of("tar")(world.tar);
  const blockOptions = { name: text("layer.cim"), verified: of("boolean")(false) };
  return {
    // mod.ts
    mountWCOWLayers: {
      containerId: text("c1"),
      layerFolders: paths(TOP, BASE, SCRATCH),
      options: onHost(
        allOptional({
          volumeMountPath: path("C:\\mnt\\c1"),
          createScratch: boolean,
          permanent: boolean,
          recover: boolean,
          formatWithRefs: of("boolean")(false),
          vm: vm(world.windows),
        }),
      ),
    },
    unmountWCOWLayers: {
      scratchFolder: path(SCRATCH),
      options: onHost(allOptional({ containerId: text("c1"), volumeMountPath: path("C:\\mnt\\c1") })),
    },
    releaseCimFSHostLayers: { scratchFolder: path(SCRATCH), containerId: text("c1"), options },
    listMounts: { options },
    findMounts: { what: text("c1"), options },
    releaseMount: {
      mount: document<mod.SavedMount>({
        id: optional(text("1")),
        holds: list([object({ kind: choice("activation"), scratch: path(SCRATCH) })], 0),
      }),
      options,
    },
    recover: { options: onHost(allOptional({ dryRun: boolean, adopt: of("pathOrBoolean")(SCRATCH) })) },
    mountSandboxVolume: { hostPath: path("C:\\mnt\\new"), volumeName: path(VOLUME), options: mountOptions },
    removeSandboxMountPoint: { hostPath: path("C:\\mnt\\new"), options },
    makeMountedWCOWLayers: { layerFolders: paths(TOP, BASE, SCRATCH), volume: path(VOLUME), options },
    toHostHcsSchemaLayers: { containerId: text("c1"), readOnlyLayers: paths(TOP, BASE), options },
    mountLCOWLayers: {
      containerId: text("c1"),
      layers: object({
        layers: list([object({ vhdPath: path(LINUX_LAYER), partition: optional(number(5)) })]),
        scratchVhdPath: path(LINUX_SCRATCH),
      }),
      options: object(
        { guestRoot: path("/run/c1"), scratchAtRoot: optional(boolean), ...limits, vm: vm(world.linux) },
        {
          plain: true,
        },
      ),
    },
    getHCSLayers: { vm: vm(world.windows), layerFolders: list([path(BASE)], 0), options: waiting },
    parseWCOWLayers: {
      source: object({ mounts: list([mount("windows-layer")], 1), layerFolders: optional(list([], 0)) }, {
        plain: true,
      }),
    },
    parseLCOWLayers: {
      source: object({ mounts: list([mount("lcow-layer")], 1), layerFolders: optional(list([], 0)) }, { plain: true }),
    },
    "createUtilityVM Linux": { options: linuxVM, hostOptions: options },
    "createUtilityVM Windows": { options: windowsVM, hostOptions: options },
    "importLayer of a tar": {
      layer: path("C:\\imported"),
      tar,
      parents: list([path(BASE)], 0),
      options: onHost(allOptional(imported)),
    },
    "exportLayer to a tar": {
      layer: path(TOP),
      parents: list([path(BASE)], 0),
      into: of("sink")(new WritableStream()),
      options: onHost(allOptional(progress)),
    },
    importCimLayer: {
      layer: path("C:\\cim\\new"),
      tar,
      parents: list([path(CIM)], 0),
      options: onHost(allOptional({ ...imported, image: path("C:\\cim\\cim-layers\\other.cim") })),
    },
    importBlockCimLayer: {
      layer: path("C:\\cim\\new"),
      tar,
      parents: list([path(CIM)], 0),
      options: onHost(
        allOptional({ ...imported, block: path("C:\\cim\\new.bcim"), imageName: text("layer.cim"), verified: boolean }),
      ),
    },
    writeCim: {
      image: path("C:\\cim\\cim-layers\\new.cim"),
      options: onHost({ from: optional(text("app.cim")) }),
    },
    writeBlockCim: { block: path("C:\\cim\\new.bcim"), options: onHost(allOptional(blockOptions)) },
    mergeBlockCims: {
      block: path("C:\\cim\\new.bcim"),
      sources: list(
        [path("C:\\cim\\one.bcim"), path("C:\\cim\\two.bcim")].map((block) =>
          object({ block, name: optional(text("layer.cim")) })
        ),
      ),
      options: onHost(allOptional(blockOptions)),
    },
    windowsHost: {
      options: optional(
        object({ calls: optional(choice("pool")), records: optional(path("C:\\records")) }, { plain: true }),
      ),
    },
    // storage
    activateLayer: { layer: path(SCRATCH), options },
    baseImages: { options },
    copyLayer: { source: path(BASE), destination: path("C:\\copy"), options: onHost({ parents }) },
    createLayer: { layer: path("C:\\new"), options: onHost({ parent: optional(path(BASE)) }) },
    createScratchLayer: { layer: path("C:\\new"), parents: paths(BASE), options },
    deactivateLayer: { layer: path(SCRATCH), options },
    destroyLayer: { layer: path(TOP), options },
    expandScratchLayer: { layer: path(SCRATCH), size: size(30 * GIB), options },
    exportLayer: { layer: path(TOP), folder: path("C:\\export"), options: onHost({ parents }) },
    importLayer: { layer: path("C:\\new"), folder: path("C:\\export"), options: onHost({ parents }) },
    layerExists: { layer: path(BASE), options },
    layerId: { layer: path(BASE), options },
    layerMountPath: { layer: path(BASE), options },
    prepareLayer: { layer: path(SCRATCH), parents: list([path(BASE)], 0), options },
    unprepareLayer: { layer: path(SCRATCH), options },
    hcsAttachLayerStorageFilter: { layer: path(SCRATCH), data, options },
    hcsAttachOverlayFilter: { volume: path(VOLUME), data, options },
    hcsDestroyLayer: { layer: path(TOP), options },
    hcsDetachLayerStorageFilter: { layer: path(SCRATCH), options },
    hcsDetachOverlayFilter: { volume: path(VOLUME), data, options },
    hcsExportLayer: {
      layer: path(TOP),
      exportFolder: path("C:\\export"),
      options: onHost(allOptional({ data, writable: boolean })),
    },
    hcsFormatWritableLayerVhd: { vhd: handle(world.disk.handle), options },
    hcsGetLayerVhdMountPath: { vhd: handle(world.disk.handle), options },
    hcsImportLayer: {
      layer: path("C:\\new"),
      sourceFolder: path("C:\\export"),
      options: onHost({ data: optional(data) }),
    },
    hcsInitializeWritableLayer: { layer: path(SCRATCH), data, options },
    hcsSetupBaseOSLayer: {
      layer: path(BASE),
      os: osLayer("Vm"),
      options: onHost({ vhd: handle(world.disk.handle) }),
    },
    hcsSetupBaseOSVolume: {
      layer: path(BASE),
      volume: path(VOLUME),
      options: onHost({ os: optional(osLayer("Container")) }),
    },
    layerData: {
      data: optional(object(allOptional({ layers: list([schemaLayer], 0), filterType: choice("WCIFS") }))),
    },
    attachDisk: {
      path: path(BLANK),
      options: onHost(attachOptions),
    },
    createDifferencingDisk: {
      path: path(NEW),
      parent: path(BLANK),
      options: onHost({ blockSize: optional(size(2 ** 20)) }),
    },
    createVhdx: { path: path(NEW), options: onHost({ size: size(GIB), blockSize: optional(size(2 ** 20)) }) },
    detachDisk: { path: path(BLANK), options },
    isDiskInUse: { path: path(BLANK), options },
    openDisk: { path: path(BLANK), options },
    formatWritableLayerDisk: { path: path(BLANK), options },
    mountWritableLayerDisk: { path: path(`${SCRATCH}\\sandbox.vhdx`), options },
    setupContainerBaseLayer: { layer: path(BASE), disks: baseDisks, options },
    setupUtilityVMBaseLayer: { layer: path(BASE), disks: baseDisks, options },
    dismountCimImage: { volume: path(VOLUME), options },
    mountCimImage: {
      image: path("C:\\cim\\cim-layers\\app.cim"),
      volume: path(VOLUME.replace("1", "2")),
      options: mountOptions,
    },
    createScratch: {
      folder: path("C:\\new"),
      layers: paths(BASE),
      options: onHost({ size: optional(size(30 * GIB)) }),
    },
    createUtilityVMScratch: { folder: path("C:\\new"), layer: path(IMAGE), options: onHost({ vmId: text("vm1") }) },
    expandScratch: { folder: path(SCRATCH), size: size(30 * GIB), options },
    grantVmAccess: { file: path(BLANK), vmId: text("vm1"), options },
    grantVmGroupAccess: { path: path(BLANK), options },
    enablePrivileges: { privileges: list([text("SeBackupPrivilege")], 0), options },
    resolvePath: { path: path(BASE), options },
    // methods
    "UtilityVM.start": { options: waiting },
    "UtilityVM.modify": { request, options: waiting },
    "UtilityVM.properties": { options: waiting },
    "UtilityVM.terminate": { options: waiting },
    "UtilityVM.close": { options: waiting },
    "Disk.attach": { options: optional(object({ ...limits, ...attachOptions }, { plain: true })) },
    "Disk.detach": { options: waiting },
    "Disk.physicalPath": {},
    "Disk.info": {},
    "Mounted.release": { options: waiting },
    "Mounted.toJSON": {},
  };
}

/** The objects that the methods of the table belong to. */
export function objectsOf(world: World): Readonly<Record<string, object>> {
  return { UtilityVM: world.linux, Disk: world.disk, Mounted: world.mounted };
}

const FUNCTIONS: Readonly<Record<string, unknown>> = { ...mod, ...storage };

/** Returns the function that a row of the table is about: of two of one name, that of mod.ts has to do with tars. */
export function functionOf(row: string): unknown {
  const [name] = row.split(" ") as [string];
  return row.endsWith(" tar") ? mod[name as keyof typeof mod] : FUNCTIONS[name];
}

/** Calls what a row of the table is about. */
export async function call(world: World, name: string, values: readonly unknown[]): Promise<unknown> {
  const [owner, method] = name.split(".") as [string, string?];
  if (method === undefined) return await (functionOf(name) as Call)(...values);
  const object = name === "UtilityVM.start" ? world.created : objectsOf(world)[owner]!;
  return await (object as Record<string, Call>)[method]!(...values);
}

type Call = (...values: readonly unknown[]) => unknown;

/** Returns a valid value for a place, without what is optional. */
export function validAt(place: Place): unknown {
  switch (place.kind) {
    case "list":
      return place.items.map(validAt);
    case "object":
      return Object.fromEntries(
        Object.entries(place.fields).filter(([, field]) => !field.optional)
          .map(([name, field]) => [name, validAt(field)]),
      );
    default:
      return place.valid;
  }
}
