/**
 * Objects that tell what is changed in them.
 *
 * @module
 */

/** Tells that the member `key` of the member `table` of an object was changed, or that `table` itself was. */
export type Changed = (table: string, key: string | undefined) => void;

const originals = new WeakMap<object, object>();

/**
 * Returns `state` in a form that tells its changes, in tables at the finest: objects in the members of an object. It has to
 * be used in place of `state` for each change.
 */
export function tracked<T extends object>(state: T, changed: Changed): T {
  const known = new WeakMap<object, object>();
  // The place of an object that is part of the state: [], [table] or [table, key].
  const wrap = (object: object, place: readonly string[]): object => {
    let proxy = known.get(object);
    if (proxy === undefined) {
      const at = (name: string | symbol) => place.length < 2 ? [...place, String(name)] : place;
      const tell = (name: string | symbol) => {
        const [table, key] = Array.isArray(object) ? place : at(name);
        changed(table!, key);
      };
      proxy = new Proxy(object, {
        get(target, name) {
          const value = Reflect.get(target, name);
          return typeof value === "object" && value !== null
            ? wrap(value, Array.isArray(target) ? place : at(name))
            : value;
        },
        set(target, name, value) {
          tell(name);
          return Reflect.set(target, name, untracked(value));
        },
        deleteProperty(target, name) {
          tell(name);
          return Reflect.deleteProperty(target, name);
        },
      });
      known.set(object, proxy);
      originals.set(proxy, object);
    }
    return proxy;
  };
  return wrap(state, []) as T;
}

// Returns a value that tells no changes, in which nothing is shared with other places.
function untracked(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  const known = originals.get(value);
  if (known !== undefined) return copyOf(known);
  for (const [name, part] of Object.entries(value)) {
    const plain = untracked(part);
    if (plain !== part) (value as Record<string, unknown>)[name] = plain;
  }
  return value;
}

// structuredClone() was measured to take four times as long, or more, for what is as small as this.
function copyOf(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(copyOf);
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, copyOf(part)]));
}
