import { assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import * as storage from "../../src/storage/mod.ts";
import { held, sequence } from "../support/calls.ts";

const BOTH = ["SeBackupPrivilege", "SeRestorePrivilege"];
const HELD = BOTH.map((name) => `privilege ${name}`);

Deno.test("enablePrivileges() enables privileges of the process until it is disposed of", () => {
  const host = new SimulatedHost();
  {
    using _ = storage.enablePrivileges(BOTH, { host });
    assertEquals(held(host), HELD);
    assertEquals(sequence(host), [
      "LookupPrivilegeValueW",
      "GetCurrentProcess",
      "OpenProcessToken",
      "AdjustTokenPrivileges",
      "CloseHandle",
      "LookupPrivilegeValueW",
      "GetCurrentProcess",
      "OpenProcessToken",
      "AdjustTokenPrivileges",
      "CloseHandle",
    ]);
    assertEquals(host.calls.find((call) => call.function === "OpenProcessToken")!.args.access, 0x28);
  }
  assertEquals(held(host), []);
});

Deno.test("enablePrivileges() restores a privilege with the last that asked for it", () => {
  const host = new SimulatedHost();
  const first = storage.enablePrivileges(BOTH, { host });
  const second = storage.enablePrivileges(["SeBackupPrivilege"], { host });
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assertEquals(held(host), ["privilege SeBackupPrivilege"]);
  second[Symbol.dispose]();
  assertEquals(held(host), []);
});

Deno.test("enablePrivileges() leaves a privilege enabled that was so before", () => {
  const host = new SimulatedHost();
  const other: storage.Host = {
    machine: {},
    symbols: (dll) => host.symbols(dll),
    sleep: (ms, signal) => host.sleep(ms, signal),
    callback: (listener) => host.callback(listener),
  };
  using _ = storage.enablePrivileges(["SeBackupPrivilege"], { host: other });
  storage.enablePrivileges(["SeBackupPrivilege"], { host })[Symbol.dispose]();
  assertEquals(held(host), ["privilege SeBackupPrivilege"]);
});

Deno.test("enablePrivileges() names the privilege that the process doesn't have, and enables none", () => {
  const host = new SimulatedHost();
  const error = assertThrows(
    () => storage.enablePrivileges(["SeBackupPrivilege", "SeTcbPrivilege"], { host }),
    storage.MissingPrivilegeError,
    "doesn't have the privilege SeTcbPrivilege. Run as Administrator or SYSTEM",
  );
  assertEquals([error.privilege, (error.cause as storage.NativeError).symbol], [
    "SeTcbPrivilege",
    "ERROR_NOT_ALL_ASSIGNED",
  ]);
  assertEquals(held(host), []);
});

Deno.test("enablePrivileges() passes on that Windows doesn't know a name, and enables none", () => {
  const host = new SimulatedHost();
  const error = assertThrows(
    () => storage.enablePrivileges(["SeBackupPrivilege", "SeNoSuchPrivilege"], { host }),
    storage.NativeError,
  );
  assertEquals([error.operation, error.path, error.win32], ["LookupPrivilegeValueW", "SeNoSuchPrivilege", 1313]);
  assertEquals(held(host), []);
});

Deno.test("enablePrivileges() tells which privileges it couldn't restore, and which it couldn't enable", () => {
  const host = new SimulatedHost();
  let asked = 0;
  host.fail({ function: "AdjustTokenPrivileges", code: 1392, when: () => ++asked > 1 });
  const error = assertThrows(
    () => storage.enablePrivileges(["SeBackupPrivilege", "SeTcbPrivilege"], { host }),
    storage.PrivilegeRestoreError,
    "SeBackupPrivilege could not be restored",
  );
  const { cause } = error;
  assertEquals(cause instanceof storage.NativeError && cause.win32, 1392);
  assertEquals(held(host), ["privilege SeBackupPrivilege"]);
});
