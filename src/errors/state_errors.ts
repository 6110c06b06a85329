/**
 * Errors about the state of something: in use, closed, not mounted, or an impossible result of Windows.
 *
 * @module
 */

import { LayerError } from "./layer_error.ts";
import { messageOf, printable, visible } from "./printable.ts";

/**
 * A file, folder or disk is in use, or something is still there after Windows reported that it was released.
 *
 * @category Errors
 */
export class InUseError extends LayerError {
  /** The class name. */
  override readonly name = "InUseError";
  /** What is in use. */
  readonly path: string;
  /** The user, if known: `this process`, or the id of a virtual machine. */
  readonly by: string | undefined;

  /** An error that reads `<path> <problem>`. */
  constructor(path: string, problem: string, by?: string) {
    super(`${visible(path)} ${problem}`);
    this.path = path;
    this.by = by;
  }
}

/**
 * A call of Windows doesn't return. Either something that had to wait for it gave up: everything that this had changed until
 * then was undone. Or the call was made for you, and you don't want to wait any more: `cause` is the reason of your signal, or the
 * time limit. Then what was begun is undone once the call returns, and until that nobody else gets at it. A call that runs keeps the
 * process alive; `Deno.exit()` ends it. A change that the guest of a VM doesn't answer is such a call, too, which the end of the VM
 * ends.
 *
 * @category Errors
 */
export class HungCallError extends LayerError {
  /** The class name. */
  override readonly name = "HungCallError";
  /** The function of Windows that doesn't return, such as `PrepareLayer`; `ModifySettings` if it is a guest. */
  readonly operation: string;
  /** The file or folder that it was called for, or the id of the VM. Empty if it wasn't called for one. */
  readonly path: string;
  /** For how many seconds it has run, at least. */
  readonly seconds: number;
  /** The id of the mount that it was called for, as `listMounts()` has it, if this is about a mount with a record. */
  readonly record: string | undefined;
  readonly #over: Promise<void> | undefined;

  /** An error that says what is waited for, and what to do. */
  constructor(
    operation: string,
    path: string,
    seconds: number,
    advice: string =
      ", and only one call runs at a time. Try again later. If it never returns, end this process, and " +
      "unmount the scratch in another",
    { record, over, ...options }: ErrorOptions & {
      readonly record?: string | undefined;
      readonly over?: Promise<void> | undefined;
    } = {},
  ) {
    super(
      `${operation}${path && ` for ${visible(path)}`} has not returned for more than ${seconds} s${advice}`,
      options,
    );
    this.operation = operation;
    this.path = path;
    this.seconds = seconds;
    this.record = record;
    this.#over = over;
  }

  /** Resolves once the call has returned. Undefined if it was made by another call of this library, or in another process. */
  get over(): Promise<void> | undefined {
    return this.#over;
  }
}

/**
 * An object was used after it was closed.
 *
 * @category Errors
 */
export class ClosedError extends LayerError {
  /** The class name. */
  override readonly name = "ClosedError";
  /** The file or folder that the object stands for. */
  readonly path: string;

  /** An error that names what was closed. */
  constructor(path: string) {
    super(`${visible(path)} was closed`);
    this.path = path;
  }
}

/**
 * Something can be released only by the process that holds it: it is in a VM of that process, or ends with it. Nothing was changed.
 *
 * @category Errors
 */
export class OwnHoldError extends LayerError {
  /** The class name. */
  override readonly name = "OwnHoldError";
  /** What it is. */
  readonly hold: { readonly kind: string };

  /** An error that names it. */
  constructor(hold: { readonly kind: string }) {
    super(
      `Only the process that has it can release this, which is in a VM or ends with that process: ${
        printable(hold)
      }. ` +
        "What a process left that has ended, recover() releases",
    );
    this.hold = hold;
  }
}

/**
 * A folder in which records of mounts are to be kept can be changed by others than the system and administrators, so that
 * nothing in it can be acted upon. Nothing was changed.
 *
 * @category Errors
 */
export class UntrustedFolderError extends LayerError {
  /** The class name. */
  override readonly name = "UntrustedFolderError";
  /** The folder. */
  readonly path: string;

  /** An error that names the folder and the problem, and says what to do. */
  constructor(path: string, problem: string) {
    super(
      `${
        visible(path)
      } ${problem}, so records of mounts can't be kept there. Remove it as an Administrator, or name another ` +
        "folder as the option records of the host",
    );
    this.path = path;
  }
}

/**
 * The record of a mount makes no sense, or is one of a later version of this library. Nothing was changed.
 *
 * @category Errors
 */
export class RecordError extends LayerError {
  /** The class name. */
  override readonly name = "RecordError";
  /** Path of the record. */
  readonly path: string;

  /** An error that names the record and says what to do. */
  constructor(path: string, options: ErrorOptions) {
    super(
      `The record ${visible(path)} can't be understood: ${
        messageOf(options.cause)
      }. If no later version of this library wrote ` +
        "it, delete it, and then unmount the scratch; if its layers are in an image, with the id of the container",
      options,
    );
    this.path = path;
  }
}

/**
 * Windows reported success, but returned an impossible result. Everything that was changed until then was undone.
 *
 * @category Errors
 */
export class UnexpectedAnswerError extends LayerError {
  /** The class name. */
  override readonly name = "UnexpectedAnswerError";
  /** The function of Windows. */
  readonly operation: string;
  /** What it returned. */
  readonly answer: unknown;

  /** An error that reads `<operation> returned something that <problem>: <answer>`. */
  constructor(operation: string, problem: string, answer: unknown, options?: ErrorOptions) {
    super(`${operation} returned something that ${problem}: ${printable(answer)}`, options);
    this.operation = operation;
    this.answer = answer;
  }
}

/**
 * The image of a container's layers must be mounted, but isn't.
 *
 * @category Errors
 */
export class NotMountedError extends LayerError {
  /** The class name. */
  override readonly name = "NotMountedError";
  /** Path of the image. */
  readonly path: string;

  /** An error that names the image and the volume that is missing. */
  constructor(image: string, volume: string) {
    super(`${visible(image)} is not mounted as ${volume}. Mount the container's layers first with mountWCOWLayers`);
    this.path = image;
  }
}

/**
 * A database of another tool is torn, damaged, being changed, or none at all. What it says is unknown, not nothing.
 *
 * @category Errors
 */
export class DatabaseError extends LayerError {
  /** The class name. */
  override readonly name = "DatabaseError";

  /** An error that says what is wrong with the database. */
  constructor(problem: string) {
    super(`The database can't be read: ${problem}`);
  }
}
