// Every block of README.md and docs runs as it stands, in an empty folder, without a network. How a block says what it
// is, and what is done with it, is told in blocks.ts.
import { assert, assertEquals } from "jsr:@std/assert@^1.0.0";
import { type Ended, ROOT } from "../scripts/run.ts";
import {
  type Block,
  blocksOf,
  copyRepository,
  DOCUMENTS,
  isNotRun,
  linesOf,
  makeProject,
  matches,
  NOT_RUN,
  projectConfig,
  saidByComments,
  writeFiles,
} from "./blocks.ts";
import { Offline } from "./offline.ts";
import { STAND_INS } from "./programs.ts";

const BLOCKS = DOCUMENTS.flatMap(blocksOf);
const LANGUAGES = ["cmd", "json", "powershell", "sh", "text", "ts"];

const placeOf = ({ file, line }: Block) => `${file}:${line}`;
const isProgram = ({ language, name }: Block) => language === "ts" && name === undefined;

Deno.test("every block says what it is", () => {
  assert(BLOCKS.length > 10);
  assertEquals(BLOCKS.filter(({ language }) => !LANGUAGES.includes(language)).map(placeOf), []);
  for (const { language, text } of BLOCKS) if (language === "json") JSON.parse(text);
});

Deno.test("every exception is for a block that is there", () => {
  const without = NOT_RUN.filter(([start]) => !BLOCKS.some(({ text }) => text.startsWith(start)));
  assertEquals(without, []);
});

Deno.test("links lead to files that are there", () => {
  const documents = [...DOCUMENTS, "CONTRIBUTING.md", "SECURITY.md", "std/README.md"];
  const dead = documents.flatMap((file) => {
    const here = new URL(file, ROOT);
    const links = Deno.readTextFileSync(here).matchAll(/\]\((?!https?:|#|\.\.\/\.\.\/security)([^)#]+)/g);
    return [...links].filter(([, target]) => !exists(new URL(target!, here))).map(([, target]) => `${file}: ${target}`);
  });
  assertEquals(dead, []);
});

function exists(file: URL): boolean {
  try {
    Deno.statSync(file);
    return true;
  } catch {
    return false;
  }
}

Deno.test("what runs here reaches no network", async () => {
  await using offline = await Offline.open();
  const { code } = await offline.deno(["eval", "await fetch('https://example.com')"], offline.programs);
  assertEquals(code, 1);
});

Deno.test("lines for shells mean the same in bash, cmd and PowerShell", () => {
  // Words without a character that one of them treats on its own, or such in quotes. A `,` outside makes a list in
  // PowerShell. Documents with `>` say that PowerShell before 7.4 makes text of what goes through it.
  const safe = /^(?:>|[\w./:=@+-]+|"[^"$`%!\\^]*"|[\w./:=@+-]+="[^"$`%!\\^]*")$/;
  const lines = BLOCKS.filter(({ language }) => ["sh", "cmd"].includes(language)).flatMap(linesOf);
  const wrong = lines.filter((line) => !line.match(/(?:[^\s"]+|"[^"]*")+/g)!.every((word) => safe.test(word)));
  assertEquals(wrong, []);
});

/** A folder of its own for a block. */
function folderFor(block: Block, offline: Offline): string {
  return makeProject(block, offline.makeFolder(`${block.file.replaceAll(/[/.]/g, "-")}-${block.line}`));
}

function assertRan(block: Block, { code, stdout, stderr }: Ended): void {
  assertEquals(code, 0, `${placeOf(block)} ends with ${code}:\n${stdout}${stderr}`);
  if (block.output !== undefined) {
    assert(matches(stdout, block.output), `${placeOf(block)} prints\n${stdout}and not\n${block.output}`);
  }
  if (isProgram(block)) {
    const said = ["", ...saidByComments(block), ""].join("…");
    assert(matches(stdout, said), `${placeOf(block)} prints\n${stdout}and not\n${said}`);
  }
}

Deno.test("all programs of the documents have no wrong types", async () => {
  await using offline = await Offline.open();
  const project = offline.makeFolder("project");
  copyRepository(`${project}/hcs-layers`, "library");
  Deno.writeTextFileSync(`${project}/deno.json`, projectConfig());
  const files = BLOCKS.filter(({ language }) => language === "ts").map((block, i) => {
    writeFiles(block, offline.makeFolder(`project/${i}`), ["ts"]);
    Deno.writeTextFileSync(`${project}/${i}/block.ts`, `${block.text}\n`);
    return `${i}/block.ts`;
  });
  const { code, stderr } = await offline.deno(["check", ...files], project);
  assertEquals(code, 0, stderr);
});

for (const block of BLOCKS) {
  if (block.name !== undefined || isNotRun(block)) continue;
  if (isProgram(block)) {
    Deno.test(`${placeOf(block)}, ts, runs`, async () => {
      await using offline = await Offline.open();
      const folder = folderFor(block, offline);
      Deno.writeTextFileSync(`${folder}/main.ts`, `${block.text}\n`);
      assertRan(block, await offline.deno(["run", "--no-prompt", "main.ts"], folder));
    });
  } else if (block.language === "sh" && !block.server) {
    Deno.test({
      name: `${placeOf(block)}, sh, runs`,
      // They take bash, and the programs that the lines name.
      ignore: Deno.build.os === "windows" || !block.servers.every(isInstalled),
      async fn() {
        await using offline = await Offline.open();
        const folder = folderFor(block, offline);
        for (const server of block.servers) {
          offline.start("bash", ["-c", `exec ${server.text}`], folderFor(server, offline));
          await listening(offline);
        }
        if (block.standIn !== undefined) STAND_INS[block.standIn](offline.programs, folder);
        assertRan(block, await offline.run("bash", ["-e", "-c", block.text], folder));
      },
    });
  }
}

function isInstalled({ text }: Block): boolean {
  try {
    return new Deno.Command(text.split(" ")[0]!, { args: ["--version"], stdout: "null", stderr: "null" })
      .outputSync().success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Waits until the server listens on port 8000, as documents have it. */
async function listening(offline: Offline): Promise<void> {
  const probe = `for (;;) try { (await Deno.connect({ port: 8000 })).close(); break; } catch { await 0; }`;
  const { code, stderr } = await offline.deno(["eval", probe], Deno.cwd());
  assertEquals(code, 0, stderr);
}
