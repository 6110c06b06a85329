// What every exported function does with every argument that is wrong: see the table in arguments_table.ts.
import { assert, assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.0";
import * as mod from "../../mod.ts";
import * as storage from "../../src/storage/mod.ts";
import { wholeNumber } from "../../src/checks/arguments.ts";
import { call, functionOf, type Kind, newWorld, objectsOf, type Place, tableOf, validAt } from "./arguments_table.ts";

const fail = () => {
  throw new Error("this can't be read");
};
const hostile = {
  toString: fail,
  toJSON: fail,
  [Symbol.toPrimitive]: fail,
  get nonsense() {
    return fail();
  },
};
const circular: Record<string, unknown> = {};
circular.self = circular;
const { proxy, revoke } = Proxy.revocable({}, {});
revoke();

/** Values of every kind, of which a place takes few or none. */
const VALUES: Readonly<Record<string, unknown>> = {
  "null": null,
  "a boolean": true,
  "a number": 5,
  "a fraction": 1.5,
  "a negative number": -1,
  "NaN": NaN,
  "a bigint": 5n,
  "an empty text": "",
  "a text": "text",
  "a text with NUL": "a\0b",
  "a boxed text": new String("text"),
  "a symbol": Symbol("symbol"),
  "a function": () => {},
  "an empty list": [],
  "a list": [5],
  "an empty object": {},
  "an object without a prototype": Object.create(null),
  "an object that throws": hostile,
  "an object in itself": circular,
  "a revoked proxy": proxy,
};

/** Those that fit. */
const FITTING: Readonly<Record<Kind, readonly string[]>> = {
  boolean: ["a boolean"],
  choice: [],
  function: ["a function"],
  settings: ["an empty object", "an object without a prototype"],
  handle: ["a bigint"],
  host: [],
  number: ["a number"],
  path: [],
  pathOrBoolean: ["a boolean"],
  signal: [],
  size: [],
  sink: [],
  string: ["an empty text", "a text", "a text with NUL"],
  tar: [],
  text: ["a text"],
  vm: [],
};

function fits(place: Place, value: string): boolean {
  switch (place.kind) {
    case "list":
      return place.least === 0 && value === "an empty list";
    case "object":
      return Object.values(place.fields).every(mayBeAbsent) &&
        ["an empty object", "an object without a prototype"].includes(value);
    default:
      return FITTING[place.kind].includes(value);
  }
}

/** A value that is refused where another one is valid. */
interface Refused {
  readonly what: string;
  readonly value: unknown;
  /** What the error has to name. */
  readonly argument: string;
  /** How the names of parts begin, one of which it may name instead. */
  readonly parts?: readonly string[];
  /** The names that its message has to tell. */
  readonly known?: readonly string[];
}

function* refusedAt(place: Place, argument: string): Generator<Refused> {
  const parts = partsOf(place, argument);
  if (!mayBeAbsent(place)) yield { what: "nothing", argument, parts, value: undefined };
  for (const [what, value] of Object.entries(VALUES)) {
    if (!fits(place, what)) yield { what, argument, parts, value };
  }
  if (place.kind === "list") {
    const valid = place.items.map(validAt);
    for (const [i, item] of place.items.entries()) {
      const name = `${argument}[${i}]`;
      yield { what: "a hole", argument: name, value: without(valid, i) };
      for (const refused of refusedAt(item, name)) yield { ...refused, value: valid.with(i, refused.value) };
    }
  }
  if (place.kind === "object") {
    const valid = validAt(place) as object;
    const known = Object.keys(place.fields);
    if (!place.document) {
      yield { what: "an unknown name", argument: `${argument}.nonsense`, value: { ...valid, nonsense: 1 }, known };
    }
    for (const [name, field] of Object.entries(place.fields)) {
      const unreadable = Object.defineProperty({ ...valid }, name, { get: fail, enumerable: true });
      yield { what: "a getter that throws", argument: `${argument}.${name}`, value: unreadable };
      for (const refused of refusedAt(field, place.plain ? name : `${argument}.${name}`)) {
        yield { ...refused, value: { ...valid, [name]: refused.value } };
      }
    }
  }
}

function mayBeAbsent(place: Place): boolean {
  // Without a host it is this machine.
  return place.optional === true || place.kind === "host";
}

function partsOf(place: Place, argument: string): string[] {
  if (place.kind === "list") return [`${argument}[`];
  if (place.kind === "object") return [`${argument}.`, ...place.plain ? Object.keys(place.fields) : []];
  return [];
}

function without(list: readonly unknown[], index: number): unknown[] {
  const holed = [...list];
  delete holed[index];
  return holed;
}

/** All that is valid: what has to be there, and each of the optional fields in turn. */
function* acceptedAt(place: Place): Generator<unknown> {
  yield validAt(place);
  if (place.kind !== "object") return;
  if (place.document) yield { ...validAt(place) as object, nonsense: 1 };
  for (const [name, field] of Object.entries(place.fields)) {
    for (const value of acceptedAt(field)) yield { ...validAt(place) as object, [name]: value };
  }
}

const world = await newWorld();
const { host } = world;

for (const [name, places] of Object.entries(tableOf(world))) {
  const valid = Object.values(places).map(validAt);
  for (const [i, [argument, place]] of Object.entries(places).entries()) {
    Deno.test(`${name}() refuses every wrong ${argument} by its name, before anything is called`, async () => {
      const calls = host.calls.length;
      for (const { what, value, argument: expected, parts = [], known = [] } of refusedAt(place, argument)) {
        const which = `${what} as ${expected}`;
        const error = await assertRejects(
          () => call(world, name, valid.with(i, value)),
          mod.InvalidInputError,
          "",
          which,
        );
        const named = error.argument === expected || parts.some((part) => error.argument.startsWith(part));
        assert(named, `${which}: ${error.argument} is named`);
        assertEquals(error.message.slice(0, error.argument.length), error.argument);
        if (known.length > 0) assertEquals(error.message.split("there is ")[1]!.split(", ").sort(), known.toSorted());
        assertEquals(host.calls.slice(calls), [], which);
      }
    });
  }

  Deno.test(`${name}() takes what the table says is valid`, async () => {
    for (let i = 0; i < Math.max(valid.length, 1); i++) {
      const place = Object.values(places)[i];
      const variants = place === undefined ? [undefined] : [...acceptedAt(place)];
      for (const n of variants.keys()) {
        const fresh = await newWorld();
        const its = Object.values(tableOf(fresh)[name]!);
        const values = its.map((place, j) => j === i ? [...acceptedAt(place)][n] : validAt(place));
        const error = await call(fresh, name, values).then(() => undefined, (error) => error);
        assert(!(error instanceof mod.InvalidInputError || error instanceof TypeError), error?.message);
      }
    }
  });
}

Deno.test("every exported function is in the table, with its arguments in order", () => {
  const table = tableOf(world);
  const functions = [mod, storage].flatMap((module) => Object.entries(module)).filter(([, value]) =>
    typeof value === "function" && !/^class\b/.test(`${value}`)
  );
  assert(functions.length > 50);
  for (const [name, fn] of functions) {
    const rows = Object.entries(table).filter(([row]) => functionOf(row) === fn);
    assert(rows.length > 0, `${name}() is in the table`);
    for (const [, places] of rows) assertEquals(parametersOf(fn), Object.keys(places), name);
  }
});

Deno.test("every method of what they return is in the table, with its arguments in order", () => {
  for (const [owner, object] of Object.entries(objectsOf(world))) {
    const { prototype } = object.constructor as { prototype: object };
    const methods = Object.entries(Object.getOwnPropertyDescriptors(prototype))
      .filter(([name, { value }]) => typeof value === "function" && name !== "constructor");
    const rows = Object.entries(tableOf(world)).filter(([name]) => name.startsWith(`${owner}.`));
    assertEquals(rows.map(([name]) => name).sort(), methods.map(([name]) => `${owner}.${name}`).sort());
    for (const [name, places] of rows) {
      const method = Object.getOwnPropertyDescriptor(prototype, name.split(".")[1]!)!.value;
      assertEquals(parametersOf(method), Object.keys(places), name);
    }
  }
});

// Their names, as they stand in the source.
function parametersOf(fn: unknown): string[] {
  const list = /^[^(]*\(([^)]*)\)/.exec(`${fn}`)![1]!;
  return list.split(",").map((parameter) => parameter.split("=")[0]!.trim()).filter((name) => name !== "");
}

Deno.test("wholeNumber() names the range that it wants", () => {
  for (const [check, range] of [[wholeNumber(1, 4), "from 1 to 4"], [wholeNumber(2), "from 2"]] as const) {
    assertThrows(() => check(0, "count"), mod.InvalidInputError, `count is not a whole number ${range}: 0`);
  }
});
