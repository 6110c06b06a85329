// Records of mounts: what is written when, what is refused, and who waits for whom.
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "jsr:@std/assert@^1.0.0";
import { RecordError, UntrustedFolderError } from "../../mod.ts";
import type { MountPlan } from "../../src/records/record.ts";
import { mountedLine, recordIn } from "../../src/records/record.ts";
import { Records, recordsFolder } from "../../src/records/records.ts";
import { problemOf } from "../../src/records/trusted_folder.ts";
import { FILE_ALL_ACCESS, onlyFor, type Security, securityIn, sid } from "../../src/ffi/security.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { sequence } from "../support/calls.ts";

const FOLDER = "C:\\ProgramData\\hcs-layers";
const SCRATCH = "C:\\scratch";

const PLAN: MountPlan = {
  id: "7d4c7b4e-5b5c-4e0e-8d3f-111111111111",
  container: "c1",
  scratch: SCRATCH,
  scratchId: "00",
  isNewScratch: false,
  layers: ["C:\\layers\\base"],
  cim: undefined,
  volumeMountPath: "C:\\mnt\\c1",
  isPermanent: false,
  process: { pid: 1, start: "5" },
  since: "2026-11-26T00:00:00.000Z",
};
const VOLUME = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\";

function records(host: SimulatedHost): Records {
  return new Records(recordsFolder(host)!);
}

Deno.test("a record is written before, completed after, and deleted in the end: one flushed write each", async () => {
  const host = new SimulatedHost();
  const kept = records(host);
  assertEquals(await kept.read(host, SCRATCH), undefined);
  await kept.begin(host, PLAN);
  assertEquals(await kept.read(host, SCRATCH), { ...PLAN, volume: undefined });
  const from = host.calls.length;
  await kept.complete(host, PLAN, VOLUME);
  assertEquals(sequence(host, from), ["CreateFileW", "WriteFile", "FlushFileBuffers", "CloseHandle"]);
  assertEquals(await kept.read(host, "c:\\SCRATCH"), { ...PLAN, volume: VOLUME });
  assertEquals(kept.list(host), { records: [{ ...PLAN, volume: VOLUME }], places: [], vms: [], unreadable: [] });
  await kept.close(host, SCRATCH);
  assertEquals(kept.list(host), { records: [], places: [], vms: [], unreadable: [] });
  assertEquals(host.held(), []);
});

Deno.test("a record that can't be deleted is closed", async () => {
  const host = new SimulatedHost();
  const kept = records(host);
  await kept.begin(host, PLAN);
  host.fail({ function: "DeleteFileW", code: "ERROR_SHARING_VIOLATION" });
  await kept.close(host, SCRATCH);
  assertEquals(await kept.read(host, SCRATCH), undefined);
  await kept.begin(host, PLAN);
  assertEquals(await kept.read(host, SCRATCH), { ...PLAN, volume: undefined });
});

Deno.test("what makes no sense later in a record is ignored; a record that can't be read isn't taken for none", async () => {
  const line = JSON.stringify({ version: 1, ...PLAN });
  const text = `${line}\nno JSON\n{"mounted":7}\n${mountedLine(VOLUME)}`;
  assertEquals(recordIn(text, "C:\\x"), { ...PLAN, volume: VOLUME });
  const host = new SimulatedHost();
  await records(host).begin(host, PLAN);
  host.addFile(`${FOLDER}\\mounts\\x.jsonl`);
  host.writeTextFile(`${FOLDER}\\mounts\\x.jsonl`, "no JSON\n");
  const { records: found, unreadable } = records(host).list(host);
  assertEquals([found.length, unreadable.map(({ path }) => path)], [1, [`${FOLDER}\\mounts\\x.jsonl`]]);
});

Deno.test("a torn last line is ignored; what is no record, or one of a later version, isn't taken for none", () => {
  const line = JSON.stringify({ version: 1, ...PLAN });
  for (let length = 0; length < line.length; length++) {
    assertEquals(recordIn(line.slice(0, length), "C:\\x"), undefined);
    assertEquals(recordIn(`${line}\n${line.slice(0, length)}`, "C:\\x")?.id, PLAN.id);
  }
  assertThrows(() => recordIn(`${JSON.stringify({ ...PLAN, version: 2 })}\n`, "C:\\x"), RecordError);
  assertThrows(() => recordIn("{}\n", "C:\\x"), RecordError);
  assertThrows(() => recordIn("\0\0\0\n", "C:\\x"), RecordError);
});

Deno.test("the folder of records is made for the system and administrators alone", async () => {
  const host = new SimulatedHost();
  await records(host).begin(host, PLAN);
  // Another process finds it good.
  await records(host).begin(host.otherProcess(), PLAN);
});

Deno.test("who may not make Administrators the owner of the folder owns it", async () => {
  const host = new SimulatedHost();
  host.addFolder("C:\\ProgramData");
  host.fail({ function: "CreateDirectoryW", code: "ERROR_INVALID_OWNER", nth: 1 });
  await records(host).begin(host, PLAN);
  assertEquals(host.readDir(FOLDER).length, 1);
});

Deno.test("a folder of records that others could have made, or that a link leads to, is refused", async () => {
  const host = new SimulatedHost();
  host.addFolder(FOLDER);
  const error = await assertRejects(() => records(host).begin(host, PLAN), UntrustedFolderError);
  assertStringIncludes(error.message, "can be changed by S-1-5-32-545");
  host.addFolder(`${FOLDER}\\mounts`);
  await assertRejects(() => records(host).begin(host, PLAN), UntrustedFolderError);
  assertEquals(host.readDir(`${FOLDER}\\mounts`), []);
  const linked = new SimulatedHost();
  linked.addFolder("C:\\elsewhere");
  linked.addFolder("C:\\ProgramData");
  linked.addJunction(FOLDER, "C:\\elsewhere");
  await assertRejects(() => records(linked).begin(linked, PLAN), UntrustedFolderError, "is a link");
  assertEquals(linked.readDir("C:\\elsewhere"), []);
  const above = new SimulatedHost({ records: "C:\\link\\records" });
  above.addFolder("C:\\elsewhere");
  above.addJunction("C:\\link", "C:\\elsewhere");
  await assertRejects(() => records(above).begin(above, PLAN), UntrustedFolderError, "is reached through a link");
  assertEquals(above.readDir("C:\\elsewhere"), []);
});

Deno.test("who may change a folder that is trusted", () => {
  const me = "S-1-5-21-1-2-3-1001";
  const full = (who: string | undefined, flags = 3, type = 0) => ({ type, flags, mask: FILE_ALL_ACCESS, sid: who });
  const trusted = [full(sid.SYSTEM), full(sid.ADMINISTRATORS), full(me), full(sid.OWNER_RIGHTS)];
  const read = { type: 0, flags: 3, mask: 0x1200a9, sid: sid.USERS };
  const problem = (owner: string, entries: Security["entries"]) => problemOf({ owner, entries }, () => me);
  assertEquals(problem(sid.SYSTEM, [...trusted, read, full(sid.CREATOR_OWNER, 0xb), full(sid.USERS, 3, 1)]), undefined);
  assertEquals(problem(me, trusted), undefined);
  assertEquals(problem(sid.USERS, trusted), `belongs to ${sid.USERS}`);
  assertEquals(problem("", trusted), "belongs to nobody");
  assertEquals(problem(me, undefined), "can be changed by everybody");
  assertStringIncludes(problem(me, [full(undefined, 3, 9)])!, "unknown type (9)");
  assertEquals(problem(me, [full(sid.CREATOR_OWNER)]), `can be changed by ${sid.CREATOR_OWNER}`);
  // Each right by itself lets others plant, replace or delete something.
  for (const mask of [0x2, 0x4, 0x10, 0x40, 0x100, 0x10000, 0x40000, 0x80000, 0x10000000, 0x40000000]) {
    assertEquals(problem(me, [{ ...read, mask }]), `can be changed by ${sid.USERS}`, `0x${mask.toString(16)}`);
  }
});

Deno.test("a descriptor says that nothing is inherited, and one whose access list is missing that there is none", () => {
  const bytes = onlyFor([sid.SYSTEM]);
  const view = new DataView(bytes.buffer);
  assertEquals(view.getUint16(2, true), 0x9004);
  assertEquals(securityIn(bytes).entries?.map((entry) => entry.sid), [sid.SYSTEM]);
  // Where the list is.
  view.setUint32(16, 0, true);
  assertEquals(securityIn(bytes).entries, undefined);
});

Deno.test("nothing stays open of a lock that was had", async () => {
  const host = new SimulatedHost();
  (await records(host).lock(host, SCRATCH))[Symbol.dispose]();
  assertEquals(host.held(), []);
});

Deno.test("a lock is had by one process at a time, in turn, and not by a dead one", async () => {
  const host = new SimulatedHost({ clock: "automatic" });
  const other = host.otherProcess();
  const third = host.otherProcess();
  const got: string[] = [];
  const first = await records(host).lock(host, SCRATCH);
  const onWait = (waited: number) => assert(waited < 10_000, "a lock is never given back");
  const take = async (of: SimulatedHost, name: string) => {
    using _lock = await records(of).lock(of, SCRATCH, { onWait });
    got.push(name);
  };
  const taken = [take(other, "other")];
  await host.sleep(50);
  taken.push(take(third, "third"));
  await host.sleep(500);
  assertEquals(got, []);
  using _else = await records(host).lock(host, "C:\\else");
  first[Symbol.dispose]();
  await Promise.all(taken);
  assertEquals(got, ["other", "third"]);
  await records(other).lock(other, SCRATCH, { onWait });
  other.endProcess();
  await take(third, "third");
});

Deno.test("the wait for a lock ends with the signal, and leaves nothing open", async () => {
  const host = new SimulatedHost({ clock: "automatic" });
  using _first = await records(host).lock(host, SCRATCH);
  const open = host.held();
  const controller = new AbortController();
  const waiting = records(host).lock(host, SCRATCH, { signal: controller.signal });
  await host.sleep(30);
  controller.abort(new Error("enough"));
  await assertRejects(() => waiting, Error, "enough");
  assertEquals(host.held(), open);
});

Deno.test("the folder of records is made again if somebody removes it", async () => {
  const host = new SimulatedHost();
  const kept = records(host);
  (await kept.lock(host, SCRATCH))[Symbol.dispose]();
  host.remove(FOLDER);
  using _lock = await kept.lock(host, SCRATCH);
  await kept.begin(host, PLAN);
  assertEquals(kept.list(host).records.length, 1);
});

Deno.test("the record of a volume by itself that makes no sense is told, and is none of a mount", async () => {
  const host = new SimulatedHost();
  const kept = records(host);
  await kept.begin(host, PLAN);
  await kept.close(host, SCRATCH);
  host.writeTextFile(`${FOLDER}\\mounts\\x.jsonl`, '{"version":1,"kind":"volume"}\n');
  const { records: found, unreadable } = kept.list(host);
  assertEquals([found, unreadable.map(({ error }) => error instanceof RecordError), kept.list(host).places], [
    [],
    [true],
    [],
  ]);
});
