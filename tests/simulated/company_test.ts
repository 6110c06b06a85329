// Who keeps whom from a file: share modes (documentation of CreateFile, MS-FSA 2.1.5.1.2.2), disks of the host and of VMs,
// what is deleted while it is open (documentation of DeleteFile), and what else runs on a machine.
import { assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import { type Host, mountWCOWLayers } from "../../mod.ts";
import { NativeError } from "../../src/errors/windows_errors.ts";
import * as k32 from "../../src/ffi/kernel32.ts";
import * as vd from "../../src/ffi/virtdisk.ts";
import * as dll from "../../src/ffi/vmcompute.ts";
import { type FileUse, SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";
import { held } from "../support/calls.ts";
import { GIB, LAYERS, SCRATCH, STACK, stackHost } from "../support/host.ts";
import { DISK as VM_DISK, startedVM, vmHost, WINDOWS } from "../support/vm_host.ts";

const FOLDER = "C:\\data";
const FILE = `${FOLDER}\\file.vhdx`;
const DISK = `${SCRATCH}\\sandbox.vhdx`;
const EMPTY = "C:\\data\\empty";
const { GENERIC_READ: READ, GENERIC_WRITE: WRITE, READ_CONTROL } = k32.access;
const { NONE, ALL } = k32.share;
const BUSY = "ERROR_SHARING_VIOLATION";
const DENIED = "ERROR_ACCESS_DENIED";
const DONE = "done";

function fileHost(options = {}): SimulatedHost {
  const host = stackHost(options);
  host.addDisk(FILE, GIB);
  host.addFolder(EMPTY);
  return host;
}

/** What becomes of a call: done, or the name of its error. */
async function outcomeOf(call: () => unknown): Promise<string> {
  try {
    await call();
    return DONE;
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    return /ERROR_\w+/.exec(error.message)?.[0] ?? error.message;
  }
}

type Act = (host: SimulatedHost) => unknown;
const open = (path: string, access: number, share: number, flags = 0): Act => (host) =>
  k32.openFile(host, path, { access, share, flags });
const folder = (path: string, access: number, share: number) =>
  open(path, access, share, k32.fileFlag.BACKUP_SEMANTICS);
const virtual = (path: string): Act => (host) => vd.openVirtualDisk(host, path);
const attach = (path: string, flags = 0): Act => async (host) =>
  await vd.attachVirtualDisk(host, (await vd.openVirtualDisk(host, path)).value, flags);
const remove = (path: string): Act => (host) => k32.deleteFile(host, path);
const removeFolder = (path: string): Act => (host) => k32.removeDirectory(host, path);
const copy = (path: string): Act => (host) => k32.copyFile(host, path, "C:\\data\\copy");
const byOthers = (path: string, access: FileUse[], share: FileUse[] = ["read", "write", "delete"]): Act => (host) =>
  host.openFile(path, { access, share });
const activate: Act = (host) => dll.activateLayer(host, SCRATCH);
const mark = open(`${EMPTY}:mark`, WRITE, ALL);
/** Adds streams to a file and a folder. */
function addStreams(host: Host): void {
  for (const path of [`${EMPTY}:mark`, `${FILE}:other`]) {
    k32.openFile(host, path, { access: WRITE, disposition: k32.disposition.CREATE_NEW })[Symbol.dispose]();
  }
}

/** What the first process did, what another one does then, and what becomes of that. */
const ROWS: [first: string, does: Act, then: string, call: Act, outcome: string][] = [
  ["reads, shares all", open(FILE, READ, ALL), "reads", open(FILE, READ, ALL), DONE],
  ["reads, shares all", open(FILE, READ, ALL), "writes", open(FILE, WRITE, k32.share.READ), DONE],
  ["reads, shares all", open(FILE, READ, ALL), "reads alone", open(FILE, READ, NONE), BUSY],
  ["reads, shares reading", open(FILE, READ, k32.share.READ), "reads", open(FILE, READ, ALL), DONE],
  ["reads, shares reading", open(FILE, READ, k32.share.READ), "writes", open(FILE, WRITE, ALL), BUSY],
  ["reads, shares nothing", open(FILE, READ, NONE), "reads", open(FILE, READ, ALL), BUSY],
  ["writes, shares all", open(FILE, WRITE, ALL), "reads, shares reading", open(FILE, READ, k32.share.READ), BUSY],
  ["writes, shares all", open(FILE, WRITE, ALL), "reads, shares writing", open(FILE, READ, k32.share.WRITE), DONE],
  ["reads, shares nothing", open(FILE, READ, NONE), "asks for attributes", open(FILE, 0, NONE), DONE],
  ["asks for attributes", open(FILE, 0, NONE), "writes alone", open(FILE, WRITE, NONE), DONE],
  ["reads, shares nothing", open(FILE, READ, NONE), "reads the access list", open(FILE, READ_CONTROL, NONE), DONE],
  ["reads, shares all", open(FILE, READ, ALL), "copies", copy(FILE), DONE],
  ["reads, shares nothing", open(FILE, READ, NONE), "copies", copy(FILE), BUSY],
  ["reads, doesn't share deleting", open(FILE, READ, k32.share.READ), "deletes", remove(FILE), BUSY],
  ["deletes, shares all", byOthers(FILE, ["delete"]), "reads, doesn't share deleting", open(FILE, READ, 3), BUSY],
  ["has a folder open", folder(EMPTY, READ, 3), "removes it", removeFolder(EMPTY), BUSY],
  ["has a stream open", mark, "opens the folder alone", folder(EMPTY, READ, NONE), DONE],
  ["has a stream open", mark, "opens the stream alone", open(`${EMPTY}:mark`, READ, NONE), BUSY],
  ["has a stream open", open(FILE, READ, ALL), "opens another alone", open(`${FILE}:other`, WRITE, NONE), DONE],
  ["has a disk open", virtual(FILE), "opens it, too", virtual(FILE), DONE],
  ["has a disk open", virtual(FILE), "writes its file", open(FILE, WRITE, k32.share.READ), BUSY],
  ["has a disk open", virtual(FILE), "deletes its file", remove(FILE), BUSY],
  ["has a scratch disk open", virtual(DISK), "activates it", activate, BUSY],
  ["reads a disk's file", open(FILE, READ, ALL), "opens the disk", virtual(FILE), BUSY],
  ["reads a scratch disk's file", open(DISK, READ, ALL), "activates it", activate, BUSY],
  ["attached a disk", attach(FILE), "opens it to detach it", virtual(FILE), DONE],
  ["attached a disk", attach(FILE), "reads its file", open(FILE, READ, ALL), BUSY],
  ["attached a disk read-only", attach(FILE, vd.attachFlag.READ_ONLY), "writes its file", open(FILE, WRITE, ALL), BUSY],
  ["activated a scratch", activate, "reads its disk", open(DISK, READ, ALL), BUSY],
  ["activated a scratch", activate, "copies its disk", copy(DISK), BUSY],
  [
    "has a file of a layer open",
    byOthers(`${LAYERS[0]}\\Files`, ["read"]),
    "destroys the layer",
    (host) => dll.destroyLayer(host, LAYERS[0]!),
    BUSY,
  ],
];

for (const [first, does, then, call, outcome] of ROWS) {
  Deno.test(`one process ${first}, another ${then}: ${outcome}`, async () => {
    const host = fileHost();
    addStreams(host);
    await does(host);
    const before = host.paths();
    assertEquals(await outcomeOf(() => call(host.otherProcess())), outcome);
    if (outcome !== DONE) assertEquals(host.paths(), before);
  });
}

Deno.test("a VM has its disks open: a writable one alone, and a read-only one lets others read", async () => {
  const host = vmHost();
  await startedVM(host, WINDOWS);
  const other = host.otherProcess();
  assertEquals(await outcomeOf(() => open(VM_DISK, READ, ALL)(other)), BUSY);
  const linux = vmHost();
  linux.addLinuxLayer(FILE, GIB);
  const vm = await startedVM(linux, { os: "linux", id: "vm1", bootFolder: "C:\\lcow" });
  const { attachDisk } = await import("../../src/hcsschema/requests.ts");
  await vm.modify(attachDisk({ controller: 0, lun: 1 }, { Type: "VirtualDisk", Path: FILE, ReadOnly: true }));
  const outcomes = [open(FILE, READ, ALL), open(FILE, WRITE, ALL), virtual(FILE), remove(FILE)].map((call) =>
    outcomeOf(() => call(linux.otherProcess()))
  );
  assertEquals(await Promise.all(outcomes), [DONE, BUSY, BUSY, BUSY]);
});

Deno.test("a file is deleted while others have it open: its name is free once they have closed it", async () => {
  const host = fileHost();
  const other = host.otherProcess();
  using test = new DisposableStack();
  test.use(host.openFile(FILE));
  const handle = k32.openFile(other, FILE, { access: READ });
  k32.deleteFile(host, FILE);
  const calls = [open(FILE, READ, ALL), remove(FILE), (on: Host) => k32.fileAttributes(on, FILE), virtual(FILE)];
  for (const call of calls) assertEquals(await outcomeOf(() => call(host)), DENIED);
  assertEquals([host.exists(FILE), [...k32.directoryEntries(host, FOLDER)].length], [true, 2]);
  handle[Symbol.dispose]();
  assertEquals(host.exists(FILE), true);
  test.dispose();
  assertEquals([host.exists(FILE), await outcomeOf(() => open(FILE, READ, ALL)(host))], [
    false,
    "ERROR_FILE_NOT_FOUND",
  ]);
});

Deno.test("a folder is removed while others have it open: its parent isn't empty, and nothing is created there", async () => {
  const host = fileHost();
  const handle = k32.openFile(host, EMPTY, { access: READ, flags: k32.fileFlag.BACKUP_SEMANTICS });
  k32.removeDirectory(host, EMPTY);
  assertEquals(await outcomeOf(() => k32.createDirectory(host, EMPTY)), DENIED);
  assertEquals(await outcomeOf(() => k32.createDirectory(host, `${EMPTY}\\in`)), DENIED);
  k32.deleteFile(host, FILE);
  assertEquals(await outcomeOf(() => k32.removeDirectory(host, FOLDER)), "ERROR_DIR_NOT_EMPTY");
  handle[Symbol.dispose]();
  k32.removeDirectory(host, FOLDER);
});

Deno.test("company: a detached disk is let go of late", async () => {
  const host = fileHost({ company: { diskReleaseDelay: 100 } });
  await dll.activateLayer(host, SCRATCH);
  await dll.deactivateLayer(host, SCRATCH);
  assertEquals(await outcomeOf(() => open(DISK, READ, ALL)(host)), BUSY);
  await host.sleep(99);
  assertEquals(await outcomeOf(() => activate(host)), BUSY);
  await host.sleep(1);
  assertEquals(await outcomeOf(() => activate(host)), DONE);
});

Deno.test("company: a scanner opens new and changed files as soon as it can, and only those that it is for", async () => {
  const host = fileHost({ company: { scanner: { holds: 50, share: ["read"], files: "SANDBOX.vhdx" } } });
  const write = () => outcomeOf(() => (open(DISK, WRITE, ALL)(host) as k32.Handle)[Symbol.dispose]());
  assertEquals(await write(), DONE);
  await dll.activateLayer(host, SCRATCH);
  await host.sleep(1000);
  await dll.deactivateLayer(host, SCRATCH);
  assertEquals(await write(), BUSY);
  await host.sleep(50);
  assertEquals(await write(), DONE);
  const created = await vd.createVirtualDisk(host, "C:\\data\\sandbox.vhdx", { size: BigInt(GIB) });
  await host.sleep(1000);
  created[Symbol.dispose]();
  assertEquals(await outcomeOf(() => remove("C:\\data\\sandbox.vhdx")(host)), BUSY);
  k32.copyFile(host, FILE, "C:\\data\\copy");
  k32.deleteFile(host, "C:\\data\\copy");
});

Deno.test("company: what is deleted is gone a while later", async () => {
  const host = fileHost({ company: { deletePendingFor: 20 } });
  k32.removeDirectory(host, EMPTY);
  assertEquals(await outcomeOf(() => k32.createDirectory(host, EMPTY)), DENIED);
  await host.sleep(20);
  assertEquals(k32.createDirectory(host, EMPTY), true);
});

Deno.test("company: without an end, it lasts, also in a file", async () => {
  const file = await Deno.makeTempFile();
  try {
    const host = fileHost({ file, company: { diskReleaseDelay: Infinity } });
    await dll.activateLayer(host, SCRATCH);
    await dll.deactivateLayer(host, SCRATCH);
    await host.sleep(1e9);
    assertEquals(await outcomeOf(() => activate(new SimulatedHost({ file }))), BUSY);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("openFile() closes by itself, when it is disposed of, and refuses what can't be opened", async () => {
  const host = fileHost();
  host.openFile(FILE, { share: [], closesAfter: 10 });
  assertThrows(() => host.openFile(FILE), SimulationError, "32");
  await host.sleep(10);
  host.openFile(FILE, { share: [] })[Symbol.dispose]();
  host.openFile(FILE);
  assertThrows(() => host.openFile("C:\\no"), SimulationError, "2");
});

Deno.test("another process has a session, calls, handles and memory of its own, on the same machine", async () => {
  const host = stackHost();
  const other = host.otherProcess();
  const mounted = await mountWCOWLayers("c1", STACK, { host: other });
  assertEquals([held(host), host.calls.length], [[`activation ${SCRATCH}`, `filter ${SCRATCH}`], 0]);
  assertEquals(host.held().map(({ by }) => by?.process), [2, 2]);
  const handle = k32.openFile(other, `${LAYERS[0]}`, { flags: k32.fileFlag.BACKUP_SEMANTICS });
  assertEquals(await outcomeOf(() => k32.fileId(host, handle.value, "")), "ERROR_INVALID_HANDLE");
  handle[Symbol.dispose]();
  await other.sleep(1000);
  assertEquals([host.clock.now, other.machine === host.machine], [1000, false]);
  await mounted.release();
  assertEquals(held(host), []);
});

Deno.test("before() runs an action between two calls, and a fast function can't wait for one", async () => {
  const host = stackHost();
  const seen: string[] = [];
  using second = host.before("PrepareLayer", async (call) => {
    await Promise.resolve();
    seen.push(`${call.args["id"]} ${held(host)}`);
  }, { nth: 1 });
  const mounted = await mountWCOWLayers("c1", STACK, { host });
  await mounted.release();
  await mountWCOWLayers("c1", STACK, { host });
  assertEquals([seen, second.fired], [[`${SCRATCH} activation ${SCRATCH}`], 1]);
  host.before("GetFileAttributesW", () => Promise.resolve());
  assertThrows(() => k32.fileAttributes(host, FILE), SimulationError, "fast function");
  assertThrows(() => host.before("NoSuchFunction", () => {}), SimulationError, "no function");
  assertThrows(() => host.before("ActivateLayer", () => {}, { nth: 0 }), SimulationError, "nth");
});
