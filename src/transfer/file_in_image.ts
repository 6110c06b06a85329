/**
 * What callers say of a file in an image, before Windows is asked to make it.
 *
 * @module
 */

import { InvalidInputError } from "../errors/input_error.ts";
import type { CimMetadata } from "../ffi/cim_writer.ts";
import { MOST_EA_BYTES } from "../files/backup/extended_attributes.ts";
import { MOST_REPARSE_BYTES } from "../files/backup/reparse_buffer.ts";
import { type Check, fieldsOf, optional } from "../options.ts";
import type { Contents } from "./pieces.ts";

const MOST_ATTRIBUTES = 0xffffffff;
const MOST_SECURITY_BYTES = 65535;

const attributes: Check<number> = (value, argument) => {
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MOST_ATTRIBUTES) return value as number;
  throw new InvalidInputError(argument, "is no number of 32 bits", value);
};

const time: Check<bigint> = (value, argument) => {
  if (typeof value === "bigint" && BigInt.asIntN(64, value) === value) return value;
  throw new InvalidInputError(argument, "is no bigint of 64 bits", value);
};

function bytes(most: number): Check<Uint8Array<ArrayBuffer>> {
  return (value, argument) => {
    if (!(value instanceof Uint8Array)) throw new InvalidInputError(argument, "is no Uint8Array", value);
    if (value.byteLength > most) throw new InvalidInputError(argument, `has more than ${most} bytes`, value.byteLength);
    return value as Uint8Array<ArrayBuffer>;
  };
}

const METADATA = {
  attributes,
  creationTime: time,
  lastWriteTime: time,
  changeTime: time,
  lastAccessTime: time,
  securityDescriptor: optional(bytes(MOST_SECURITY_BYTES)),
  reparse: optional(bytes(MOST_REPARSE_BYTES)),
  extendedAttributes: optional(bytes(MOST_EA_BYTES)),
};

/** Checks what is known of a file. */
export function cimMetadata(value: CimMetadata): CimMetadata {
  return fieldsOf(value, METADATA, "metadata");
}

/** Checks contents. */
export function cimContents(value: Contents): Contents {
  if (value instanceof Uint8Array) return value;
  if (typeof value === "object" && value !== null && Symbol.asyncIterator in value) return value;
  throw new InvalidInputError("contents", "is neither a Uint8Array nor something that gives some", value);
}
