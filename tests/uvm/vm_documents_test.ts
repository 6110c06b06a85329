import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { InvalidInputError } from "../../src/errors/input_error.ts";
import { UnsupportedBuildError } from "../../src/errors/windows_errors.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import type { LinuxVMOptions } from "../../src/uvm/plans/linux_vm.ts";
import type { WindowsVMOptions } from "../../src/uvm/plans/windows_vm.ts";
import { createUtilityVM, type UtilityVMOptions } from "../../src/uvm/utility_vm.ts";
import { BOOT, createdDocument, DISK, IMAGE, LINUX, SCRATCH, vmHost, WINDOWS } from "../support/vm_host.ts";

interface Recording {
  readonly name: string;
  readonly setup: { readonly files: readonly { readonly path: string }[]; readonly dirs: readonly string[] };
  readonly steps: readonly {
    readonly op: string;
    readonly vm: string;
    readonly path: string;
    readonly layers: string[];
    readonly options: Readonly<Record<string, string>>;
  }[];
  readonly result: { readonly osBuild: number };
  readonly trace: readonly { readonly fn: string; readonly args: { readonly configuration: string } }[];
}

const FOLDER = new URL("../vectors/v0.12.3/", import.meta.url);

const RECORDINGS: readonly Recording[] = [...Deno.readDirSync(FOLDER)]
  .filter(({ name }) => /^(lcow|wcow)-.*\.json$/.test(name))
  .map(({ name }) => JSON.parse(Deno.readTextFileSync(new URL(name, FOLDER))));

function asRecorded({ op, vm, path, layers, options }: Recording["steps"][number]): UtilityVMOptions {
  const common = {
    id: vm,
    owner: "oracle",
    guestConnection: "none" as const,
    ...(options.fullyPhysicallyBacked && { fullyPhysicallyBacked: true }),
  };
  if (op === "CreateWCOW") {
    return { os: "windows", ...common, layerFolders: layers, ...(options.noDirectMap && { noDirectMap: true }) };
  }
  return {
    os: "linux",
    ...common,
    bootFolder: path,
    forwardStderr: false,
    ...(options.vpmemNoMultiMapping && { vpmemMultiMapping: false }),
    ...(options.vpmemDeviceCount && { vpmemDeviceCount: Number(options.vpmemDeviceCount) }),
    ...(options.vpmemSizeBytes && { vpmemSizeBytes: Number(options.vpmemSizeBytes) }),
    ...(options.encryptScratch && { encryptScratch: true }),
  };
}

Deno.test("createUtilityVM() writes every document that was recorded, key for key and in order", async () => {
  const seen: string[] = [];
  for (const { name, setup, steps, result, trace } of RECORDINGS) {
    const step = steps.find(({ op }) => /^Create[LW]COW$/.test(op));
    const recorded = trace.find(({ fn }) => fn === "HcsCreateComputeSystem");
    if (step === undefined || recorded === undefined) continue;
    const host = new SimulatedHost({ build: result.osBuild });
    setup.dirs.forEach((folder) => host.addFolder(folder));
    setup.files.forEach(({ path }) => host.addFile(path, 2 ** 20));
    await using _vm = await createUtilityVM(asRecorded(step), { host });
    assertEquals(createdDocument(host), recorded.args.configuration, name);
    seen.push(name);
  }
  assertEquals(seen.length, RECORDINGS.length - 1, "all but the one without a kernel");
});

async function linuxDocument(options: Partial<LinuxVMOptions>, build = 20348): Promise<string> {
  const host = vmHost({ build });
  await using _vm = await createUtilityVM({ ...LINUX, ...options }, { host });
  return createdDocument(host);
}

async function windowsDocument(options: Partial<WindowsVMOptions>): Promise<string> {
  const host = vmHost();
  await using _vm = await createUtilityVM({ ...WINDOWS, ...options }, { host });
  return createdDocument(host);
}

function kernelArguments(document: string): string {
  return JSON.parse(document).VirtualMachine.Chipset.LinuxKernelDirect.KernelCmdLine;
}

const DEFAULT_ARGUMENTS =
  " 8250_core.nr_uarts=0 panic=-1 quiet pci=off nr_cpus=2 brd.rd_nr=0 pmtmr=0 -- -e 1 /bin/vsockexec -e 109 " +
  "/bin/gcs -v4 -log-format json -loglevel info";

Deno.test("createUtilityVM() has the compute service talk to the guest unless told otherwise", async () => {
  const connections = await Promise.all([
    linuxDocument({}),
    linuxDocument({ guestConnection: "none" }),
    windowsDocument({}),
    windowsDocument({ guestConnection: "none" }),
  ]);
  assertEquals(connections.map((document) => JSON.parse(document).VirtualMachine.GuestConnection), [
    { UseVsock: true, UseConnectedSuspend: true },
    undefined,
    {},
    undefined,
  ]);
});

Deno.test("createUtilityVM() has the guest's log forwarded as upstream does", async () => {
  assertEquals(kernelArguments(await linuxDocument({})), DEFAULT_ARGUMENTS);
  assertEquals(
    kernelArguments(await linuxDocument({ forwardStdout: true, forwardStderr: false })),
    DEFAULT_ARGUMENTS.replace("-e 109", "-o 109"),
  );
});

Deno.test("createUtilityVM() puts every part of a kernel's arguments in its place", async () => {
  const document = await linuxDocument({
    consolePipe: "\\\\.\\pipe\\vm1",
    graphicsConsole: true,
    kernelOptions: "loglevel=7",
    vpciEnabled: true,
    disableTimeSync: true,
    scrubLogs: true,
    processDumpLocation: "/tmp/dumps",
    processorCount: 1,
  });
  assertEquals(
    kernelArguments(document),
    " 8250_core.nr_uarts=1 8250_core.skip_txen_test=1 console=ttyS0,115200 console=tty loglevel=7 nr_cpus=1 " +
      'brd.rd_nr=0 pmtmr=0 -- -e 1 sh -c "/bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel info ' +
      '-disable-time-sync -scrub-logs -core-dump-location /tmp/dumps & exec sh"',
  );
  assertEquals(Object.keys(JSON.parse(document).VirtualMachine.Devices), [
    "ComPorts",
    "Scsi",
    "VirtualPMem",
    "VideoMonitor",
    "Keyboard",
    "HvSocket",
    "EnhancedModeVideo",
    "Plan9",
  ]);
});

Deno.test("createUtilityVM() gives a Linux VM without SCSI controllers none in its document, and no place for a disk", async () => {
  const document = await linuxDocument({ scsiControllerCount: 0 });
  assertEquals("Scsi" in JSON.parse(document).VirtualMachine.Devices, false);
});

Deno.test("createUtilityVM() boots by the firmware where Windows is too old for more", async () => {
  const { Chipset, Devices } = JSON.parse(await linuxDocument({}, 17763)).VirtualMachine;
  assertEquals(Chipset, {
    Uefi: {
      BootThis: {
        DeviceType: "VmbFs",
        DevicePath: "\\kernel",
        OptionalData: `initrd=/initrd.img${DEFAULT_ARGUMENTS}`,
        VmbFsRootPath: BOOT,
      },
    },
  });
  assertEquals(Devices.VirtualPMem, { MaximumCount: 64, MaximumSizeBytes: 4294967296 });
});

Deno.test("createUtilityVM() boots a disk from vPMem, or from SCSI where there is no vPMem", async () => {
  const host = vmHost();
  host.addFile(`${BOOT}\\rootfs.vhdx`, 2 ** 20);
  await using onPMem = await createUtilityVM({ ...LINUX, id: "a", rootFile: "rootfs.vhdx" }, { host });
  await using onScsi = await createUtilityVM(
    { ...LINUX, id: "b", rootFile: "rootfs.vhdx", vpmemDeviceCount: 0 },
    { host },
  );
  const [first, second] = [0, 1].map((nth) => JSON.parse(createdDocument(host, nth)).VirtualMachine);
  const disk = `${BOOT}\\rootfs.vhdx`;
  assertEquals(first.Devices.VirtualPMem.Devices, { 0: { HostPath: disk, ReadOnly: true, ImageFormat: "Vhdx" } });
  assertEquals(first.Chipset.LinuxKernelDirect.InitRdPath, undefined);
  assertEquals(onPMem.capacity[1]!.used, 1);
  assertEquals(Object.values(second.Devices.Scsi).length, 4);
  assertEquals(second.Devices.Scsi["df6d0690-79e5-55b6-a5ec-c1e2f77f580a"], {
    Attachments: { 0: { Type: "VirtualDisk", Path: disk, ReadOnly: true } },
  });
  assertEquals(
    [first, second].map(({ Chipset }) => Chipset.LinuxKernelDirect.KernelCmdLine.split(" 8250")[0]),
    ["root=/dev/pmem0 ro rootwait init=/init", "root=/dev/sda ro rootwait init=/init"],
  );
  assertEquals(onScsi.capacity[0], { device: "SCSI slots", total: 256, used: 1 });
});

Deno.test("createUtilityVM() gives a VM the memory, processors and limits that it is told", async () => {
  const options = {
    owner: "me",
    memorySizeInMB: 2047,
    enableDeferredCommit: true,
    lowMMIOGapInMB: 256,
    highMMIOBaseInMB: 4096,
    highMMIOGapInMB: 512,
    processorCount: 16,
    processorLimit: 50000,
    processorWeight: 200,
    cpuGroupId: "8db6a1a9-2a55-4f7c-8ae9-5e1ff1a3b2aa",
    storageQoS: { iopsMaximum: 1000, bandwidthMaximum: 2000 },
  };
  const document = JSON.parse(await linuxDocument({ ...options, enableColdDiscardHint: true }));
  assertEquals(document.Owner, "me");
  assertEquals(
    JSON.stringify(document.VirtualMachine.ComputeTopology),
    '{"Memory":{"SizeInMB":2048,"AllowOvercommit":true,"EnableDeferredCommit":true,"EnableColdDiscardHint":true,' +
      '"LowMmioGapInMB":256,"HighMmioBaseInMB":4096,"HighMmioGapInMB":512},"Processor":{"Count":2,"Limit":50000,' +
      '"Weight":200,"CpuGroup":{"Id":"8db6a1a9-2a55-4f7c-8ae9-5e1ff1a3b2aa"}}}',
  );
  assertEquals(document.VirtualMachine.StorageQoS, { IopsMaximum: 1000, BandwidthMaximum: 2000 });
  assertEquals(kernelArguments(JSON.stringify(document)).includes(" nr_cpus=2 "), true, "as many as there are");
});

Deno.test("createUtilityVM() prepares the registry of a Windows guest in order", async () => {
  const extra = {
    Key: { Hive: "Software", Name: "Contoso" },
    Name: "Mode",
    Type: "String",
    StringValue: "quiet",
  } as const;
  const { VirtualMachine } = JSON.parse(
    await windowsDocument({ processDumpLocation: "C:\\dumps", registryValues: [extra] }),
  );
  const values = VirtualMachine.RegistryChanges.AddValues;
  assertEquals(
    values.map(({ Key, Name, DWordValue }: { Key: { Name: string }; Name: string; DWordValue?: number }) => [
      Key.Name,
      Name,
      DWordValue,
    ]),
    [
      ["ControlSet001\\Services\\WerSvc", "Start", 2],
      ["Microsoft\\Windows\\Windows Error Reporting", "Disabled", 1],
      ["CurrentControlSet\\Services\\gns", "EnableCompartmentNamespace", 1],
      ["Contoso", "Mode", undefined],
    ],
  );
  const bare = JSON.parse(await windowsDocument({ disableCompartmentNamespace: true }));
  assertEquals(bare.VirtualMachine.RegistryChanges, {});
});

Deno.test("createUtilityVM() saves the state of a crashed Windows guest where it is told", async () => {
  const host = vmHost();
  host.addFolder("C:\\dumps");
  await using _vm = await createUtilityVM({ ...WINDOWS, dumpFolder: "C:\\dumps" }, { host });
  const { VirtualMachine } = JSON.parse(createdDocument(host));
  assertEquals(VirtualMachine.DebugOptions, {
    BugcheckSavedStateFileName: "C:\\dumps\\vm1-savedstate.vmrs",
    BugcheckNoCrashdumpSavedStateFileName: "C:\\dumps\\vm1-savedstate_nocrashdump.vmrs",
  });
  assertEquals(Object.keys(VirtualMachine).slice(-3), ["RegistryChanges", "GuestConnection", "DebugOptions"]);
});

const CONTAINER = { kind: "folders", layers: [IMAGE], scratch: SCRATCH } as const;

const REFUSED: readonly [argument: string, options: UtilityVMOptions][] = [
  ["options", undefined as unknown as UtilityVMOptions],
  ["options.os", { ...LINUX, os: "macos" as "linux" }],
  ["options.id", { ...LINUX, id: "" }],
  ["options.owner", { ...LINUX, owner: "a\0b" }],
  ["options.memorySizeInMB", { ...LINUX, memorySizeInMB: 0 }],
  ["options.memorySizeInMB", { ...LINUX, memorySizeInMB: 1.5 }],
  ["options.processorCount", { ...LINUX, processorCount: 0 }],
  ["options.processorWeight", { ...LINUX, processorWeight: -1 }],
  ["options.enableDeferredCommit", { ...LINUX, allowOvercommit: false, enableDeferredCommit: true }],
  ["options.enableDeferredCommit", { ...WINDOWS, fullyPhysicallyBacked: true, enableDeferredCommit: true }],
  ["options.allowOvercommit", { ...LINUX, allowOvercommit: true, fullyPhysicallyBacked: true }],
  ["options.guestConnection", { ...LINUX, guestConnection: "external" as "none" }],
  ["options.cpuGroupId", { ...LINUX, cpuGroupId: "group" }],
  ["options.vpmemDeviceCount", { ...LINUX, vpmemDeviceCount: 129 }],
  ["options.vpmemDeviceCount", { ...LINUX, vpmemDeviceCount: -1 }],
  ["options.vpmemSizeBytes", { ...LINUX, vpmemSizeBytes: 4097 }],
  ["options.vpmemSizeBytes", { ...LINUX, vpmemSizeBytes: 0 }],
  ["options.scsiControllerCount", { ...LINUX, scsiControllerCount: 5 }],
  ["options.consolePipe", { ...LINUX, consolePipe: "pipe" }],
  ["options.bootFolder", { ...LINUX, bootFolder: "lcow" }],
  ["options.bootFolder", { ...LINUX, bootFolder: "C:\\nothing" }],
  ["options.bootFolder", { ...LINUX, kernelFile: "zImage" }],
  ["options.layerFolders", { ...WINDOWS, layerFolders: [SCRATCH] }],
  ["options.layerFolders", { ...WINDOWS, layerFolders: "C:\\layers" as unknown as string[] }],
  ["options.layerFolders[0]", { ...WINDOWS, layerFolders: ["", SCRATCH] }],
  ["options.layerFolders[1]", { ...WINDOWS, layerFolders: [IMAGE, "C:\\nothing"] }],
  ["options.layerFolders", { ...WINDOWS, layerFolders: [SCRATCH, SCRATCH] }],
  ["options.layerFolders.scratch", { ...WINDOWS, layerFolders: { ...CONTAINER, scratch: "C:\\nothing" } }],
  ["options.layerFolders.scratch", { ...WINDOWS, layerFolders: { ...CONTAINER, scratch: "scratch" } }],
  ["options.layerFolders.layers", { ...WINDOWS, layerFolders: { ...CONTAINER, layers: [] } }],
  ["options.layerFolders", { ...WINDOWS, layerFolders: { ...CONTAINER, layers: [SCRATCH] } }],
  ["options.layerFolders.kind", { ...WINDOWS, layerFolders: { ...CONTAINER, kind: "blockImages" as "folders" } }],
  ["options.dumpFolder", { ...WINDOWS, dumpFolder: DISK }],
];

Deno.test("createUtilityVM() refuses bad options before the compute service is asked anything", async () => {
  for (const [argument, options] of REFUSED) {
    const host = vmHost();
    const error = await assertRejects(() => createUtilityVM(options, { host }), InvalidInputError);
    assertEquals(error.argument, argument, JSON.stringify(options));
    assertEquals(host.calls.filter(({ dll }) => dll === "vmcompute"), []);
  }
});

Deno.test("createUtilityVM() refuses the options of confidential VMs by their names, and says that it is for those", async () => {
  const policy = {
    securityPolicy: "cGFja2FnZSBwb2xpY3k=",
    guestStateFile: "C:\\lcow\\kernel.vmgs",
    isolationType: "SNP",
  };
  for (const options of [LINUX, WINDOWS]) {
    for (const [name, value] of Object.entries(policy)) {
      const host = vmHost();
      const error = await assertRejects(
        () => createUtilityVM({ ...options, [name]: value } as UtilityVMOptions, { host }),
        InvalidInputError,
        "confidential VMs, which are not supported",
      );
      assertEquals([error.argument, host.calls], [`options.${name}`, []]);
    }
  }
});

Deno.test("createUtilityVM() refuses to boot from a SCSI disk without a controller", async () => {
  const host = vmHost();
  host.addFile(`${BOOT}\\rootfs.vhd`, 2 ** 20);
  const options = { ...LINUX, vpmemDeviceCount: 0, scsiControllerCount: 0 };
  const error = await assertRejects(() => createUtilityVM(options, { host }), InvalidInputError);
  assertEquals(error.argument, "options.scsiControllerCount");
});

Deno.test("createUtilityVM() refuses what this Windows can't do", async () => {
  const tooNew: readonly [build: number, options: UtilityVMOptions][] = [
    [17762, LINUX],
    [18285, { ...LINUX, kernelDirect: true }],
    [18361, { ...LINUX, vpmemMultiMapping: true }],
    [18966, { ...LINUX, enableColdDiscardHint: true }],
    [19042, { ...WINDOWS, cpuGroupId: "8db6a1a9-2a55-4f7c-8ae9-5e1ff1a3b2aa" }],
  ];
  for (const [build, options] of tooNew) {
    await assertRejects(() => createUtilityVM(options, { host: vmHost({ build }) }), UnsupportedBuildError);
    await using _vm = await createUtilityVM(options, { host: vmHost({ build: build + 1 }) });
  }
});
