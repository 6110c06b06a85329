import { assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import { InvalidInputError } from "../../src/errors/input_error.ts";
import { isWithin, namedFolder, nameOf, pathKey, volumeRoot, windowsPath } from "../../src/checks/windows_path.ts";

const VOLUME = "\\\\?\\Volume{8a8599d2-6be7-50a8-b7be-a48e24edadda}";

const FORMS: [path: string, form: string, name: string][] = [
  ["C:\\a\\b", "C:\\a\\b", "b"],
  ["c:\\A\\b\\\\", "c:\\A\\b", "b"],
  ["C:\\a/b", "C:\\a\\b", "b"],
  ["C:\\a\\.\\x\\..\\b", "C:\\a\\b", "b"],
  ["C:\\a b\\目录 𝄞\\", "C:\\a b\\目录 𝄞", "目录 𝄞"],
  ["C:\\", "C:\\", ""],
  ["C:\\a\\..", "C:\\", ""],
  ["\\\\server\\share\\b\\", "\\\\server\\share\\b", "b"],
  ["\\\\server\\share", "\\\\server\\share", ""],
  ["\\\\server\\share\\", "\\\\server\\share", ""],
  ["\\\\?\\C:\\a\\b\\", "\\\\?\\C:\\a\\b", "b"],
  ["\\\\?\\C:\\", "\\\\?\\C:\\", ""],
  ["\\\\?\\UNC\\server\\share\\b", "\\\\?\\UNC\\server\\share\\b", "b"],
  ["\\\\?\\UNC\\server\\share", "\\\\?\\UNC\\server\\share", ""],
  [`${VOLUME}\\a\\`, `${VOLUME}\\a`, "a"],
  [`${VOLUME}\\`, `${VOLUME}\\`, ""],
  [VOLUME, VOLUME, ""],
  [`C:\\${"x".repeat(300)}\\b\\`, `C:\\${"x".repeat(300)}\\b`, "b"],
];

Deno.test("windowsPath() and nameOf() bring every absolute path into the form that Windows gets", () => {
  for (const [path, form, name] of FORMS) {
    assertEquals(windowsPath(path, "p"), form, path);
    assertEquals(nameOf(form), name, path);
  }
});

Deno.test("namedFolder() refuses roots, which have no name", () => {
  for (const [path, , name] of FORMS) {
    if (name === "") assertThrows(() => namedFolder(path, "p"), InvalidInputError, "p is the root of a volume");
    else if (path.length < 260) namedFolder(path, "p");
  }
});

Deno.test("namedFolder() refuses a path that is too long for the DLLs, with the numbers", () => {
  const name = "x".repeat(120);
  const folder = `C:\\${name}\\${name}\\`;
  namedFolder(folder + "y".repeat(259 - folder.length), "p");
  assertThrows(() => namedFolder(`\\\\?\\${folder}${name}`, "p"), InvalidInputError);
  const error = assertThrows(() => namedFolder(folder + "y".repeat(260 - folder.length), "p"), InvalidInputError);
  assertEquals([error.argument, error.message.includes("259"), error.message.includes("260")], ["p", true, true]);
});

for (
  const name of ["D:", "web:1", "a|b", "a?", "a*", "<a>", 'a"b', "a\x1fb", "a.", "a ", "NUL", "con", "Com1.txt", "lpt9"]
) {
  Deno.test(`windowsPath() refuses the name ${JSON.stringify(name)}, wherever it stands`, () => {
    for (const path of [`C:\\mnt\\${name}`, `C:\\${name}\\web`, `\\\\server\\share\\${name}`]) {
      const error = assertThrows(() => windowsPath(path, "p"), InvalidInputError);
      assertEquals(error.argument, "p");
    }
  });
}

const REFUSED: [path: unknown, problem: string][] = [
  ["", "is empty"],
  [undefined, "is not a string"],
  [7, "is not a string"],
  ["C:\\a\0", "contains a NUL"],
  ["/var/lib", "is not a Windows path"],
  ["C:/layers/1", "is not a Windows path"],
  ["layers", "is not a Windows path"],
  [".\\layers", "is not an absolute path"],
  ["..\\layers", "is not an absolute path"],
  ["C:layers\\1", "is not an absolute path"],
  ["\\layers\\1", "is not an absolute path"],
  ["\\", "is not an absolute path"],
  ["\\\\", "is not an absolute path"],
  ["\\\\server", "is not an absolute path"],
  ["\\\\server\\", "is not an absolute path"],
];

Deno.test("windowsPath() refuses all else, naming the argument", () => {
  for (const [path, problem] of REFUSED) {
    const error = assertThrows(
      () => windowsPath(path, "layerFolders[3]"),
      InvalidInputError,
      `layerFolders[3] ${problem}`,
    );
    assertEquals([error.argument, error.value], ["layerFolders[3]", path]);
  }
});

Deno.test("pathKey() and isWithin() know a path again in other forms", () => {
  const same: [a: string, b: string][] = [
    ["C:\\A\\b", "c:\\a\\B"],
    ["\\\\?\\C:\\a", "C:\\a"],
    ["\\\\?\\UNC\\server\\share\\a", "\\\\SERVER\\share\\a"],
  ];
  for (const [a, b] of same) assertEquals(pathKey(a), pathKey(b));
  assertEquals(isWithin("C:\\a\\b", "c:\\A"), true);
  assertEquals(isWithin("C:\\a", "C:\\a"), true);
  assertEquals(isWithin("C:\\ab", "C:\\a"), false);
});

Deno.test("volumeRoot() closes the name of a volume, and refuses all else", () => {
  for (const name of [VOLUME, `${VOLUME}\\`]) assertEquals(volumeRoot(name, "volumeName"), `${VOLUME}\\`);
  for (
    const name of ["", "C:\\", "\\\\?\\Volume{x}\\", `${VOLUME}\\a`, `${VOLUME}\\\\`, "\\\\?\\Volume8a8599d2\\", null]
  ) {
    const error = assertThrows(() => volumeRoot(name, "volumeName"), InvalidInputError);
    assertEquals([error.argument, error.value], ["volumeName", name]);
  }
});
