/**
 * Access rights for files that come from other systems: administrators and the system may do all, users may read, and whoever
 * makes something may do all with it.
 *
 * @module
 */

const ADMINISTRATORS = [5, 32, 544];
const SYSTEM = [5, 18];
const USERS = [5, 32, 545];
const CREATOR_OWNER = [3, 0];

const [OBJECT_INHERIT, CONTAINER_INHERIT, INHERIT_ONLY] = [1, 2, 8];
const FULL = 0x1f01ff;
const READ_AND_EXECUTE = 0x1200a9;
const GENERIC_ALL = 0x10000000;
const ADD_FILE = 2;
const ADD_FOLDER = 4;

const SELF_RELATIVE_WITH_DACL = 0x8004;
const HEADER = 20;

type Right = readonly [flags: number, mask: number, sid: readonly number[]];

/** The security descriptor of a folder: `O:BAG:SYD:(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;;FA;;;BA)(A;OICIIO;GA;;;CO)(A;OICI;0x1200a9;;;BU)(A;CI;LC;;;BU)(A;CI;DC;;;BU)`. */
export const FOLDER_SECURITY: Uint8Array = descriptor([
  [OBJECT_INHERIT | CONTAINER_INHERIT, FULL, ADMINISTRATORS],
  [OBJECT_INHERIT | CONTAINER_INHERIT, FULL, SYSTEM],
  [0, FULL, ADMINISTRATORS],
  [OBJECT_INHERIT | CONTAINER_INHERIT | INHERIT_ONLY, GENERIC_ALL, CREATOR_OWNER],
  [OBJECT_INHERIT | CONTAINER_INHERIT, READ_AND_EXECUTE, USERS],
  [CONTAINER_INHERIT, ADD_FOLDER, USERS],
  [CONTAINER_INHERIT, ADD_FILE, USERS],
]);

/** The security descriptor of a file: `O:BAG:SYD:(A;;FA;;;BA)(A;;FA;;;SY)(A;;0x1200a9;;;BU)`. */
export const FILE_SECURITY: Uint8Array = descriptor([
  [0, FULL, ADMINISTRATORS],
  [0, FULL, SYSTEM],
  [0, READ_AND_EXECUTE, USERS],
]);

function descriptor(rights: readonly Right[]): Uint8Array {
  const [owner, group, acl] = [sidBytes(ADMINISTRATORS), sidBytes(SYSTEM), aclBytes(rights)];
  const header = new DataView(new ArrayBuffer(HEADER));
  header.setUint8(0, 1);
  header.setUint16(2, SELF_RELATIVE_WITH_DACL, true);
  header.setUint32(4, HEADER + acl.length, true);
  header.setUint32(8, HEADER + acl.length + owner.length, true);
  header.setUint32(16, HEADER, true);
  return Uint8Array.from([...new Uint8Array(header.buffer), ...acl, ...owner, ...group]);
}

function aclBytes(rights: readonly Right[]): number[] {
  const entries = rights.flatMap(([flags, mask, sid]) => {
    const bytes = sidBytes(sid);
    return [0, flags, ...units(8 + bytes.length, 2), ...units(mask, 4), ...bytes];
  });
  return [2, 0, ...units(8 + entries.length, 2), ...units(rights.length, 2), 0, 0, ...entries];
}

function sidBytes([authority, ...parts]: readonly number[]): number[] {
  return [1, parts.length, 0, 0, 0, 0, 0, authority!, ...parts.flatMap((part) => units(part, 4))];
}

function units(value: number, length: number): number[] {
  return Array.from({ length }, (_, i) => (value >>> (8 * i)) & 0xff);
}
