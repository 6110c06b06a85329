// Layers for tests.
import { fromBytes } from "../../../src/files/bytes/random_access.ts";
import { lintLayer, type LintLayerOptions } from "../../../src/files/layer/check_layer.ts";
import { FILE_SECURITY } from "../../../src/files/layer/default_security.ts";
import type { LayerFinding, LayerSource } from "../../../src/files/layer/layer_source.ts";
import { layerOfTar } from "../../../src/files/tar/layer_of_tar.ts";
import { gzip, tarOf, type TestEntry } from "../tar/tars.ts";

/** The layer in a tar of entries. */
export async function layer(...entries: readonly TestEntry[]): Promise<LayerSource> {
  return layerOfTar(fromBytes(await tarOf(...entries), "layer.tar"));
}

/** The layer in a tar of entries, packed. */
export async function packedLayer(...entries: readonly TestEntry[]): Promise<LayerSource> {
  return layerOfTar(fromBytes(await gzip(await tarOf(...entries)), "layer.tar.gz"));
}

/** The header records of a file without anything to complain about, and more. */
export function pax(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { "MSWINDOWS.fileattr": "32", "MSWINDOWS.rawsd": FILE_SECURITY.toBase64(), ...more };
}

/** A folder without anything to complain about. */
export function folder(name: string, more: Partial<TestEntry> = {}): TestEntry {
  return { name, type: "5", pax: pax({ "MSWINDOWS.fileattr": "16" }), ...more };
}

/** A file without anything to complain about. */
export function file(name: string, data = "", more: Readonly<Record<string, string>> = {}): TestEntry {
  return { name, data, pax: pax(more) };
}

/** A symbolic link. */
export function symlink(name: string, linkName: string): TestEntry {
  return { name, type: "2", linkName, pax: pax({ "MSWINDOWS.fileattr": "1040" }) };
}

/** A further name of a file. */
export function link(name: string, linkName: string): TestEntry {
  return { name, type: "1", linkName, pax: { "MSWINDOWS.fileattr": "32" } };
}

/** A removal. */
export function whiteout(name: string): TestEntry {
  return { name };
}

/** What is wrong with a layer of entries, as `severity rule path: problem`. */
export async function lint(entries: readonly TestEntry[], options: LintLayerOptions = {}): Promise<string[]> {
  return await findings(await layer(...entries), options);
}

export async function findings(source: LayerSource, options: LintLayerOptions = {}): Promise<string[]> {
  const text = ({ severity, rule, path, problem }: LayerFinding) =>
    `${severity} ${rule}${path === undefined ? "" : ` ${path}`}: ${problem}`;
  return await Array.fromAsync(lintLayer(source, options), text);
}
