import { assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { IMAGE_DEVIATIONS } from "./image_deviations.ts";
import { playImage } from "./image_player.ts";
import { IMAGE_RECORDINGS, isImageRun } from "./image_run.ts";
import { readRuns } from "./recordings.ts";

const runs = (await readRuns([IMAGE_RECORDINGS])).filter(isImageRun);

Deno.test("layers are imported into images, and images merged, as the recorded ones were", async (test) => {
  const met = new Set<string>();
  for (const run of runs) {
    await test.step(run.name, async () => {
      const { reason, deviations } = await playImage(run);
      assertEquals(reason, undefined);
      deviations.forEach((ours) => met.add(ours));
    });
  }
  assertEquals(IMAGE_DEVIATIONS.map(({ ours }) => ours).filter((ours) => !met.has(ours)), []);
});

// deno-lint-ignore no-explicit-any
type Doctor = (run: any) => void;

Deno.test("playImage() finds what differs from a recording", async () => {
  const doctored: [name: string, doctor: Doctor, difference: string][] = [
    ["forked-base", ({ calls }) => calls[0].args.newImageName = "2.cim", "CimCreateImage"],
    ["forked-base", ({ calls }) => calls[1].args.fileMetadata.attributes = 17, '"attributes":17'],
    ["forked-base", ({ calls }) => calls[1].args.fileMetadata.changeTime = "1", '"changeTime":"1"'],
    ["forked-base", ({ calls }) => calls.pop(), "expected nothing"],
    ["forked-base", (run) => run.result = "error: x", "an error was expected"],
    ["block-child", ({ calls }) => calls.splice(8, 1), "OROpenHive"],
    ["forked-child-deltas", ({ calls }) => calls.at(-3).fn = "CimCreateHardLink", "CimCreateHardLink"],
    ["merge-two", ({ calls }) => calls[1].args.flags = 4, '"flags":4'],
    ["forked-create-file-fails", (run) => delete run.fail, "an error was expected"],
  ];
  for (const [name, doctor, difference] of doctored) {
    const run = structuredClone(runs.find((run) => run.name === name)!);
    doctor(run);
    assertStringIncludes((await playImage(run)).reason ?? "no difference", difference, name);
  }
});
