/**
 * What is wrong with an image, and where.
 *
 * @module
 */

import { FormatError } from "../../errors/file_errors.ts";

/**
 * How bad a fault is: the image contradicts itself, so that something can't be read as it is meant (`error`); it is unusual,
 * and may be wrong (`warning`); or it is only told (`note`).
 */
export type CimSeverity = "error" | "warning" | "note";

/** Something about an image that {@linkcode checkCim} tells. */
export interface CimFault {
  /** How bad it is. */
  readonly severity: CimSeverity;
  /** What is wrong. */
  readonly problem: string;
  /** Name of the file of the image in which it is. */
  readonly file: string;
  /** Offset in that file, in bytes. Undefined if it is about the file as a whole. */
  readonly offset?: number | undefined;
  /** Path in the image of the file or folder that it is about, if it is about one. */
  readonly entry?: string | undefined;
}

/** A fault with what is the same of all of which one is enough to be told. */
export interface FoundFault extends CimFault {
  readonly once?: string | undefined;
}

/** Takes a fault, and what is the same of all of which one is enough to be told. */
export type Report = (severity: CimSeverity, fault: FormatError, once?: string) => void;

/** {@linkcode Report} of those who read: an error ends it. */
export const throwErrors: Report = (severity, fault) => {
  if (severity === "error") throw fault;
};

/** What an error tells. */
export function faultOf(severity: CimSeverity, { problem, file, offset, entry }: FormatError): CimFault {
  return {
    severity,
    problem,
    file,
    ...(offset !== undefined && { offset }),
    ...(entry !== undefined && { entry }),
  };
}

/** Faults that were found. */
export class Faults {
  readonly list: FoundFault[] = [];

  readonly report: Report = (severity, fault, once) => {
    this.list.push({ ...faultOf(severity, fault), ...(once !== undefined && { once }) });
  };

  /** Calls a function. What it refuses is an error, and undefined is returned. */
  catching<T>(call: () => T): T | undefined {
    try {
      return call();
    } catch (error) {
      return this.#refused(error);
    }
  }

  /** {@linkcode catching} of what takes time. */
  async settling<T>(promise: Promise<T>): Promise<T | undefined> {
    try {
      return await promise;
    } catch (error) {
      return this.#refused(error);
    }
  }

  #refused(error: unknown): undefined {
    if (!(error instanceof FormatError)) throw error;
    this.report("error", error);
  }
}
