/**
 * What a DLL looks like to the rest of the code: a table of symbols, typed once, whoever answers it.
 *
 * @module
 */

/** One entry of a symbol table: the shape that `Deno.dlopen` takes for a function. */
export type NativeFunction = Deno.ForeignFunction;

/** A table of functions, keyed by export name. */
export type SymbolTable = Readonly<Record<string, NativeFunction>>;

/** A DLL of Windows: its file name in System32, its functions, and what to do where it is missing. */
export interface Dll<T extends SymbolTable = SymbolTable> {
  /** File name, such as `vmcompute.dll`. */
  readonly file: string;
  /** The functions. `nonblocking` marks the slow ones, `optional` those that not every build exports. */
  readonly symbols: T;
  /** What brings the DLL to a machine that lacks it, as a sentence for people. */
  readonly remedy: string;
  /**
   * Whether its slow functions wait for something that this process itself has to do meanwhile, such as to take a
   * notification. On the calling thread they would wait forever, so that they always go to the pool.
   */
  readonly waits?: true;
}

/** What a parameter of a {@linkcode NativeFunction} takes. */
export type NativeArgument<T> = T extends "buffer" ? Uint8Array<ArrayBuffer> | null
  : T extends "usize" | "u64" ? bigint
  : T extends "function" ? Deno.PointerValue
  : number;

/** What all its parameters take. */
export type NativeArguments<P> = { -readonly [K in keyof P]: NativeArgument<P[K]> };

/** What it answers. */
export type NativeResult<T> = T extends "void" ? void : T extends "usize" | "u64" ? bigint : number;

/**
 * The callable side of a {@linkcode SymbolTable}. Slow functions answer a promise where the host sends them to a thread
 * of Deno's pool, and the value itself where it calls them on the calling thread: await both.
 */
export type NativeSymbols<T extends SymbolTable> = {
  readonly [K in keyof T]: T[K] extends
    { readonly parameters: infer P extends readonly unknown[]; readonly result: infer R } ? (
      ...args: NativeArguments<P>
    ) => T[K] extends { readonly nonblocking: true } ? NativeResult<R> | Promise<NativeResult<R>> : NativeResult<R>
    : never;
};
