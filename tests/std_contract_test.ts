// Holds the stand-ins of std/ and the real @std packages to the same answers, in all that this project uses of them.
import { deepStrictEqual, ok, rejects } from "node:assert/strict";
import { stripVTControlCharacters } from "node:util";
import * as assert from "../std/assert/mod.ts";
import map from "../std/import_map.json" with { type: "json" };
import jsr from "../std/jsr.json" with { type: "json" };
import * as log from "../std/log/mod.ts";
import * as path from "../std/path/windows.ts";
import * as v5 from "../std/uuid/v5.ts";

const standIns = {
  "jsr:@std/assert@^1.0.0": assert,
  "jsr:@std/log@^0.224.14": log,
  "jsr:@std/path@^1.1.0/windows": path,
  "jsr:@std/uuid@^1.0.0/v5": v5,
};
type Std = typeof standIns;
type Assert = Std["jsr:@std/assert@^1.0.0"];

const VOLUME = "\\\\?\\Volume{738f7a76-5f2d-5fc5-aa43-120530a48964}\\";

const PATHS: ["basename" | "dirname" | "isAbsolute" | "normalize" | "join", string[], string | boolean][] = [
  ["basename", [""], ""],
  ["basename", ["layer.vhdx"], "layer.vhdx"],
  ["basename", ["C:\\layers\\1\\layer.vhdx"], "layer.vhdx"],
  ["basename", ["C:\\layers\\1\\layer.vhdx", ".vhdx"], "layer"],
  ["basename", ["C:\\.vhdx", ".vhdx"], ".vhdx"],
  ["basename", ["C:\\layers\\1\\\\"], "1"],
  ["basename", ["C:/layers\\ébène/"], "ébène"],
  ["basename", ["C:\\"], "\\"],
  ["basename", ["C:"], ""],
  ["basename", ["C:layer"], "layer"],
  ["basename", ["/"], "/"],
  ["basename", ["\\\\server\\share"], "share"],
  ["basename", ["\\\\?\\C:\\layers"], "layers"],
  ["basename", [VOLUME], "Volume{738f7a76-5f2d-5fc5-aa43-120530a48964}"],
  ["dirname", [""], "."],
  ["dirname", ["layer"], "."],
  ["dirname", ["C:\\layers\\1"], "C:\\layers"],
  ["dirname", ["C:\\layers\\1\\"], "C:\\layers"],
  ["dirname", ["C:\\layers"], "C:\\"],
  ["dirname", ["C:\\"], "C:\\"],
  ["dirname", ["C:/layers"], "C:"],
  ["dirname", ["C:"], "C:"],
  ["dirname", ["C:layer"], "C:"],
  ["dirname", ["/"], "/"],
  ["dirname", ["\\ébène\\x"], "\\ébène"],
  ["dirname", ["\\\\server\\share"], "\\\\server\\share"],
  ["dirname", ["\\\\server\\share\\a"], "\\\\server\\share\\"],
  ["dirname", ["\\\\?\\C:\\layers\\1"], "\\\\?\\C:\\layers"],
  ["dirname", ["\\\\?\\C:\\layers"], "\\\\?\\C:\\"],
  ["dirname", [VOLUME + "Files"], VOLUME],
  ["isAbsolute", [""], false],
  ["isAbsolute", ["layer"], false],
  ["isAbsolute", ["C:"], false],
  ["isAbsolute", ["C:layer"], false],
  ["isAbsolute", ["C:\\"], true],
  ["isAbsolute", ["c:/layer"], true],
  ["isAbsolute", ["é:\\layer"], false],
  ["isAbsolute", ["/"], true],
  ["isAbsolute", ["\\layer"], true],
  ["isAbsolute", ["\\\\server\\share"], true],
  ["isAbsolute", [VOLUME], true],
  ["normalize", [""], "."],
  ["normalize", ["a/./b//c\\..\\"], "a\\b\\"],
  ["normalize", ["..\\..\\a"], "..\\..\\a"],
  ["normalize", ["C:\\layers\\..\\..\\x"], "C:\\x"],
  ["normalize", ["C:/layers/ébène/"], "C:\\layers\\ébène\\"],
  ["normalize", ["C:"], "C:."],
  ["normalize", ["C:..\\x"], "C:..\\x"],
  ["normalize", ["C:\\"], "C:\\"],
  ["normalize", ["/"], "\\"],
  ["normalize", ["CON"], "CON"],
  ["normalize", ["stream:data"], "stream:data"],
  ["normalize", ["\\\\server\\share"], "\\\\server\\share\\"],
  ["normalize", ["//server/share/../a"], "\\\\server\\share\\a"],
  ["normalize", ["\\\\?\\C:\\layers\\.\\1"], "\\\\?\\C:\\layers\\1"],
  ["normalize", ["\\\\.\\pipe\\x"], "\\\\.\\pipe\\x"],
  ["normalize", [VOLUME], VOLUME],
  ["normalize", [VOLUME + "Files"], VOLUME + "Files"],
  ["join", [], "."],
  ["join", ["", ""], "."],
  ["join", ["C:\\layers", "1", "layer.vhdx"], "C:\\layers\\1\\layer.vhdx"],
  ["join", ["C:\\layers\\", "\\1\\"], "C:\\layers\\1\\"],
  ["join", ["C:", "layers"], "C:\\layers"],
  ["join", ["C:\\layers", "..", "ébène"], "C:\\ébène"],
  ["join", ["a", "", "b"], "a\\b"],
  ["join", ["\\\\", "server", "share"], "\\server\\share"],
  ["join", ["\\\\server", "share"], "\\\\server\\share\\"],
  ["join", ["\\\\?\\C:\\layers", "1"], "\\\\?\\C:\\layers\\1"],
  ["join", [VOLUME, "Files", "Windows"], VOLUME + "Files\\Windows"],
];

const CIM = "6827367b-c388-4e9b-961c-6d2c936c0000";
const SCSI = "d422512d-2bf2-4752-809d-7b82b5fcb1b4";

const GENERATED: [string, string, string][] = [
  [CIM, "test", "738f7a76-5f2d-5fc5-aa43-120530a48964"],
  [CIM, "0123456789abcdef", "98615400-85ac-56dd-976e-3b047af4f63c"],
  [CIM, "", "bdb2c28b-00de-58e1-9364-c83c150e42f8"],
  [CIM, "layer ".repeat(50).slice(0, 39), "0a79c5ed-f5a1-535a-ad78-ed9cc0684f86"],
  [CIM, "layer ".repeat(50).slice(0, 40), "74afeac3-7022-5ccd-b216-2c1042a0c882"],
  [CIM, "layer ".repeat(50).slice(0, 48), "cf30ae7a-fb73-5ec8-9eac-8c6eea254692"],
  [CIM, "layer ".repeat(50).slice(0, 103), "8808c2c2-6408-518c-95a7-c3c47f8621dc"],
  [CIM, "layer ".repeat(50).slice(0, 104), "5d2ea77e-9d5c-57b6-aad0-1c132962fe00"],
  [CIM, "layer ".repeat(50).slice(0, 200), "93e710a8-d9f4-5af3-ab92-e4ba4d399284"],
  [SCSI, "0", "df6d0690-79e5-55b6-a5ec-c1e2f77f580a"],
  [SCSI, "1", "0110f83b-de10-5172-a266-78bca56bf50a"],
  [SCSI, "2", "b5d2d8d4-3a75-51bf-945b-3444dc6b8579"],
  [SCSI.toUpperCase(), "3", "305891a9-b251-5dfe-91a2-c25d9212275b"],
];

class Point {
  #x: number;
  constructor(x: number) {
    this.#x = x;
  }
  get x() {
    return this.#x;
  }
}

const error = new RangeError("out of range");
const raise = () => {
  throw error;
};

/** What passes and what fails: `true` and `false`. */
const ASSERTIONS: [boolean, (std: Assert) => unknown][] = [
  [true, (std) => std.assert(1)],
  [false, (std) => std.assert("", "empty")],
  // assertEquals
  [true, (std) => std.assertEquals<unknown>({ a: [1, { b: "é" }], c: null }, { c: null, a: [1, { b: "é" }] })],
  [false, (std) => std.assertEquals<unknown>({ a: [1, { b: "é" }] }, { a: [1, { b: "e" }] })],
  [false, (std) => std.assertEquals<unknown>({ a: undefined }, {})],
  [false, (std) => std.assertEquals<unknown>({ a: undefined }, { b: undefined })],
  [false, (std) => std.assertEquals<unknown>([undefined], [])],
  [false, (std) => std.assertEquals<unknown>([1], { 0: 1 })],
  [false, (std) => std.assertEquals<unknown>("1", 1)],
  [false, (std) => std.assertEquals<unknown>(1n, 1)],
  [false, (std) => std.assertEquals<unknown>(null, undefined)],
  [false, (std) => std.assertEquals<unknown>({}, null)],
  [true, (std) => std.assertEquals(NaN, NaN)],
  [true, (std) => std.assertEquals(0, -0)],
  [true, (std) => std.assertEquals(0xffff_ffff_ffff_ffffn, 18446744073709551615n)],
  [true, (std) => std.assertEquals(Object.create(null), {})],
  [true, (std) => std.assertEquals(Symbol.for("a"), Symbol.for("a"))],
  [false, (std) => std.assertEquals<unknown>({ [Symbol.for("a")]: 1 }, { [Symbol.for("a")]: 2 })],
  [true, (std) => std.assertEquals(new Uint8Array([1, 2]), new Uint8Array([1, 2]))],
  [false, (std) => std.assertEquals(new Uint8Array([1, 2]), new Uint8Array([1, 3]))],
  [false, (std) => std.assertEquals(new Uint8Array([1, 2]), new Uint8Array([1]))],
  [false, (std) => std.assertEquals<unknown>(new Uint8Array([1]), new Uint16Array([1]))],
  [false, (std) => std.assertEquals<unknown>(new Uint8Array([1]), [1])],
  [true, (std) => std.assertEquals(new BigUint64Array([1n]), new BigUint64Array([1n]))],
  [true, (std) => std.assertEquals(new Uint8Array([1, 2, 3]).subarray(1), new Uint8Array([2, 3]))],
  [true, (std) => std.assertEquals(new Uint8Array([1]).buffer, new Uint8Array([1]).buffer)],
  [false, (std) => std.assertEquals(new Uint8Array([1]).buffer, new Uint8Array([2]).buffer)],
  [true, (std) => std.assertEquals(new Map([["a", [1]], ["b", [2]]]), new Map([["b", [2]], ["a", [1]]]))],
  [false, (std) => std.assertEquals(new Map([["a", [1]]]), new Map([["a", [2]]]))],
  [false, (std) => std.assertEquals(new Map([["a", 1]]), new Map([["b", 1]]))],
  [true, (std) => std.assertEquals(new Set([1, 2]), new Set([2, 1]))],
  [false, (std) => std.assertEquals(new Set([1, 2]), new Set([1, 3]))],
  [true, (std) => std.assertEquals(new Set([{ a: 1 }]), new Set([{ a: 1 }]))],
  [false, (std) => std.assertEquals<unknown>(new Set(), new Map())],
  [true, (std) => std.assertEquals(new Date(1), new Date(1))],
  [false, (std) => std.assertEquals(new Date(1), new Date(2))],
  [true, (std) => std.assertEquals(/a/i, /a/i)],
  [false, (std) => std.assertEquals(/a/i, /a/)],
  [true, (std) => std.assertEquals(new URL("file:///C:/a"), new URL("file:///C:/a"))],
  [false, (std) => std.assertEquals(new URL("file:///C:/a"), new URL("file:///C:/b"))],
  [true, (std) => std.assertEquals<unknown>(error, error)],
  [false, (std) => std.assertEquals<unknown>(new Error("a"), new Error("b"))],
  [false, (std) => std.assertEquals<unknown>(new Error("a"), new TypeError("a"))],
  [true, (std) => std.assertEquals(new Point(1), new Point(1))],
  [false, (std) => std.assertEquals(new Point(1), new Point(2))],
  [false, (std) => std.assertEquals<unknown>(new Point(1), { x: 1 })],
  [true, (std) => std.assertEquals(raise, raise)],
  [false, (std) => std.assertEquals(() => 1, () => 1)],
  // The other comparisons
  [true, (std) => std.assertNotEquals<unknown>({ a: 1 }, { a: 2 })],
  [false, (std) => std.assertNotEquals({ a: 1 }, { a: 1 })],
  [true, (std) => std.assertStrictEquals("a", "a")],
  [true, (std) => std.assertStrictEquals(NaN, NaN)],
  [false, (std) => std.assertStrictEquals(0, -0)],
  [false, (std) => std.assertStrictEquals({}, {})],
  [true, (std) => std.assertExists(0)],
  [false, (std) => std.assertExists(undefined)],
  [false, (std) => std.assertExists(null)],
  [true, (std) => std.assertInstanceOf(error, Error)],
  [false, (std) => std.assertInstanceOf(error, TypeError)],
  [false, (std) => std.assertInstanceOf(null, Error)],
  [false, (std) => std.assertInstanceOf("a", String)],
  [true, (std) => std.assertMatch("0x80070005", /^0x8007/)],
  [false, (std) => std.assertMatch("0x80070005", /^0xc037/)],
  [true, (std) => std.assertStringIncludes("C:\\layers", "layer")],
  [false, (std) => std.assertStringIncludes("C:\\layers", "Layer")],
  [true, (std) => std.assertArrayIncludes<unknown>([1, { a: [2] }, 3], [{ a: [2] }, 1])],
  [false, (std) => std.assertArrayIncludes([1, 2, 3], [1, 4])],
  [true, (std) => std.assertGreater(2, 1)],
  [false, (std) => std.assertGreater(1, 1)],
  [true, (std) => std.assertGreaterOrEqual(1n, 1n)],
  [false, (std) => std.assertGreaterOrEqual(0, 1)],
  [true, (std) => std.assertLess("a", "b")],
  [false, (std) => std.assertLess(1, 1)],
  [true, (std) => std.assertLessOrEqual(1, 1)],
  [false, (std) => std.assertLessOrEqual(2, 1)],
  // assertObjectMatch
  [true, (std) => std.assertObjectMatch({ a: 1, b: { c: [1, 2], d: 2 } }, { b: { c: [1, 2] } })],
  [true, (std) => std.assertObjectMatch({ a: [{ b: 1, c: 2 }, 3] }, { a: [{ b: 1 }] })],
  [false, (std) => std.assertObjectMatch({ a: [1] }, { a: [1, 2] })],
  [false, (std) => std.assertObjectMatch({ a: 1 }, { a: 2 })],
  [false, (std) => std.assertObjectMatch({ a: 1 }, { b: 1 })],
  [false, (std) => std.assertObjectMatch({ a: 1 }, { a: 1, b: undefined })],
  [false, (std) => std.assertObjectMatch({ a: { b: 1 } }, { a: { b: 1, c: 2 } })],
  [true, (std) => std.assertObjectMatch({ a: new Map([["b", 1], ["c", 2]]) }, { a: new Map([["b", 1]]) })],
  [true, (std) => std.assertObjectMatch({ a: new Set([1, 2]) }, { a: new Set([1]) })],
  [false, (std) => std.assertObjectMatch({ a: new Set([1, 2]) }, { a: new Set([3]) })],
  [false, (std) => std.assertObjectMatch({ a: new Date(1) }, { a: new Date(2) })],
  [false, (std) => std.assertObjectMatch({ a: /a/ }, { a: /b/ })],
  [false, (std) => std.assertObjectMatch({ a: "x" }, { a: { b: 1 } })],
  [true, (std) => std.assertObjectMatch(error, { message: "out of range" })],
  // What throws and what is rejected
  [true, (std) => std.assertThrows(raise)],
  [true, (std) => std.assertThrows(raise, RangeError, "of range")],
  [true, (std) => std.assertThrows(raise, Error)],
  [false, (std) => std.assertThrows(raise, TypeError)],
  [false, (std) => std.assertThrows(raise, RangeError, "in range")],
  [false, (std) => std.assertThrows(() => 1)],
  [false, (std) => std.assertThrows(() => Promise.reject(error).catch(() => {}))],
  [true, (std) => std.assertThrows(() => raiseText())],
  [false, (std) => std.assertThrows(() => raiseText(), Error)],
  [true, (std) => std.assertStrictEquals(std.assertThrows(raise, RangeError), error)],
  [true, (std) => std.assertRejects(() => Promise.reject(error))],
  [true, (std) => std.assertRejects(() => Promise.reject(error), RangeError, "of range")],
  [false, (std) => std.assertRejects(() => Promise.reject(error), TypeError)],
  [false, (std) => std.assertRejects(() => Promise.reject(error), RangeError, "in range")],
  [false, (std) => std.assertRejects(() => Promise.reject("text"), Error)],
  [false, (std) => std.assertRejects(() => Promise.resolve(1))],
  [false, (std) => std.assertRejects(raise)],
  [true, async (std) => std.assertStrictEquals(await std.assertRejects(() => Promise.reject(error)), error)],
  [false, (std) => std.fail("never")],
  [false, (std) => std.unreachable()],
];

function raiseText() {
  throw "text";
}

/** What `console.log` is called with while a function runs. */
function printed(run: () => void): unknown[] {
  const lines: unknown[] = [];
  const { log } = console;
  console.log = (line) => lines.push(line);
  try {
    run();
  } finally {
    console.log = log;
  }
  return lines;
}

function contract(name: string, std: Std) {
  const { basename } = std["jsr:@std/path@^1.1.0/windows"];
  const { AssertionError } = std["jsr:@std/assert@^1.0.0"];
  const { ConsoleHandler, getLogger, setup } = std["jsr:@std/log@^0.224.14"];

  Deno.test(`@std/path, ${name}`, () => {
    const call = (key: typeof PATHS[0][0], args: string[]) =>
      (std["jsr:@std/path@^1.1.0/windows"][key] as (...args: string[]) => string | boolean)(...args);
    deepStrictEqual(PATHS.map(([key, args]) => [key, args, call(key, args)]), PATHS);
    deepStrictEqual(["\\a", "/a", "b"].map((path) => basename(path)), ["a", "a", "b"]);
  });

  Deno.test(`@std/uuid, ${name}`, async () => {
    const { generate } = std["jsr:@std/uuid@^1.0.0/v5"];
    for (const [namespace, text, id] of GENERATED) {
      deepStrictEqual(await generate(namespace, new TextEncoder().encode(text)), id);
    }
    await rejects(generate("CIM", new Uint8Array()), TypeError);
  });

  Deno.test(`@std/assert, ${name}`, async () => {
    for (const [passes, run] of ASSERTIONS) {
      let thrown: unknown;
      try {
        await run(std["jsr:@std/assert@^1.0.0"]);
      } catch (error) {
        thrown = error;
      }
      const found = thrown === undefined
        ? true
        : thrown instanceof AssertionError && thrown.name === "AssertionError"
        ? false
        : thrown;
      deepStrictEqual(found, passes, `${run}: ${thrown}`);
    }
    deepStrictEqual(new AssertionError("a", { cause: error }).cause, error);
  });

  Deno.test(`@std/assert says what differs, ${name}`, () => {
    for (const [actual, expected] of [[{ id: "one", other: 1 }, { id: "two", other: 1 }], ["one", "two"]]) {
      try {
        std["jsr:@std/assert@^1.0.0"].assertEquals<unknown>(actual, expected, "told");
      } catch (error) {
        for (const part of [": told", "one", "two"]) ok(stripVTControlCharacters(String(error)).includes(part));
        continue;
      }
      ok(false);
    }
  });

  Deno.test(`@std/log, ${name}`, () => {
    const lines: string[] = [];
    class Handler extends ConsoleHandler {
      override log(line: string) {
        lines.push(line);
      }
    }
    const before = getLogger("contract");
    deepStrictEqual([before.levelName, before.loggerName, before.handlers], ["NOTSET", "contract", []]);
    deepStrictEqual(printed(() => before.error("silent")), []);
    deepStrictEqual(before.info(() => "made"), "made");
    ok(getLogger("contract") === before);
    try {
      setup({
        handlers: { all: new Handler("DEBUG", { useColors: false }), console: new ConsoleHandler("WARN") },
        loggers: { contract: { level: "INFO", handlers: ["all", "console", "none"] }, other: { level: "DEBUG" } },
      });
      const logger = getLogger("contract");
      ok(logger !== before);
      before.error("not set up");
      getLogger("other").error("no handlers");
      const output = printed(() => {
        logger.debug(() => lines.push("not called"));
        logger.info("info", { ignored: true });
        logger.warn(() => ({ path: "C:\\é", size: 1n, nested: { none: null } }));
        logger.error(7);
        logger.critical(undefined);
      });
      deepStrictEqual(lines, [
        "INFO info",
        'WARN {"path":"C:\\é","size":1,"nested":{"none":null}}',
        "ERROR 7",
        "CRITICAL undefined",
      ]);
      deepStrictEqual(output.map((line) => stripVTControlCharacters(String(line))), lines.slice(1));
      printed(() => logger.error(error));
      deepStrictEqual(lines.at(-1), `ERROR ${error.stack}`);
      deepStrictEqual([logger.debug("value"), logger.debug(() => "value")], ["value", undefined]);
      logger.levelName = "DEBUG";
      logger.debug("shown");
      deepStrictEqual(lines.at(-1), "DEBUG shown");
      deepStrictEqual(printed(() => (getLogger().debug("no"), getLogger().info("yes"))).length, 1);
      setup({
        handlers: {
          all: new Handler("INFO", {
            useColors: false,
            formatter: ({ level, levelName, loggerName, msg, args, datetime }) =>
              JSON.stringify([level, levelName, loggerName, msg, args, datetime instanceof Date]),
          }),
        },
        loggers: { contract: { handlers: ["all"] } },
      });
      getLogger("contract").warn("formatted", 1, "two");
      deepStrictEqual(lines.at(-1), '[30,"WARN","contract","formatted",[1,"two"],true]');
    } finally {
      setup({});
    }
  });
}

/** Whether a specifier leads to its stand-in here: `task test` sees to it that it doesn't where JSR answers. */
function standsIn(key: keyof Std): boolean {
  return import.meta.resolve(key) === new URL(map.imports[key], new URL("../std/", import.meta.url)).href;
}

const keys = Object.keys(standIns) as (keyof Std)[];

Deno.test("the maps and the linked packages have all modules, or none", () => {
  deepStrictEqual(Object.keys(map.imports), keys);
  deepStrictEqual(Object.keys(jsr.imports), keys);
  deepStrictEqual(keys.filter(standsIn), keys.some(standsIn) ? keys : []);
});

contract("the stand-ins", standIns);

if (keys.some(standsIn)) {
  const name =
    "the real @std packages: not compared, for the stand-ins are in use (`task test` asks whether JSR answers)";
  Deno.test({ name, ignore: true, fn() {} });
} else {
  const packages = await Promise.all(keys.map(async (key) => [key, await import(key)]));
  contract("the real packages", Object.fromEntries(packages));
}
