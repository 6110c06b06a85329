/**
 * Security descriptors in their self-relative form, without pointers (MS-DTYP 2.4.6).
 *
 * @module
 */

/** An entry of an access list. */
export interface AccessEntry {
  /** 0 allows, 1 denies; others are for special cases. */
  readonly type: number;
  /** Sum of flags, see {@linkcode INHERIT_ONLY}. */
  readonly flags: number;
  /** The rights. */
  readonly mask: number;
  /** Whom it is for. Undefined if the entry is of a type that isn't known. */
  readonly sid: string | undefined;
}

/** Who owns something, and who may do what with it. */
export interface Security {
  /** The owner. */
  readonly owner: string;
  /** The access list. Undefined if there is none, so that everybody may do everything. */
  readonly entries: readonly AccessEntry[] | undefined;
}

/** The type of an entry that allows something. */
export const ALLOW = 0;
const DENY = 1;
/** The flag of an entry that is only for what is in the folder. */
export const INHERIT_ONLY = 0x8;
const INHERITED_BY_ALL = 0x3;

/** Everything. */
export const FILE_ALL_ACCESS = 0x1f01ff;

/** SIDs that every Windows has. */
export const sid = {
  SYSTEM: "S-1-5-18",
  ADMINISTRATORS: "S-1-5-32-544",
  USERS: "S-1-5-32-545",
  CREATOR_OWNER: "S-1-3-0",
  OWNER_RIGHTS: "S-1-3-4",
  TRUSTED_INSTALLER: "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
} as const;

const HEADER_BYTES = 20;
const ACL_BYTES = 8;
const ACE_BYTES = 8;
const REVISION = 1;
const ACL_REVISION = 2;
const DACL_PRESENT = 0x4;
const DACL_PROTECTED = 0x1000;
const SELF_RELATIVE = 0x8000;

/** Returns the bytes of a SID. */
export function sidBytes(text: string): Uint8Array<ArrayBuffer> {
  const [, authority, ...parts] = text.slice("S-".length).split("-").map(Number);
  const bytes = new Uint8Array(8 + 4 * parts.length);
  const view = new DataView(bytes.buffer);
  bytes.set([REVISION, parts.length]);
  view.setUint32(4, authority!);
  parts.forEach((part, i) => view.setUint32(8 + 4 * i, part, true));
  return bytes;
}

/** Returns the SID at an offset. */
export function sidAt(bytes: Uint8Array<ArrayBuffer>, at: number): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const authority = 2 ** 32 * view.getUint16(at + 2) + view.getUint32(at + 4);
  const parts = Array.from({ length: view.getUint8(at + 1) }, (_, i) => view.getUint32(at + 8 + 4 * i, true));
  return ["S", view.getUint8(at), authority, ...parts].join("-");
}

/**
 * Returns a descriptor by which only those named have full access, also to what is in the folder, and nothing is inherited.
 * The owner is the default one, or the one named.
 */
export function onlyFor(sids: readonly string[], owner?: string): Uint8Array<ArrayBuffer> {
  return descriptor(
    sids.map((sid) => ({ type: ALLOW, flags: INHERITED_BY_ALL, mask: FILE_ALL_ACCESS, sid })),
    owner,
  );
}

/** Returns a descriptor with the entries named. */
export function descriptor(
  entries: readonly (AccessEntry & { readonly sid: string })[],
  owner?: string,
): Uint8Array<ArrayBuffer> {
  const aces = entries.map(({ type, flags, mask, sid }) => {
    const who = sidBytes(sid);
    const ace = new Uint8Array(ACE_BYTES + who.byteLength);
    const view = new DataView(ace.buffer);
    ace.set([type, flags]);
    view.setUint16(2, ace.byteLength, true);
    view.setUint32(4, mask, true);
    ace.set(who, ACE_BYTES);
    return ace;
  });
  const ownerBytes = owner === undefined ? new Uint8Array() : sidBytes(owner);
  const aclAt = HEADER_BYTES + ownerBytes.byteLength;
  const aclBytes = ACL_BYTES + aces.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const bytes = new Uint8Array(aclAt + aclBytes);
  const view = new DataView(bytes.buffer);
  bytes[0] = REVISION;
  view.setUint16(2, SELF_RELATIVE | DACL_PRESENT | DACL_PROTECTED, true);
  view.setUint32(4, owner === undefined ? 0 : HEADER_BYTES, true);
  view.setUint32(16, aclAt, true);
  bytes.set(ownerBytes, HEADER_BYTES);
  bytes[aclAt] = ACL_REVISION;
  view.setUint16(aclAt + 2, aclBytes, true);
  view.setUint16(aclAt + 4, aces.length, true);
  let at = aclAt + ACL_BYTES;
  for (const ace of aces) {
    bytes.set(ace, at);
    at += ace.byteLength;
  }
  return bytes;
}

/**
 * Returns what a descriptor says.
 *
 * @throws {RangeError} if it isn't one.
 */
export function securityIn(bytes: Uint8Array<ArrayBuffer>): Security {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [ownerAt, aclAt] = [view.getUint32(4, true), view.getUint32(16, true)];
  const hasList = (view.getUint16(2, true) & DACL_PRESENT) !== 0 && aclAt !== 0;
  const owner = ownerAt === 0 ? "" : sidAt(bytes, ownerAt);
  if (!hasList) return { owner, entries: undefined };
  const entries: AccessEntry[] = [];
  let at = aclAt + ACL_BYTES;
  for (let i = view.getUint16(aclAt + 4, true); i > 0; i--) {
    const [type, flags, size, mask] = [
      view.getUint8(at),
      view.getUint8(at + 1),
      view.getUint16(at + 2, true),
      view.getUint32(at + 4, true),
    ];
    if (size < ACE_BYTES) throw new RangeError("an entry of an access list is too short");
    entries.push({ type, flags, mask, sid: [ALLOW, DENY].includes(type) ? sidAt(bytes, at + ACE_BYTES) : undefined });
    at += size;
  }
  return { owner, entries };
}
