// What each entry point of the package exports: a symbol that is added, or goes, has to be listed here.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import config from "../deno.json" with { type: "json" };

/** How many symbols each entry point has, and their names: first the values, then the types. */
const SURFACE: Readonly<Record<string, readonly [count: number, values: string, types: string]>> = {
  ".": [
    96,
    `
      ClosedError GuestConnectionError GuestError HungCallError InUseError InvalidInputError LayerError MissingDllError MissingExportError MissingPermissionError NativeError
      NoRoomError NotMountedError OwnHoldError RecordError ReleaseError UnexpectedAnswerError UnsupportedBuildError UntrustedFolderError UnwindError VMStateError
      createUtilityVM exportLayer findMounts getHCSLayers importBlockCimLayer importCimLayer importLayer listMounts makeMountedWCOWLayers mergeBlockCims mountLCOWLayers mountSandboxVolume mountWCOWLayers parseLCOWLayers parseWCOWLayers recover releaseCimFSHostLayers releaseMount
      removeSandboxMountPoint toHostHcsSchemaLayers unmountWCOWLayers windowsHost writeBlockCim writeCim
    `,
    `
      BlockCim BlockImage BootLayers CimMetadata CimWriter CommonVMOptions ContainerdMount Contents DeviceCapacity ExportedLayer GuestConnectionEnd Hold Host HostOptions ImportBlockCimLayerOptions ImportCimLayerOptions ImportOptions ImportedImageLayer ImportedLayer LCOWLayer LCOWLayers LayerDevice LayerPlacement LayerSource
      LinuxVMOptions MountInfo MountLCOWLayersOptions MountOptions MountOwner MountWCOWLayersOptions Mounted MountedLCOWLayers MountedLayers
      MountedVolume RecoverOptions RecoveredMount ReleaseOptions ReleasedHold SavedMount TransferOptions TransferProgress UnmountWCOWLayersOptions UtilityVM UtilityVMOptions VolumeSpace WCOWLayers WindowsHost
      WindowsHostOptions WindowsVMOptions WriteBlockCimOptions WriteCimOptions
    `,
  ],
  "./files": [
    77,
    `
      FormatError InvalidInputError LayerError MOUNT_POINT_TAG SYMLINK_TAG UnreadableFileError checkCim checkedEntries
      diffLayers filesOfCim fromBytes httpRange layerOfCim layerOfFolder layerOfTar lintLayer mergeLayers openCim
      openFile openLayer openLayerFile readLayerTar readTar sddlOf streamOf traceLayers verifyLayer wrapFiles
      writeLayerTar writeTar
    `,
    `
      CheckLayerOptions CimEntry CimFault CimFile CimFiles CimFolder CimImage CimLimits CimSeverity CimSource
      CimStream CimVersion CimWalkOptions DifferingPart EntriesOptions ExtendedAttribute FilePlace FileTimes
      FormatProblem HttpRangeOptions LayerDifference LayerEntry LayerEntryType LayerFinding LayerForm LayerMismatch
      LayerRule LayerSource LayerTotals LayerTrace LayerVerification LintLayerOptions MergedEntry MismatchPart NewTarEntry OpenBytes
      OpenLayer PaxRecords RandomAccess ReadTarOptions ReparsePoint TarEntry TarHeader TarLimits TarSource
      UncomparedPart WrapFilesOptions
    `,
  ],
  "./hcsschema": [
    12,
    ``,
    `
      GuestConnectionInfo GuestDefinedCapabilities GuestModificationRequest GuestResourceType Layer
      ModifySettingRequest PMemDevice RegistryKey RegistryValue RequestType SCSISlot SystemProperties
    `,
  ],
  "./host": [
    14,
    `
      windowsHost
    `,
    `
      Dll Host NativeArgument NativeArguments NativeCallback NativeFunction NativeResult NativeSymbols
      NotificationListener RawNotification SymbolTable WindowsHost WindowsHostOptions
    `,
  ],
  "./simulated": [
    30,
    `
      SimulatedHost SimulationError
    `,
    `
      Acquirer BeforeOptions CompanyOptions CompletedCall Completion Connection Effect FileAttribute FileContent FileSystem
      FileUse GuestNetwork HeldKind HeldResource ImageFile ImageFiles InjectedFailure Injection LayerContents MachineSnapshot NativeCall
      NotificationName ObservedAnswers OpenFileOptions ScannerOptions SimulatedClock SimulatedHostOptions UnknownCall
    `,
  ],
  "./storage": [
    97,
    `
      ClosedError HungCallError InUseError InvalidInputError LayerError MissingDllError MissingExportError MissingPermissionError
      MissingPrivilegeError NativeError PrivilegeRestoreError ReleaseError UnexpectedAnswerError UnsupportedBuildError UntrustedFolderError
      UnwindError activateLayer attachDisk baseImages copyLayer createDifferencingDisk createLayer createScratch
      createScratchLayer createUtilityVMScratch createVhdx deactivateLayer destroyLayer detachDisk dismountCimImage
      enablePrivileges expandScratch expandScratchLayer exportLayer formatWritableLayerDisk grantVmAccess
      grantVmGroupAccess hcsAttachLayerStorageFilter hcsAttachOverlayFilter hcsDestroyLayer
      hcsDetachLayerStorageFilter hcsDetachOverlayFilter hcsExportLayer hcsFormatWritableLayerVhd
      hcsGetLayerVhdMountPath hcsImportLayer hcsInitializeWritableLayer hcsSetupBaseOSLayer hcsSetupBaseOSVolume
      importLayer isDiskInUse layerData layerExists layerId layerMountPath mountCimImage mountWritableLayerDisk
      openDisk prepareLayer resolvePath setupContainerBaseLayer setupUtilityVMBaseLayer unprepareLayer windowsHost
    `,
    `
      AttachDiskOptions AttachOptions BaseImage BaseLayerDisks CreateDifferencingDiskOptions CreateLayerOptions
      CreateScratchOptions CreateUtilityVMScratchOptions CreateVhdxOptions Disk DiskInfo DiskSizes FilterType
      HcsExportLayerOptions HcsImportLayerOptions HcsSetupBaseOSLayerOptions HcsSetupBaseOSVolumeOptions Hold Host
      HostOptions Layer LayerData MountOptions Mounted MountedCimImage MountedDisk OsLayerOptions OsLayerType ParentOptions
      ReleaseOptions Version WindowsHost WindowsHostOptions
    `,
  ],
};

// An entry point has nothing but lists of what it exports, so that they can be read here.
const EXPORTS = /^export (type )?\{([^}]*)\} from "[^"]+";$/gm;

for (const [entry, file] of Object.entries(config.exports)) {
  Deno.test(`the entry point ${entry} exports what is listed, and nothing else`, () => {
    const text = Deno.readTextFileSync(new URL(`../${file}`, import.meta.url)).replace(/\/\*[^]*?\*\/|\/\/.*/g, "");
    assertEquals(text.replace(EXPORTS, "").trim(), "", "there are only lists of exports");
    const lists = [...text.matchAll(EXPORTS)];
    const values = lists.filter(([, type]) => type === undefined).flatMap(([, , list]) => namesIn(list!)).sort();
    const types = lists.filter(([, type]) => type !== undefined).flatMap(([, , list]) => namesIn(list!)).sort();
    const [count, ...names] = SURFACE[entry]!;
    assertEquals([values, types], names.map(namesIn));
    assertEquals(values.length + types.length, count);
  });
}

Deno.test("every entry point is listed", () => assertEquals(Object.keys(SURFACE), Object.keys(config.exports)));

function namesIn(list: string): string[] {
  return list.split(/[\s,]+/).filter((name) => name !== "");
}
