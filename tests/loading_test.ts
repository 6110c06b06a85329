// What is loaded before a program does anything. These numbers are what a program waits for: raise one for a reason only.
import { assertEquals } from "jsr:@std/assert@^1.0.0";

interface Graph {
  readonly modules: readonly {
    readonly specifier: string;
    readonly dependencies?: readonly {
      readonly code?: { readonly specifier?: string };
      readonly isDynamic?: boolean;
    }[];
  }[];
}

const ROOT = new URL("..", import.meta.url);

/** The modules that are loaded with a file, without those that are loaded when they are needed. */
async function loadedWith(file: string): Promise<string[]> {
  const args = ["info", "--json", "--config", "deno.json", file];
  const { stdout } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT }).output();
  const { modules }: Graph = JSON.parse(new TextDecoder().decode(stdout));
  const all = new Map(modules.map((module) => [module.specifier, module]));
  const loaded = new Set<string>();
  const load = (specifier: string | undefined) => {
    if (specifier === undefined || loaded.has(specifier)) return;
    loaded.add(specifier);
    for (const { code, isDynamic } of all.get(specifier)?.dependencies ?? []) if (!isDynamic) load(code?.specifier);
  };
  load(new URL(file, ROOT).href);
  return [...loaded].map((specifier) => specifier.replace(ROOT.href, "")).sort();
}

Deno.test("an import of mod.ts loads nothing of VMs but what recover() and listMounts() look at", async () => {
  const loaded = await loadedWith("mod.ts");
  assertEquals(loaded.filter((file) => /uvm|lcow|wcow_vm|simulated|hcsschema\/create|^node:/.test(file)), [
    "src/uvm/compute_system.ts",
    "src/uvm/devices/vm_devices.ts",
    "src/uvm/file_access.ts",
    "src/uvm/left_vm.ts",
    "src/uvm/notifications.ts",
  ]);
});

Deno.test("an import of mod.ts loads nothing that imports, exports and writes layers", async () => {
  const loaded = await loadedWith("mod.ts");
  assertEquals(loaded.filter((file) => /^src\/(transfer|files)\//.test(file)), ["src/transfer/transfers.ts"]);
});

for (
  const [file, most] of [
    ["src/layers/wcow.ts", 86],
    ["src/layers/vms.ts", 2],
    ["scripts/mount.ts", 14],
    ["scripts/unmount.ts", 14],
    ["scripts/list.ts", 14],
  ] as const
) {
  Deno.test(`${file} loads at most ${most} modules before it does anything`, async () => {
    const loaded = await loadedWith(file);
    assertEquals(loaded.length <= most, true, `${loaded.length}: ${loaded}`);
    assertEquals(loaded.filter((specifier) => specifier.startsWith("node:")), []);
  });
}
