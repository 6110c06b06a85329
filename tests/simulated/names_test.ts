import { assert, assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import { NativeError } from "../../src/errors/windows_errors.ts";
import * as k32 from "../../src/ffi/kernel32.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";

const FOLDER = 0x10;

function codeOf(body: () => unknown): number | undefined {
  return assertThrows(body, NativeError).win32;
}

const SAME: [one: string, other: string][] = [
  ["C:\\layers\\Base", "c:\\LAYERS\\bASE"],
  ["C:\\f\\ä", "C:\\F\\Ä"],
  ["C:\\f\\ы", "C:\\f\\Ы"],
  ["C:\\f\\name", "C:\\f\\name."],
  ["C:\\f\\name", "C:\\f\\name. . "],
  ["C:\\f\\name", "C:\\f.\\name"],
  ["C:\\f\\name", "C:/f/x/../name"],
  ["C:\\f\\name", "C:\\f\\\\name\\"],
  ["C:\\f\\name", "\\\\?\\c:\\F\\NAME"],
  ["C:\\f\\name", "\\\\.\\C:\\f\\name"],
];

for (const [one, other] of SAME) {
  Deno.test(`SimulatedHost: ${one} and ${JSON.stringify(other)} are one folder`, () => {
    const host = new SimulatedHost();
    host.addFolder(one);
    assertEquals(k32.fileAttributes(host, other), FOLDER);
    assertEquals(k32.createDirectory(host, other), false);
  });
}

const DIFFERENT: [one: string, other: string, why: string][] = [
  ["C:\\f\\ß", "C:\\f\\SS", "its upper case is two letters"],
  ["C:\\f\\i", "C:\\f\\İ", "its lower case is two letters"],
  ["C:\\f\\ı", "C:\\f\\I", "I leads back to i"],
  ["C:\\f\\K", "C:\\f\\\u212a", "the Kelvin sign is in no table"],
  ["C:\\f\\é", "C:\\f\\e\u0301", "NTFS doesn't normalize"],
  ["C:\\f\\name", "\\\\?\\C:\\f\\name.", "after \\\\?\\ a name is taken as it is"],
  ["C:\\f\\name\\x", "C:\\f\\name \\x", "only the last name loses its spaces"],
  ["C:\\f\\𐐨", "C:\\f\\𐐀", "it compares unit by unit"],
];

for (const [one, other, why] of DIFFERENT) {
  Deno.test(`SimulatedHost: ${one} and ${JSON.stringify(other)} are two, as ${why}`, () => {
    const host = new SimulatedHost();
    host.addFolder(one);
    assertEquals(k32.fileAttributes(host, other), undefined);
  });
}

Deno.test("SimulatedHost refuses names that NTFS refuses", () => {
  const host = new SimulatedHost();
  host.addFolder("C:\\f");
  for (const name of ["a<b", "a>b", 'a"b', "a|b", "a?b", "a*b", "a\u0001b"]) {
    assertEquals(codeOf(() => k32.createDirectory(host, `C:\\f\\${name}`)), 123, name);
    assertEquals(codeOf(() => k32.createDirectory(host, `\\\\?\\C:\\f\\${name}`)), 123, name);
  }
  assertEquals(codeOf(() => k32.createDirectory(host, "\\\\?\\C:\\f\\a/b")), 123);
  assertEquals(host.paths(), ["C:", "C:\\f"]);
});

Deno.test("SimulatedHost finds a file by its short name, in any case, and lists that", () => {
  const host = new SimulatedHost();
  host.addFolder("C:\\program files\\a layer with a long name");
  host.addShortName("C:\\program files", "PROGRA~1");
  host.addShortName("C:\\program files\\a layer with a long name", "ALAYER~1");
  assertEquals(k32.fileAttributes(host, "C:\\progra~1\\ALayer~1"), FOLDER);
  assertEquals(k32.fileAttributes(host, "C:\\progra~1\\ALAYER~2"), undefined);
  using handle = k32.openFile(host, "C:\\PROGRA~1\\ALAYER~1", { flags: k32.fileFlag.BACKUP_SEMANTICS });
  assertEquals(
    k32.finalPathName(host, handle.value, k32.finalPath.VOLUME_NAME_DOS),
    "\\\\?\\C:\\program files\\a layer with a long name",
  );
});

Deno.test("SimulatedHost tells a missing file from a missing folder on the way, and from a file on the way", () => {
  const host = new SimulatedHost();
  host.addFile("C:\\f\\file");
  const missing: [string, number][] = [["C:\\f\\no", 2], ["C:\\no\\no", 3], ["C:\\f\\file\\x", 3], ["Q:\\x", 3]];
  for (const [path, code] of missing) assertEquals(codeOf(() => k32.openFile(host, path)), code, path);
});

Deno.test("SimulatedHost takes long paths only in kernel32.dll, and only after \\\\?\\", async () => {
  const host = new SimulatedHost();
  const long = `C:\\f\\${"x".repeat(150)}\\${"y".repeat(150)}`;
  host.addFolder(long);
  const { kernel32 } = k32;
  const wide = (await import("../../src/ffi/wide.ts")).wide;
  const attributes = (path: string) => host.symbols(kernel32).GetFileAttributesW(wide(path));
  assertEquals([attributes(`\\\\?\\${long}`), attributes(long)], [FOLDER, 0xffffffff]);
  const { layerExists } = await import("../../src/ffi/vmcompute.ts");
  for (const path of [long, `\\\\?\\${long}`]) {
    const error = await layerExists(host, path).catch((error) => error);
    assert(error instanceof NativeError);
    assertEquals(error.win32, 3);
  }
});
