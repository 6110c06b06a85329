// Security descriptors as text.
import { assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import { FormatError, sddlOf } from "../../src/files/mod.ts";
import { numbers } from "../support/cim_writer.ts";

type Bytes = Uint8Array;

function join(...parts: readonly Bytes[]): Bytes {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

function sid(authority: number, ...parts: readonly number[]): Bytes {
  return join(
    numbers([1, 1], [1, parts.length], [2, 0]),
    Uint8Array.from([authority >>> 24, authority >>> 16, authority >>> 8, authority]),
    numbers(...parts.map((part) => [4, part] as const)),
  );
}

function ace(type: number, flags: number, mask: number, ...rest: readonly Bytes[]): Bytes {
  const body = join(numbers([4, mask]), ...rest);
  return join(numbers([1, type], [1, flags], [2, body.length + 4]), body);
}

function acl(...aces: readonly Bytes[]): Bytes {
  const body = join(...aces);
  return join(numbers([1, 2], [1, 0], [2, body.length + 8], [2, aces.length], [2, 0]), body);
}

function descriptor(
  flags: number,
  { owner, group, dacl, sacl }: { owner?: Bytes; group?: Bytes; dacl?: Bytes; sacl?: Bytes },
): Bytes {
  let at = 20;
  const place = (part: Bytes | undefined) => part === undefined ? 0 : (at += part.length) - part.length;
  const offsets = [owner, group, sacl, dacl].map((part) => [4, place(part)] as const);
  const parts = [owner, group, sacl, dacl].filter((part) => part !== undefined);
  return join(numbers([1, 1], [1, 0], [2, flags | 0x8000], ...offsets), ...parts);
}

const SYSTEM = sid(5, 18);
const ADMINISTRATORS = sid(5, 32, 544);
const USERS = sid(5, 32, 545);
const TRUSTED_INSTALLER = sid(5, 80, 956008885, 3418522649, 1831038044, 1853292631, 2271478464);

const TEXTS: readonly [what: string, bytes: Bytes, text: string][] = [
  ["nothing but an absent list", descriptor(0x4, {}), "D:NO_ACCESS_CONTROL"],
  ["nothing at all", descriptor(0, {}), ""],
  ["an empty list", descriptor(0x1004, { dacl: acl() }), "D:P"],
  ["owner and group", descriptor(0, { owner: ADMINISTRATORS, group: SYSTEM }), "O:BAG:SY"],
  [
    "a file of Windows",
    descriptor(0x1504, {
      owner: TRUSTED_INSTALLER,
      group: TRUSTED_INSTALLER,
      dacl: acl(
        ace(0, 0, 0x1f01ff, TRUSTED_INSTALLER),
        ace(0, 0x13, 0x1200a9, USERS),
        ace(0, 0xb, 0x10000000, sid(3, 0)),
        ace(1, 0, 0xe0010000, sid(5, 11)),
        ace(0, 0, 0x120089, sid(15, 2, 1)),
      ),
    }),
    "O:S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464" +
    "G:S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464" +
    "D:PARAI(A;;FA;;;S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464)(A;OICIID;0x1200a9;;;BU)" +
    "(A;OICIIO;GA;;;CO)(D;;SDGXGWGR;;;AU)(A;;FR;;;AC)",
  ],
  [
    "auditing and a label",
    descriptor(0x2810, { sacl: acl(ace(2, 0xc0, 0xf003f, sid(1, 0)), ace(17, 0, 1, sid(16, 4096))) }),
    "S:PAI(AU;SAFA;KA;;;WD)(ML;;NW;;;LW)",
  ],
  [
    "ids of objects",
    descriptor(0x4, {
      dacl: acl(
        ace(
          5,
          0,
          0x100,
          numbers([4, 3], [4, 0xbf967aba], [2, 0x0de6], [2, 0x11d0]),
          Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]),
          numbers([8, 1], [8, 2]),
          SYSTEM,
        ),
        ace(5, 0, 0x10, numbers([4, 0]), SYSTEM),
      ),
    }),
    "D:(OA;;CR;bf967aba-0de6-11d0-0102-030405060708;00000001-0000-0000-0200-000000000000;SY)(OA;;RP;;;SY)",
  ],
  [
    "a condition, and a type without a name",
    descriptor(0x4, { dacl: acl(ace(9, 0, 0x1f01ff, USERS, Uint8Array.from([0x61, 0x72])), ace(200, 1, 5)) }),
    "D:(XA;;FA;;;BU;0x6172)(0xc8;OI;;;;;0x05000000)",
  ],
  [
    "a large authority",
    descriptor(0, { owner: join(numbers([1, 1], [1, 1]), Uint8Array.from([1, 0, 0, 0, 0, 2, 7, 0, 0, 0])) }),
    "O:S-1-0x010000000002-7",
  ],
];

for (const [what, bytes, text] of TEXTS) {
  Deno.test(`sddlOf() writes ${what}`, () => assertEquals(sddlOf(bytes), text));
}

const WHOLE = descriptor(0x4, { owner: SYSTEM, dacl: acl(ace(0, 0, 1, SYSTEM), ace(0, 0, 1, SYSTEM)) });

Deno.test("sddlOf() refuses what is no security descriptor, and says where", () => {
  const changes: readonly [at: number, value: number, offset: number][] = [
    [0, 2, 0],
    [3, 0, 2],
    [4, 0xff, 4],
    [4, 3, 4],
    [20, 9, 20],
    [21, 200, 4],
    [16, 0xff, 16],
    [34, 0xff, 34],
    [36, 3, 80],
    [42, 3, 40],
    [42, 60, 40],
  ];
  for (const [at, value, offset] of changes) {
    const bytes = WHOLE.slice();
    bytes[at] = value;
    const error = assertThrows(() => sddlOf(bytes, "a.cim"), FormatError, undefined, `${at}`);
    assertEquals([error.file, error.offset], ["a.cim", offset], `${at}: ${error.message}`);
  }
  for (let length = 0; length < WHOLE.length; length++) assertThrows(() => sddlOf(WHOLE.slice(0, length)), FormatError);
});
