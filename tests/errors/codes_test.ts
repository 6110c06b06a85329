import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { computeCodeOf, fromWin32, hex, hintFor, nameOf, win32Of } from "../../src/errors/codes.ts";

const NAMES: [code: number, name: string | undefined][] = [
  [0x80070015, "ERROR_NOT_READY"],
  [0x8007048f, "ERROR_DEVICE_NOT_CONNECTED"],
  [0x80070091, "ERROR_DIR_NOT_EMPTY"],
  [0x80070057, "ERROR_INVALID_PARAMETER"],
  [0x80070005 | 0, "ERROR_ACCESS_DENIED"],
  [0x801f0015, "ERROR_FLT_INSTANCE_NOT_FOUND"],
  [0x801f0015 | 0, "ERROR_FLT_INSTANCE_NOT_FOUND"],
  [0xc03a001a, "ERROR_VHD_INVALID_FILE_SIZE"],
  [0xc0370112, "ERROR_VMCOMPUTE_INVALID_LAYER"],
  [0x80370112, "HCS_E_INVALID_LAYER"],
  [0xc037010e, "ERROR_VMCOMPUTE_SYSTEM_NOT_FOUND"],
  [0x8037010e | 0, "HCS_E_SYSTEM_NOT_FOUND"],
  [0xc0370110, "ERROR_VMCOMPUTE_SYSTEM_ALREADY_STOPPED"],
  [0x80370110, "HCS_E_SYSTEM_ALREADY_STOPPED"],
  [0xc0370113, "ERROR_VMCOMPUTE_WINDOWS_INSIDER_REQUIRED"],
  [0xc0370103, "ERROR_VMCOMPUTE_OPERATION_PENDING"],
  [0x80370103, undefined],
  [0xc0370104, "ERROR_VMCOMPUTE_TOO_MANY_NOTIFICATIONS"],
  [0x80370104, undefined],
  [0xc0370109, "ERROR_VMCOMPUTE_TIMEOUT"],
  [0x80370109, "HCS_E_CONNECTION_TIMEOUT"],
  [0x80370117, "HCS_E_OPERATION_PENDING"],
  [0xc0370117, undefined],
  [0x80370119, "HCS_E_OPERATION_SYSTEM_CALLBACK_ALREADY_SET"],
  [0x8037011c, "HCS_E_GUEST_CRITICAL_ERROR"],
  [0x8037011f, "HCS_E_PROCESS_ALREADY_STOPPED"],
  [0x8037ffff, undefined],
  [0x80041008, undefined],
  [0x8007ffff, undefined],
];

Deno.test("nameOf() knows codes by their names in the Windows headers, in both severities of the compute service", () => {
  for (const [code, name] of NAMES) assertEquals(nameOf(code), name, hex(code));
});

Deno.test("fromWin32(), win32Of(), computeCodeOf() and hex() read and write HRESULTs", () => {
  assertEquals([fromWin32(0), fromWin32(21), fromWin32(1167)], [0, 0x80070015, 0x8007048f]);
  assertEquals([0x80070015, 0x80070015 | 0, 0xc0370112, 0x801f0015, 0x80041008].map(win32Of), [
    21,
    21,
    undefined,
    undefined,
    undefined,
  ]);
  assertEquals([0xc0370112, 0x80370112 | 0, 0x80070112].map(computeCodeOf), [0x112, 0x112, undefined]);
  assertEquals([0x15, 0x80070015 | 0].map(hex), ["0x00000015", "0x80070015"]);
});

Deno.test("hintFor() says what to do for a function's codes, and for all functions where it's the same", () => {
  assertEquals(hintFor("SetVolumeMountPointW", 0x80070091), "the folder is not empty or has a volume mounted already");
  assertEquals(hintFor("ActivateLayer", 0x80070091), undefined);
  for (const fn of ["ActivateLayer", "SetVolumeMountPointW"]) {
    assertEquals(hintFor(fn, 0x80070005 | 0), "run as Administrator or SYSTEM");
  }
});
