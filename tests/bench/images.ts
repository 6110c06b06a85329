/**
 * Time and memory that listing and checking an image of 100,000 files takes, in a process of its own.
 *
 * @module
 */

import { checkCim, openCim } from "../../src/files/mod.ts";
import { type CimNode, writeCim } from "../support/cim_writer.ts";

const FILES = 100_000;
const IN_FOLDER = 100;
const ROUNDS = 3;

interface Measured {
  readonly entries: number;
  readonly ms: number;
  readonly rss: number;
}

/** Prints what listing and checking takes, in folders of 100 files and in one folder. */
export async function benchImages(): Promise<void> {
  for (
    const [name, root] of [[`${FILES / IN_FOLDER} folders`, inFolders()], ["one folder", {
      children: manyFiles(FILES),
    }]] as const
  ) {
    const folder = await Deno.makeTempDir();
    try {
      const { files } = writeCim(root, { guid: "00112233-4455-6677-8899-0000000000b0" });
      for (const [file, bytes] of files) await Deno.writeFile(`${folder}/${file}`, bytes);
      for (const what of ["list", "check"]) {
        const rounds: Measured[] = [];
        for (let round = 0; round < ROUNDS; round++) rounds.push(await measured(what, `${folder}/image.cim`));
        const { entries, ms, rss } = rounds.reduce((best, one) => one.ms < best.ms ? one : best);
        console.log(
          `${what.padEnd(5)}  ${entries} entries in ${name}: ${ms.toFixed(0)} ms, ${(rss / 2 ** 20).toFixed(0)} MB`,
        );
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
}

function manyFiles(count: number): Map<string, CimNode> {
  const contents = new TextEncoder().encode("contents");
  return new Map(Array.from({ length: count }, (_, n) => [`a file of a usual name ${n}.dll`, { contents }]));
}

function inFolders(): CimNode {
  const folders = Array.from({ length: FILES / IN_FOLDER }, (_, n): [string, CimNode] => {
    return [`folder ${n}`, { children: manyFiles(IN_FOLDER) }];
  });
  return { children: new Map(folders) };
}

async function measured(what: string, image: string): Promise<Measured> {
  const args = ["run", "--no-check", "--no-prompt", `--allow-read=${image.slice(0, image.lastIndexOf("/"))}`];
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [...args, import.meta.filename!, what, image],
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`${what} has failed`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

async function listed(path: string): Promise<number> {
  await using image = await openCim(path);
  let entries = 0;
  for await (const _ of image.walk()) entries++;
  return entries;
}

async function checked(path: string): Promise<number> {
  let faults = 0;
  for await (const _ of checkCim(path)) faults++;
  if (faults > 0) throw new Error(`${faults} faults`);
  return FILES;
}

if (import.meta.main) {
  const [what, path] = Deno.args;
  const begin = performance.now();
  const entries = await (what === "list" ? listed : checked)(path!);
  console.log(
    JSON.stringify({ entries, ms: performance.now() - begin, rss: Deno.memoryUsage().rss } satisfies Measured),
  );
}
