/**
 * `deno task observe`: asks this Windows what it does, and compares that with the simulated host.
 *
 * @module
 */

import type { Host } from "../mod.ts";
import type { CompletedCall, ObservedAnswers, SimulatedHost } from "../src/simulated/mod.ts";
import type { Report, Request } from "./observe/observation.ts";
import type { Rule } from "./observe/rule.ts";
import { type Arguments, HOST_HELP, HOST_OPTIONS, type Job, main, type Result } from "./support/command.ts";
import { CommandError, UsageError } from "./support/errors.ts";
import { openHost } from "./support/host.ts";
import { program } from "./support/program.ts";
import { columns } from "./support/text.ts";
import { windowsPath } from "./support/windows_path.ts";

const FOLDER = "C:\\hcs-layers-observe";
const WINDOWS = "C:\\Windows";
const REPORT = "observe.json";
const MARKDOWN = "observe.md";

const help = `\
Asks this Windows what it does in the situations that the simulated host knows, or doesn't, and writes what it found.
It works in a folder of its own, removes all that it has created after each question, and only reads the layers. It
needs an elevated process. Run it on a host for tests, with --dry-run first.

Usage: ${program("observe")} [OPTION]... LAYER...

  LAYER                folder of a read-only layer, the topmost first, the base layer last

  --dry-run            print what it would call, and change nothing
  --only=RULE,...      ask these rules only; RULE can be the part before the dot
  --folder=FOLDER      where to create all: ${FOLDER} if not given. It must not exist, or be an empty one that
                       this command has created
  --vm-base=LAYER      ask what needs a VM too: folder of a base layer with its folder UtilityVM. Each of these rules
                       creates a Windows VM. Needs --allow-ffi without a path
  --report=FILE        where the report goes as JSON: ${REPORT} if not given. It must not exist
  --markdown=FILE      where the report goes for people: ${MARKDOWN} if not given. It must not exist. Another FILE has
                       to be granted, each with --allow-write=FILE
  --answers=FILE       with --simulate: the report of a real host, whose answers the simulated host then gives. FILE has
                       to be granted: --allow-read=FILE
${HOST_HELP}

Examples:
  ${program("observe")} --dry-run C:/layers/servercore
  ${program("observe")} C:/layers/app C:/layers/servercore
  ${program("observe")} --only=ActivateLayer,PrepareLayer.twice C:/layers/servercore`;

interface ObserveRequest {
  readonly layers: readonly string[];
  readonly folder: string;
  readonly only: readonly string[] | undefined;
  readonly vmBase: string | undefined;
  readonly dryRun: boolean;
  readonly reportFile: string;
  readonly markdownFile: string;
  readonly simulate: string | undefined;
  readonly answersFile: string | undefined;
}

function plan({ values, has, positionals }: Arguments): Job {
  if (positionals.length === 0) throw new UsageError("observe needs the folder of one LAYER or more");
  const words = positionals.map((_, i) => wordFor(positionals, i));
  const layers = positionals.map((path, i) => windowsPath(path, words[i]!));
  const folder = windowsPath(values.folder ?? FOLDER, "--folder");
  requireApart(folder, layers);
  const { simulate, answers, only, report = REPORT, markdown = MARKDOWN, "vm-base": vmBase } = values;
  if (answers !== undefined && simulate === undefined) throw new UsageError("--answers goes with --simulate");
  const request: ObserveRequest = {
    layers,
    folder,
    only: only?.split(","),
    vmBase: vmBase === undefined ? undefined : windowsPath(vmBase, "--vm-base"),
    dryRun: has("dry-run"),
    reportFile: report,
    markdownFile: markdown,
    simulate,
    answersFile: answers,
  };
  return {
    run: (signal) => run(request, signal),
    words: {
      ...Object.fromEntries(words.map((word, i) => [`layers[${i}]`, word])),
      vmBase: "--vm-base",
      folder: "--folder",
    },
  };
}

function wordFor(layers: readonly string[], i: number): string {
  return layers.length === 1 ? "LAYER" : `LAYER ${i + 1}`;
}

function requireApart(folder: string, layers: readonly string[]): void {
  for (const [i, layer] of layers.entries()) {
    const [a, b] = [`${layer}\\`.toLowerCase(), `${folder}\\`.toLowerCase()];
    if (a.startsWith(b) || b.startsWith(a)) {
      throw new UsageError(`--folder and ${wordFor(layers, i)} are in each other: ${folder}`);
    }
  }
}

async function run(request: ObserveRequest, signal: AbortSignal): Promise<Result> {
  const rules = await selected(request.only);
  const { populate } = await import("./observe/reference.ts");
  const { layers, vmBase, simulate, answersFile } = request;
  const host = await openHost({
    command: "observe",
    simulate,
    ...(answersFile !== undefined && { answers: await answersIn(answersFile) }),
    call: () => Promise.resolve(),
    populate: (machine: SimulatedHost) => populate(machine, { layers, systemRoot: WINDOWS, vmBase }),
  });
  const realLayers = await requireHost(host, layers, vmBase);
  const { realFolder } = await import("../src/checks/real_path.ts");
  const folder = realFolder(host, request.folder, "folder");
  requireApart(folder, realLayers);
  const systemRoot = simulate === undefined ? Deno.env.get("SystemRoot") ?? WINDOWS : WINDOWS;
  const asked = { host, rules, layers: realLayers, folder, vmBase, systemRoot, signal };
  if (request.dryRun) return await rehearsal(asked);

  const { observe } = await import("./observe/observation.ts");
  const { enablePrivileges } = await import("../src/storage/mod.ts");
  const { default: { version } } = await import("../deno.json", { with: { type: "json" } });
  using files = new ReportFiles(request);
  // Reading the files of layers takes them, and only an elevated process has them.
  using _privileges = enablePrivileges(["SeBackupPrivilege", "SeRestorePrivilege"], { host });
  using line = progressLine();
  const progress = (rule: Rule, i: number) => line?.show(`${i + 1} of ${rules.length}: ${rule.id}`);
  const about = { tool: `hcs-layers ${version}`, isSimulated: simulate !== undefined };
  const report = await observe({ ...asked, ...(line && { progress }) }, about);
  const { summary, markdown } = await import("./observe/markdown.ts");
  files.write(report, markdown(report));
  const text = `${summary(report)}\n${request.reportFile}\n${request.markdownFile}`;
  if (report.left.length > 0) {
    const [first] = report.left;
    const holds = report.left.map(({ hold }) => hold);
    throw new CommandError(
      `Not all could be cleaned up: ${first!.because}. What was found is in ${request.reportFile}`,
      {
        holds,
      },
    );
  }
  if (report.interrupted) throw signal.reason;
  return { text, json: report };
}

async function selected(only: readonly string[] | undefined): Promise<readonly Rule[]> {
  const { RULES } = await import("./observe/rules.ts");
  if (only === undefined) return RULES;
  const matches = (rule: Rule, name: string) => rule.id === name || rule.id.startsWith(`${name}.`);
  for (const name of only) {
    if (!RULES.some((rule) => matches(rule, name))) throw new UsageError(`There is no rule ${name}`);
  }
  return RULES.filter((rule) => only.some((name) => matches(rule, name)));
}

async function answersIn(file: string): Promise<ObservedAnswers> {
  try {
    return JSON.parse(await Deno.readTextFile(file));
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) {
      throw new CommandError(`A permission is missing. Start Deno with --allow-read=${file}`, { cause });
    }
    throw new CommandError(`${file} can't be read: ${(cause as Error).message}`, { cause });
  }
}

/**
 * Throws before anything is called that changes something, if a permission or a layer is missing. Returns the paths of the
 * layers by which Windows knows them.
 */
async function requireHost(host: Host, layers: readonly string[], vmBase: string | undefined): Promise<string[]> {
  const { requireGrants } = await import("../src/ffi/host.ts");
  const { existingParents, requireKind } = await import("../src/checks/existing.ts");
  const { advapi32 } = await import("../src/ffi/advapi32.ts");
  const { cimfs } = await import("../src/ffi/cimfs.ts");
  const { computestorage } = await import("../src/ffi/computestorage.ts");
  const { kernel32 } = await import("../src/ffi/kernel32.ts");
  const { ntdll } = await import("../src/ffi/ntdll.ts");
  const { ole32 } = await import("../src/ffi/ole32.ts");
  const { virtdisk } = await import("../src/ffi/virtdisk.ts");
  const { vmcompute } = await import("../src/ffi/vmcompute.ts");
  requireGrants(host, [kernel32, ntdll, advapi32, vmcompute, virtdisk, computestorage, cimfs, ole32]);
  if (vmBase !== undefined) requireKind(host, `${vmBase}\\UtilityVM`, "vmBase", "folder");
  return existingParents(host, layers, "layers");
}

// Calls that look, or that have to do with memory alone.
const LOOKS =
  /^(Get(?!LayerMountPath)|Find|Format|lstrlen|copy(In|Out)|Local|CoTask|NameToGuid|Rtl|Reg|Enable|Close(?!Handle))/;

// A file that is opened without access, and closed, is looked at as well.
function withoutLooks(calls: readonly CompletedCall[]): CompletedCall[] {
  let looking = 0;
  return calls.filter(({ function: fn, args }) => {
    if (fn === "CreateFileW" && args["access"] === 0) looking++;
    else if (fn === "CloseHandle" && looking > 0) looking--;
    else return !LOOKS.test(fn);
    return false;
  });
}

async function rehearsal(asked: Request): Promise<Result> {
  const { rehearse } = await import("./observe/observation.ts");
  const { shown } = await import("./observe/markdown.ts");
  const played = (await rehearse(asked)).map(({ rule, simulated: { outcome, calls } }) => ({
    rule: rule.id,
    asks: rule.asks,
    simulated: outcome,
    calls: grouped(
      withoutLooks(calls).map(({ function: fn, args }) => {
        const on = [
          args["id"],
          args["path"],
          args["volumeMountPoint"],
          args["volumeName"],
          args["imagePath"],
          args["filepath"],
        ]
          .find((value) => typeof value === "string");
        return on === undefined ? fn : `${fn} ${on}`;
      }),
    ),
  }));
  const text = played.flatMap(({ rule, asks, simulated, calls }) => [
    `${rule}: ${asks}`,
    `  simulated: ${shown(simulated)}`,
    ...calls.map((call) => `  ${call}`),
  ]);
  const never = asked.rules.filter((rule) => rule.never !== undefined);
  if (never.length > 0) {
    text.push("", "Never asked of a host:", columns(never.map(({ id, never }) => [id, never!]), "  "));
  }
  return { text: text.join("\n"), json: { rules: played } };
}

/** The same calls in a row as one. */
function grouped(calls: readonly string[]): string[] {
  const groups: [string, number][] = [];
  for (const call of calls) {
    const last = groups.at(-1);
    if (last?.[0] === call) last[1]++;
    else groups.push([call, 1]);
  }
  return groups.map(([call, times]) => times === 1 ? call : `${call}, ${times} times`);
}

/** The files of the report, opened before anything is asked, so that no answer is lost for want of a permission. */
class ReportFiles implements Disposable {
  readonly #files: { readonly path: string; readonly file: Deno.FsFile }[] = [];
  #written = false;

  constructor({ reportFile, markdownFile }: ObserveRequest) {
    try {
      for (const path of [reportFile, markdownFile]) {
        this.#files.push({ path, file: Deno.openSync(path, { write: true, createNew: true }) });
      }
    } catch (cause) {
      this[Symbol.dispose]();
      const path = [reportFile, markdownFile][this.#files.length]!;
      if (cause instanceof Deno.errors.NotCapable) {
        throw new CommandError(`A permission is missing. Start Deno with --allow-write=${path}`, { cause });
      }
      throw new CommandError(`${path} can't be created: ${(cause as Error).message}`, { cause });
    }
  }

  write(report: Report, markdown: string): void {
    for (const [i, text] of [`${JSON.stringify(report, null, 2)}\n`, markdown].entries()) {
      const bytes = new TextEncoder().encode(text);
      for (let at = 0; at < bytes.length;) at += this.#files[i]!.file.writeSync(bytes.subarray(at));
    }
    this.#written = true;
  }

  [Symbol.dispose](): void {
    for (const { path, file } of this.#files) {
      file.close();
      if (!this.#written) Deno.removeSync(path);
    }
  }
}

/** A line that says which rule is played, if somebody can see it. */
function progressLine(): (Disposable & { show(text: string): void }) | undefined {
  if (!Deno.stderr.isTerminal()) return undefined;
  const show = (text: string) => void Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[K${text}`));
  return { show, [Symbol.dispose]: () => show("") };
}

if (import.meta.main) {
  const options = {
    ...HOST_OPTIONS,
    "dry-run": "boolean",
    only: "string",
    "vm-base": "string",
    folder: "string",
    report: "string",
    markdown: "string",
    answers: "string",
  } as const;
  await main({ help, options, plan });
}
