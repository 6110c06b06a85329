/**
 * Errors of Windows, and errors about what is missing to call it.
 *
 * @module
 */

import { hex, nameOf, win32Of } from "./codes.ts";
import { hintFor } from "./hints.ts";
import { LayerError } from "./layer_error.ts";
import { messageOf, visible } from "./printable.ts";

/** The properties of a new {@linkcode NativeError}. */
export interface NativeErrorInit {
  /** The function that failed. */
  function: string;
  /** What it returned, as an HRESULT. */
  code: number;
  /** The file, folder or other object that the call was for. */
  path?: string | undefined;
  /** The message of Windows for the code, in the host's language. */
  systemMessage?: string | undefined;
  /** Additional lines, such as the events of a result document. */
  details?: readonly string[] | undefined;
  /** Whether the function is one of a guest, so that what is known of this Windows doesn't help. */
  inGuest?: boolean | undefined;
}

/**
 * A function of Windows failed. Compare {@linkcode NativeError.code} or {@linkcode NativeError.win32}, never the text.
 *
 * @category Errors
 */
export class NativeError extends LayerError {
  /** The class name. */
  override readonly name: string = "NativeError";
  /** The function of Windows that failed, such as `ActivateLayer`. */
  readonly operation: string;
  /** The file, folder or other object that the call was for, if there is one. */
  readonly path: string | undefined;
  /** The HRESULT, as an unsigned number. */
  readonly code: number;
  /** The Win32 code in the HRESULT, if it holds one. */
  readonly win32: number | undefined;
  /** The name of the code in the Windows headers, if known. */
  readonly symbol: string | undefined;
  /** What to do about it, if known. */
  readonly hint: string | undefined;

  /** An error that names the function, path, code, and name of the code, with the message of Windows and what to do. */
  constructor(init: NativeErrorInit) {
    const code = init.code >>> 0;
    const symbol = nameOf(code);
    const hint = init.inGuest ? undefined : hintFor(init.function, code, init.path);
    let message = `${init.function} failed${init.inGuest ? " in the guest" : ""}`;
    if (init.path !== undefined) message += ` for ${visible(init.path)}`;
    message += `: ${hex(code)}`;
    if (symbol !== undefined) message += ` ${symbol}`;
    // A simulated host knows no message but the name.
    const repeats = symbol !== undefined && init.systemMessage?.endsWith(symbol);
    if (init.systemMessage && !repeats) message += ` (${visible(init.systemMessage.replace(/\s+/g, " "))})`;
    if (hint !== undefined) message += `. ${hint[0]!.toUpperCase()}${hint.slice(1)}`;
    for (const detail of init.details ?? []) message += `\n  ${visible(detail)}`;
    super(message);
    this.operation = init.function;
    this.path = init.path;
    this.code = code;
    this.win32 = win32Of(code);
    this.symbol = symbol;
    this.hint = hint;
  }
}

/**
 * A DLL can't be loaded: a Windows feature is missing, or this is not Windows.
 *
 * @category Errors
 */
export class MissingDllError extends LayerError {
  /** The class name. */
  override readonly name = "MissingDllError";
  /** File name of the DLL. */
  readonly dll: string;

  /** An error that says which DLL is missing, and how to get it. */
  constructor(dll: string, remedy: string, options?: ErrorOptions) {
    super(`${dll} can't be loaded. ${remedy}`, options);
    this.dll = dll;
  }
}

/**
 * A DLL lacks a function: this Windows is too old for it, or is a reduced edition.
 *
 * @category Errors
 */
export class MissingExportError extends LayerError {
  /** The class name. */
  override readonly name = "MissingExportError";
  /** File name of the DLL. */
  readonly dll: string;
  /** The function that it lacks. */
  readonly function: string;

  /** An error that says which function is missing, and how to get it. */
  constructor(dll: string, fn: string, remedy: string, options?: ErrorOptions) {
    super(`${dll} has no function ${fn} on this Windows. ${remedy}`, options);
    this.dll = dll;
    this.function = fn;
  }
}

/**
 * The build of Windows is too old for a feature.
 *
 * @category Errors
 */
export class UnsupportedBuildError extends LayerError {
  /** The class name. */
  override readonly name = "UnsupportedBuildError";
  /** The build found, such as `19043.928`, or `19043` if the revision doesn't matter. */
  readonly build: string;

  /** An error that says which build was found, and which builds are supported. */
  constructor(feature: string, build: string, supported: string) {
    super(`${feature} needs ${supported}; this host is Windows build ${build}`);
    this.build = build;
  }
}

/**
 * The process doesn't have a required privilege.
 *
 * @category Errors
 */
export class MissingPrivilegeError extends LayerError {
  /** The class name. */
  override readonly name = "MissingPrivilegeError";
  /** The privilege, such as `SeBackupPrivilege`. */
  readonly privilege: string;

  /** An error that names the privilege. */
  constructor(privilege: string, options?: ErrorOptions) {
    super(`The process doesn't have the privilege ${privilege}. Run as Administrator or SYSTEM`, options);
    this.privilege = privilege;
  }
}

/**
 * Privileges of the process could not be restored to their earlier state.
 *
 * @category Errors
 */
export class PrivilegeRestoreError extends LayerError {
  /** The class name. */
  override readonly name = "PrivilegeRestoreError";
  /** The privileges, such as `SeBackupPrivilege`. */
  readonly privileges: readonly string[];
  /** Why: one error for each. */
  readonly errors: readonly unknown[];

  /** An error that names the privileges. Its cause is why they were to be restored, if that was an error. */
  constructor(privileges: readonly string[], errors: readonly unknown[], options?: ErrorOptions) {
    super(`${privileges.join(" and ")} could not be restored: ${errors.map(messageOf).join("; ")}. Try again`, options);
    this.privileges = [...privileges];
    this.errors = errors;
  }
}

/**
 * Deno was started without required permissions.
 *
 * @category Errors
 */
export class MissingPermissionError extends LayerError {
  /** The class name. */
  override readonly name = "MissingPermissionError";
  /** The flags that grant them, one for each permission, such as `--allow-ffi=C:\Windows\System32\vmcompute.dll`. */
  readonly flags: readonly string[];
  /** All of {@linkcode MissingPermissionError.flags}, as on a command line. */
  readonly flag: string;

  /** An error that names the flags, with the reason if the flags don't make it clear. */
  constructor(flags: readonly string[], options?: ErrorOptions & { because?: string | undefined }) {
    const flag = commandLine(flags);
    const missing = flags.length === 1 ? "A permission is missing" : "Permissions are missing";
    super(`${missing}. Start Deno with ${flag}${options?.because ? `. ${options.because}` : ""}`, options);
    this.flags = flags;
    this.flag = flag;
  }
}

/** Joins flags for a command line. Flags with the same name become one, in quotation marks if a shell wants them. */
export function commandLine(flags: readonly string[]): string {
  const values = new Map<string, string[]>();
  for (const flag of flags) {
    const [name, value] = flag.split(/=(.*)/s) as [string, string?];
    values.set(name, [...values.get(name) ?? [], ...value === undefined ? [] : [value]]);
  }
  const texts = [...values].map(([name, all]) => all.length === 0 ? name : `${name}=${all}`);
  return texts.map((text) => /^[\p{L}\p{N}\p{M}:\\/.,=_~-]+$/u.test(text) ? text : `"${text}"`).join(" ");
}

/** Returns whether an error means that Windows was not called: a DLL, a function or a permission is missing. */
export function neverReachedWindows(error: unknown): boolean {
  return error instanceof MissingDllError || error instanceof MissingExportError ||
    error instanceof MissingPermissionError;
}
