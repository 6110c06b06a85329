// Numbers and structs that Windows wouldn't return: a typed error, in bounded time and memory.
import { assertRejects, assertThrows } from "jsr:@std/assert@^1.0.0";
import { UnexpectedAnswerError } from "../../mod.ts";
import { directoryEntries, finalPathName, mountPointsOfVolume, openFile, readBytes } from "../../src/ffi/kernel32.ts";
import { currentUser, securityOf } from "../../src/ffi/ntdll.ts";
import { getLayerMountPath } from "../../src/ffi/vmcompute.ts";
import { wide } from "../../src/ffi/wide.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { type Call, withWrapped } from "../support/host.ts";

const FILE = "C:\\folder\\file.txt";

/** A host on which a function is replaced by another one. */
function answering(fn: string, odd: (args: readonly unknown[], call: () => unknown) => unknown): SimulatedHost {
  const host = new SimulatedHost();
  host.addFile(FILE, "text");
  return withWrapped(host, (name, call): Call => name === fn ? (...args) => odd(args, () => call(...args)) : call);
}

function put32(out: unknown, at: number, value: number): number {
  const { buffer, byteOffset } = out as Uint8Array<ArrayBuffer>;
  new DataView(buffer, byteOffset).setUint32(at, value, true);
  return 1;
}

Deno.test("a file that is longer than it may be, or of which more was read than asked for, is refused", () => {
  const more = answering("ReadFile", ([, , asked, read]) => put32(read, 0, asked as number + 1));
  assertThrows(() => readBytes(more, FILE), UnexpectedAnswerError, "is longer than");
  const endless = answering("ReadFile", ([, , asked, read]) => put32(read, 0, asked as number));
  assertThrows(() => readBytes(endless, FILE), UnexpectedAnswerError, "is longer than 67108864 bytes");
  assertThrows(() => readBytes(answering("", () => {}), FILE, 3), UnexpectedAnswerError, "is longer than 3 bytes");
  readBytes(answering("", () => {}), FILE, 4);
});

Deno.test("a folder whose listing has no end is refused", () => {
  const endless = answering("FindNextFileW", () => 1);
  assertThrows(() => [...directoryEntries(endless, "C:\\folder")], UnexpectedAnswerError, "the entry before it");
});

Deno.test("a text that needs more room than any has is refused", async () => {
  for (const units of [2 ** 20 + 1, 0x7fffffff, 0xffffffff]) {
    const path = answering("GetFinalPathNameByHandleW", () => units);
    using file = openFile(path, FILE);
    assertThrows(() => finalPathName(path, file.value, 0), UnexpectedAnswerError, "no length");
    const places = answering("GetVolumePathNamesForVolumeNameW", (args) => put32(args[3], 0, units) - 1);
    const failing = withWrapped(places, (name, call): Call => name === "GetLastError" ? () => 234 : call);
    assertThrows(() => mountPointsOfVolume(failing, "C:\\"), UnexpectedAnswerError, "no length");
    const layer = answering("GetLayerMountPath", (args) => put32(args[2], 0, units) - 1);
    await assertRejects(() => getLayerMountPath(layer, "C:\\scratch"), UnexpectedAnswerError, "no length");
  }
});

Deno.test("a path of an open file that is none is refused, as it would be in a record that nobody can read", () => {
  for (const text of ["", "C:", "C:\\folder", "\\\\?\\", "\\folder"]) {
    const host = answering("GetFinalPathNameByHandleW", (args) => {
      (args[1] as Uint8Array).set(wide(text));
      return text.length || 1;
    });
    using file = openFile(host, FILE);
    assertThrows(() => finalPathName(host, file.value, 0), UnexpectedAnswerError, "is no path");
  }
});

Deno.test("a security descriptor and a user that point out of their buffers are refused", () => {
  for (const [at, value] of [[4, 0xfffffff0], [4, 65534], [16, 0xfffffff0]] as const) {
    const host = answering("NtQuerySecurityObject", (args, call) => {
      call();
      return put32(args[2], at, value) - 1;
    });
    using file = openFile(host, FILE, { access: 0x20000 });
    assertThrows(() => securityOf(host, file.value, FILE), UnexpectedAnswerError, "makes no sense");
  }
  const user = answering("NtQueryInformationToken", (args) => {
    (args[2] as Uint8Array).fill(0xff);
    return 0;
  });
  assertThrows(() => currentUser(user), UnexpectedAnswerError, "makes no sense");
});
