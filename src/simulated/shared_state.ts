/**
 * The state of a machine that several processes share, in a file.
 *
 * @module
 */

import { StateFile, type StoredPart } from "./state_file.ts";
import type { Changed } from "./tracked.ts";

// By tables and the keys in them; a table that isn't an object of objects is written as a whole. `null` is what is gone.
type Patch = Record<string, unknown>;
type Tables = Record<string, Record<string, unknown>>;

// So much is added to the file before all is written anew.
const LEAST_ADDED = 4096;

/** A state in a file. Each process keeps what it has read, and reads what others have added. */
export class SharedState<T extends object> {
  readonly #path: string;
  readonly #makeTracked: (state: T, changed: Changed) => T;
  #state: T;
  #tracked: T;
  #part: StoredPart | undefined;
  // The bytes of the file's part when all was written last.
  #written = 0;
  readonly #changes = new Map<string, Set<string> | "all">();

  /**
   * The state in the file at a path; `initial`, if the file is new. `track` makes of a state one that tells its changes.
   */
  constructor(path: string, initial: T, track: (state: T, changed: Changed) => T) {
    this.#path = path;
    this.#makeTracked = track;
    this.#state = initial;
    this.#tracked = this.#track(initial);
  }

  /** Runs `body` on the state, and stores what it changes. For other processes, this happens at once. */
  change<R>(body: (state: T) => R): R {
    using file = new StateFile(this.#path);
    this.#update(file);
    try {
      return body(this.#tracked);
    } finally {
      this.#store(file);
    }
  }

  #track(state: T): T {
    return this.#makeTracked(state, (table, key) => {
      const keys = this.#changes.get(table);
      if (key === undefined) this.#changes.set(table, "all");
      else if (keys === undefined) this.#changes.set(table, new Set([key]));
      else if (keys !== "all") keys.add(key);
    });
  }

  #update(file: StateFile): void {
    const part = file.part();
    if (part === undefined) {
      this.#part = undefined;
      return;
    }
    const added = this.#part && file.read(part, this.#part);
    if (added === undefined) {
      const [all, ...later] = file.read(part)!;
      this.#state = JSON.parse(all!);
      this.#tracked = this.#track(this.#state);
      this.#written = new TextEncoder().encode(all).length;
      later.forEach((line) => this.#apply(JSON.parse(line)));
    } else {
      added.forEach((line) => this.#apply(JSON.parse(line)));
    }
    this.#part = part;
    // The file has them already.
    this.#changes.clear();
  }

  #store(file: StateFile): void {
    if (this.#part === undefined) return this.#storeAll(file);
    if (this.#changes.size === 0) return;
    const line = JSON.stringify(this.#patch());
    const bytes = this.#part.end - this.#part.start - this.#written + line.length;
    if (bytes > Math.max(LEAST_ADDED, this.#written)) return this.#storeAll(file);
    this.#part = file.append(this.#part, line);
    this.#changes.clear();
  }

  #storeAll(file: StateFile): void {
    this.#part = file.replace(this.#part, JSON.stringify(this.#state));
    this.#written = this.#part.end - this.#part.start;
    this.#changes.clear();
  }

  #patch(): Patch {
    const state = this.#state as Tables;
    return Object.fromEntries(
      [...this.#changes].map(([table, keys]) => [
        table,
        keys === "all"
          ? [state[table] ?? null]
          : Object.fromEntries([...keys].map((key) => [key, state[table]![key] ?? null])),
      ]),
    );
  }

  #apply(patch: Patch): void {
    const state = this.#tracked as Tables;
    for (const [table, change] of Object.entries(patch)) {
      if (Array.isArray(change)) {
        state[table] = change[0];
        continue;
      }
      for (const [key, value] of Object.entries(change as Record<string, unknown>)) {
        if (value === null) delete state[table]![key];
        else state[table]![key] = value;
      }
    }
  }
}
