// The keys of all documents that a VM is created with, changed by and asked with, and of all messages to its guest, beside
// those that the Go original was recorded to send. Each one that is only ours is listed here.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { createUtilityVM, mountLCOWLayers, mountWCOWLayers, type UtilityVM, type WCOWLayers } from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { readRuns, RECORDINGS } from "../vectors/recordings.ts";
import { isWireRun, WIRE_RECORDINGS } from "../vectors/wire_run.ts";
import { BOOT, IMAGE, SCRATCH, vmHost } from "../support/vm_host.ts";

type Keys = Map<string, Set<string>>;

const DOCUMENTS = ["configuration", "options", "propertyQuery"];

function note(keys: Keys, fn: string, document: unknown): void {
  const known = keys.get(fn) ?? new Set();
  pathsOf(document).forEach((path) => known.add(path));
  keys.set(fn, known);
}

// The paths of all keys. Slots, ports and GUIDs are `*`.
function pathsOf(value: unknown, path = ""): string[] {
  if (typeof value === "string" && /^[[{]/.test(value)) return pathsOf(JSON.parse(value), path);
  if (Array.isArray(value)) return value.flatMap((item) => pathsOf(item, `${path}[]`));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => {
    const at = `${path}.${/^(\d+|[0-9a-f-]{36})$/.test(key) ? "*" : key}`;
    return [at, ...pathsOf(item, at)];
  });
}

async function recorded(): Promise<Keys> {
  const keys: Keys = new Map();
  // Those made by hand aren't the original's.
  for (const run of await readRuns([...RECORDINGS.filter((folder) => !folder.endsWith("handmade")), WIRE_RECORDINGS])) {
    const calls = isWireRun(run) ? run.calls ?? [] : "trace" in run ? run.trace : [];
    for (const { fn, args } of calls) {
      DOCUMENTS.forEach((name) => note(keys, fn, args[name]));
    }
    if (!isWireRun(run)) continue;
    for (const { dir, json } of run.wire ?? []) if (dir === "host→guest") note(keys, "guest", json);
  }
  return keys;
}

function noteOurs(keys: Keys, { calls }: SimulatedHost): void {
  for (const { dll, function: fn, args } of calls) {
    if (dll === "guest") note(keys, dll, args.request);
    else if (dll === "vmcompute") DOCUMENTS.forEach((name) => note(keys, fn, args[name]));
  }
}

const COMMON = {
  id: "vm1",
  owner: "me",
  memorySizeInMB: 2048,
  lowMMIOGapInMB: 256,
  highMMIOBaseInMB: 4096,
  highMMIOGapInMB: 512,
  enableDeferredCommit: true,
  processorLimit: 50000,
  processorWeight: 200,
  cpuGroupId: "8db6a1a9-2a55-4f7c-8ae9-5e1ff1a3b2aa",
  storageQoS: { iopsMaximum: 1000, bandwidthMaximum: 2000 },
} as const;
const LINUX = {
  ...COMMON,
  os: "linux",
  bootFolder: BOOT,
  consolePipe: "\\\\.\\pipe\\vm1",
  graphicsConsole: true,
  enableColdDiscardHint: true,
} as const;
const KEY = { Hive: "Software", Name: "Contoso", Volatile: true } as const;
const WINDOWS = {
  ...COMMON,
  os: "windows",
  layerFolders: [IMAGE, SCRATCH],
  noDirectMap: true,
  processDumpLocation: "C:\\dumps",
  dumpFolder: "C:\\dumps",
  registryValues: [
    { Key: KEY, Name: "S", Type: "String", StringValue: "s" },
    { Key: KEY, Name: "B", Type: "Binary", BinaryValue: "AA==" },
    { Key: KEY, Name: "D", Type: "DWord", DWordValue: 1 },
    { Key: KEY, Name: "Q", Type: "QWord", QWordValue: 1 },
    { Key: KEY, Name: "C", Type: "CustomType", CustomType: 7, BinaryValue: "AA==" },
  ],
} as const;

const mountLinux = (vm: UtilityVM) =>
  mountLCOWLayers("c1", {
    layers: [{ vhdPath: "C:\\layers\\1.vhd", partition: 2 }, { vhdPath: "C:\\layers\\2.vhd" }],
    scratchVhdPath: "C:\\scratch.vhdx",
  }, { vm, guestRoot: "/run/c" });
const mountWindows = (vm: UtilityVM) => mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratches\\1"], { vm });
const IMAGES: WCOWLayers = {
  kind: "blockImages",
  storage: "file",
  layers: ["1", "2"].map((name) => ({ path: `C:\\images\\${name}.bcim`, name: "layer.cim" })),
  merged: { path: "C:\\images\\merged.bcim", name: "merged.cim" },
  scratch: "C:\\scratches\\1",
};
const mountImages = (vm: UtilityVM) => mountWCOWLayers("c1", IMAGES, { vm, formatWithRefs: true });

/** Each VM, what is mounted in it, and in which ways. */
const LIVES: readonly [Parameters<typeof createUtilityVM>[0], (vm: UtilityVM) => Promise<AsyncDisposable>][] = [
  [LINUX, mountLinux],
  [{ ...LINUX, vpmemMultiMapping: false }, mountLinux],
  [{ ...LINUX, vpmemDeviceCount: 0, encryptScratch: true }, mountLinux],
  [{ ...LINUX, kernelDirect: false }, mountLinux],
  [{ ...LINUX, guestConnection: "internal" }, mountLinux],
  [WINDOWS, mountWindows],
  [{ ...WINDOWS, guestConnection: "internal" }, mountWindows],
  // Only the agent of confidential guests knows images.
  [{ ...WINDOWS, guestConnection: "none" }, mountImages],
];

/** The keys in `HcsCreateComputeSystem` that were never recorded, by the reason. In all other documents there are none. */
const OURS: Readonly<Record<string, readonly string[]>> = {
  "only ours: the connection of the compute service, which the original gave up in 2021, where a caller asks for it": [
    ".VirtualMachine.GuestConnection",
    ".VirtualMachine.GuestConnection.UseConnectedSuspend",
    ".VirtualMachine.GuestConnection.UseVsock",
  ],
  "values for the registry that a caller gives": [
    ".VirtualMachine.RegistryChanges.AddValues[].BinaryValue",
    ".VirtualMachine.RegistryChanges.AddValues[].CustomType",
    ".VirtualMachine.RegistryChanges.AddValues[].Key.Volatile",
    ".VirtualMachine.RegistryChanges.AddValues[].QWordValue",
    ".VirtualMachine.RegistryChanges.AddValues[].StringValue",
  ],
  "the original writes them for the same options, with which it wasn't recorded": [
    ".VirtualMachine.Chipset.Uefi.BootThis.OptionalData",
    ".VirtualMachine.Chipset.Uefi.BootThis.VmbFsRootPath",
    ...["EnableColdDiscardHint", "EnableDeferredCommit", "HighMmioBaseInMB", "HighMmioGapInMB", "LowMmioGapInMB"].map(
      (key) => `.VirtualMachine.ComputeTopology.Memory.${key}`,
    ),
    ...["CpuGroup", "CpuGroup.Id", "Limit", "Weight"].map((key) => `.VirtualMachine.ComputeTopology.Processor.${key}`),
    ".VirtualMachine.DebugOptions",
    ".VirtualMachine.DebugOptions.BugcheckNoCrashdumpSavedStateFileName",
    ".VirtualMachine.DebugOptions.BugcheckSavedStateFileName",
    ...["ComPorts", "ComPorts.*", "ComPorts.*.NamedPipe", "EnhancedModeVideo", "Keyboard", "VideoMonitor"].map(
      (key) => `.VirtualMachine.Devices.${key}`,
    ),
    ".VirtualMachine.StorageQoS",
    ".VirtualMachine.StorageQoS.BandwidthMaximum",
    ".VirtualMachine.StorageQoS.IopsMaximum",
  ],
};

Deno.test("each key of each document that the original wasn't recorded to send is listed", async () => {
  const known = await recorded();
  const keys: Keys = new Map();
  for (const [options, mount] of LIVES) {
    const host = vmHost({ build: 27800 });
    ["1", "2"].forEach((name) => host.addLinuxLayer(`C:\\layers\\${name}.vhd`, 2 ** 20));
    host.addFile("C:\\scratch.vhdx", 2 ** 24);
    host.addLayer("C:\\layers\\base");
    host.addScratch("C:\\scratches\\1");
    host.addFolder("C:\\dumps");
    ["1", "2", "merged"].forEach((name) => host.addFile(`C:\\images\\${name}.bcim`, 4096));
    await using vm = await createUtilityVM(options, { host });
    await vm.start();
    {
      await using _mounted = await mount(vm);
    }
    await vm.properties();
    await vm.close();
    noteOurs(keys, host);
  }
  const ours = [...keys].flatMap(([fn, paths]) =>
    [...paths].filter((path) => !known.get(fn)?.has(path)).map((path) => `${fn} ${path}`)
  );
  const listed = Object.values(OURS).flat().map((path) => `HcsCreateComputeSystem ${path}`);
  assertEquals(ours.sort(), listed.sort());
});
