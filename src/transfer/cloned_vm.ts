/**
 * The utility VM of a layer above another one: what that one has, with what the layer changes.
 *
 * @module
 */

import { BackupReading, BackupWriting } from "../ffi/backup.ts";
import type { Host } from "../ffi/host.ts";
import { type FolderEntry, openRelative, type OpenRoot, restoreAccess, setBasicInfo } from "../ffi/nt_files.ts";
import { entriesIn, isPlainFolder, kindAt, linkInto } from "./layer_files.ts";

const BOOT = "UTILITYVM\\FILES\\EFI\\MICROSOFT\\BOOT\\";
// Windows changes them in place, so that each layer needs its own.
const CHANGED = ["BCD", "BCD.LOG", "BCD.LOG1", "BCD.LOG2"].map((name) => BOOT + name);

/**
 * Makes the files of the utility VM of a layer in another one: links to them, and copies of folders, reparse points and what
 * Windows changes. The folder `UtilityVM` is there already.
 */
export async function cloneUtilityVM(host: Host, from: OpenRoot, to: OpenRoot): Promise<void> {
  if (kindAt(host, from, "UtilityVM\\Files") === "folder") {
    await cloneInto(host, from, to, "UtilityVM\\Files", undefined);
  }
}

async function cloneInto(
  host: Host,
  from: OpenRoot,
  to: OpenRoot,
  path: string,
  entry: FolderEntry | undefined,
): Promise<void> {
  const known = entry ?? entriesIn(host, from, "UtilityVM").find(({ name }) => name.toUpperCase() === "FILES");
  if (known === undefined) return;
  if (!isPlainFolder(known)) {
    if (isCopied(known, path)) return await copy(host, from, to, path, known);
    return linkInto(host, { root: from, path }, { root: to, path });
  }
  await copy(host, from, to, path, known);
  for (const child of entriesIn(host, from, path)) await cloneInto(host, from, to, `${path}\\${child.name}`, child);
  const access = restoreAccess.WRITE_ATTRIBUTES;
  using folder = openRelative(host, to, path, { access, kind: "folder" });
  setBasicInfo(host, folder, known, `${to.path}\\${path}`);
}

const REPARSE_POINT = 0x400;

function isCopied({ attributes }: FolderEntry, path: string): boolean {
  return (attributes & REPARSE_POINT) !== 0 || CHANGED.includes(path.toUpperCase());
}

async function copy(host: Host, from: OpenRoot, to: OpenRoot, path: string, entry: FolderEntry): Promise<void> {
  const FOLDER = 0x10;
  const kind = (entry.attributes & FOLDER) !== 0 ? "folder" : "file";
  using source = openRelative(host, from, path, { access: restoreAccess.READ, kind });
  using target = openRelative(host, to, path, { access: restoreAccess.ALL, create: true, kind });
  {
    using reading = new BackupReading(host, source, `${from.path}\\${path}`);
    using writing = new BackupWriting(host, target, `${to.path}\\${path}`);
    for (let bytes = await reading.next(); bytes !== undefined; bytes = await reading.next()) writing.write(bytes);
  }
  setBasicInfo(host, target, entry, `${to.path}\\${path}`);
}
