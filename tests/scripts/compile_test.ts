import { assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import config from "../../deno.json" with { type: "json" };
import { run } from "./run.ts";

const COMMANDS = ["mount", "unmount", "list", "recover", "vhd", "observe", "layer", "cim"] as const;

/** A program for Windows that does nothing: Deno puts a command into it as it does with its runtime stub. */
function emptyProgram(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(0x400);
  const view = new DataView(bytes.buffer);
  const put16 = (at: number, value: number) => view.setUint16(at, value, true);
  const put32 = (at: number, value: number) => view.setUint32(at, value, true);
  const [signature, header, section] = [0x40, 0x58, 0x148];
  put16(0, 0x5a4d); // MZ
  put32(0x3c, signature);
  put32(signature, 0x4550); // PE
  put16(signature + 4, 0x8664); // Machine
  put16(signature + 6, 1); // NumberOfSections
  put16(signature + 20, section - header); // SizeOfOptionalHeader
  put16(signature + 22, 0x22); // Characteristics
  put16(header, 0x20b); // Magic
  put32(header + 16, 0x1000); // AddressOfEntryPoint
  put32(header + 20, 0x1000); // BaseOfCode
  view.setBigUint64(header + 24, 0x140000000n, true); // ImageBase
  put32(header + 32, 0x1000); // SectionAlignment
  put32(header + 36, 0x200); // FileAlignment
  put16(header + 40, 6); // MajorOperatingSystemVersion
  put16(header + 48, 6); // MajorSubsystemVersion
  put32(header + 56, 0x2000); // SizeOfImage
  put32(header + 60, 0x200); // SizeOfHeaders
  put16(header + 68, 3); // Subsystem
  put32(header + 108, 16); // NumberOfRvaAndSizes
  bytes.set(new TextEncoder().encode(".text"), section);
  put32(section + 8, 0x200); // VirtualSize
  put32(section + 12, 0x1000); // VirtualAddress
  put32(section + 16, 0x200); // SizeOfRawData
  put32(section + 20, 0x200); // PointerToRawData
  put32(section + 36, 0x60000020); // Characteristics
  return bytes;
}

/** The permissions that a compiled program has of Deno. */
function permissionsIn(program: Uint8Array<ArrayBuffer>): Record<string, unknown> {
  const [, permissions] = new TextDecoder("latin1").decode(program).match(/"permissions":(\{.*?\}),"location"/)!;
  return JSON.parse(permissions!);
}

/** The values of a flag of a task: none for all, null without the flag. */
function grantsOf(command: (typeof COMMANDS)[number], flag: string): string[] | null {
  const found = config.tasks[command].command.match(new RegExp(`--${flag}(?:=([^ ]+))?(?= )`));
  return found && (found[1]?.replaceAll("$SystemRoot", "C:/Windows").split(",") ?? []);
}

for (const [name, ...option] of [["x64"], ["ARM64", "--arm64"]]) {
  Deno.test(`compile makes an executable of each command for ${name}, with the grants of its task and no other`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const stub = `${folder}/denort.exe`;
      await Deno.writeFile(stub, emptyProgram());
      const { code, stderr } = await run(["task", "-q", "compile", "--output", folder, ...option], {
        env: { DENORT_BIN: stub },
      });
      assertEquals(code, 0, stderr);
      for (const command of COMMANDS) {
        const { prompt, allow_env, allow_ffi, allow_read, allow_write, allow_import: _, ...others } = permissionsIn(
          await Deno.readFile(`${folder}/hcs-${command}.exe`),
        );
        assertEquals(prompt, false);
        assertEquals(allow_env, grantsOf(command, "allow-env"));
        assertEquals(allow_ffi, grantsOf(command, "allow-ffi"));
        assertEquals(allow_read, grantsOf(command, "allow-read"));
        assertEquals(allow_write, grantsOf(command, "allow-write"));
        assertEquals(Object.values(others).every((value) => value === null), true, JSON.stringify(others));
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });

  Deno.test(`compile for ${name} that can't download Deno's runtime stub names the file and DENORT_BIN`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const { code, stderr } = await run(["task", "-q", "compile", "--output", folder, ...option], {
        // Nobody answers at this address.
        env: { DENO_DIR: `${folder}/cache`, HTTPS_PROXY: "http://127.0.0.1:1" },
      });
      assertEquals(code, 1);
      const target = name === "x64" ? "x86_64" : "aarch64";
      assertStringIncludes(
        stderr,
        `https://dl.deno.land/release/v${Deno.version.deno}/denort-${target}-pc-windows-msvc.zip\n`,
      );
      assertStringIncludes(stderr, "DENORT_BIN");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
