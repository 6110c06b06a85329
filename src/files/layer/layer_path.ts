/**
 * The names of files and folders in a layer: what NTFS and the formats of Windows can't take, and how they compare.
 *
 * @module
 */

const LONGEST_NAME = 255;
const LONGEST_PATH = 32767;
// Of DOS, also with an extension.
const DEVICE = /^(con|prn|aux|nul|com[1-9¹²³]|lpt[1-9¹²³]|conin\$|conout\$|clock\$) *(\.|$)/i;
// deno-lint-ignore no-control-regex
const FORBIDDEN = /[\x00-\x1f<>"|?*]/;
// Most names: nothing has to be looked at closely.
const PLAIN = /^[A-Za-z0-9_~(){}@#%&+,$=-][A-Za-z0-9_~(){}@#%&+,$= .-]*$/;
// How folders stand beside their contents while Windows imports or exports a layer.
const TRANSPORT = /\.\$wcidirs\$$/i;

/** What is wrong with a path in a layer, without a stream: undefined if nothing is. */
export function pathProblem(path: string): string | undefined {
  if (path === "") return "has no name";
  if (path.length > LONGEST_PATH) return `has more than ${LONGEST_PATH} characters`;
  if (path.startsWith("/")) return "is absolute";
  if (/^[A-Za-z]:/.test(path)) return "has a drive";
  let problem: string | undefined;
  for (let at = 0; at <= path.length && problem === undefined;) {
    const slash = path.indexOf("/", at);
    const end = slash < 0 ? path.length : slash;
    problem = nameProblem(path.slice(at, end));
    at = end + 1;
  }
  return problem;
}

/** What is wrong with a name in a layer: undefined if nothing is. */
export function nameProblem(name: string): string | undefined {
  const isPlain = PLAIN.test(name) && name.length <= LONGEST_NAME;
  if (!isPlain) {
    if (name === "") return "has an empty name in it";
    if (name === "." || name === "..") return `has a ${name} in it: it climbs`;
    if (name.length > LONGEST_NAME) return `has a name of more than ${LONGEST_NAME} characters`;
    if (name.includes("\\")) return "has a \\ in it";
    if (name.includes(":")) return "has a : in it";
    if (FORBIDDEN.test(name)) return "has a character that Windows doesn't allow";
    if (!name.isWellFormed()) return "has half a character in it";
  }
  if (name.endsWith(".") || name.endsWith(" ")) return "has a name that ends in a dot or space";
  if (DEVICE.test(name)) return "has the name of a device";
  if (TRANSPORT.test(name)) return "has a name that Windows uses while it imports layers";
  return undefined;
}

/** A path in the form in which Windows compares it: units one by one, without case. */
export function caseless(path: string): string {
  // deno-lint-ignore no-control-regex
  return /^[\x00-\x7f]*$/.test(path)
    ? path.toUpperCase()
    : Array.from({ length: path.length }, (_, i) => upper(path[i]!)).join("");
}

// Windows has one unit for each, and leaves these two.
function upper(unit: string): string {
  if (unit === "ı" || unit === "ſ") return unit;
  const changed = unit.toUpperCase();
  return changed.length === 1 ? changed : unit;
}

/** The folder that a path is in: empty at the top. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}
