// The rules of CONTRIBUTING about which file may name what.
import { assert, assertEquals } from "jsr:@std/assert@^1.0.0";

const ROOT = new URL("..", import.meta.url);

/** What each folder of src may import besides itself: only what is below it. */
const BELOW: Readonly<Record<string, readonly string[]>> = {
  "mod.ts": ["transfer", "layers", "uvm", "holds", "hcsschema", "ffi", "errors"],
  layers: [
    "uvm",
    "host_holds",
    "session",
    "records",
    "nodes",
    "checks",
    "holds",
    "hcsschema",
    "ffi",
    "options.ts",
    "errors",
  ],
  transfer: [
    "storage",
    "host_holds",
    "files",
    "session",
    "records",
    "checks",
    "holds",
    "ffi",
    "options.ts",
    "errors",
  ],
  storage: ["host_holds", "session", "checks", "holds", "hcsschema", "ffi", "options.ts", "errors"],
  uvm: ["session", "checks", "holds", "hcsschema", "ffi", "options.ts", "errors"],
  host_holds: ["session", "records", "checks", "holds", "hcsschema", "ffi", "options.ts", "errors"],
  files: ["options.ts", "errors"],
  nodes: ["checks", "ffi", "options.ts", "errors"],
  session: ["records", "checks", "holds", "ffi", "errors"],
  records: ["checks", "ffi", "options.ts", "errors"],
  checks: ["ffi", "options.ts", "errors"],
  holds: ["ffi", "options.ts", "errors"],
  ffi: ["hcsschema", "options.ts", "errors"],
  simulated: ["ffi", "hcsschema", "errors"],
  hcsschema: [],
  "options.ts": ["errors"],
  errors: [],
  "log.ts": ["errors"],
};

const JSR = [
  "jsr:@std/log@^0.224.14",
  "jsr:@std/path@^1.1.0/windows",
  "jsr:@std/uuid@^1.0.0",
  "jsr:@std/uuid@^1.0.0/v5",
];

// A callback needs an address that only Deno can make.
const MAY_SAY_UNSAFE = ["src/ffi/callback.ts"];

function sources(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].flatMap(({ name, isDirectory }) =>
    isDirectory ? sources(`${folder}${name}/`) : name.endsWith(".ts") ? [`${folder}${name}`] : []
  ).sort();
}

// Without comments, so that an example in one isn't taken for code.
function code(file: string): string {
  return Deno.readTextFileSync(new URL(file, ROOT)).replace(/\/\*[^]*?\*\/|^\s*\/\/.*$/gm, "");
}

function imports(file: string): string[] {
  const statements = /^(?:import|export)\s(?:[^;"=(]*\sfrom\s)?"([^"]+)"|\bimport\(\s*"([^"]+)"/gm;
  return [...code(file).matchAll(statements)].map(([, specifier, dynamic]) => (specifier ?? dynamic)!);
}

function folderOf(file: string): string {
  return file.replace(/^src\//, "").split("/")[0]!;
}

const FILES = ["mod.ts", ...sources("src/")];
const EDGES = FILES.flatMap((file) => imports(file).map((specifier) => ({ file, specifier })));

Deno.test("imports go downwards only", () => {
  assert(EDGES.length > 100, "the imports are found");
  const upwards = EDGES.filter(({ specifier }) => specifier.startsWith(".")).filter(({ file, specifier }) => {
    const target = new URL(specifier, new URL(file, ROOT)).href.slice(ROOT.href.length);
    const [from, to] = [folderOf(file), folderOf(target)];
    assert(FILES.includes(target), `${file} imports ${specifier}, which isn't there`);
    return from !== to && to !== "log.ts" && !BELOW[from]!.includes(to);
  });
  assertEquals(upwards.map(({ file, specifier }) => `${file} → ${specifier}`), []);
});

Deno.test("every specifier is relative, or a full one of the four packages that are used", () => {
  const others = EDGES.filter(({ specifier }) => !/^\.\.?\//.test(specifier) && !JSR.includes(specifier));
  assertEquals(others.map(({ file, specifier }) => `${file} → ${specifier}`), []);
  assertEquals(FILES.filter((file) => imports(file).includes(JSR[0]!)), ["src/log.ts"]);
});

Deno.test("only one file opens DLLs, and none needs an unscoped --allow-ffi without being listed", () => {
  assertEquals(FILES.filter((file) => /\bdlopen\b/.test(code(file))), ["src/ffi/host.ts"]);
  const unsafe = FILES.filter((file) => /Deno\s*\.\s*Unsafe/.test(code(file)));
  assertEquals(unsafe.filter((file) => !MAY_SAY_UNSAFE.includes(file)), []);
});

Deno.test("no two files of src have one name, but for entry points and DLLs with their simulation", () => {
  const byName = Map.groupBy(FILES, (file) => file.split("/").at(-1)!);
  byName.delete("mod.ts");
  const twins = [...byName.values()].filter((files) => files.length > 1)
    .filter((files) => files.map(folderOf).sort().join() !== "ffi,simulated");
  assertEquals(twins, []);
});

Deno.test("every folder of src has its place in the order of imports", () => {
  assertEquals([...new Set(FILES.map(folderOf))].filter((folder) => BELOW[folder] === undefined), []);
});
