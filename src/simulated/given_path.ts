/**
 * Paths that a test gives to a simulated host.
 *
 * @module
 */

import { SimulationError } from "./simulation_error.ts";

const ROOT = /^(?:\\\\\?\\)?(?:[A-Za-z]:|UNC\\[^\\]+\\[^\\]+)(?=\\|$)|^\\\\[^\\?.][^\\]*\\[^\\]+/i;
// deno-lint-ignore no-control-regex
const FORBIDDEN = /[<>:"/|?*\x00-\x1f]/;

/** Returns a path without closing separators, or refuses one that is no full path of Windows. */
export function givenPath(path: string): string {
  const root = ROOT.exec(path)?.[0];
  if (root === undefined) refuse(path, `it doesn't begin with a drive (C:\\) or a share (\\\\server\\share\\)`);
  const names = path.slice(root.length).replace(/\\+$/, "").split("\\").slice(1);
  for (const name of names) {
    if (name === "" || name === "." || name === "..") refuse(path, `it has a part "${name}"`);
    const forbidden = FORBIDDEN.exec(name)?.[0];
    if (forbidden !== undefined) refuse(path, `no name can have ${JSON.stringify(forbidden)}`);
  }
  return [root, ...names].join("\\");
}

function refuse(path: string, why: string): never {
  throw new SimulationError(`${JSON.stringify(path)} can't be added: ${why}`);
}
