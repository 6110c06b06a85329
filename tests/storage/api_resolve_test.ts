import { assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import * as storage from "../../src/storage/mod.ts";
import { DISK, storageHost } from "../support/storage_host.ts";
import { held } from "../support/calls.ts";

const GUID = 1;
const DOS = 0;
const OPENED = 8;

function flags(host: ReturnType<typeof storageHost>): unknown[] {
  return host.calls.filter((call) => call.function === "GetFinalPathNameByHandleW").map(({ args }) => args.flags);
}

Deno.test("resolvePath() asks for the volume's GUID, and opens nothing for access", () => {
  const host = storageHost();
  const path = storage.resolvePath(DISK, { host });
  assertEquals(path.toLowerCase().endsWith("\\scratch\\sandbox.vhdx"), true, path);
  const [open] = host.calls.filter((call) => call.function === "CreateFileW").map(({ args }) => args);
  assertEquals([open!.access, open!.share, open!.flags, flags(host), held(host)], [0, 7, 0x02000000, [GUID], []]);
});

Deno.test("resolvePath() asks for the drive letter where there is no GUID, for the name as given where it must", () => {
  const host = storageHost();
  host.fail({ function: "GetFinalPathNameByHandleW", code: 3, nth: 1 });
  host.fail({ function: "GetFinalPathNameByHandleW", code: 5, nth: 2 });
  storage.resolvePath(DISK, { host });
  assertEquals([flags(host), held(host)], [[GUID, DOS, OPENED | DOS], []]);
});

Deno.test("resolvePath() gives up when all forms are refused, and leaves nothing open", () => {
  const host = storageHost();
  host.fail({ function: "GetFinalPathNameByHandleW", code: 5 });
  assertThrows(() => storage.resolvePath(DISK, { host }), storage.NativeError, "GetFinalPathNameByHandleW");
  assertEquals([flags(host), held(host)], [[GUID, OPENED | GUID], []]);
});

Deno.test("resolvePath() doesn't fail, and hides no failure, when its handle can't be closed", () => {
  const host = storageHost();
  host.fail({ function: "CloseHandle", code: 6 });
  assertEquals(storage.resolvePath(DISK, { host }).endsWith("sandbox.vhdx"), true);
  host.fail({ function: "GetFinalPathNameByHandleW", code: 1392 });
  const error = assertThrows(() => storage.resolvePath(DISK, { host }), storage.NativeError);
  assertEquals([error.operation, error.win32], ["GetFinalPathNameByHandleW", 1392]);
});

Deno.test("resolvePath() shows a network share as one", () => {
  const host = storageHost();
  host.addFile("\\\\?\\UNC\\server\\share\\disk.vhdx", 1);
  assertEquals(
    storage.resolvePath("\\\\?\\UNC\\server\\share\\disk.vhdx", { host }),
    "\\\\server\\share\\disk.vhdx",
  );
});

Deno.test("resolvePath() fails where there is nothing", () => {
  const error = assertThrows(() => storage.resolvePath("C:\\no\\x", { host: storageHost() }), storage.NativeError);
  assertEquals([error.operation, error.path, error.win32], ["CreateFileW", "C:\\no\\x", 3]);
});
