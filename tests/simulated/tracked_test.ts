import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { tracked } from "../../src/simulated/tracked.ts";

interface State {
  nodes: Record<string, { path: string; streams?: Record<string, string>; by?: { call: number } }>;
  volumes: string[];
  time: number;
}

Deno.test("tracked() tells the table and the key of each change, and of nothing else", () => {
  const state: State = { nodes: { a: { path: "a", streams: {} } }, volumes: ["v"], time: 0 };
  const told: string[] = [];
  const proxy = tracked(state, (table, key) => told.push(`${table} ${key}`));
  const changes: [() => unknown, string[]][] = [
    [() => proxy.nodes["a"]!.path, []],
    [() => JSON.stringify(proxy), []],
    [() => proxy.nodes["b"] = { path: "b" }, ["nodes b"]],
    [() => proxy.nodes["a"]!.path = "c", ["nodes a"]],
    [() => proxy.nodes["a"]!.streams!["s"] = "text", ["nodes a"]],
    [() => delete proxy.nodes["a"]!.streams!["s"], ["nodes a"]],
    [() => delete proxy.nodes["a"], ["nodes a"]],
    [() => proxy.time = 5, ["time undefined"]],
    [() => proxy.volumes = proxy.volumes.filter((name) => name !== "v"), ["volumes undefined"]],
    [() => proxy.nodes = {}, ["nodes undefined"]],
  ];
  for (const [change, expected] of changes) {
    change();
    assertEquals(told.splice(0), expected, String(change));
  }
  proxy.volumes.push("w");
  assertEquals([new Set(told), state], [
    new Set(["volumes undefined"]),
    { nodes: {}, volumes: ["w"], time: 5 },
  ]);
});

Deno.test("what is taken from a tracked object is a copy where it is stored, as JSON has it", () => {
  const state: State = { nodes: { a: { path: "a", by: { call: 1 } } }, volumes: [], time: 0 };
  const told: string[] = [];
  const proxy = tracked(state, (table, key) => told.push(`${table} ${key}`));
  proxy.nodes["b"] = { ...proxy.nodes["a"]!, path: "b" };
  proxy.nodes["c"] = proxy.nodes["b"];
  told.length = 0;
  proxy.nodes["b"].by!.call = 2;
  assertEquals(told, ["nodes b"]);
  assertEquals(structuredClone(state).nodes["c"], { path: "b", by: { call: 1 } });
});
