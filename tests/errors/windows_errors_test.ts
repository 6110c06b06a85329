import { assertEquals, assertInstanceOf } from "jsr:@std/assert@^1.0.0";
import {
  InUseError,
  InvalidInputError,
  LayerError,
  MissingDllError,
  MissingExportError,
  MissingPermissionError,
  NativeError,
  UnsupportedBuildError,
} from "../../mod.ts";

const MESSAGES: [error: LayerError, message: string][] = [
  [
    new NativeError({
      function: "SetVolumeMountPointW",
      code: 0x80070091,
      path: "C:\\mnt",
      systemMessage: "Nicht leer.",
    }),
    "SetVolumeMountPointW failed for C:\\mnt: 0x80070091 ERROR_DIR_NOT_EMPTY (Nicht leer.). " +
    "The folder is not empty or already has a volume mounted",
  ],
  [
    new NativeError({ function: "HcsX", code: 0x80070002, systemMessage: "simulated: ERROR_FILE_NOT_FOUND" }),
    "HcsX failed: 0x80070002 ERROR_FILE_NOT_FOUND",
  ],
  [new NativeError({ function: "NameToGuid", code: 0x80041008 | 0 }), "NameToGuid failed: 0x80041008"],
  [
    new NativeError({ function: "HcsX", code: 0xc0370112, systemMessage: "", details: ["event 1", "event 2"] }),
    "HcsX failed: 0xc0370112 ERROR_VMCOMPUTE_INVALID_LAYER\n  event 1\n  event 2",
  ],
  [
    new NativeError({ function: "F", code: 0x8007ffff, path: "C:\\\x1b[2J\n\x9b\u202egpj", details: ["a\r", "\x7f"] }),
    "F failed for C:\\\\u001b[2J\\u000a\\u009b\\u202egpj: 0x8007ffff\n  a\\u000d\n  \\u007f",
  ],
  [new InUseError("C:\\\x1b[31m", "is in use"), "C:\\\\u001b[31m is in use"],
  [new InvalidInputError("layerFolders[1]", "is empty", ""), 'layerFolders[1] is empty: ""'],
  [new InvalidInputError("hostPath", "is not a string"), "hostPath is not a string"],
  [new MissingDllError("vmcompute.dll", "Do this"), "vmcompute.dll can't be loaded. Do this"],
  [new MissingExportError("a.dll", "F", "Do this"), "a.dll has no function F on this Windows. Do this"],
  [new UnsupportedBuildError("X", "17134", "build 17763"), "X needs build 17763; this host is Windows build 17134"],
  [
    new MissingPermissionError(["--allow-ffi=C:\\a.dll"]),
    "A permission is missing. Start Deno with --allow-ffi=C:\\a.dll",
  ],
  [
    new MissingPermissionError(["--allow-env=SystemRoot", "--allow-ffi=C:\\a.dll", "--allow-ffi=C:\\b.dll"]),
    "Permissions are missing. Start Deno with --allow-env=SystemRoot --allow-ffi=C:\\a.dll,C:\\b.dll",
  ],
  [
    new MissingPermissionError(["--allow-read=C:\\my tests\\größe.state", "--allow-write=C:\\größe.state"]),
    'Permissions are missing. Start Deno with "--allow-read=C:\\my tests\\größe.state" --allow-write=C:\\größe.state',
  ],
  [
    new MissingPermissionError(["--allow-ffi"], { because: "It can't be told by path" }),
    "A permission is missing. Start Deno with --allow-ffi. It can't be told by path",
  ],
];

Deno.test("every error says what happened to what, and what to do", () => {
  for (const [error, message] of MESSAGES) {
    assertInstanceOf(error, LayerError);
    assertEquals(error.message, message);
    assertEquals(error.name, error.constructor.name);
  }
});

Deno.test("NativeError has its code unsigned, the Win32 code in it, its name and the hint", () => {
  const error = new NativeError({ function: "PrepareLayer", code: 0x80070015 | 0, path: "C:\\s" });
  const { operation, path, code, win32, symbol } = error;
  assertEquals({ operation, path, code, win32, symbol }, {
    operation: "PrepareLayer",
    path: "C:\\s",
    code: 0x80070015,
    win32: 21,
    symbol: "ERROR_NOT_READY",
  });
  assertEquals(error.message.endsWith(error.hint!.slice(1)), true);
  assertEquals(new NativeError({ function: "PrepareLayer", code: 0xc0370112 }).win32, undefined);
});
