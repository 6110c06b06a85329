import { assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { InvalidInputError } from "../../mod.ts";
import { messageOf, printable } from "../../src/errors/printable.ts";

const boom = () => {
  throw new Error("boom");
};
const refuses = new Proxy({}, {
  get: boom,
  getPrototypeOf: boom,
  has: boom,
  ownKeys: boom,
});
const circle: Record<string, unknown> = { name: "c" };
circle.self = [circle];
const twice = { a: 1 };
const revoked = Proxy.revocable([], {});
revoked.revoke();

const TEXTS: [value: unknown, text: string][] = [
  ["C:\\layers\\app", '"C:\\\\layers\\\\app"'],
  ["", '""'],
  ["a\x1b\x7f\x9b\u202eb", '"a\\u001b\\u007f\\u009b\\u202eb"'],
  [undefined, "undefined"],
  [null, "null"],
  [NaN, "NaN"],
  [true, "true"],
  [5n, "5n"],
  [Symbol("a"), "Symbol(a)"],
  [() => 1, "[function]"],
  [["C:\\s", 1n, undefined], '["C:\\\\s",1n,undefined]'],
  [{ kind: "filter", scratch: "C:\\s", n: { lun: 0n } }, '{"kind":"filter","scratch":"C:\\\\s","n":{"lun":0n}}'],
  [new URL("file:///a"), '"file:///a"'],
  [new Date(0), '"1970-01-01T00:00:00.000Z"'],
  [new Date(NaN), "null"],
  [new Uint8Array(3), "[3 bytes]"],
  [new TypeError("no"), "no"],
  [circle, '{"name":"c","self":[[circular]]}'],
  [[twice, twice], '[{"a":1},{"a":1}]'],
  [[[[[[[1]]]]]], "[[[[[[…]]]]]]"],
  [{ toString: boom, toJSON: boom }, "[unprintable]"],
  [{
    get a() {
      return boom();
    },
    b: 1,
  }, '{"a":[unprintable],"b":1}'],
  [refuses, "[unprintable]"],
  [[refuses, 1], "[[unprintable],1]"],
  [revoked.proxy, "[unprintable]"],
  [Object.create(null), "{}"],
];

Deno.test("printable() has a text for every value", () => {
  for (const [value, text] of TEXTS) assertEquals(printable(value), text);
});

Deno.test("printable() and messageOf() cut what is huge, and look at no more of it", () => {
  const endless: ProxyHandler<never[]> = {
    get: (target, key) => key === "length" ? 2 ** 32 - 1 : Reflect.get(target, key),
  };
  const deep: () => unknown = () => ({ toJSON: deep });
  const huge = [
    "x".repeat(1e6),
    new Array(2 ** 32 - 1),
    Array(1e6).fill("y".repeat(1e4)),
    Array(100).fill(Array(100).fill(Array(100).fill("z".repeat(100)))),
    new Proxy([], endless),
    deep(),
    new Error("w".repeat(1e6)),
  ];
  for (const value of huge) assertEquals(printable(value).length < 5000, true);
  assertEquals(messageOf("x".repeat(1e6)).length < 5000, true);
});

Deno.test("messageOf() is the message of an error, and the text of what else was thrown", () => {
  const odd = new Error("a");
  Object.defineProperty(odd, "message", { get: boom });
  const texts: [unknown, string][] = [
    [new RangeError("too far"), "too far"],
    [new RangeError(), "RangeError"],
    [new DOMException("stopped", "AbortError"), "stopped"],
    ["plain", "plain"],
    [undefined, "undefined"],
    [Symbol("s"), "Symbol(s)"],
    [{ toString: boom }, '{"toString":[function]}'],
    [odd, "[unprintable]"],
    [Object.assign(new Error("a"), { message: 5 }), "[unprintable]"],
    [refuses, "[unprintable]"],
  ];
  for (const [error, text] of texts) assertEquals(messageOf(error), text);
});

Deno.test("InvalidInputError can be made of any value, and keeps it", () => {
  for (const [value] of TEXTS) {
    const error = new InvalidInputError("path", "is not a path", value);
    assertStringIncludes(error.message, "path is not a path");
    assertEquals(Object.is(error.value, value), true);
  }
});
