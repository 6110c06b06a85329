/**
 * The form of security descriptors.
 *
 * @module
 */

const HEADER = 20;
const SELF_RELATIVE = 0x8000;
const HAS_DACL = 0x0004;
const HAS_SACL = 0x0010;

/** What is wrong with a self-relative security descriptor: undefined if nothing is. A wrong one fails deep in Windows. */
export function securityProblem(bytes: Uint8Array): string | undefined {
  if (bytes.byteLength < HEADER) return "is too short";
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const control = view.getUint16(2, true);
  if (bytes[0] !== 1 || (control & SELF_RELATIVE) === 0) return "has no form that is known";
  const [owner, group, sacl, dacl] = [4, 8, 12, 16].map((at) => view.getUint32(at, true)) as [
    number,
    number,
    number,
    number,
  ];
  if (owner !== 0 && !isSid(view, owner)) return "has an owner that is none";
  if (group !== 0 && !isSid(view, group)) return "has a group that is none";
  if ((control & HAS_SACL) !== 0 && sacl !== 0 && !isAcl(view, sacl)) return "has a list for audits that is none";
  if ((control & HAS_DACL) !== 0 && dacl !== 0 && !isAcl(view, dacl)) return "has a list of rights that is none";
  return undefined;
}

function isSid(view: DataView, at: number): boolean {
  if (at < HEADER || at + 8 > view.byteLength) return false;
  const count = view.getUint8(at + 1);
  return view.getUint8(at) === 1 && count <= 15 && at + 8 + 4 * count <= view.byteLength;
}

function isAcl(view: DataView, at: number): boolean {
  if (at < HEADER || at + 8 > view.byteLength) return false;
  const [revision, size, count] = [view.getUint8(at), view.getUint16(at + 2, true), view.getUint16(at + 4, true)];
  const end = at + size;
  if (revision < 2 || revision > 4 || size < 8 || end > view.byteLength) return false;
  let next = at + 8;
  for (let i = 0; i < count; i++) {
    const length = next + 4 > end ? 0 : view.getUint16(next + 2, true);
    if (length < 4 || next + length > end) return false;
    next += length;
  }
  return true;
}
