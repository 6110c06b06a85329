/**
 * The code blocks of README.md and docs, and how each says what it is.
 *
 * The first word after the fence is the language; words after it say how the block is tried:
 *
 * | fence                 | how it is tried                                                                             |
 * | --------------------- | ------------------------------------------------------------------------------------------- |
 * | ` ```ts `             | a program: types are checked, then it runs without a grant                                  |
 * | ` ```sh `             | lines for any shell: they run in bash, and under Wine's cmd if all of them start with `deno` |
 * | ` ```cmd `            | lines for any shell of a Windows host: they run under Wine's cmd                            |
 * | ` ```powershell `     | not tried, as there is no PowerShell here                                                   |
 * | ` ```json `           | has to be JSON                                                                              |
 * | ` ```text `           | if only an empty line is between it and a block that runs: what that prints                 |
 * | ` ```ts main.ts `     | a file for the blocks after it in its section and those below; it isn't run by itself       |
 * | ` ```sh checkout `    | runs in a copy of the repository instead of an empty folder                                 |
 * | ` ```sh server `      | runs for as long as each of the blocks after it in its section                              |
 * | ` ```sh docker `      | runs with a stand-in for that program (programs.ts), so not under Wine; `ctr` likewise      |
 * | ` ```cmd bundle `     | runs beside what `deno task bundle` makes                                                   |
 *
 * Each block that runs has a folder of its own, with the files of its section before it and nothing else. Its parent
 * folder has what README says under "From a folder": deno.json, and the copy of this library.
 *
 * What is to be printed is in a `text` block, or in a comment behind `console.log(…);`. `…` stands for any text.
 *
 * @module
 */

/** A fenced code block of a document. */
export interface Block {
  /** The document, relative to the repository. */
  readonly file: string;
  /** The line of its opening fence. */
  readonly line: number;
  /** The headings it is under. */
  readonly section: string;
  readonly language: string;
  /** Name of the file that it is, if it is one. */
  readonly name: string | undefined;
  readonly checkout: boolean;
  readonly server: boolean;
  /** Whether it runs beside the bundled commands. */
  readonly bundle: boolean;
  /** The program that there is a stand-in for. */
  readonly standIn: "ctr" | "docker" | undefined;
  readonly text: string;
  /** What it prints, as the document says. */
  readonly output: string | undefined;
  /** The files of the section before it. */
  readonly files: readonly Block[];
  /** The servers that run meanwhile. */
  readonly servers: readonly Block[];
}

const ROOT = new URL("../../", import.meta.url);

/** The documents: README.md, and all in docs. */
export const DOCUMENTS: readonly string[] = ["README.md", ...markdownIn("docs")];

function markdownIn(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].flatMap(({ name, isDirectory }) =>
    isDirectory ? markdownIn(`${folder}/${name}`) : name.endsWith(".md") ? [`${folder}/${name}`] : []
  ).sort();
}

/** The blocks of a document, in order. */
export function blocksOf(file: string): Block[] {
  const lines = Deno.readTextFileSync(new URL(file, ROOT)).split("\n");
  const blocks: Block[] = [];
  let section = "";
  let files: (Block & { readonly level: number })[] = [];
  let servers: Block[] = [];
  let level = 0;
  let lastEnd = -1;
  for (let at = 0; at < lines.length; at++) {
    const heading = /^(#+) (.*)/.exec(lines[at]!);
    if (heading !== null) {
      level = heading[1]!.length;
      section = heading[2]!;
      files = files.filter((block) => block.level < level);
      servers = [];
    }
    const fence = /^( *)(```+)(.*)/.exec(lines[at]!);
    if (fence === null) continue;
    const [, indent, ticks, info] = fence as unknown as [string, string, string, string];
    const end = lines.indexOf(indent + ticks, at + 1);
    if (end < 0) throw new Error(`${file}:${at + 1}: the block doesn't end`);
    const [language = "", ...words] = info.trim().split(/\s+/);
    const text = lines.slice(at + 1, end).map((line) => line.slice(indent.length)).join("\n");
    const before = blocks.at(-1);
    if (language === "text" && before !== undefined && lines.slice(lastEnd + 1, at).every((line) => line === "")) {
      blocks[blocks.length - 1] = { ...before, output: text };
    }
    const block: Block = {
      file,
      line: at + 1,
      section,
      language,
      name: words.find((word) => word.includes(".")),
      checkout: words.includes("checkout"),
      server: words.includes("server"),
      bundle: words.includes("bundle"),
      standIn: (["ctr", "docker"] as const).find((program) => words.includes(program)),
      text,
      output: undefined,
      files: [...files],
      servers: [...servers],
    };
    blocks.push(block);
    if (block.server) servers.push(block);
    if (block.name !== undefined) files.push({ ...block, level });
    at = lastEnd = end;
  }
  return blocks;
}

/** The lines of a block, without empty ones. */
export function linesOf({ text }: Block): string[] {
  return text.split("\n").filter((line) => line.trim() !== "");
}

/** Whether a block is to run on a Windows host. */
export function runsOnWindows(block: Block): boolean {
  const { name, server, servers, standIn } = block;
  if (name !== undefined || server || servers.length > 0 || standIn !== undefined) return false;
  return block.language === "cmd" ||
    block.language === "sh" && linesOf(block).every((line) => line.startsWith("deno "));
}

/** Blocks that no test runs: how their first line begins, and why. */
export const NOT_RUN: readonly (readonly [start: string, why: string])[] = [
  ["npx -y deno@2.9 task test", "this test is a part of it; .ci/run has the same line"],
  ["deno add jsr:@hcs-layers/hcs-layers", "the package isn't published yet"],
  ["deno task bundle", "it takes esbuild from npm; tier 2 runs it for the files that it makes"],
  ["deno task compile", "it takes a runtime stub from dl.deno.land"],
  [
    "deno run --no-prompt --allow-read=C:/look/image",
    "Wine has no SetVolumeMountPointW; look.ts runs on a simulated host",
  ],
];

/** Whether a block is listed as one that no test runs. */
export function isNotRun({ text }: Block): boolean {
  return NOT_RUN.some(([start]) => text.startsWith(start));
}

/** Whether what was printed is what a document says, in which `…` stands for any text. Separators of paths are equal. */
export function matches(printed: string, said: string): boolean {
  const plain = (text: string) => text.replaceAll("\r\n", "\n").replaceAll("\\", "/").trim();
  const pattern = plain(said).split("…").map((part) => part.replace(/[\^$.*+?()[\]{}|]/g, "\\$&")).join("[^]*?");
  return new RegExp(`^${pattern}$`).test(plain(printed));
}

/** What the comments behind `console.log(…);` say that a program prints, in order. */
export function saidByComments({ text }: Block): string[] {
  return text.split("\n").flatMap((line) => /console\.log\(.*\);? \/\/ (.*)$/.exec(line)?.[1] ?? []);
}

/** Writes the files of the section before a block into a folder. */
export function writeFiles({ files }: Block, folder: string, languages = ["json", "ts"]): void {
  for (const { name, text, language } of files) {
    if (languages.includes(language)) Deno.writeTextFileSync(`${folder}/${name}`, `${text}\n`);
  }
}

const COPIED = ["deno.json", "mod.ts", "src", "std"];

// What the documents look into.
const IMAGES = "tests/files/cim/samples";

/** Copies what one needs of the repository to use the library; all of it but tests with `"checkout"`. */
export function copyRepository(to: string, what: "library" | "checkout"): void {
  const left = [".git", "tests", "node_modules", "coverage", "simulated-host.state"];
  const names = what === "library" ? COPIED : [...Deno.readDirSync(ROOT)].map(({ name }) => name);
  Deno.mkdirSync(to, { recursive: true });
  for (const name of names) if (!left.includes(name)) copy(new URL(name, ROOT), `${to}/${name}`);
  if (what === "library") return;
  Deno.mkdirSync(`${to}/${IMAGES.slice(0, IMAGES.lastIndexOf("/"))}`, { recursive: true });
  copy(new URL(IMAGES, ROOT), `${to}/${IMAGES}`);
}

function copy(from: URL, to: string): void {
  if (Deno.statSync(from).isFile) return Deno.copyFileSync(from, to);
  Deno.mkdirSync(to);
  for (const { name } of Deno.readDirSync(from)) copy(new URL(`${from.href}/${name}`), `${to}/${name}`);
}

/**
 * Makes what a block needs around it: a folder in a project that has a copy of the library, with the files of the section
 * before the block. Returns the folder that the block runs in, `program` in the project.
 */
export function makeProject(block: Block, project: string): string {
  const folder = `${project}/program`;
  Deno.mkdirSync(folder, { recursive: true });
  if (block.checkout) {
    copyRepository(folder, "checkout");
  } else if (block.section === "From a folder") {
    copyRepository(`${folder}/hcs-layers`, "library");
  } else {
    copyRepository(`${project}/hcs-layers`, "library");
    Deno.writeTextFileSync(`${project}/deno.json`, projectConfig());
  }
  writeFiles(block, folder);
  return folder;
}

/** The deno.json of README for a project with a copy of the library. */
export function projectConfig(): string {
  const block = blocksOf("README.md").find(({ section, name }) => section === "From a folder" && name === "deno.json");
  if (block === undefined) throw new Error('README.md has no deno.json under "From a folder"');
  return block.text;
}
