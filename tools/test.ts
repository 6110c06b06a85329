/**
 * `deno task test`: the checks and all tiers of tests that this machine can run, and their sum.
 * With arguments only those named: checks, tier1, tier2, tier3.
 *
 * @module
 */

import config from "../deno.json" with { type: "json" };

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const SECTIONS: Record<string, () => Promise<void>> = { checks, tier1, tier2, tier3 };
const ROOT = `${import.meta.dirname}/..`;

const total: Counts = { passed: 0, failed: 0, skipped: 0 };

async function checks(): Promise<void> {
  heading("Checks");
  await check("fmt", "--check");
  await check("lint");
  await check("check", ...await std(), ".");
  await check("doc", "--lint", ...Object.values(config.exports));
  await check("publish", "--dry-run", "--allow-dirty");
}

async function tier1(): Promise<void> {
  heading("Tier 1: on the simulated host");
  // The checks have looked at the types of these files; at those of the examples only their run does.
  const args = ["test", "-A", "--no-check", ...await std(), ...REPORT];
  // The proofs take about as long as everything else, on a processor of their own.
  const proofs: string[] = [];
  const proven = suite([...args, "tests/proofs"], (line) => void proofs.push(line));
  await suite([...args, "--ignore=tests/wine,tests/real,tests/proofs", "tests"]);
  await proven;
  proofs.forEach(show);
  heading("Examples of the documentation");
  await suite(["test", "-A", ...await std(), ...REPORT, "--doc", "mod.ts", "src"]);
}

async function tier2(): Promise<void> {
  heading("Tier 2: the Windows build of Deno under Wine, on recording DLLs");
  if (await suite(["run", "-A", "tests/wine/main.ts"])) {
    heading("Tier 2: recorded runs");
    await suite(["run", "-A", "tests/vectors/main.ts", "--wine"]);
  }
}

async function tier3(): Promise<void> {
  heading("Tier 3: on a real Windows host");
  if (Deno.env.get("HCS_LAYERS_REAL_HOST") === "1") {
    await suite(["test", "-A", ...await std(), ...REPORT, "tests/real"]);
  } else {
    skip("tier 3 skipped: it is for Windows hosts, where HCS_LAYERS_REAL_HOST=1 asks for it (see CONTRIBUTING.md)");
  }
}

const REPORT = ["--quiet", "--reporter=dot"];

let stdFlags: Promise<string[]> | undefined;

/** The flags with which Deno takes the `@std` packages from where they can be had. */
function std(): Promise<string[]> {
  return stdFlags ??= (async () => {
    const command = deno(["run", "--quiet", "--allow-env=HCS_LAYERS_STD", "tools/std.ts"], "inherit");
    const { stdout } = await command.output();
    return new TextDecoder().decode(stdout).split(/\s+/).filter((flag) => flag !== "");
  })();
}

function deno(args: string[], stderr: "inherit" | "piped"): Deno.Command {
  const env = { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" };
  return new Deno.Command(Deno.execPath(), { args, cwd: ROOT, env, stdin: "null", stdout: "piped", stderr });
}

/** Runs something that counts as one test, and shows what it says only if it fails. */
async function check(...args: string[]): Promise<void> {
  const start = performance.now();
  const { success, stdout, stderr } = await deno(args, "piped").output();
  const name = `deno ${args.join(" ")}`;
  if (success) {
    total.passed++;
    console.log(`ok      ${name} (${seconds(start)})`);
  } else {
    total.failed++;
    const text = new TextDecoder();
    console.log(`FAILED  ${name} (${seconds(start)})\n${text.decode(stdout)}${text.decode(stderr)}`);
  }
}

/** Runs a suite of tests, shows what it says, and adds what it counted. Answers whether it wasn't skipped as a whole. */
async function suite(args: string[], tell: (line: string) => void = show): Promise<boolean> {
  const start = performance.now();
  const child = deno(args, "inherit").spawn();
  let counts: Counts | undefined;
  let skipped = false;
  for await (const line of lines(child.stdout)) {
    counts = countsOf(line) ?? counts;
    if (/^tier \d skipped: /.test(line)) {
      skipped = true;
      skip(line);
    } else {
      tell(line);
    }
  }
  const { success } = await child.status;
  if (skipped && success) return false;
  counts ??= { passed: 0, failed: 0, skipped: 0 };
  // A program that ended badly, or that counted nothing, has not shown what it was to show.
  if (counts.failed === 0 && (!success || counts.passed === 0)) {
    counts.failed = 1;
    tell(`FAILED  deno ${args.join(" ")}`);
  }
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped;
  tell(`(${seconds(start)})`);
  return true;
}

/** The counts in the last line of a run: of `deno test`, or of our own programs. */
function countsOf(line: string): Counts | undefined {
  const match = /^(?:(?:ok|FAILED) \| )?(\d+) passed\b.*?\b(\d+) failed\b(?:.*?\b(\d+) (?:ignored|skipped)\b)?/.exec(
    line,
  );
  return match ? { passed: Number(match[1]), failed: Number(match[2]), skipped: Number(match[3] ?? 0) } : undefined;
}

async function* lines(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + chunk).split(/\r?\n/);
    rest = parts.pop()!;
    yield* parts;
  }
  if (rest !== "") yield rest;
}

let column = 0;

/** Prints a line. The dots of `deno test`, one a line where it writes to a pipe, go beside each other. */
function show(line: string): void {
  const dot = /^[.,!]$/.test(line);
  const text = dot && column < 100 ? line : `${column > 0 ? "\n" : ""}${line}${dot ? "" : "\n"}`;
  Deno.stdout.writeSync(new TextEncoder().encode(text));
  column = !dot ? 0 : column < 100 ? column + 1 : 1;
}

function heading(text: string): void {
  console.log(`\n${text}`);
}

function skip(sentence: string): void {
  total.skipped++;
  console.log(sentence);
}

function seconds(start: number): string {
  return `${((performance.now() - start) / 1000).toFixed(1)} s`;
}

const names = Deno.args.length > 0 ? Deno.args : Object.keys(SECTIONS);
const wrong = names.find((name) => SECTIONS[name] === undefined);
if (wrong !== undefined) {
  console.error(`There is no "${wrong}" to run, but ${Object.keys(SECTIONS).join(", ")}`);
  Deno.exit(2);
}
for (const name of names) await SECTIONS[name]!();
const skippedPart = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
console.log(`\n${total.passed} passed, ${total.failed} failed${skippedPart}`);
Deno.exitCode = total.failed > 0 ? 1 : 0;
