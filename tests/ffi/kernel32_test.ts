import { assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import { NativeError } from "../../src/errors/windows_errors.ts";
import type { Host } from "../../src/ffi/host.ts";
import * as kernel32 from "../../src/ffi/kernel32.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { writeText } from "../support/files.ts";
import { MOUNT } from "../support/host.ts";

const GUID = "11111111-2222-3333-4444-555555555555";
const DEEP = `C:\\${"a".repeat(100)}\\${"b".repeat(100)}\\${"𝄞".repeat(50)}`;

Deno.test("longPath() lifts the limit of 260 units, and changes nothing else", () => {
  const long = "x".repeat(250);
  const paths: [path: string, form: string][] = [
    ["C:\\short", "C:\\short"],
    [`C:\\${"x".repeat(244)}`, `C:\\${"x".repeat(244)}`],
    [`C:\\${"x".repeat(245)}`, `\\\\?\\C:\\${"x".repeat(245)}`],
    [`\\\\server\\share\\${long}`, `\\\\?\\UNC\\server\\share\\${long}`],
    [`\\\\?\\C:\\${long}`, `\\\\?\\C:\\${long}`],
    [`\\\\.\\${long}`, `\\\\.\\${long}`],
  ];
  for (const [path, form] of paths) assertEquals(kernel32.longPath(path), form);
});

Deno.test("files and folders: what there is, what isn't, and the error of everything else", () => {
  const host = new SimulatedHost();
  host.addFile("C:\\f\\file");
  assertEquals(kernel32.fileAttributes(host, "C:\\f"), kernel32.attribute.DIRECTORY);
  assertEquals(kernel32.fileAttributes(host, "C:\\f\\file"), kernel32.attribute.NORMAL);
  assertEquals(kernel32.fileAttributes(host, "C:\\f\\no"), undefined);
  assertEquals(kernel32.fileAttributes(host, "C:\\no\\no"), undefined);
  assertEquals([kernel32.createDirectory(host, "C:\\d"), kernel32.createDirectory(host, "C:\\d")], [true, false]);
  assertEquals([kernel32.isDirectoryEmpty(host, "C:\\d"), kernel32.isDirectoryEmpty(host, "C:\\f")], [true, false]);
  kernel32.removeDirectory(host, "C:\\d");
  const failures: [code: number, fn: string, call: () => unknown][] = [
    [3, "CreateDirectoryW", () => kernel32.createDirectory(host, "C:\\no\\no")],
    [145, "RemoveDirectoryW", () => kernel32.removeDirectory(host, "C:\\f")],
    [2, "RemoveDirectoryW", () => kernel32.removeDirectory(host, "C:\\d")],
    [2, "CreateFileW", () => kernel32.openFile(host, "C:\\f\\no")],
    [6, "CloseHandle", () => kernel32.closeHandle(host, 0xabcn)],
    [2, "FindFirstFileW", () => kernel32.isDirectoryEmpty(host, "C:\\no")],
  ];
  for (const [code, fn, call] of failures) {
    const error = assertThrows(call, NativeError);
    assertEquals([error.operation, error.win32], [fn, code]);
  }
  for (
    const [fn, call] of [["GetFileAttributesW", kernel32.fileAttributes], [
      "FindNextFileW",
      kernel32.isDirectoryEmpty,
    ]] as const
  ) {
    host.fail({ function: fn, code: 5 });
    const error = assertThrows(() => call(host, "C:\\f"), NativeError, "C:\\f");
    assertEquals([error.operation, error.code], [fn, 0x80070005]);
  }
  assertEquals(host.held(), [], "no handle is left open, nothing that was created is there");
});

Deno.test("writeText() and readText() keep a text, and have the error of the call that failed", () => {
  const host = new SimulatedHost();
  host.addFolder("C:\\f");
  const path = "C:\\f:note";
  writeText(host, path, "ä 𝄞");
  writeText(host, path, "ß");
  assertEquals(kernel32.readText(host, path), "ß");
  for (
    const [fn, call] of [
      ["WriteFile", () => writeText(host, path, "new")],
      ["ReadFile", () => kernel32.readText(host, path)],
      ["CreateFileW", () => kernel32.readText(host, path)],
    ] as const
  ) {
    host.fail({ function: fn, code: 112 });
    const error = assertThrows(call, NativeError, path);
    assertEquals([error.operation, error.win32], [fn, 112]);
    host.failNothing();
  }
  assertEquals(host.held().filter(({ kind }) => kind === "handle"), []);
});

Deno.test("paths over 260 units reach Windows in the long form, with their closing separator where one has to be", () => {
  const host = new SimulatedHost();
  host.addFolder(DEEP);
  const volume = host.addVolume(GUID);
  kernel32.fileAttributes(host, DEEP);
  kernel32.isDirectoryEmpty(host, DEEP);
  kernel32.setVolumeMountPoint(host, DEEP, volume);
  kernel32.deleteVolumeMountPoint(host, `${DEEP}\\`);
  assertEquals(
    host.calls.flatMap(({ args }) => args["path"] ?? args["pattern"] ?? args["volumeMountPoint"] ?? []),
    [`\\\\?\\${DEEP}`, `\\\\?\\${DEEP}\\*`, `\\\\?\\${DEEP}\\`, `\\\\?\\${DEEP}\\`],
  );
});

Deno.test("mount points: set, seen from both sides, and deleted", () => {
  const host = new SimulatedHost();
  host.addFolder(MOUNT);
  const volume = host.addVolume(GUID);
  kernel32.setVolumeMountPoint(host, MOUNT, volume.slice(0, -1));
  assertEquals(kernel32.volumeNameForMountPoint(host, MOUNT), volume);
  assertEquals(kernel32.mountPointsOfVolume(host, volume), [`${MOUNT}\\`]);
  assertEquals(
    kernel32.fileAttributes(host, MOUNT)! & kernel32.attribute.REPARSE_POINT,
    kernel32.attribute.REPARSE_POINT,
  );
  kernel32.deleteVolumeMountPoint(host, MOUNT);
  assertEquals(kernel32.mountPointsOfVolume(host, volume), []);
  assertEquals(assertThrows(() => kernel32.volumeNameForMountPoint(host, MOUNT), NativeError).win32, 4390);
});

Deno.test("mountPointsOfVolume() asks again with the size that Windows names, and gives up after some times", () => {
  const host = new SimulatedHost();
  const folder = `C:\\${"x".repeat(600)}`;
  host.addFolder(folder);
  const volume = host.addVolume(GUID);
  kernel32.setVolumeMountPoint(host, folder, volume);
  assertEquals(kernel32.mountPointsOfVolume(host, volume), [`${folder}\\`]);
  const asked = host.calls.filter((call) => call.function === "GetVolumePathNamesForVolumeNameW");
  assertEquals(asked.map(({ args, result }) => [args["units"], result]), [[512, "0x800700ea"], [606, "0x00000000"]]);
  host.fail({ function: "GetVolumePathNamesForVolumeNameW", code: 234 });
  assertEquals(assertThrows(() => kernel32.mountPointsOfVolume(host, volume), NativeError).win32, 234);
});

Deno.test("finalPathName() asks again with a larger buffer", () => {
  const host = new SimulatedHost();
  const folder = `C:\\${"x".repeat(600)}`;
  host.addFolder(folder);
  using handle = kernel32.openFile(host, folder, { flags: kernel32.fileFlag.BACKUP_SEMANTICS });
  assertEquals(kernel32.finalPathName(host, handle.value, kernel32.finalPath.VOLUME_NAME_DOS), `\\\\?\\${folder}`);
  const asked = host.calls.filter((call) => call.function === "GetFinalPathNameByHandleW");
  assertEquals(asked.map(({ args }) => args["units"]), [512, 609]);
  const error = assertThrows(() => kernel32.finalPathName(host, 0n, 0, folder), NativeError, folder);
  assertEquals(error.win32, 6);
});

Deno.test("deviceIoControl() answers how much was written, and the error with the path", () => {
  const host = new SimulatedHost();
  host.addFile("C:\\f");
  using handle = kernel32.openFile(host, "C:\\f");
  const error = assertThrows(
    () => kernel32.deviceIoControl(host, handle.value, { code: 1, path: "C:\\f" }),
    NativeError,
  );
  assertEquals([error.operation, error.path, error.win32], ["DeviceIoControl", "C:\\f", 1]);
});

Deno.test("systemMessage() has Windows' own words without the line end, and none for codes that it doesn't know", () => {
  const host = new SimulatedHost();
  assertEquals(kernel32.systemMessage(host, 0x80070005 | 0), "simulated: ERROR_ACCESS_DENIED");
  assertEquals(kernel32.systemMessage(host, 0x8007ffff), undefined);
});

Deno.test("an error of Windows is told also if its words can't be asked for", () => {
  const simulated = new SimulatedHost();
  const host: Host = {
    machine: simulated.machine,
    symbols: (dll) => {
      if (Object.hasOwn(dll.symbols, "FormatMessageW")) throw new Error("no kernel32");
      return simulated.symbols(dll);
    },
    sleep: (ms, signal) => simulated.sleep(ms, signal),
    callback: (listener) => simulated.callback(listener),
  };
  const error = kernel32.errorOf(host, "ActivateLayer", 0x80070020, "C:\\s");
  assertEquals(error.message.startsWith("ActivateLayer failed for C:\\s: 0x80070020 ERROR_SHARING_VIOLATION. "), true);
});

Deno.test("readBytes() reads all of a file, of any length", () => {
  const host = new SimulatedHost();
  for (const length of [0, 1, 65535, 65536, 65537, 300000]) {
    const bytes = Uint8Array.from({ length }, (_, i) => i % 251);
    host.addFile("C:\\f", bytes);
    assertEquals(kernel32.readBytes(host, "C:\\f"), bytes);
    host.remove("C:\\f");
  }
});

Deno.test("timeZone() is what a guest is told: names, and when which time begins, without what is 0", () => {
  const host = new SimulatedHost();
  assertEquals(kernel32.timeZone(host), {
    Bias: -60,
    StandardName: "W. Europe Standard Time",
    StandardDate: { Month: 10, Day: 5, Hour: 3 },
    DaylightName: "W. Europe Daylight Time",
    DaylightDate: { Month: 3, Day: 5, Hour: 2 },
    DaylightBias: -60,
  });
  host.fail({ function: "GetTimeZoneInformation", code: 87 });
  const error = assertThrows(() => kernel32.timeZone(host), NativeError);
  assertEquals([error.operation, error.win32], ["GetTimeZoneInformation", 87]);
});
