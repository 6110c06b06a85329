import { assert, assertEquals, assertNotEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import { NativeError, windowsHost } from "../../../mod.ts";
import * as files from "../../../src/ffi/kernel32.ts";
import { buildNumber } from "../../../src/ffi/ntdll.ts";
import { LayerFolders } from "./layers.ts";

const LONG = "a long name ".repeat(20).trim();

for (
  const [what, name] of [["short", "ordner"], ["non-ASCII", "Öffnen 層 😀"], ["long", `${LONG}\\${LONG}`]] as const
) {
  Deno.test(`files and folders with ${what} names are made, looked at and removed`, () => {
    using folders = new LayerFolders([name]);
    using host = windowsHost();
    const folder = `${folders.layers[0]}\\new`;
    const file = `${folders.scratch}\\sandbox.vhdx`;
    const copy = `${folder}\\copy`;

    assertEquals(files.fileAttributes(host, folder), undefined);
    assertEquals(files.fileAttributes(host, `${folder}\\deeper`), undefined);
    assert(files.createDirectory(host, folder));
    assert(!files.createDirectory(host, folder));
    assertEquals(files.fileAttributes(host, folder)! & files.attribute.DIRECTORY, files.attribute.DIRECTORY);
    assertEquals(files.fileAttributes(host, file)! & files.attribute.DIRECTORY, 0);
    assert(files.isDirectoryEmpty(host, folder));

    files.copyFile(host, file, copy);
    assert(!files.isDirectoryEmpty(host, folder));
    assertEquals(symbolOf(() => files.copyFile(host, file, copy)), "ERROR_FILE_EXISTS");
    assertEquals(symbolOf(() => files.removeDirectory(host, folder)), "ERROR_DIR_NOT_EMPTY");
    {
      const flags = files.finalPath.NAME_NORMALIZED | files.finalPath.VOLUME_NAME_DOS;
      using handle = files.openFile(host, copy, {
        access: files.access.GENERIC_READ | files.access.GENERIC_WRITE,
        share: files.share.NONE,
      });
      // Wine can't tell longer ones.
      if (what !== "long") assertEquals(files.finalPathName(host, handle.value, flags), `\\\\?\\${copy}`);
      assertEquals(
        symbolOf(() => files.openFile(host, copy, { access: files.access.GENERIC_READ })),
        "ERROR_SHARING_VIOLATION",
      );
    }
    assertEquals(files.fileSize(host, copy), 0n);
    files.deleteFile(host, copy);
    files.removeDirectory(host, folder);
    assertEquals(symbolOf(() => files.removeDirectory(host, folder)), "ERROR_FILE_NOT_FOUND");
  });
}

Deno.test("openFile() of what isn't there names the path and the code", () => {
  using host = windowsHost();
  const error = assertThrows(() => files.openFile(host, "C:\\nowhere\\x"), NativeError);
  assertEquals([error.operation, error.path, error.win32], ["CreateFileW", "C:\\nowhere\\x", 3]);
});

Deno.test("closeHandle() of no handle throws", () => {
  using host = windowsHost();
  assertEquals(symbolOf(() => files.closeHandle(host, 0xdead0n)), "ERROR_INVALID_HANDLE");
});

Deno.test("volumes and their mount points are found", () => {
  using host = windowsHost();
  const volume = files.volumeNameForMountPoint(host, "C:\\");
  assert(/^\\\\\?\\Volume\{[0-9a-f-]{36}\}\\$/.test(volume), volume);
  assert(files.mountPointsOfVolume(host, volume).includes("C:\\"));
  assertThrows(() => files.volumeNameForMountPoint(host, "C:\\windows"), NativeError);
});

Deno.test("buildNumber() is the build that Wine says it is", () => {
  using host = windowsHost();
  assertNotEquals(buildNumber(host), 0);
  assertEquals(`${buildNumber(host)}`, Deno.osRelease().split(".")[2]);
});

Deno.test("systemMessage() is what Windows says, and undefined where it says nothing", () => {
  using host = windowsHost();
  assertEquals(files.systemMessage(host, 0x80070005), "Access denied.");
  assertEquals(files.systemMessage(host, 0x8fffffff), undefined);
});

Deno.test("volumes are listed, with their file systems, and the disk that they are on if there is one", () => {
  using host = windowsHost();
  const all = files.volumes(host);
  const drive = files.volumeNameForMountPoint(host, "C:\\");
  assert(all.includes(drive), `${drive} is among ${all}`);
  assertNotEquals(files.fileSystemOf(host, drive), "");
  assertEquals(typeof files.diskNumberOf(host, drive), "number");
  const none = "\\\\?\\Volume{0a0b0c0d-0102-0304-0506-0708090a0b0c}\\";
  for (const ask of [files.fileSystemOf, files.diskNumberOf]) {
    assertThrows(() => ask(host, none), NativeError, "0a0b0c0d");
  }
});

function symbolOf(body: () => unknown): string | undefined {
  return assertThrows(body, NativeError).symbol;
}
