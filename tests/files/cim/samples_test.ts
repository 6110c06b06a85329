// All samples are read as their expected.json says; all corrupted variants are told with their place.
import { assert, assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { FormatError, openCim } from "../../../src/files/mod.ts";
import { parseAttributes } from "../../../src/files/backup/extended_attributes.ts";
import {
  allFacts,
  faultsOf,
  FOLDERS,
  hex,
  inMemory,
  patch,
  readAll,
  sample,
  sampleJson,
  samplePath,
  unhex,
} from "./samples.ts";

interface Expected {
  readonly image: string;
  readonly refused?: string;
  readonly entries: readonly Record<string, unknown>[];
}

function withAttributes({ extendedAttributes, ...facts }: Record<string, unknown>): Record<string, unknown> {
  if (extendedAttributes === undefined) return facts;
  const list = parseAttributes(unhex(extendedAttributes as string));
  return { ...facts, extendedAttributes: list.map(({ name, flags, value }) => [name, flags, hex(value)]) };
}

for (const folder of FOLDERS) {
  for (const name of [...sample(folder).keys()].filter((name) => name.endsWith(".expected.json")).sort()) {
    const { image: file, refused, entries } = sampleJson(`${folder}/${name}`) as Expected;
    if (refused !== undefined) {
      Deno.test(`${folder}/${file} is refused with a sentence, before anything else is opened`, async () => {
        const source = inMemory(sample(folder), file);
        const opened: string[] = [];
        const { open } = source.folder;
        source.folder.open = (name) => {
          opened.push(name);
          return open(name);
        };
        const error = await assertRejects(() => openCim(source), FormatError);
        assertEquals([error.reason, error.file, error.offset], ["unsupported", file, 16]);
        assertEquals(opened, [file]);
      });
      continue;
    }
    Deno.test(`${folder}/${file} is read as it is`, async () => {
      await using image = await openCim(samplePath(`${folder}/${file}`));
      assertEquals(await allFacts(image), entries.map(withAttributes));
      const errors = (await faultsOf(sample(folder), file)).filter(({ severity }) => severity === "error");
      assertEquals(errors, []);
    });
  }
}

interface Variant {
  readonly name: string;
  readonly base: string;
  readonly image: string;
  readonly patches: readonly {
    readonly file: string;
    readonly offset?: number;
    readonly bytes?: string;
    readonly truncate?: number;
    readonly remove?: boolean;
  }[];
  readonly why: string;
}

// The first fault of each: how bad, where (the end of the file's name, and the offset), and what it says.
const TOLD: Readonly<
  Record<string, readonly [severity: string, file: string, offset: number | undefined, problem: string]>
> = {
  "magic": ["error", ".cim", 0, "doesn't begin with cimfile0"],
  "header-short": ["error", ".cim", 71, "72 bytes ends after 71"],
  "region-version-3": ["error", "1_0", 16, "has the format 3.0, and its image 2.0"],
  "region-magic": ["error", "1_1", 0, "doesn't begin with cimfile0"],
  "region-header-short": ["error", "1_2", 39, "40 bytes ends after 39"],
  "no-regions": ["error", ".cim", 48, "no region of its own"],
  "parents-cut": ["error", ".cim", 70, "no room for 1 parents"],
  "file-type": ["error", ".cim", 12, "type is 1, not that of an image"],
  "region-index-wrong": ["warning", "1_1", 32, "index is 5, and the name says 1"],
  "fs-offset-null": ["error", ".cim", 56, "filesystem object is at no place"],
  "fs-offset-end": ["error", ".cim", 56, "filesystem object is outside"],
  "upcase-cut": ["error", "1_0", 131496, "table of upper case is outside"],
  "table-directory-empty": ["error", "1_0", 131516, "names file 1, and there is none"],
  "root-0": ["error", "1_0", 131516, "names file 0, and there is none"],
  "root-is-a-file": ["error", "1_0", 131516, "root is no folder"],
  "table-count-over": ["error", "1_0", 131488, "2000 records, more than 1024"],
  "record-size-40": ["error", "1_0", 131490, "records have 40 bytes"],
  "stream-type-5": ["error", "1_0", 131438, "type 5"],
  "data-beyond": ["error", "1_0", 131424, "1099511627776 bytes at 40 of 46"],
  "data-region-unknown": ["error", "1_0", 131424, "region 3, and there are 3"],
  "sd-beyond": ["error", "1_0", 131440, "security descriptor is outside"],
  "sd-count-beyond": ["error", "1_0", 131520, "security descriptor is cut off"],
  "reparse-tag-only": ["error", "1_0", 131388, "0xa000000c and no reparse data"],
  "base-region-index": ["warning", "1_0", 131476, "base region is 1"],
  "links-length-small": ["error", "1_0", 131168, "7 bytes, and there is room for 24"],
  "links-count-huge": ["error", "1_0", 131172, "268435456 in 24 bytes"],
  "links-count-2": ["error", "1_0", 131184, "outside of its table of 24 bytes"],
  "name-offset-over": ["error", "1_0", 131180, "a name is at 23"],
  "name-length-over": ["error", "1_0", 131184, "200 characters is longer"],
  "name-length-0": ["error", "1_0", 131184, "0 characters"],
  "name-backslash": ["error", "1_0", 131186, 'leads elsewhere: "\\\\ir"'],
  "name-slash": ["error", "1_0", 131186, 'leads elsewhere: "/ir"'],
  "name-nul": ["error", "1_0", 131188, 'leads elsewhere: "d\\u0000r"'],
  "name-lone-surrogate": ["warning", "1_0", 131184, "half a character"],
  "link-beyond": ["error", "1_0", 131176, "names file 999, and there is none"],
  "cycle": ["error", "1_0", 131144, "in more than one folder, or in itself"],
  "dir-size-huge": ["error", "1_0", 131328, "140737488355328 bytes"],
  "dir-size-5": ["error", "1_0", 131336, "its table of names has 5 bytes"],
  "names-unsorted": ["warning", "3_0", 131408, "out of order"],
  "names-twice": ["error", "3_0", 131412, "two of this name"],
  "stream-is-links": ["error", "5_0", 131162, "type 1, not data"],
  "pe-mapping-backwards": ["error", "7_0", 131168, "begins at 1024, after 2560"],
  "pe-count-over": ["error", "7_0", 131648, "524304 bytes"],
  "pe-length-short": ["error", "7_0", 131144, "3072 bytes has data of 1280"],
  "parent-region-missing": ["error", "10_0", undefined, "is missing"],
  "parents-swapped": ["error", "12_0", 1088, "table of upper case is outside"],
  "objectid-missing": ["note", "1_0", undefined, "is missing"],
};

// What nothing that is read depends on, or what only Windows may not find.
const READ_ALL_THE_SAME = [
  "region-index-wrong",
  "sd-count-beyond",
  "reparse-tag-only",
  "base-region-index",
  "name-lone-surrogate",
  "names-unsorted",
  "names-twice",
  "objectid-missing",
];

for (const { name, base, image, patches, why } of sampleJson("corrupted.json") as Variant[]) {
  Deno.test(`checkCim() tells of the variant ${name}: ${why}`, async () => {
    const files = sample(base);
    for (const { file, offset, bytes, truncate } of patches) {
      if (bytes !== undefined) patch(files, file, offset!, unhex(bytes));
      else if (truncate !== undefined) files.set(file, files.get(file)!.subarray(0, truncate));
      else files.delete(file);
    }
    const faults = await faultsOf(files, image);
    const worst = faults.find(({ severity }) => severity === "error") ?? faults.find(({ severity }) =>
      severity !== "note"
    ) ??
      faults[0]!;
    const [severity, file, offset, problem] = TOLD[name]!;
    assertEquals([worst.severity, worst.offset], [severity, offset]);
    assert(worst.file.endsWith(file) && worst.problem.includes(problem), `${worst.file}: ${worst.problem}`);
    const reading = readAll(inMemory(files, image));
    if (READ_ALL_THE_SAME.includes(name)) await reading;
    else await assertRejects(() => reading, FormatError);
  });
}
