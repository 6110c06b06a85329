import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { deno } from "../support/processes.ts";

async function run(permission: string): Promise<string> {
  const { stdout, stderr } = await deno([permission], "ffi/hcs_callback.ts").output();
  assertEquals(new TextDecoder().decode(stderr), "");
  return new TextDecoder().decode(stdout);
}

Deno.test("threadSafeCallback() is called from a foreign thread, with addresses as bigints, and lets the process exit", async () => {
  assertEquals(await run("--allow-ffi"), "3 7n -1070137085 78187493520n\n");
});

Deno.test("threadSafeCallback() explains that --allow-ffi has to be without a path", async () => {
  const said = await run("--allow-ffi=/somewhere");
  assertEquals(said.split(". ")[0], "MissingPermissionError A permission is missing");
  assertEquals(said.includes("Start Deno with --allow-ffi. Windows reports on a VM by calling back"), true);
});
