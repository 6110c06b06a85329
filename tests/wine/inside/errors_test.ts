import { assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.0";
import {
  InvalidInputError,
  MissingDllError,
  MissingExportError,
  MissingPermissionError,
  mountWCOWLayers,
  windowsHost,
} from "../../../mod.ts";
import { buildRevision } from "../../../src/ffi/advapi32.ts";
import { kernel32 } from "../../../src/ffi/kernel32.ts";
import { requireGrants } from "../../../src/ffi/host.ts";
import { buildNumber, ntdll } from "../../../src/ffi/ntdll.ts";
import { ole32 } from "../../../src/ffi/ole32.ts";
import type { Dll } from "../../../src/ffi/table.ts";
import { activateLayer, vmcompute } from "../../../src/ffi/vmcompute.ts";
import { vmcomputeHcs } from "../../../src/ffi/vmcompute_hcs.ts";
import { probe } from "./probe.ts";
import { SYSTEM32 } from "./recorder.ts";

const BOTH = ["pool", "thread"] as const;

for (const calls of BOTH) {
  Deno.test(`symbols() of a DLL that isn't there names it, and what brings it (${calls})`, () => {
    using host = windowsHost({ calls });
    const missing: Dll = { ...probe, file: "missing.dll", remedy: "Buy a bigger Windows" };
    const error = assertThrows(() => host.symbols(missing), MissingDllError, "Buy a bigger Windows");
    assertEquals(error.dll, "missing.dll");
  });

  Deno.test(`a function that the DLL lacks is named at the call, and the others work (${calls})`, async () => {
    using host = windowsHost({ calls });
    const lacking = {
      file: "probe.dll",
      symbols: {
        ...probe.symbols,
        Fast: { parameters: ["u32"], result: "i32", optional: true },
        Slow: { parameters: ["u32"], result: "i32", optional: true, nonblocking: true },
        Renamed: { name: "Nowhere", parameters: ["u32"], result: "i32", optional: true, nonblocking: true },
      },
      remedy: "Wait for the next Windows",
    } as const;
    const { Fast, Slow, Renamed, ChecksumSlow, ThreadId } = host.symbols(lacking);
    for (const [call, name] of [[Fast, "Fast"], [Slow, "Slow"], [Renamed, "Nowhere"]] as const) {
      const error = await assertRejects(async () => await call(1), MissingExportError, "Wait for the next Windows");
      assertEquals([error.dll, error.function], ["probe.dll", name]);
    }
    assertEquals(await ChecksumSlow(new Uint8Array(), 0, 0), 0x811c9dc5);
    assertEquals(ThreadId(), host.symbols(probe).ThreadId());
  });
}

const granted = (...dlls: string[]): Deno.PermissionOptionsObject => ({
  env: ["SystemRoot"],
  ffi: dlls.map((dll) => `${SYSTEM32}\\${dll}`),
});

Deno.test("symbols() names the flag for the DLL that Deno may not load", { permissions: granted("probe.dll") }, () => {
  using host = windowsHost();
  host.symbols(probe);
  for (const dll of [kernel32, ole32, vmcompute] as const) {
    const error = assertThrows(() => host.symbols(dll as Dll), MissingPermissionError);
    assertEquals(error.flag, `--allow-ffi=${SYSTEM32}\\${dll.file}`);
  }
  for (const [ask, dll] of [[buildNumber, "ntdll.dll"], [buildRevision, "advapi32.dll"]] as const) {
    const error = assertThrows(() => ask(host), MissingPermissionError);
    assertEquals(error.flag, `--allow-ffi=${SYSTEM32}\\${dll}`);
  }
});

const IMAGES = { dlls: [probe as Dll], when: "With images" };

Deno.test(
  "requireGrants() names the flags for all DLLs that Deno may not load, each once",
  { permissions: granted("ntdll.dll") },
  () => {
    using host = windowsHost();
    const needed: Dll[] = [kernel32, ntdll, vmcompute, vmcomputeHcs];
    const error = assertThrows(() => requireGrants(host, needed, IMAGES), MissingPermissionError);
    const [first, second, third] = ["kernel32", "vmcompute", "probe"].map((dll) => `${SYSTEM32}\\${dll}.dll`);
    assertEquals(error.flags, [`--allow-ffi=${first}`, `--allow-ffi=${second}`]);
    assertEquals(
      error.message,
      `Permissions are missing. Start Deno with --allow-ffi=${first},${second}. With images also with --allow-ffi=${third}`,
    );
    requireGrants(host, [ntdll], IMAGES);
  },
);

Deno.test("requireGrants() without SystemRoot names the DLLs where Windows usually is", { permissions: "none" }, () => {
  using host = windowsHost();
  const error = assertThrows(() => requireGrants(host, [kernel32, ntdll]), MissingPermissionError);
  const flags =
    "--allow-env=SystemRoot --allow-ffi=C:\\Windows\\System32\\kernel32.dll,C:\\Windows\\System32\\ntdll.dll";
  assertEquals(error.message, `Permissions are missing. Start Deno with ${flags}`);
});

Deno.test("requireGrants() asks Deno once for each DLL", { permissions: granted("kernel32.dll", "ntdll.dll") }, () => {
  using host = windowsHost();
  requireGrants(host, [kernel32]);
  Deno.permissions.revokeSync({ name: "ffi", path: `${SYSTEM32}\\kernel32.dll` });
  requireGrants(host, [kernel32, ntdll]);
  Deno.permissions.revokeSync({ name: "ffi", path: `${SYSTEM32}\\ntdll.dll` });
  requireGrants(host, [kernel32, ntdll]);
  const later = assertThrows(() => host.symbols(kernel32), MissingPermissionError);
  assertEquals(later.flag, `--allow-ffi=${SYSTEM32}\\kernel32.dll`);
});

Deno.test("a layer call names the flag for vmcompute.dll", { permissions: granted("kernel32.dll") }, async () => {
  using host = windowsHost();
  const error = await assertRejects(() => activateLayer(host, "C:\\scratch"), MissingPermissionError);
  assertEquals(error.flag, `--allow-ffi=${SYSTEM32}\\vmcompute.dll`);
});

Deno.test(
  "mountWCOWLayers() names the flag for SystemRoot",
  { permissions: { ffi: granted("kernel32.dll", "ntdll.dll", "vmcompute.dll").ffi! } },
  async () => {
    using host = windowsHost();
    const error = await assertRejects(
      () => mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratch"], { host }),
      MissingPermissionError,
    );
    assertEquals(error.flag, "--allow-env=SystemRoot");
  },
);

Deno.test("mountWCOWLayers() refuses bad input without a permission", { permissions: "none" }, async () => {
  using host = windowsHost();
  await assertRejects(() => mountWCOWLayers("c1", ["C:\\layers\\base"], { host }), InvalidInputError);
});
