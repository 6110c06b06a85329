import { assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { readRuns } from "./recordings.ts";
import { isTarCase, TAR_RECORDINGS } from "./tar_case.ts";
import { EXPORT_DEVIATIONS, IMPORT_DEVIATIONS } from "./tar_deviations.ts";
import { playTar } from "./tar_player.ts";

const cases = (await readRuns([TAR_RECORDINGS])).filter(isTarCase);

Deno.test("tars are read and written as the recorded ones were", async (test) => {
  const met = new Set<string>();
  for (const tarCase of cases) {
    await test.step(tarCase.name, async () => {
      const { reason, outcome, deviations } = await playTar(tarCase);
      assertEquals(outcome === "skipped" ? undefined : reason, undefined);
      deviations.forEach((ours) => met.add(ours));
    });
  }
  const all = [...IMPORT_DEVIATIONS, ...EXPORT_DEVIATIONS].map(({ ours }) => ours);
  assertEquals(all.filter((ours) => !met.has(ours)), []);
});

// deno-lint-ignore no-explicit-any
type Doctor = (tarCase: any) => void;

Deno.test("playTar() finds what differs from a recording", async () => {
  const doctored: [name: string, kind: "import" | "export", doctor: Doctor, difference: string][] = [
    ["file", "import", ({ fileInfo }) => fileInfo.info.attributes = 33, '"attributes": 33'],
    ["file", "import", ({ fileInfo }) => fileInfo.info.creationTime = "1", '"1"'],
    ["file", "import", (tarCase) => tarCase.error = "illegal", 'expected "refused"'],
    ["stream", "import", (tarCase) => tarCase.next = "Files/a:one", '"next": "Files/a:one"'],
    ["fifo", "import", ({ input }) => input.entries[0].type = "5", "expected {"],
    ["folder", "export", ({ entries }) => entries[0].pax["MSWINDOWS.fileattr"] = "18", '"MSWINDOWS.fileattr": "18"'],
    ["file", "export", ({ entries }) => entries[0].data = "00", '"data": "00"'],
    ["file", "export", (tarCase) => tarCase.tar = "AAAA", "the bytes of the tar differ"],
    ["header-size-1tib", "export", (tarCase) => tarCase.headerBytes = "AAAA", 'expected "AAAA"'],
  ];
  for (const [name, kind, doctor, difference] of doctored) {
    const tarCase = structuredClone(
      cases.find((one) => one.name === name && ("entries" in one.input) === (kind === "import"))!,
    );
    doctor(tarCase);
    assertStringIncludes((await playTar(tarCase)).reason ?? "no difference", difference, name);
  }
});
