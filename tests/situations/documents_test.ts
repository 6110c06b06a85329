// Documents of Windows in another form than expected.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { VMStateError } from "../../mod.ts";
import { resultLines } from "../../src/hcsschema/results.ts";
import { TestVM } from "../support/vm.ts";

const ODD: readonly string[] = [
  '{"ErrorEvents":[null]}',
  '{"ErrorEvents":[{"Data":{}}]}',
  '{"ErrorEvents":[{"Data":[null,{"Value":{}},{"Value":null}]}]}',
  '{"ErrorEvents":{"0":"x"},"ErrorMessage":{"a":1}}',
  '{"ErrorEvents":[{"Message":{},"StackTrace":[],"EventId":"x"},7,"text",[]]}',
  "null",
  "7",
  '"text"',
  "[]",
  "{",
];

Deno.test("resultLines() makes lines of any document", () => {
  for (const text of ODD) resultLines(text);
  assertEquals(resultLines('{"ErrorMessage":"m","ErrorEvents":[null,{"Message":"e","Data":{}}]}'), ["m", "[e]"]);
  assertEquals(resultLines("no JSON "), ["no JSON"]);
});

Deno.test("the end of a VM is noticed whatever document comes with it", async () => {
  for (const text of ODD) {
    await using t = await TestVM.open({ os: "linux" });
    t.host.notify("vm1", "SystemExited", 0x80370106, text);
    assertEquals(t.vm.state, "ended", text);
    const error = await assertRejects(() => t.vm.modify({} as never), VMStateError);
    assertEquals([error.reason, error.code], ["exited", 0x80370106]);
  }
});
