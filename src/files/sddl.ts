/**
 * Security descriptors as text, in the language that Windows has for them (SDDL).
 *
 * @module
 */

import { FormatError } from "../errors/file_errors.ts";

// Bits of the control field.
const control = { DACL_PRESENT: 0x4, SACL_PRESENT: 0x10, SELF_RELATIVE: 0x8000 };
const DACL_FLAGS = [[0x1000, "P"], [0x100, "AR"], [0x400, "AI"]] as const;
const SACL_FLAGS = [[0x2000, "P"], [0x200, "AR"], [0x800, "AI"]] as const;

const HEADER = 20;
const SID_HEADER = 8;
const MOST_SUB_AUTHORITIES = 15;
const ACL_HEADER = 8;
const ACE_HEADER = 4;

const ACE_TYPES: Readonly<Record<number, string>> = {
  0: "A",
  1: "D",
  2: "AU",
  3: "AL",
  5: "OA",
  6: "OD",
  7: "OU",
  8: "OL",
  9: "XA",
  10: "XD",
  11: "ZA",
  13: "XU",
  17: "ML",
  18: "RA",
  19: "SP",
  20: "TL",
  21: "FL",
};
// With ids of objects.
const OBJECT_TYPES = [5, 6, 7, 8, 11];
const LABEL = 17;

const ACE_FLAGS = [[0x1, "OI"], [0x2, "CI"], [0x4, "NP"], [0x8, "IO"], [0x10, "ID"], [0x20, "CR"], [0x40, "SA"], [
  0x80,
  "FA",
]] as const;
// Rights of files and keys that have a name as a whole.
const WHOLE_RIGHTS: Readonly<Record<number, string>> = {
  0x1f01ff: "FA",
  0x120089: "FR",
  0x120116: "FW",
  0x1200a0: "FX",
  0xf003f: "KA",
  0x20019: "KR",
  0x20006: "KW",
};
const RIGHTS = [
  [0x1, "CC"],
  [0x2, "DC"],
  [0x4, "LC"],
  [0x8, "SW"],
  [0x10, "RP"],
  [0x20, "WP"],
  [0x40, "DT"],
  [0x80, "LO"],
  [0x100, "CR"],
  [0x10000, "SD"],
  [0x20000, "RC"],
  [0x40000, "WD"],
  [0x80000, "WO"],
  [0x10000000, "GA"],
  [0x20000000, "GX"],
  [0x40000000, "GW"],
  [0x80000000, "GR"],
] as const;
const LABEL_RIGHTS = [[0x1, "NW"], [0x2, "NR"], [0x4, "NX"]] as const;

const SIDS: Readonly<Record<string, string>> = {
  "S-1-1-0": "WD",
  "S-1-3-0": "CO",
  "S-1-3-1": "CG",
  "S-1-3-4": "OW",
  "S-1-5-2": "NU",
  "S-1-5-4": "IU",
  "S-1-5-6": "SU",
  "S-1-5-7": "AN",
  "S-1-5-9": "ED",
  "S-1-5-10": "PS",
  "S-1-5-11": "AU",
  "S-1-5-12": "RC",
  "S-1-5-18": "SY",
  "S-1-5-19": "LS",
  "S-1-5-20": "NS",
  "S-1-5-32-544": "BA",
  "S-1-5-32-545": "BU",
  "S-1-5-32-546": "BG",
  "S-1-5-32-547": "PU",
  "S-1-5-32-548": "AO",
  "S-1-5-32-549": "SO",
  "S-1-5-32-550": "PO",
  "S-1-5-32-551": "BO",
  "S-1-5-32-552": "RE",
  "S-1-5-32-554": "RU",
  "S-1-5-32-555": "RD",
  "S-1-5-32-556": "NO",
  "S-1-5-32-558": "MU",
  "S-1-5-32-559": "LU",
  "S-1-5-32-568": "IS",
  "S-1-5-32-569": "CY",
  "S-1-5-32-573": "ER",
  "S-1-5-32-574": "CD",
  "S-1-5-32-575": "RA",
  "S-1-5-32-576": "ES",
  "S-1-5-32-577": "MS",
  "S-1-5-32-578": "HA",
  "S-1-5-32-579": "AA",
  "S-1-5-32-580": "RM",
  "S-1-5-33": "WR",
  "S-1-15-2-1": "AC",
  "S-1-16-4096": "LW",
  "S-1-16-8192": "ME",
  "S-1-16-8448": "MP",
  "S-1-16-12288": "HI",
  "S-1-16-16384": "SI",
  "S-1-18-1": "AS",
  "S-1-18-2": "SS",
};

/**
 * A self-relative security descriptor as SDDL text, such as `O:SYG:SYD:(A;OICI;FA;;;BA)`. Accounts of domains have their SID. What
 * follows the SID of an access control entry, such as a condition, is hexadecimal digits after `0x`, which Windows doesn't
 * read; so is a type of entry that has no name.
 *
 * @param file What errors call it.
 * @throws {FormatError} if it isn't one. The offset is that in `bytes`.
 *
 * @example
 * ```ts
 * import { sddlOf } from "@hcs-layers/hcs-layers/files";
 *
 * console.log(sddlOf(Uint8Array.from([1, 0, 4, 128, ...Array(16).fill(0)]))); // D:NO_ACCESS_CONTROL
 * ```
 */
export function sddlOf(bytes: Uint8Array, file = "security descriptor"): string {
  return new Descriptor(bytes, file).text();
}

class Descriptor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #file: string;

  constructor(bytes: Uint8Array, file: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#file = file;
  }

  text(): string {
    if (this.#bytes.byteLength < HEADER) throw this.#fault(0, "a security descriptor is cut off");
    if (this.#bytes[0] !== 1) throw this.#fault(0, `a security descriptor has the revision ${this.#bytes[0]}`);
    const flags = this.#u16(2);
    if ((flags & control.SELF_RELATIVE) === 0) throw this.#fault(2, "a security descriptor isn't self-relative");
    const [owner, group] = [this.#u32(4), this.#u32(8)];
    const dacl = (flags & control.DACL_PRESENT) !== 0 ? this.#acl(16, letters(flags, DACL_FLAGS)) : undefined;
    const sacl = (flags & control.SACL_PRESENT) !== 0 ? this.#acl(12, letters(flags, SACL_FLAGS)) : undefined;
    return (owner === 0 ? "" : `O:${this.#sid(owner, this.#bytes.byteLength, 4).text}`) +
      (group === 0 ? "" : `G:${this.#sid(group, this.#bytes.byteLength, 8).text}`) +
      (dacl === undefined ? "" : `D:${dacl}`) + (sacl === undefined ? "" : `S:${sacl}`);
  }

  #acl(field: number, flags: string): string {
    const at = this.#u32(field);
    if (at === 0) return `${flags}NO_ACCESS_CONTROL`;
    if (at < HEADER || at + ACL_HEADER > this.#bytes.byteLength) {
      throw this.#fault(field, `an access control list is at ${at}, outside of its security descriptor`);
    }
    const [size, count] = [this.#u16(at + 2), this.#u16(at + 4)];
    if (size < ACL_HEADER || at + size > this.#bytes.byteLength) {
      throw this.#fault(at + 2, `an access control list has ${size} bytes, outside of its security descriptor`);
    }
    let text = flags;
    let next = at + ACL_HEADER;
    for (let n = 0; n < count; n++) {
      const length = next + ACE_HEADER > at + size ? 0 : this.#u16(next + 2);
      if (length < ACE_HEADER || next + length > at + size) {
        throw this.#fault(next, `access control entry ${n} is outside of its list`);
      }
      text += this.#ace(next, next + length);
      next += length;
    }
    return text;
  }

  #ace(at: number, end: number): string {
    const [type, flags] = [this.#bytes[at]!, letters(this.#bytes[at + 1]!, ACE_FLAGS)];
    const name = ACE_TYPES[type];
    if (name === undefined) return `(0x${type.toString(16)};${flags};;;;;${this.#hex(at + ACE_HEADER, end)})`;
    if (at + 8 > end) throw this.#fault(at, "an access control entry is cut off");
    const rights = rightsText(this.#u32(at + 4), type);
    let [next, object, inherited] = [at + 8, "", ""];
    if (OBJECT_TYPES.includes(type)) {
      if (next + 4 > end) throw this.#fault(at, "an access control entry is cut off");
      const present = this.#u32(next);
      next += 4;
      if ((present & 1) !== 0) [object, next] = [this.#guid(next, end), next + 16];
      if ((present & 2) !== 0) [inherited, next] = [this.#guid(next, end), next + 16];
    }
    const sid = this.#sid(next, end, at);
    const rest = this.#hex(sid.end, end);
    return `(${name};${flags};${rights};${object};${inherited};${sid.text}${rest === "" ? "" : `;${rest}`})`;
  }

  // `field` is what a fault is told of.
  #sid(at: number, end: number, field: number): { readonly text: string; readonly end: number } {
    const count = at < HEADER || at + SID_HEADER > end ? undefined : this.#bytes[at + 1]!;
    if (count === undefined || at + SID_HEADER + 4 * count > end) {
      throw this.#fault(field, `a SID is at ${at}, outside of its security descriptor`);
    }
    if (this.#bytes[at] !== 1) throw this.#fault(at, `a SID has the revision ${this.#bytes[at]}`);
    if (count > MOST_SUB_AUTHORITIES) throw this.#fault(at + 1, `a SID has ${count} parts`);
    const authority = this.#view.getUint16(at + 2) * 2 ** 32 + this.#view.getUint32(at + 4);
    const parts = [
      authority < 2 ** 32 ? authority : `0x${authority.toString(16).padStart(12, "0")}`,
      ...Array.from({ length: count }, (_, n) => this.#u32(at + SID_HEADER + 4 * n)),
    ];
    const text = `S-1-${parts.join("-")}`;
    return { text: SIDS[text] ?? text, end: at + SID_HEADER + 4 * count };
  }

  #guid(at: number, end: number): string {
    if (at + 16 > end) throw this.#fault(at, "an access control entry is cut off");
    const part = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
    const rest = [...this.#bytes.subarray(at + 8, at + 16)].map((byte) => part(byte, 2)).join("");
    const head = `${part(this.#u32(at), 8)}-${part(this.#u16(at + 4), 4)}-${part(this.#u16(at + 6), 4)}`;
    return `${head}-${rest.slice(0, 4)}-${rest.slice(4)}`;
  }

  // Entries are filled up with zeros.
  #hex(at: number, end: number): string {
    const bytes = [...this.#bytes.subarray(at, end)];
    const digits = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return bytes.some((byte) => byte !== 0) ? `0x${digits}` : "";
  }

  #u16(at: number): number {
    return this.#view.getUint16(at, true);
  }

  #u32(at: number): number {
    return this.#view.getUint32(at, true);
  }

  #fault(offset: number, problem: string): FormatError {
    return new FormatError(this.#file, problem, { offset });
  }
}

function letters(value: number, names: readonly (readonly [bit: number, name: string])[]): string {
  return names.map(([bit, name]) => (value & bit) === 0 ? "" : name).join("");
}

// Windows writes letters only where they say all of it.
function rightsText(mask: number, type: number): string {
  const whole = type === LABEL ? undefined : WHOLE_RIGHTS[mask];
  const names = type === LABEL ? LABEL_RIGHTS : RIGHTS;
  const known = names.reduce((all, [bit]) => (all | bit) >>> 0, 0);
  return whole ?? ((mask & ~known) === 0 ? letters(mask, names) : `0x${mask.toString(16)}`);
}
