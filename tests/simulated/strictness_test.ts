// What would go wrong on Windows without an error: the simulated host tells it.
import { assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.0";
import { advapi32 } from "../../src/ffi/advapi32.ts";
import { nativeCopy } from "../../src/ffi/memory.ts";
import * as k32 from "../../src/ffi/kernel32.ts";
import { ntdll } from "../../src/ffi/ntdll.ts";
import { vmcompute } from "../../src/ffi/vmcompute.ts";
import { wide } from "../../src/ffi/wide.ts";
import { SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";
import { hostWith, MOUNT } from "../support/host.ts";

const FREE = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\";

function mountHost(): SimulatedHost {
  const host = hostWith({ folders: [MOUNT] });
  k32.setVolumeMountPoint(host, MOUNT, host.addVolume(FREE.slice(11, -2)));
  return host;
}

Deno.test("a buffer that is shorter than the function is told is refused", async () => {
  const host = mountHost();
  const kernel32 = host.symbols(k32.kernel32);
  const beyond: [string, () => unknown][] = [
    ["FindFirstFileW", () => kernel32.FindFirstFileW(wide("C:\\*"), new Uint8Array(591))],
    [
      "GetVolumeNameForVolumeMountPointW",
      () => kernel32.GetVolumeNameForVolumeMountPointW(wide(`${MOUNT}\\`), new Uint8Array(98), 50),
    ],
    ["GetFinalPathNameByHandleW", () => kernel32.GetFinalPathNameByHandleW(4n, new Uint8Array(10), 6, 0)],
    ["GetFileSizeEx", () => kernel32.GetFileSizeEx(4n, new Uint8Array(4))],
    [
      "DeviceIoControl",
      () => kernel32.DeviceIoControl(4n, 0, new Uint8Array(8), 9, null, 0, new Uint8Array(4), null),
    ],
    ["DeviceIoControl", () => kernel32.DeviceIoControl(4n, 0, null, 0, null, 8, new Uint8Array(4), null)],
    ["RtlGetVersion", () => host.symbols(ntdll).RtlGetVersion(new Uint8Array(100))],
    [
      "NameToGuid",
      () => host.symbols(vmcompute).NameToGuid(wide("a"), new Uint8Array(15)),
    ],
  ];
  for (const [name, call] of beyond) {
    await assertRejects(async () => await call(), SimulationError, `${name} takes`, name);
  }
});

Deno.test("the last error is that of the last call, whatever it was", () => {
  const host = mountHost();
  const { GetLastError, GetFileAttributesW, FindClose, LocalAlloc, LocalFree } = host.symbols(k32.kernel32);
  assertEquals([GetFileAttributesW(wide("C:\\no")), GetLastError(), GetLastError()], [0xffffffff, 2, 2]);
  LocalFree(LocalAlloc(0, 8n));
  assertEquals(GetLastError() === 2, false);
  GetFileAttributesW(wide("C:\\no"));
  assertEquals([FindClose(0n), GetLastError()], [0, 6]);
});

Deno.test("a reparse point is removed with its tag, through a handle that may write, and not otherwise", () => {
  const host = mountHost();
  const remove = (access: number, input: Uint8Array<ArrayBuffer> | undefined, path = MOUNT) => {
    using handle = k32.openFile(host, path, {
      access,
      flags: k32.fileFlag.BACKUP_SEMANTICS | k32.fileFlag.OPEN_REPARSE_POINT,
    });
    k32.deviceIoControl(host, handle.value, { code: 0x000900ac, ...(input && { input }) });
  };
  const header = (tag: number, length = 0) => {
    const bytes = new Uint8Array(8);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, tag, true);
    view.setUint16(4, length, true);
    return bytes;
  };
  const { GENERIC_READ, GENERIC_WRITE } = k32.access;
  const mountPoint = 0xa0000003;
  const refused: [number, Parameters<typeof remove>][] = [
    [5, [GENERIC_READ, header(mountPoint)]],
    [87, [GENERIC_WRITE, undefined]],
    [87, [GENERIC_WRITE, header(mountPoint).subarray(0, 4)]],
    [4392, [GENERIC_WRITE, header(mountPoint, 8)]],
    [4394, [GENERIC_WRITE, header(0)]],
    [4394, [GENERIC_WRITE, header(0xa000000c)]],
    [4390, [GENERIC_WRITE, header(mountPoint), "C:\\mnt"]],
  ];
  for (const [code, args] of refused) {
    const error = assertThrows(() => remove(...args)) as { win32?: number };
    assertEquals(error.win32, code, `${args}`);
  }
  assertEquals(k32.volumeNameForMountPoint(host, MOUNT), FREE);
  remove(GENERIC_WRITE, header(mountPoint));
  assertEquals((k32.fileAttributes(host, MOUNT) ?? 0) & k32.attribute.REPARSE_POINT, 0);
});

Deno.test("an entry for an access list must be for one SID", () => {
  const host = new SimulatedHost();
  using sid = nativeCopy(host, wide("S-1-5-83-0"));
  const entry = (offset: number, value: number) => {
    const bytes = new Uint8Array(48);
    const view = new DataView(bytes.buffer);
    view.setUint32(4, 1, true);
    view.setBigUint64(40, sid.address, true);
    view.setUint32(offset, value, true);
    return bytes;
  };
  for (const [offset, value] of [[16, 1], [28, 5], [32, 9]] as const) {
    assertThrows(
      () => host.symbols(advapi32).SetEntriesInAclW(1, entry(offset, value), 0n, new Uint8Array(8)),
      SimulationError,
      "no single SID",
    );
  }
});
