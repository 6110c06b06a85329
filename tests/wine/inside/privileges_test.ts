import { assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import { NativeError, windowsHost } from "../../../mod.ts";
import { enabledPrivilege, openProcessToken, setPrivilege } from "../../../src/ffi/advapi32.ts";
import type { Host } from "../../../src/ffi/host.ts";
import { MissingPrivilegeError } from "../../../src/errors/windows_errors.ts";
import { enablePrivileges } from "../../../src/storage/mod.ts";
import { watched } from "./host.ts";

// These are Wine's own functions: what is looked at is what the system has then.
const NAME = "SeBackupPrivilege";
const SE_PRIVILEGE_ENABLED = 2;

/** Whether a privilege is enabled. Asks by enabling it, and puts it back. */
function isEnabled(host: Host, name: string): boolean {
  using token = openProcessToken(host);
  const before = setPrivilege(host, token.value, enabledPrivilege(host, name));
  if (before === undefined) return true;
  setPrivilege(host, token.value, before);
  // Wine, unlike Windows, tells the state before of one that it didn't change, too.
  return (new DataView(before.buffer).getUint32(12, true) & SE_PRIVILEGE_ENABLED) !== 0;
}

/** Sets a privilege for the test, whatever Wine starts with. */
function disable(host: Host, name: string): void {
  using token = openProcessToken(host);
  const state = enabledPrivilege(host, name);
  new DataView(state.buffer).setUint32(12, 0, true);
  setPrivilege(host, token.value, state);
}

Deno.test("enablePrivileges() enables privileges of the process, and restores them as they were", () => {
  using host = windowsHost();
  disable(host, NAME);
  const calls: string[] = [];
  {
    using _ = enablePrivileges([NAME, "SeRestorePrivilege"], { host: watched(host, calls) });
    assertEquals(isEnabled(host, NAME), true);
    using again = enablePrivileges([NAME], { host });
    again[Symbol.dispose]();
    assertEquals(isEnabled(host, NAME), true);
  }
  assertEquals(isEnabled(host, NAME), false);
  const count = (name: string) => calls.filter((call) => call === name).length;
  assertEquals(count("CloseHandle"), count("OpenProcessToken"));
});

Deno.test("enablePrivileges() leaves a privilege enabled that was before", () => {
  using host = windowsHost();
  disable(host, NAME);
  using token = openProcessToken(host);
  setPrivilege(host, token.value, enabledPrivilege(host, NAME));
  enablePrivileges([NAME], { host })[Symbol.dispose]();
  assertEquals(isEnabled(host, NAME), true);
  disable(host, NAME);
});

Deno.test("enablePrivileges() that isn't given one enables none", () => {
  using host = windowsHost();
  disable(host, NAME);
  const error = assertThrows(() => enablePrivileges([NAME, "SeCreateTokenPrivilege"], { host }), MissingPrivilegeError);
  assertEquals(error.privilege, "SeCreateTokenPrivilege");
  assertEquals(isEnabled(host, NAME), false);
});

Deno.test("enablePrivileges() says that Windows doesn't know a privilege", () => {
  using host = windowsHost();
  const error = assertThrows(() => enablePrivileges(["SeNoSuchPrivilege"], { host }), NativeError);
  assertEquals([error.operation, error.path], ["LookupPrivilegeValueW", "SeNoSuchPrivilege"]);
});
