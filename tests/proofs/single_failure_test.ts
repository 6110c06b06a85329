// Every single failure of every native call of a mount with a mount point, and of its release.
import { assert, assertEquals } from "jsr:@std/assert@^1.0.0";
import { type MountedLayers, mountWCOWLayers, unmountWCOWLayers } from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { MOUNT, SCRATCH, STACK, stackHost } from "../support/host.ts";

const CODES = [5, 21, 1167, 0x91, 0x3];

// Functions that have no failure, and those by which a handle or memory is given back, of which nothing else is left then.
const INFALLIBLE = [
  "GetLastError",
  "lstrlenW",
  "copyIn",
  "copyOut",
  "CoTaskMemFree",
  "LocalFree",
  "GetCurrentProcessId",
  "GetSystemTimeAsFileTime",
];

interface Run {
  readonly host: SimulatedHost;
  /** The nth call of this function fails. */
  readonly fail?: { readonly function: string; readonly code: number; readonly nth: number };
  /** How what is mounted is given back. */
  readonly giveBack: (host: SimulatedHost, layers: MountedLayers) => Promise<unknown>;
}

async function run({ host, fail, giveBack }: Run): Promise<void> {
  if (fail !== undefined) host.fail(fail);
  let layers: MountedLayers;
  try {
    layers = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  } catch (error) {
    assert(error instanceof Error);
    if ("release" in error) await (error as unknown as MountedLayers).release();
    return;
  }
  try {
    await giveBack(host, layers);
  } catch {
    await giveBack(host, layers);
  }
}

const WAYS: [how: string, giveBack: Run["giveBack"]][] = [
  ["release()", (_host, layers) => layers.release()],
  ["unmountWCOWLayers()", (host) => unmountWCOWLayers(SCRATCH, { host, volumeMountPath: MOUNT })],
];

for (const existing of [[], ["C:\\mnt"], [MOUNT]]) {
  for (const [how, giveBack] of WAYS) {
    Deno.test(`nothing is left by any single failure of a mount and its ${how}, with ${existing.length ? existing : "no folder"} before`, async () => {
      const prepared = () => {
        const host = stackHost();
        existing.forEach((folder) => host.addFolder(folder));
        return host;
      };
      const probe = prepared();
      const before = probe.paths();
      await run({ host: probe, giveBack });
      assertEquals([probe.held(), probe.paths(), probe.allocations], [[], before, 1]);
      const counts = new Map<string, number>();
      const left: string[] = [];
      for (const { function: fn } of probe.calls) {
        const nth = (counts.get(fn) ?? 0) + 1;
        counts.set(fn, nth);
        if (INFALLIBLE.includes(fn)) continue;
        for (const code of CODES) {
          const host = prepared();
          const what = `${fn} #${nth} with ${code}`;
          try {
            await run({ host, fail: { function: fn, code, nth }, giveBack });
          } catch (error) {
            left.push(`${what}: ${error}`);
          }
          // Where CloseHandle itself fails, the handle is as good as lost.
          const held = host.held().filter(({ kind }) =>
            kind !== "handle" || !["CloseHandle", "FindClose"].includes(fn)
          );
          const lost = before.filter((path) => !host.exists(path));
          if (held.length > 0) left.push(`${what}: ${held.map(({ kind, target }) => `${kind} ${target}`)}`);
          if (lost.length > 0) left.push(`${what} lost: ${lost}`);
          if (host.allocations > 1) left.push(`${what}: ${host.allocations} allocations`);
        }
      }
      assertEquals(left, []);
    });
  }
}
