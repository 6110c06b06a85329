import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { indexed, indexOf } from "../../src/simulated/state_index.ts";
import { newMachine, Windows, type WindowsState } from "../../src/simulated/windows.ts";

const VOLUME = (i: number) => `\\\\?\\Volume{00000000-0000-0000-0000-${`${i}`.padStart(12, "0")}}\\`;

/** A machine on which something is mounted so many times, and a count of what is read of its state. */
function machine(mounts: number): { windows: Windows; reads: () => number } {
  let reads = 0;
  const counted = <T extends object>(object: T): T =>
    new Proxy(object, {
      get: (target, name) => (reads++, Reflect.get(target, name)),
      ownKeys(target) {
        reads += Object.keys(target).length;
        return Reflect.ownKeys(target);
      },
    });
  const state = newMachine(20348, 2031);
  const tables = Object.entries(state).map((
    [name, table],
  ) => [name, typeof table === "object" ? counted(table) : table]);
  const windows = new Windows(indexed(Object.fromEntries(tables) as unknown as WindowsState), {
    process: 1,
    function: "",
    call: 1,
  });
  for (let i = 0; i < mounts; i++) {
    windows.addFolders(`C:\\mnt\\${i}`);
    windows.addVolume(VOLUME(i));
    windows.existing(`C:\\mnt\\${i}`, "stay").volume = VOLUME(i);
    windows.state.active[`c:\\s${i}`] = { path: `C:\\s${i}`, volume: VOLUME(i), activatedBy: windows.by };
    windows.state.overlays[VOLUME(i)] = { volume: VOLUME(i), layers: [`${VOLUME(i)}Files`], by: windows.by };
  }
  const index = indexOf(windows.state);
  // An index is made when it is first asked.
  index.childrenOf("c:\\mnt");
  index.treeAt("c:\\mnt\\0");
  index.mountPointsOf(VOLUME(0));
  index.overlaysOn(VOLUME(0));
  index.activeOn(VOLUME(0));
  return { windows, reads: () => reads };
}

Deno.test("what a machine is asked and told costs the same with 10 mounts on it and with 2,000", () => {
  const costs = [10, 2_000].map((mounts) => {
    const { windows, reads } = machine(mounts);
    const index = indexOf(windows.state);
    const steps: (() => unknown)[] = [
      () => windows.addFolders("C:\\mnt\\new\\folder"),
      () => windows.children("C:\\mnt\\new"),
      () => windows.isEmpty("C:\\mnt"),
      () => windows.names("C:\\mnt").next(),
      () => windows.remove("C:\\mnt\\new"),
      () => windows.addVolume(VOLUME(mounts)),
      () => windows.hasVolume(VOLUME(5)),
      () => windows.removeVolume(VOLUME(5)),
      () => windows.existing("C:\\mnt\\7\\"),
      () => index.mountPointsOf(VOLUME(6)),
      () => index.overlaysOn(VOLUME(6)),
      () => windows.state.active[index.activeOn(VOLUME(6))!]!.path,
      () => delete windows.state.overlays[VOLUME(6)],
      () => index.overlaysOn(VOLUME(6)),
    ];
    return steps.map((step) => {
      const before = reads();
      step();
      return `${reads() - before} ${step}`;
    });
  });
  assertEquals(costs[1], costs[0]);
});

Deno.test("an index follows each change of the state", () => {
  const { windows } = machine(3);
  const index = indexOf(windows.state);
  const node = windows.existing("C:\\mnt\\1", "stay");
  assertEquals(index.mountPointsOf(VOLUME(1)), ["c:\\mnt\\1"]);
  node.isUnlisted = true;
  assertEquals(index.mountPointsOf(VOLUME(1)), []);
  delete node.isUnlisted;
  node.volume = VOLUME(2);
  assertEquals([index.mountPointsOf(VOLUME(1)), index.mountPointsOf(VOLUME(2))], [[], ["c:\\mnt\\2", "c:\\mnt\\1"]]);
  windows.remove("C:\\mnt\\2");
  assertEquals([index.mountPointsOf(VOLUME(2)), index.childrenOf("c:\\mnt")], [["c:\\mnt\\1"], [
    "c:\\mnt\\0",
    "c:\\mnt\\1",
  ]]);
  windows.state.overlays = {};
  assertEquals(index.overlaysOn(VOLUME(0)), []);
  delete windows.state.active["c:\\s0"];
  assertEquals(index.activeOn(VOLUME(0)), undefined);
  windows.remove("C:\\mnt");
  assertEquals([index.treeAt("c:"), index.childrenOf("c:")], [["c:"], []]);
});
