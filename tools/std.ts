/**
 * Prints the flags with which `deno run` and `deno test` use the real `@std` packages where JSR answers, and nothing
 * where it doesn't: the stand-ins of `std/` are then used, which deno.json links. `HCS_LAYERS_STD=jsr` and
 * `HCS_LAYERS_STD=standin` choose without asking. What was chosen is told on the standard error.
 *
 * @module
 */
import jsr from "../std/jsr.json" with { type: "json" };

/** Imports modules in a time. */
async function load(specifiers: string[], milliseconds: number): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error("JSR is too slow")), milliseconds);
  try {
    await Promise.race([Promise.all(specifiers.map((specifier) => import(specifier))), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Whether JSR has, or the cache keeps, all that is needed. */
async function answers(): Promise<boolean> {
  const specifiers = Object.values(jsr.imports);
  try {
    // A small package shows whether anybody answers at all, so that the others may take their time.
    await load(specifiers.slice(-1), 1_500);
    await load(specifiers, 30_000);
    return true;
  } catch {
    return false;
  }
}

const asked = Deno.env.get("HCS_LAYERS_STD") ?? "";
if (!["", "jsr", "standin"].includes(asked)) {
  console.error(`HCS_LAYERS_STD is "${asked}", and not "jsr" or "standin": the stand-ins of std/ are used.`);
} else if (asked === "jsr" || (asked === "" && await answers())) {
  console.error("@std: the packages on JSR");
  // Quiet, for Deno warns of every linked package that was left aside.
  console.log("--quiet --import-map=std/jsr.json");
} else {
  console.error(`@std: the stand-ins of std/${asked === "" ? ", because JSR does not answer" : ""}`);
}
Deno.exit();
