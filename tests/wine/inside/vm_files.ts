/**
 * What VMs boot from, for tests inside.
 *
 * @module
 */

const ROOT = "C:\\work\\vm";

/** Folder of a Linux guest. */
export const LINUX_FOLDER = `${ROOT}\\linux`;

/** Folders of a Windows guest: its layer, and its scratch. */
export const WINDOWS_FOLDERS: string[] = [`${ROOT}\\base`, `${ROOT}\\scratch`];

/** Disk of the Windows guest. */
export const WINDOWS_DISK = `${ROOT}\\scratch\\sandbox.vhdx`;

/** All of them. */
export const BOOT_FILES: readonly string[] = [
  `${LINUX_FOLDER}\\vmlinux`,
  `${LINUX_FOLDER}\\rootfs.vhd`,
  `${ROOT}\\base\\UtilityVM\\Files\\bootmgr`,
  `${ROOT}\\base\\UtilityVM\\SystemTemplate.vhdx`,
  WINDOWS_DISK,
];

/** Makes these files, with their folders. */
export function makeFiles(paths: readonly string[]): void {
  for (const path of paths) {
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("\\")), { recursive: true });
    Deno.writeTextFileSync(path, "file");
  }
}
