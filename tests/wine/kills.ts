/**
 * `deno task test:kills:wine`: processes under Wine that mount and release are killed at random moments, and `deno task recover`
 * gives back what each held. The recording DLLs keep no state: what is held, their trace tells.
 *
 * @module
 */

import { type Findings, type ProofOptions, randomOf, report } from "../proofs/report.ts";
import { Stage } from "./across.ts";
import { heldAfter } from "./inside/trace.ts";
import { CHECKOUT, DENO_EXE, prepareWine, SYSTEM32, type WineRoot } from "./prepare.ts";

const LONGEST_MS = 1000;

/** Kills a process so many milliseconds after it has begun. Returns how many calls it had made, and what was wrong after recovery. */
export async function killAfter(
  wine: WineRoot,
  ms: number,
): Promise<{ readonly calls: number; readonly held: number; readonly complaints: readonly string[] }> {
  const stage = new Stage(wine);
  const child = wine.spawn(DENO_EXE, [
    ...["run", "--no-prompt", "--allow-env=SystemRoot", `--allow-ffi=${SYSTEM32}`],
    ...[`${CHECKOUT}\\tests\\wine\\inside\\cycle_forever.ts`, ...stage.operands("mount")],
  ], { env: stage.env, stdout: "piped", stderr: "inherit" });
  const reader = child.stdout.getReader();
  await reader.read();
  await new Promise((resolve) => setTimeout(resolve, ms));
  child.kill("SIGKILL");
  await reader.cancel();
  await child.status;
  const before = stage.calls;
  const { code, stderr } = await wine.run(["task", "--quiet", "recover"], { env: stage.env });
  const complaints = code === 0 && stderr === "" ? [] : [`recover ends with ${code}: ${stderr}`];
  const held = heldAfter(stage.calls);
  if (held.length > 0) complaints.push(`still held: ${held}`);
  const list = await wine.run(["task", "--quiet", "list"], { env: stage.env });
  if (list.stdout !== "" || list.code !== 0) {
    complaints.push(`list ends with ${list.code}: ${list.stdout}${list.stderr}`);
  }
  return { calls: before.length, held: heldAfter(before).length, complaints };
}

async function kills({ full, count = full ? 200 : 10, ...options }: ProofOptions): Promise<Findings> {
  const wine = await prepareWine();
  if ("skipped" in wine) return { covered: [`skipped: ${wine.skipped}`], leaks: [] };
  await using _ = wine;
  const random = randomOf(options);
  const leaks: string[] = [];
  const held: number[] = [];
  for (let kill = 0; kill < count; kill++) {
    const ms = random(LONGEST_MS);
    const killed = await killAfter(wine, ms);
    held.push(killed.held);
    leaks.push(
      ...killed.complaints.map((complaint) => `killed after ${ms} ms and ${killed.calls} calls: ${complaint}`),
    );
  }
  const counts = [0, 1, 2].map((n) => `${held.filter((other) => other === n).length} with ${n}`);
  return { covered: [`${count} processes killed under Wine, ${counts.join(", ")} things held`], leaks };
}

if (import.meta.main) await report(kills);
