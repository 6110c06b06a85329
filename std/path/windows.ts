/**
 * Stand-in for `jsr:@std/path/windows`: the five functions that this project uses, for strings only.
 *
 * `node:path/win32` is not enough: it answers `""` where the real `basename("C:\\")` answers `"\\"`, keeps the slash
 * in `dirname("C:/")`, and `normalize` puts `.\` before names such as `CON` or `a:`.
 *
 * @module
 */

/** A root: drive (1) and whether a separator follows (2), server and share (3, 4), or separators. */
const ROOT = /^(?:([a-zA-Z]:)([\\/]?)|[\\/]{2}([^\\/]+)[\\/]+([^\\/]+)|[\\/])/;

/** The index of the last separator in a text, or -1. */
function lastSeparator(text: string): number {
  return Math.max(text.lastIndexOf("/"), text.lastIndexOf("\\"));
}

/** A text without the separators at its end. */
function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && (text[end - 1] === "/" || text[end - 1] === "\\")) end--;
  return text.slice(0, end);
}

/** The last part of a path, without `suffix` if it ends so. */
export function basename(path: string, suffix = ""): string {
  const rest = /^[a-zA-Z]:/.test(path) ? path.slice(2) : path;
  const trimmed = trimEnd(rest);
  const name = trimmed === "" ? rest.slice(0, 1) : trimmed.slice(lastSeparator(trimmed) + 1);
  return suffix !== "" && name.length > suffix.length && name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
}

/** The path without its last part. */
export function dirname(path: string): string {
  const root = ROOT.exec(path);
  if (path.length === 1 && root) return path;
  let end = root?.[0].length ?? 0;
  if (root?.[3] !== undefined) {
    if (end === path.length) return path;
    end++;
  }
  const last = lastSeparator(trimEnd(path.slice(end)));
  if (last < 0 && !root) return ".";
  let directory = path.slice(0, last < 0 ? end : end + last);
  while (directory.length > 1 && directory.endsWith("/")) directory = directory.slice(0, -1);
  return directory;
}

/** Whether a path starts with a separator, or with a drive and a separator. */
export function isAbsolute(path: string): boolean {
  return /^(?:[a-zA-Z]:)?[\\/]/.test(path);
}

/** The path with `.` and `..` resolved, and `\` for every run of separators. */
export function normalize(path: string): string {
  const root = ROOT.exec(path);
  const [matched = "", drive, , server, share] = root ?? [];
  const device = server === undefined ? drive ?? "" : `\\\\${server}\\${share}`;
  const absolute = root !== null && (drive === undefined || root[2] !== "");
  const parts: string[] = [];
  for (const part of path.slice(matched.length).split(/[\\/]+/)) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.length > 0 && parts.at(-1) !== "..") parts.pop();
    else if (!absolute) parts.push("..");
  }
  const tail = parts.join("\\") || (absolute ? "" : ".");
  return device + (absolute ? "\\" : "") + tail + (tail !== "" && /[\\/]$/.test(path) ? "\\" : "");
}

/** The paths put together, and normalized. Only a first path that starts as a UNC path makes one. */
export function join(...paths: string[]): string {
  const parts = paths.filter((path) => path !== "");
  const joined = parts.join("\\");
  return normalize(/^[\\/]{2}[^\\/]/.test(parts[0] ?? "") ? joined : joined.replace(/^[\\/]{2,}/, "\\"));
}
