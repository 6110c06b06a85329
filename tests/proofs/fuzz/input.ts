/**
 * Values that no public function takes, in each place where a caller passes one: refused by name before any native call.
 *
 * @module
 */

import { InvalidInputError } from "../../../mod.ts";
import { call, newWorld, type Place, tableOf } from "../../checks/arguments_table.ts";
import type { Random } from "../../support/random.ts";
import { type Part, pick } from "./case.ts";

const WRONG_TEXTS = ["", "\0", "a\0b", "x\0"];
const WRONG_PATHS = [
  ...WRONG_TEXTS,
  "x",
  ".",
  "x\\y",
  "C:",
  "C:x",
  "/",
  "C/x",
  "\\",
  "\\x",
  "C:\\x\0",
  "C:\\a|b",
  "C:\\a*",
]
  .concat(
    "C:\\NUL",
    "C:\\con.txt",
    "C:\\a:b",
    "C:\\a ",
    "C:\\a.",
    "C:\\\u0001",
    "C:\\a<b",
    `C:\\${"x".repeat(40_000)}?`,
  );
const NEVER = [
  null,
  Symbol("x"),
  () => {},
  0.5,
  -1,
  NaN,
  Infinity,
  -0.5,
  [null],
  { nonsense: 1 },
];

// What is wrong wherever it is passed, and for some kinds more.
function wrongFor(place: Place, random: Random): unknown {
  const wrongs: unknown[] = NEVER.filter((value) => place.kind !== "function" || typeof value !== "function");
  if (place.kind === "path") wrongs.push(...WRONG_PATHS, 7, true, 5n);
  else if (place.kind === "text") wrongs.push(...WRONG_TEXTS, 7, true, 5n);
  else if (place.kind === "pathOrBoolean") wrongs.push(...WRONG_PATHS, 7, 5n);
  else if (place.kind === "boolean") wrongs.push("true", 1, 0, "");
  else if (place.kind === "number" || place.kind === "size") wrongs.push("7", true, -(2 ** 53));
  else if (place.kind === "string") wrongs.push(true, 7, 5n);
  else wrongs.push(true, 7, "x");
  return pick(wrongs, random);
}

function validAt(place: Place): unknown {
  if (place.kind === "list") return place.items.map(validAt);
  if (place.kind !== "object") return place.valid;
  const needed = Object.entries(place.fields).filter(([, field]) => !field.optional);
  return Object.fromEntries(needed.map(([name, field]) => [name, validAt(field)]));
}

/** Returns a value that is valid but for one part of it. */
function wrongIn(place: Place, random: Random): unknown {
  if (place.kind === "list" && place.items.length > 0 && random(3) > 0) {
    const at = random(place.items.length);
    return place.items.map((item, i) => i === at ? wrongIn(item, random) : validAt(item));
  }
  if (place.kind === "object" && random(4) > 0) {
    const fields = Object.entries(place.fields);
    if (fields.length > 0) {
      const [name, field] = pick(fields, random);
      return { ...validAt(place) as object, [name]: wrongIn(field, random) };
    }
  }
  if (place.kind === "object" && place.document) return pick([null, 7, "x", [null]], random);
  if (place.kind === "settings") return pick([null, 7, "x", [null]], random);
  return wrongFor(place, random);
}

/** The part of the proof. */
export async function inputPart(): Promise<Part> {
  const world = await newWorld();
  // A folder of records is looked at when it is used.
  const rows = Object.entries(tableOf(world)).filter(([, places]) => Object.keys(places).length > 0).filter(([name]) =>
    name !== "windowsHost"
  );
  return {
    name: "input",
    // Those that somebody has thought of are in tests/checks.
    byHand: [],
    share: 35,
    generated(random) {
      const [name, places] = pick(rows, random);
      const entries = Object.values(places);
      const at = random(entries.length);
      const values = entries.map((place, i) => i === at ? wrongIn(place, random) : validAt(place));
      return {
        what: `input: ${name}(), argument ${at}: ${Deno.inspect(values[at]).slice(0, 300)}`,
        async run() {
          const calls = world.host.calls.length;
          const error = await call(world, name, values).then(() => undefined, (error) => error);
          const wrongs = error instanceof InvalidInputError ? [] : [`throws ${error}`];
          if (world.host.calls.length !== calls) wrongs.push(`calls ${world.host.calls.at(-1)?.function}`);
          return wrongs;
        },
      };
    },
  };
}
