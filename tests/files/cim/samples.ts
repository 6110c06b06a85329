// Images for tests, and what reading one gives, in the form of the samples.
import type { CimEntry, CimFault, CimFolder, CimImage, CimSource, RandomAccess } from "../../../src/files/mod.ts";
import { checkCim, fromBytes, openCim, streamOf } from "../../../src/files/mod.ts";

const SAMPLES = new URL("samples/", import.meta.url);

/** The files of a folder, by name. */
export type Files = Map<string, Uint8Array>;

/** Names of the samples' folders. */
export const FOLDERS: readonly string[] = [...Deno.readDirSync(SAMPLES)].filter(({ isDirectory }) => isDirectory)
  .map(({ name }) => name).sort();

/** The files of a sample. */
export function sample(folder: string): Files {
  const names = [...Deno.readDirSync(new URL(folder, SAMPLES))].map(({ name }) => name);
  return new Map(names.map((name) => [name, Deno.readFileSync(new URL(`${folder}/${name}`, SAMPLES))]));
}

/** The path of a file of a sample, as this system has it. */
export function samplePath(path: string): string {
  return Deno.realPathSync(new URL(path, SAMPLES));
}

/** Reads a JSON file of the samples. */
export function sampleJson(path: string): unknown {
  return JSON.parse(Deno.readTextFileSync(new URL(path, SAMPLES)));
}

/** An image in memory. */
export function inMemory(
  files: ReadonlyMap<string, Uint8Array>,
  name = "image.cim",
): CimSource & { folder: CimFolder } {
  const folder = {
    open: (name: string) => {
      const bytes = files.get(name);
      return Promise.resolve(bytes === undefined ? undefined : fromBytes(bytes, name));
    },
    names: () => Promise.resolve([...files.keys()]),
  };
  return { folder, name };
}

/** Changes a file: bytes at an offset. */
export function patch(files: Files, file: string, offset: number, bytes: Iterable<number>): void {
  const changed = files.get(file)!.slice();
  changed.set([...bytes], offset);
  files.set(file, changed);
}

export function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function unhex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (byte) => parseInt(byte, 16));
}

async function sha256(source: RandomAccess): Promise<string> {
  const bytes = await new Response(streamOf(source)).arrayBuffer();
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}

/** What a sample's expected.json says of an entry. */
export async function factsOf(entry: CimEntry): Promise<Record<string, unknown>> {
  const { creation, write, change, access } = entry.times;
  const [security, reparse] = [await entry.securityDescriptor(), await entry.reparseData()];
  const attributes = await entry.extendedAttributes();
  const streams = await Promise.all((await Array.fromAsync(entry.streams())).map(async ({ name, size }) => ({
    name,
    size,
    sha256: await sha256(await entry.contents(name)),
  })));
  return {
    path: entry.path,
    id: entry.id,
    directory: entry.isFolder,
    attributes: entry.attributes,
    ...(!entry.isFolder && { size: entry.size }),
    times: [creation, write, change, access].map(String),
    ...(security !== undefined && { securityDescriptor: hex(security) }),
    ...(entry.reparseTag !== 0 && { reparseTag: entry.reparseTag }),
    ...(reparse !== undefined && { reparseData: hex(reparse) }),
    ...(attributes.length > 0 && {
      extendedAttributes: attributes.map(({ name, flags, value }) => [name, flags, hex(value)]),
    }),
    ...(!entry.isFolder && { sha256: await sha256(await entry.contents()) }),
    ...(entry.isSparse && { sparseOnDisk: true }),
    ...(streams.length > 0 && { streams }),
  };
}

/** What is read of an image, its root first. */
export async function allFacts(image: CimImage): Promise<Record<string, unknown>[]> {
  return await Array.fromAsync([image.root, ...await Array.fromAsync(image.walk())], factsOf);
}

/** What is wrong with an image in memory. */
export async function faultsOf(files: ReadonlyMap<string, Uint8Array>, name?: string): Promise<CimFault[]> {
  return await Array.fromAsync(checkCim(inMemory(files, name)));
}

/** Reads all of an image that can be read. */
export async function readAll(source: CimSource): Promise<void> {
  await using image = await openCim(source);
  for await (const entry of image.walk()) {
    await entry.securityDescriptor();
    await entry.reparseData();
    await entry.extendedAttributes();
    await Array.fromAsync(entry.streams());
    if (!entry.isFolder) await (await entry.contents()).read(0, new Uint8Array(4096));
  }
}
