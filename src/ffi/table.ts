/**
 * What a DLL looks like to the rest of the code: a typed table of symbols, the same for real and simulated DLLs.
 *
 * @module
 */

/**
 * One entry of a symbol table, in the form that `Deno.dlopen` expects for a function.
 *
 * @category Host
 */
export type NativeFunction = Deno.ForeignFunction;

/**
 * A table of functions, keyed by export name.
 *
 * @category Host
 */
export type SymbolTable = Readonly<Record<string, NativeFunction>>;

/**
 * A DLL of Windows: its file name in System32, its functions, and what to do if it is missing.
 *
 * @category Host
 */
export interface Dll<T extends SymbolTable = SymbolTable> {
  /** File name, such as `vmcompute.dll`. */
  readonly file: string;
  /** The functions. `nonblocking` marks the slow ones, `optional` those that not every build exports. */
  readonly symbols: T;
  /** A sentence that says how to get the DLL if it is missing. */
  readonly remedy: string;
  /**
   * Whether its slow functions can wait for this process, for instance until it has handled a notification. On the calling
   * thread they would wait forever, so they always run on the pool.
   */
  readonly waits?: true;
}

/**
 * The type of an argument for a parameter of a {@linkcode NativeFunction}.
 *
 * @category Host
 */
export type NativeArgument<T> = T extends "buffer" ? Uint8Array<ArrayBuffer> | null
  : T extends "usize" | "u64" ? bigint
  : T extends "function" ? Deno.PointerValue
  : number;

/**
 * The types of the arguments for all its parameters.
 *
 * @category Host
 */
export type NativeArguments<P> = { -readonly [K in keyof P]: NativeArgument<P[K]> };

/**
 * The type of its result.
 *
 * @category Host
 */
export type NativeResult<T> = T extends "void" ? void : T extends "usize" | "u64" ? bigint : number;

/**
 * The callable functions of a {@linkcode SymbolTable}. A slow function returns a promise if the host runs it on a thread of
 * Deno's pool, or the value itself if it runs on the calling thread. `await` works for both.
 *
 * @category Host
 */
export type NativeSymbols<T extends SymbolTable> = {
  readonly [K in keyof T]: T[K] extends
    { readonly parameters: infer P extends readonly unknown[]; readonly result: infer R } ? (
      ...args: NativeArguments<P>
    ) => T[K] extends { readonly nonblocking: true } ? NativeResult<R> | Promise<NativeResult<R>> : NativeResult<R>
    : never;
};
