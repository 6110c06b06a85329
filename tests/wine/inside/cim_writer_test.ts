import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { mergeBlockCims, NativeError, windowsHost, writeBlockCim, writeCim } from "../../../mod.ts";
import { cimWriterSymbols } from "../../../src/ffi/cim_writer.ts";
import { watched } from "./host.ts";
import { Recorder } from "./recorder.ts";

const NOW = 0x0123456789abcdefn;
const TIMES = { creationTime: NOW, lastWriteTime: NOW + 1n, changeTime: NOW + 2n, lastAccessTime: NOW + 3n };
const OPEN = "non-null";
const bytes = (text: string) => new TextEncoder().encode(text);

function le64(...values: bigint[]): string {
  return new Uint8Array(BigUint64Array.from(values).buffer).toHex();
}

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function names(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

for (const calls of ["pool", "thread"] as const) {
  Deno.test(`every function that writes images receives what was passed (${calls})`, async () => {
    await withFolder(async (folder) => {
      using recorder = new Recorder();
      recorder.wantRaw();
      using host = windowsHost({ calls, records: false });
      const securityDescriptor = Uint8Array.from({ length: 21 }, (_, i) => i);
      const reparse = Uint8Array.of(9, 8, 7);
      const extendedAttributes = Uint8Array.of(6, 5, 4, 3);
      const metadata = { attributes: 0x420, ...TIMES, securityDescriptor, reparse, extendedAttributes };
      Deno.writeTextFileSync(`${folder}\\base.cim`, "C");
      {
        await using image = await writeCim(`${folder}\\Ärger 😀.cim`, { host, from: "base.cim" });
        await image.addFile("a.txt", metadata, 5, bytes("hello"));
        await image.addFolder("d", { attributes: 0, ...TIMES });
        await image.addStream("a.txt", "one", 1, bytes("1"));
        await image.addLink("b.txt", "a.txt");
        await image.remove("c.txt");
        await image.commit();
      }
      {
        await using image = await writeBlockCim(`${folder}\\1.bcim`, { host, name: "l", verified: true });
        await image.addTombstone("gone");
        await image.addMergeLink("new", "old");
        await image.commit();
        assertEquals(image.rootHash?.toHex().slice(0, 6), "010203");
      }
      Deno.copyFileSync(`${folder}\\1.bcim`, `${folder}\\2.bcim`);
      await mergeBlockCims(`${folder}\\3.bcim`, [1, 2].map((n) => ({ block: `${folder}\\${n}.bcim` })), { host });
      assertEquals(names(folder), ["1.bcim", "2.bcim", "3.bcim", "base.cim", "Ärger 😀.cim"]);

      const plain = (text: unknown) => String(text).replace(/\.[0-9a-f]{8}-[0-9a-f-]{27}$/, "");
      const found: unknown[][] = recorder.calls.filter(({ dll }) => dll === "cimfs").map(({ fn, args, raw }) => {
        const { folder: at, block, newName, ...rest } = args;
        return [fn, {
          ...at !== undefined && { folder: at },
          ...block !== undefined && { block: plain(block) },
          ...newName !== undefined && { newName: plain(newName) },
          ...rest,
        }, raw ?? {}];
      });
      const none = { reparse: null, reparseSize: 0, ea: null, eaSize: 0 };
      const image = { image: OPEN };
      const closed = [["CimCommitImage", image, {}], ["CimCloseImage", image, {}]];
      const created = { oldName: null, flags: 0x18, newName: "layer.cim" };
      const times = le64(NOW, NOW + 1n, NOW + 2n, NOW + 3n);
      assertEquals(found, [
        ["CimCreateImage", { folder, newName: "Ärger 😀.cim", oldName: "base.cim" }, {}],
        ["CimCreateFile", {
          ...image,
          path: "a.txt",
          attributes: 0x420,
          fileSize: 5,
          securityDescriptor: OPEN,
          securityDescriptorSize: 21,
          reparse: OPEN,
          reparseSize: 3,
          ea: OPEN,
          eaSize: 4,
        }, {
          securityDescriptor: securityDescriptor.toHex(),
          reparse: "090807",
          ea: "06050403",
          metadata: le64(0x420n, 5n) + times,
        }],
        ["CimWriteStream", { stream: OPEN, size: 5 }, { data: "68656c6c6f" }],
        ["CimCloseStream", { stream: OPEN }, {}],
        ["CimCreateFile", {
          ...image,
          path: "d",
          attributes: 0x10,
          fileSize: 0,
          securityDescriptor: OPEN,
          securityDescriptorSize: 20,
          ...none,
        }, { securityDescriptor: `01000480${"00".repeat(16)}`, metadata: le64(0x10n, 0n) + times }],
        ["CimCloseStream", { stream: OPEN }, {}],
        ["CimCreateAlternateStream", { ...image, path: "a.txt:one", size: 1 }, {}],
        ["CimWriteStream", { stream: OPEN, size: 1 }, { data: "31" }],
        ["CimCloseStream", { stream: OPEN }, {}],
        ["CimCreateHardLink", { ...image, path: "b.txt", existing: "a.txt" }, {}],
        ["CimDeletePath", { ...image, path: "c.txt" }, {}],
        ...closed,
        ["CimCreateImage2", { block: `${folder}\\1.bcim`, ...created, newName: "l", flags: 0x58 }, {}],
        ["CimTombstoneFile", { ...image, path: "gone" }, {}],
        ["CimCreateMergeLink", { ...image, path: "new", existing: "old" }, {}],
        ...closed,
        ["CimSealImage", { block: `${folder}\\1.bcim` }, {}],
        ["CimGetVerificationInformation", { block: `${folder}\\1.bcim`, hashSize: 32, signature: null }, {}],
        ["CimCreateImage2", { block: `${folder}\\3.bcim`, ...created }, {}],
        ["CimAddFsToMergedImage2", { ...image, path: `${folder}\\1.bcim\\layer.cim`, flags: 1 }, {}],
        ["CimAddFsToMergedImage2", { ...image, path: `${folder}\\2.bcim\\layer.cim`, flags: 1 }, {}],
        ...closed,
      ]);
      assertEquals([...new Set(found.map(([fn]) => fn))].sort(), Object.keys(cimWriterSymbols).sort());
    });
  });

  Deno.test(`an image that fails at any call leaves no file, no image open and no memory (${calls})`, async () => {
    for (
      const fn of [
        "CimCreateImage2",
        "CimCreateFile",
        "CimWriteStream",
        "CimTombstoneFile",
        "CimCommitImage",
        "CimSealImage",
      ]
    ) {
      await withFolder(async (folder) => {
        using recorder = new Recorder();
        using windows = windowsHost({ calls, records: false });
        const called: string[] = [];
        const host = watched(windows, called);
        recorder.fail({ [`${fn}#1`]: 0x80070005 });
        const error = await assertRejects(async () => {
          await using image = await writeBlockCim(`${folder}\\1.bcim`, { host, verified: true });
          await image.addFile("a", { attributes: 0, ...TIMES }, 1, bytes("a"));
          await image.addTombstone("b");
          await image.commit();
        }, NativeError);
        assertEquals([error.operation, names(folder)], [fn, []]);
        const count = (name: string) =>
          recorder.calls.filter((call) => call.fn === name && call.hr === "0x00000000").length;
        assertEquals(count("CimCloseImage"), count("CimCreateImage2"));
        assertEquals(count("CimCloseStream"), count("CimCreateFile"));
        const times = (name: string) => called.filter((other) => other === name).length;
        assertEquals(times("LocalAlloc"), times("LocalFree"));
      });
    }
  });
}
