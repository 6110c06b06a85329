import { assertEquals } from "jsr:@std/assert@^1.0.0";
import * as storage from "../../src/storage/mod.ts";
import { BASE, DISK, storageHost } from "../support/storage_host.ts";
import { held, sequence } from "../support/calls.ts";

const HANDLE = { type: 1, what: 4 };

for (const [path, flags, inheritance] of [[DISK, 0, 0], [BASE, 0x02000000, 3]] as const) {
  Deno.test(`grantVmGroupAccess() lets all virtual machines read ${path}, and frees all memory`, async () => {
    const host = storageHost();
    await storage.grantVmGroupAccess(path, { host });
    assertEquals(sequence(host), [
      "GetFileAttributesW",
      "CreateFileW",
      "ConvertStringSidToSidW",
      "GetSecurityInfo",
      "SetEntriesInAclW",
      "SetSecurityInfo",
      "LocalFree",
      "LocalFree",
      "LocalFree",
      "CloseHandle",
    ]);
    const args = Object.fromEntries(host.calls.map((call) => [call.function, call.args]));
    const { handle } = args.GetSecurityInfo!;
    assertEquals(args.CreateFileW!.flags, flags);
    assertEquals(args.SetEntriesInAclW!.entry, { mask: 0x80000000, mode: 1, inheritance, sid: "S-1-5-83-0" });
    assertEquals(args.SetSecurityInfo, {
      ...HANDLE,
      handle,
      owner: 0,
      group: 0,
      list: args.SetSecurityInfo!.list,
      systemList: 0,
    });
    assertEquals([held(host), host.allocations], [[], 0]);
  });
}

Deno.test("grantVmGroupAccess() keeps the grants that are there, and repeats none", async () => {
  const host = storageHost();
  await storage.grantVmAccess(DISK, "vm1", { host });
  await storage.grantVmGroupAccess(DISK, { host });
  await storage.grantVmGroupAccess(DISK, { host });
  assertEquals(host.grantsOf(DISK), ["vm1", "s-1-5-83-0"]);
});
