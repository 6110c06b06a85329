// Files that programs create, append to, identify and lock, and the processes that do so.
import { assert, assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import * as k32 from "../../src/ffi/kernel32.ts";
import { NativeError } from "../../mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { writeText } from "../support/files.ts";

const FILE = "C:\\data\\log.txt";

function machine(): SimulatedHost {
  const host = new SimulatedHost();
  host.addFolder("C:\\data");
  return host;
}

function append(host: SimulatedHost, text: string): void {
  const { FILE_APPEND_DATA } = k32.access;
  using file = k32.openFile(host, FILE, { access: FILE_APPEND_DATA, disposition: k32.disposition.OPEN_ALWAYS });
  k32.writeTo(host, file, text, FILE);
  k32.flushFile(host, file, FILE);
}

const symbolOf = (error: unknown) => error instanceof NativeError ? error.symbol : error;

Deno.test("SimulatedHost keeps files that are created and appended to", () => {
  const host = machine();
  append(host, "one\n");
  append(host, "two\n");
  assertEquals(host.readTextFile(FILE), "one\ntwo\n");
  assertEquals(k32.readText(host, FILE), "one\ntwo\n");
  writeText(host, FILE, "new");
  assertEquals(k32.readText(host, FILE), "new");
});

Deno.test("SimulatedHost reads a file on from where it was read to", () => {
  const host = machine();
  const text = "ab€".repeat(30_000);
  host.addFile(FILE, text);
  assertEquals(k32.readText(host, FILE), text);
});

Deno.test("SimulatedHost creates a file only if there is none, and only in a folder", () => {
  const host = machine();
  const create = (path: string) =>
    k32.openFile(host, path, { access: k32.access.GENERIC_WRITE, disposition: k32.disposition.CREATE_NEW });
  create(FILE)[Symbol.dispose]();
  assertEquals(symbolOf(assertThrows(() => create(FILE))), "ERROR_FILE_EXISTS");
  assertEquals(symbolOf(assertThrows(() => create("C:\\none\\log.txt"))), "ERROR_PATH_NOT_FOUND");
});

Deno.test("SimulatedHost gives each file and folder an id, also to a new one in place of an old one", () => {
  const host = machine();
  const idOf = (path: string) => {
    using file = k32.openFile(host, path, { flags: k32.fileFlag.BACKUP_SEMANTICS });
    return k32.fileId(host, file.value, path);
  };
  host.addFile(FILE);
  const ids = [idOf("C:\\data"), idOf(FILE)];
  host.remove(FILE);
  host.addFile(FILE);
  assertEquals(new Set([...ids, idOf(FILE)]).size, 3);
  assertEquals(idOf("C:\\DATA"), ids[0]);
});

Deno.test("SimulatedHost locks bytes for handles, until they are closed or their process ends", () => {
  const host = machine();
  host.addFile(FILE);
  const open = (of: SimulatedHost) => k32.openFile(of, FILE, { access: k32.access.GENERIC_READ });
  const other = host.otherProcess();
  using mine = open(host);
  using again = open(host);
  const theirs = open(other);
  assert(k32.lockByte(host, mine, 2n ** 62n, FILE));
  assert(!k32.lockByte(host, again, 2n ** 62n, FILE));
  assert(!k32.lockByte(other, theirs, 2n ** 62n, FILE));
  assert(k32.lockByte(other, theirs, 7n, FILE));
  assert(!k32.lockByte(host, mine, 7n, FILE));
  other.endProcess();
  assert(k32.lockByte(host, mine, 7n, FILE));
});

Deno.test("SimulatedHost tells whether a process has ended, whatever has its number since", () => {
  const host = machine();
  const other = host.otherProcess();
  const process = k32.currentProcess(other);
  assert(!k32.hasEnded(host, process));
  assert(k32.hasEnded(host, { ...process, start: "1" }));
  other.endProcess();
  assert(k32.hasEnded(host, process));
  const before = k32.currentProcess(host);
  host.restart();
  assert(k32.hasEnded(host, before));
  assertEquals(host.held().filter(({ kind }) => kind === "handle"), []);
});
