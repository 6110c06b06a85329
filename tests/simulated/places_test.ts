import { assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import { NativeError } from "../../src/errors/windows_errors.ts";
import { resolvePath } from "../../src/ffi/final_path.ts";
import * as k32 from "../../src/ffi/kernel32.ts";
import { SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";
import { writeText } from "../support/files.ts";
import { driveVolume } from "../support/paths.ts";

const GUID = "11111111-2222-3333-4444-555555555555";
const VOLUME = `\\\\?\\Volume{${GUID}}`;
const { BACKUP_SEMANTICS, OPEN_REPARSE_POINT } = k32.fileFlag;

function dosPath(host: SimulatedHost, path: string): string {
  using handle = k32.openFile(host, path, { flags: BACKUP_SEMANTICS });
  return k32.finalPathName(host, handle.value, k32.finalPath.VOLUME_NAME_DOS);
}

function codeOf(body: () => unknown): number | undefined {
  return assertThrows(body, NativeError).win32;
}

function places(): SimulatedHost {
  const host = new SimulatedHost();
  host.addFile("C:\\Layers\\Base\\Files\\x", 1);
  host.addFolder("D:\\data");
  host.addVolume(GUID);
  return host;
}

Deno.test("GetFinalPathNameByHandleW returns a file's own spelling, behind the volume of its drive or its letter", () => {
  const host = places();
  for (const path of ["c:\\LAYERS\\base\\files\\X", `${driveVolume("c:")}\\layers\\BASE\\files\\x`]) {
    assertEquals(resolvePath(host, path), `${driveVolume("C:")}\\Layers\\Base\\Files\\x`);
    assertEquals(dosPath(host, path), "\\\\?\\C:\\Layers\\Base\\Files\\x");
  }
  assertEquals([resolvePath(host, "c:\\"), dosPath(host, "c:\\")], [`${driveVolume("C:")}\\`, "\\\\?\\C:\\"]);
});

Deno.test("a junction, a symbolic link and a mount point lead elsewhere, wherever they are on a path", () => {
  const host = places();
  host.addJunction("C:\\links\\junction", "C:\\Layers");
  host.addSymbolicLink("C:\\links\\symbolic", "..\\links\\junction\\Base");
  host.addFolder("C:\\mnt");
  k32.setVolumeMountPoint(host, "C:\\mnt", `${driveVolume("D:")}\\`);
  assertEquals(dosPath(host, "C:\\links\\junction\\base\\files"), "\\\\?\\C:\\Layers\\Base\\Files");
  assertEquals(dosPath(host, "C:\\links\\symbolic\\files\\x"), "\\\\?\\C:\\Layers\\Base\\Files\\x");
  assertEquals(dosPath(host, "C:\\mnt\\DATA"), "\\\\?\\D:\\data");
  assertEquals(k32.createDirectory(host, "C:\\links\\symbolic\\new"), true);
  assertEquals(host.exists("C:\\Layers\\Base\\new"), true);
});

Deno.test("the attributes of a link are its own, opening one follows it unless it is asked not to", () => {
  const host = places();
  host.addJunction("C:\\junction", "C:\\Layers");
  host.addSymbolicLink("C:\\file", "C:\\Layers\\Base\\Files\\x");
  assertEquals(["C:\\junction", "C:\\file"].map((path) => k32.fileAttributes(host, path)), [0x410, 0x400]);
  assertEquals(k32.fileSize(host, "C:\\file"), 1n);
  using link = k32.openFile(host, "C:\\junction", { flags: BACKUP_SEMANTICS | OPEN_REPARSE_POINT });
  assertEquals(k32.finalPathName(host, link.value, 0), "\\\\?\\C:\\junction");
  const listed = [...k32.directoryEntries(host, "C:\\")].map(({ name, attributes }) => [name, attributes]);
  assertEquals(listed, [["Layers", 0x10], ["junction", 0x410], ["file", 0x400]]);
});

Deno.test("removing a link removes nothing behind it", () => {
  const host = places();
  host.addJunction("C:\\junction", "C:\\Layers");
  host.addSymbolicLink("C:\\file", "C:\\Layers\\Base\\Files\\x");
  k32.removeDirectory(host, "C:\\junction");
  k32.deleteFile(host, "C:\\file");
  assertEquals(host.paths().filter((path) => path.startsWith("C:")), [
    "C:",
    "C:\\Layers",
    "C:\\Layers\\Base",
    "C:\\Layers\\Base\\Files",
    "C:\\Layers\\Base\\Files\\x",
  ]);
});

Deno.test("links that lead in a circle, and to nothing, are refused", () => {
  const host = places();
  host.addJunction("C:\\a", "C:\\b");
  host.addJunction("C:\\b", "C:\\a");
  host.addJunction("C:\\dead", "C:\\gone");
  assertEquals(codeOf(() => k32.openFile(host, "C:\\a\\x")), 1921);
  assertEquals(codeOf(() => k32.openFile(host, "C:\\dead", { flags: BACKUP_SEMANTICS })), 2);
  assertEquals(k32.fileAttributes(host, "C:\\dead"), 0x410);
});

Deno.test("FSCTL_DELETE_REPARSE_POINT wants write access, the right tag and no data", () => {
  const host = places();
  host.addFolder("C:\\mnt");
  k32.setVolumeMountPoint(host, "C:\\mnt", `${VOLUME}\\`);
  host.addSymbolicLink("C:\\link", "C:\\Layers");
  const remove = (
    path: string,
    tag: number,
    { access = k32.access.GENERIC_WRITE as number, bytes = 8, flags = OPEN_REPARSE_POINT as number } = {},
  ) => {
    using handle = k32.openFile(host, path, { access, flags: BACKUP_SEMANTICS | flags });
    const input = new Uint8Array(bytes);
    new DataView(input.buffer).setUint32(0, tag, true);
    k32.deviceIoControl(host, handle.value, { code: 0x000900ac, input });
  };
  assertEquals(codeOf(() => remove("C:\\mnt", 0xa0000003, { access: k32.access.GENERIC_READ })), 5);
  assertEquals(codeOf(() => remove("C:\\mnt", 0xa000000c)), 4394);
  assertEquals(codeOf(() => remove("C:\\mnt", 0xa0000003, { bytes: 16 })), 4392);
  assertEquals(codeOf(() => remove("C:\\Layers", 0xa0000003)), 4390);
  assertEquals(codeOf(() => remove("C:\\link", 0xa000000c, { flags: 0 })), 4390);
  remove("C:\\mnt", 0xa0000003);
  remove("C:\\link", 0xa000000c);
  assertEquals([k32.fileAttributes(host, "C:\\mnt"), k32.fileAttributes(host, "C:\\link")], [0x10, 0x10]);
});

Deno.test("a volume lists its drive letter before its folders, and is reached by each", () => {
  const host = places();
  for (const folder of ["C:\\one", "C:\\two"]) {
    host.addFolder(folder);
    k32.setVolumeMountPoint(host, folder, `${VOLUME}\\`);
  }
  host.addDriveLetter("E:", `${VOLUME}\\`);
  assertEquals(k32.mountPointsOfVolume(host, `${VOLUME}\\`), ["E:\\", "C:\\one\\", "C:\\two\\"]);
  assertEquals(k32.mountPointsOfVolume(host, `${driveVolume("D:")}\\`), ["D:\\"]);
  host.addFile("C:\\two\\file", 1);
  assertEquals(resolvePath(host, "e:\\FILE"), `${VOLUME}\\file`);
  assertEquals(dosPath(host, `${VOLUME}\\file`), "\\\\?\\E:\\file");
  assertEquals(k32.volumeNameForMountPoint(host, "E:\\"), `${VOLUME}\\`);
  assertEquals(k32.volumeNameForMountPoint(host, "C:\\"), `${driveVolume("C:")}\\`);
});

Deno.test("a volume with neither letter nor folder has no path but its own", () => {
  const host = places();
  assertEquals(codeOf(() => dosPath(host, `${VOLUME}\\`)), 3);
  assertEquals(resolvePath(host, `${VOLUME}\\`), `${VOLUME}\\`);
});

Deno.test("a drive letter of subst and one of the network lead elsewhere, and no service knows them", async () => {
  const host = places();
  host.addSubstDrive("S:", "C:\\Layers");
  host.addNetworkDrive("N:", "\\\\server\\share");
  host.addFolder("N:\\folder");
  assertEquals(resolvePath(host, "S:\\base"), `${driveVolume("C:")}\\Layers\\Base`);
  assertEquals(dosPath(host, "S:\\base"), "\\\\?\\C:\\Layers\\Base");
  assertEquals(resolvePath(host, "N:\\FOLDER"), "\\\\server\\share\\folder");
  assertEquals(dosPath(host, "N:\\FOLDER"), "\\\\?\\UNC\\server\\share\\folder");
  const { layerExists } = await import("../../src/ffi/vmcompute.ts");
  const error = await layerExists(host, "S:\\base").catch((error) => error);
  assertEquals(error instanceof SimulationError, true);
  assertEquals(await layerExists(host, "C:\\layers\\base"), true);
});

Deno.test("exFAT and shares have no alternate data streams", () => {
  const host = places();
  host.addDrive("F:", "exFAT");
  host.addNetworkDrive("N:");
  for (const path of ["F:\\x", "N:\\x"]) {
    host.addFolder(path);
    assertEquals(codeOf(() => writeText(host, `${path}:mark`, "")), 123);
  }
});

Deno.test("a method for testers throws an error with the code for a path that doesn't exist", () => {
  assertThrows(() => new SimulatedHost().grantsOf("C:\\no"), Error, "ERROR_FILE_NOT_FOUND");
});
