import { assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import { NativeError, windowsHost } from "../../../mod.ts";
import { readOpen, writeOpen } from "../../../src/ffi/file_contents.ts";
import { createHardLink, moveFile } from "../../../src/ffi/naming.ts";
import {
  attributesOfOpen,
  deleteOpen,
  findRelative,
  linkRelative,
  listOpen,
  openRelative,
  openRoot,
  restoreAccess,
  setBasicInfo,
  standardInfo,
} from "../../../src/ffi/nt_files.ts";

const { READ, LIST, READ_ATTRIBUTES, DELETE } = restoreAccess;
// Wine knows no privileges that ALL needs.
const WRITE = 0xc0000000;
const TIME = 132_223_104_001_234_567n;

function withFolder(body: (folder: string) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("files are created, opened, listed and linked relative to an open folder", () => {
  withFolder((folder) => {
    using host = windowsHost();
    using root = openRoot(host, folder).handle;
    const at = { handle: root, path: folder };
    openRelative(host, at, "Ärger 😀", { access: WRITE, create: true, kind: "folder" })[Symbol.dispose]();
    {
      using file = openRelative(host, at, "Ärger 😀\\a.txt", { access: WRITE, create: true, kind: "file" });
      writeOpen(host, file, new TextEncoder().encode("hello"), "a.txt");
      setBasicInfo(host, file, {
        creation: TIME,
        access: TIME + 1n,
        write: TIME + 2n,
        change: TIME + 3n,
        attributes: 0x22,
      }, "");
      assertEquals(standardInfo(host, file, ""), { size: 5, links: 1 });
      assertEquals(attributesOfOpen(host, file, "") & 0x12, 0x2);
      using inner = openRelative(host, at, "Ärger 😀", { access: LIST | READ_ATTRIBUTES, kind: "folder" });
      linkRelative(host, file, { handle: inner, path: "" }, "b.txt");
      const entries = [...listOpen(host, inner, "")].sort((a, b) => a.name < b.name ? -1 : 1);
      assertEquals(entries.map(({ name, size }) => [name, size]), [["a.txt", 5], ["b.txt", 5]]);
      assertEquals(entries[0]!.fileId, entries[1]!.fileId);
      // Listed again from the beginning.
      assertEquals([...listOpen(host, inner, "")].length, 2);
      assertEquals([...listOpen(host, root, "")].map(({ name, attributes }) => [name, attributes & 0x10]), [
        ["Ärger 😀", 0x10],
      ]);
    }
    {
      using file = openRelative(host, at, "ärger 😀\\B.TXT", { access: READ, kind: "file" });
      const bytes = new Uint8Array(16);
      assertEquals([readOpen(host, file, bytes, ""), new TextDecoder().decode(bytes.subarray(0, 5))], [5, "hello"]);
    }
    const stat = Deno.statSync(`${folder}\\Ärger 😀\\a.txt`);
    assertEquals(stat.mtime!.getTime(), Number((TIME + 2n) / 10_000n) - 11_644_473_600_000);
    assertEquals(findRelative(host, at, "Ärger 😀\\none", { access: READ }), undefined);
    assertEquals(findRelative(host, at, "none\\none", { access: READ }), undefined);
    const create = () => openRelative(host, at, "Ärger 😀\\a.txt", { access: WRITE, create: true, kind: "file" });
    const error = assertThrows(create, NativeError);
    assertEquals([error.operation, error.symbol, error.path], [
      "NtCreateFile",
      "ERROR_ALREADY_EXISTS",
      `${folder}\\Ärger 😀\\a.txt`,
    ]);
    {
      using file = openRelative(host, at, "Ärger 😀\\b.txt", { access: DELETE });
      deleteOpen(host, file, "");
    }
    assertEquals([...Deno.readDirSync(`${folder}\\Ärger 😀`)].map(({ name }) => name), ["a.txt"]);
    assertThrows(() => openRelative(host, at, "Ärger 😀\\..\\x", { access: WRITE, create: true }), NativeError);
  });
});

Deno.test("files get other names, and none that is taken", () => {
  withFolder((folder) => {
    using host = windowsHost();
    Deno.writeTextFileSync(`${folder}\\a`, "a");
    moveFile(host, `${folder}\\a`, `${folder}\\ü`);
    createHardLink(host, `${folder}\\link`, `${folder}\\ü`);
    assertEquals(Deno.readTextFileSync(`${folder}\\link`), "a");
    Deno.writeTextFileSync(`${folder}\\other`, "b");
    assertEquals(
      assertThrows(() => moveFile(host, `${folder}\\other`, `${folder}\\ü`), NativeError).symbol,
      "ERROR_ALREADY_EXISTS",
    );
    assertEquals(
      assertThrows(() => createHardLink(host, `${folder}\\link`, `${folder}\\ü`), NativeError).symbol,
      "ERROR_ALREADY_EXISTS",
    );
  });
});
