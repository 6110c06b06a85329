import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { firstOfAlike } from "./alike.ts";

Deno.test("failures are alike if the same follows wherever they come, and of one function alone", () => {
  const isFirst = firstOfAlike([
    { of: "recv", nth: 1, way: "denied", followed: "close" },
    { of: "recv", nth: 1, way: "late", followed: "close" },
    { of: "recv", nth: 1, way: "after", followed: "close" },
    { of: "recv", nth: 2, way: "denied", followed: "again, close" },
    { of: "recv", nth: 2, way: "late", followed: "again, close" },
    { of: "recv", nth: 2, way: "after", followed: "close" },
    { of: "send", nth: 1, way: "denied", followed: "close" },
  ]);
  const failures = ["recv denied", "recv late", "recv after", "recv unknown", "send denied", "bind denied"];
  assertEquals(
    failures.filter((failure) => {
      const [of = "", way = ""] = failure.split(" ");
      return isFirst({ of, nth: 2, way });
    }),
    ["recv denied", "recv after", "recv unknown", "send denied", "bind denied"],
  );
});
