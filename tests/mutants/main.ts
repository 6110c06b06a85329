/**
 * `deno task test:mutants [--changed=REV] [--only=N,N…] [--jobs=N]` plants the bugs of `mutants.ts` in a copy of the checkout,
 * one at a time, and runs the tests that should notice. It prints which test caught which, and ends with
 * `N caught, N survived`.
 *
 * - `--changed=REV`: only bugs whose file or tests differ from that revision
 * - `--only=N,N…`: only the bugs with these numbers
 * - `--jobs=N`: how many at a time; half of the processors if not given
 *
 * @module
 */

import { parseArgs } from "node:util";
import { type Mutant, MUTANTS, plant } from "./mutants.ts";

const CHECKOUT = `${import.meta.dirname}/../..`;
// A bug can make a test wait for ever.
const LIMIT_MS = 120_000;

interface Job {
  readonly number: number;
  readonly mutant: Mutant;
}

/** What the tests say: nothing, what has noticed first, or that something else went wrong. */
type Verdict = { readonly failed: string | undefined } | { readonly broken: string };

async function git(...args: string[]): Promise<string[]> {
  const { success, stdout } = await new Deno.Command("git", { args, cwd: CHECKOUT, stderr: "inherit" }).output();
  if (!success) throw new Error(`git ${args.join(" ")} has failed`);
  return new TextDecoder().decode(stdout).split("\0").filter((line) => line !== "");
}

async function chosen({ changed, only }: { changed?: string; only?: string }): Promise<Job[]> {
  const all = MUTANTS.map((mutant, i) => ({ number: i + 1, mutant }));
  const numbers = only?.split(",").map(Number);
  const files = changed === undefined ? undefined : new Set(await git("diff", "--name-only", "-z", changed));
  return all.filter(({ number, mutant: { file, tests } }) =>
    (numbers?.includes(number) ?? true) && (files === undefined || [file, ...tests].some((path) => files.has(path)))
  );
}

/** Copies what is in the checkout to a new folder. */
async function copyCheckout(): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "mutants-" });
  for (const path of await git("ls-files", "-z", "--cached", "--others", "--exclude-standard")) {
    const to = `${folder}/${path}`;
    await Deno.mkdir(to.slice(0, to.lastIndexOf("/")), { recursive: true });
    // A file that is deleted and not yet committed is listed too.
    await Deno.copyFile(`${CHECKOUT}/${path}`, to).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
  return folder;
}

const NEVER = new AbortController().signal;

async function run(folder: string, tests: readonly string[], limit: AbortSignal): Promise<Verdict> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", "--quiet", "--fail-fast", ...tests],
    cwd: folder,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    stdin: "null",
    signal: limit,
  }).output();
  if (success) return { failed: undefined };
  if (limit.aborted) return { failed: `a test that hangs, as all of them take more than ${LIMIT_MS / 1000} s` };
  const text = new TextDecoder().decode(stdout);
  const failed = /^(.+) => \.\/tests\/\S+:\d+:\d+$/m.exec(text)?.[1] ?? /^(.+) \.\.\. FAILED/m.exec(text)?.[1];
  return failed === undefined
    ? { broken: `no test has failed: ${new TextDecoder().decode(stderr)}${text}` }
    : { failed: `"${failed}"` };
}

async function runMutant(folder: string, { file, text, replacement, tests }: Mutant): Promise<Verdict> {
  const path = `${folder}/${file}`;
  const source = await Deno.readTextFile(path);
  try {
    await Deno.writeTextFile(path, plant(source, { file, text, replacement }));
    return await run(folder, tests, AbortSignal.timeout(LIMIT_MS));
  } finally {
    await Deno.writeTextFile(path, source);
  }
}

const { values } = parseArgs({
  options: { changed: { type: "string" }, only: { type: "string" }, jobs: { type: "string" } },
});
const jobs = await chosen(values);
const workers = Math.min(Number(values.jobs ?? Math.ceil(navigator.hardwareConcurrency / 2)), jobs.length);
let caught = 0;
let survived = 0;

/** Takes jobs until there are no more. */
async function work(folder: string): Promise<void> {
  for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
    const { number, mutant } = job;
    const start = performance.now();
    const verdict = await runMutant(folder, mutant);
    const time = `${((performance.now() - start) / 1000).toFixed(1)} s`;
    if ("failed" in verdict && verdict.failed !== undefined) {
      caught++;
      console.log(`caught    ${number} ${mutant.file}: ${mutant.breaks}\n          by ${verdict.failed} (${time})`);
    } else {
      survived++;
      console.log(`SURVIVED  ${number} ${mutant.file}: ${mutant.breaks} (${time})`);
      if ("broken" in verdict) console.log(verdict.broken);
    }
  }
}

const folders = await Promise.all(Array.from({ length: workers }, copyCheckout));
try {
  // A test that fails anyway would catch everything. All together they take as long as they take.
  const tests = [...new Set(jobs.flatMap(({ mutant }) => mutant.tests))];
  const sound: Verdict = tests.length === 0 ? { failed: undefined } : await run(folders[0]!, tests, NEVER);
  if ("broken" in sound || sound.failed !== undefined) {
    throw new Error(`without a bug, a test fails: ${"broken" in sound ? sound.broken : sound.failed}`);
  }
  await Promise.all(folders.map(work));
} finally {
  await Promise.all(folders.map((folder) => Deno.remove(folder, { recursive: true })));
}
console.log(`${caught} caught, ${survived} survived`);
Deno.exitCode = survived === 0 ? 0 : 1;
