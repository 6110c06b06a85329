// `deno task observe`: on the simulated host, on one that answers otherwise, and on one that fails.
import { existsSync } from "node:fs";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import type { Host } from "../../mod.ts";
import { observe, type PlayedRule, rehearse, type Report, type Request } from "../../scripts/observe/observation.ts";
import { populate } from "../../scripts/observe/reference.ts";
import { RULES } from "../../scripts/observe/rules.ts";
import { CommandError } from "../../scripts/support/errors.ts";
import { SimulatedHost, type SimulatedHostOptions } from "../../src/simulated/mod.ts";
import { acquireFolder } from "../../src/host_holds/mount_folder.ts";
import { Machine, ROOT, run } from "./run.ts";

const LAYERS = ["C:\\layers\\top", "C:\\layers\\base"];
const VM_BASE = "C:\\layers\\vm";
const FOLDER = "C:\\hcs-layers-observe";
const ABOUT = { tool: "hcs-layers", isSimulated: true };

function machine(options?: SimulatedHostOptions): SimulatedHost {
  const host = new SimulatedHost(options);
  host.addCimLayer(LAYERS[0]!);
  populate(host, { layers: LAYERS, systemRoot: "C:\\Windows", vmBase: VM_BASE });
  return host;
}

function requestFor(host: Host, more: Partial<Request> = {}): Request {
  const signal = new AbortController().signal;
  return {
    host,
    rules: RULES,
    layers: LAYERS,
    folder: FOLDER,
    systemRoot: "C:\\Windows",
    vmBase: VM_BASE,
    signal,
    ...more,
  };
}

const rulesOf = (...subjects: string[]) => RULES.filter(({ id }) => subjects.includes(id.split(".")[0]!));

/** The rules that aren't as simulated, or couldn't be asked though nothing forbids it. */
function odd({ rules }: Report): string[] {
  const asked = (rule: PlayedRule) => RULES.find(({ id }) => id === rule.rule)!.never === undefined;
  return rules.filter((rule) => rule.verdict !== "same" && asked(rule)).map(({ rule, verdict }) =>
    `${rule} ${verdict}`
  );
}

/** What a machine holds, and which paths it has. */
const stateOf = (host: SimulatedHost) => [host.held(), host.paths()];

Deno.test("observe finds everything as simulated on the simulated host, on each build, and leaves nothing", async () => {
  for (const build of [17763, 18362, 20348, 26100]) {
    const host = machine({ build });
    const before = stateOf(host);
    const report = await observe(requestFor(host), ABOUT);
    const lacking = build < 20348 ? odd(report).filter((line) => line.endsWith("not asked")) : [];
    assertEquals(odd(report).filter((line) => !lacking.includes(line)), []);
    assertEquals([report.windows.build, report.interrupted, report.left], [build, false, []]);
    assertEquals(report.rules.map(({ rule }) => rule), RULES.map(({ id }) => id));
    assertEquals(stateOf(host), before);
  }
});

Deno.test("observe tells each rule in which a host does otherwise, and no other", async () => {
  const answers = (...list: [situation: string, code: string][]) => ({
    rules: list.map(([situation, code]) => ({ situation, observed: { code } })),
  });
  const host = machine({
    answers: answers(
      ["PrepareLayer: attaching the filter twice", "0x80070020"],
      ["ActivateLayer: activating a folder that doesn't exist", "0x80070003"],
      ["DeactivateLayer: deactivating a layer that isn't activated", "0x80070037"],
      ["DetachVirtualDisk: detaching a disk that isn't attached", "0x80070015"],
      ["SetVolumeMountPointW: mounting a volume at a folder that doesn't exist", "0x80070057"],
      ["CimDismountImage: dismounting an image that isn't mounted", "0x80070490"],
      ["HcsModifyComputeSystem: adding a share with a name that is already used", "0x800700b7"],
    ),
  });
  const before = stateOf(host);
  const report = await observe(requestFor(host), ABOUT);
  assertEquals(odd(report), [
    "ActivateLayer.no-folder learned",
    "ActivateLayer.network-path learned",
    "DeactivateLayer.never-activated different",
    "DeactivateLayer.no-folder different",
    "PrepareLayer.twice different",
    "SetVolumeMountPointW.no-folder learned",
    "DetachVirtualDisk.not-attached learned",
    "CimDismountImage.not-mounted different",
    "VSMB.same-name learned",
  ]);
  const twice = report.rules.find(({ rule }) => rule === "PrepareLayer.twice")!;
  assertEquals([twice.simulated, twice.observed, twice.situation], [
    { code: "0x80070057" },
    { code: "0x80070020" },
    "PrepareLayer: attaching the filter twice",
  ]);
  assertEquals([stateOf(host), report.left], [before, []]);

  // A simulated host that is given this report does the same.
  const again = await observe(requestFor(machine({ answers: JSON.parse(JSON.stringify(report)) })), ABOUT);
  const outcomes = (report: Report) => report.rules.map(({ rule, verdict, observed }) => ({ rule, verdict, observed }));
  assertEquals(outcomes(again), outcomes(report));
});

Deno.test("observe tells a value that is another one on a host", async () => {
  const report = await observe(requestFor(machine({ mountPathSeparator: true })), ABOUT);
  assertEquals(odd(report).filter((line) => line.endsWith("different")), [
    "GetLayerMountPath.active different",
    "GetLayerMountPath.attached different",
    "HcsFormatWritableLayerVhd.attached different",
    "HcsGetLayerVhdMountPath.attached different",
  ]);
});

for (
  const fn of [
    ...["ActivateLayer", "PrepareLayer", "CreateSandboxLayer", "SetVolumeMountPointW"],
    ...["OpenVirtualDisk", "AttachVirtualDisk", "CimMountImage", "HcsCreateComputeSystem", "CopyFileW"],
  ]
) {
  Deno.test(`observe cleans up after each rule if ${fn} fails once or always`, async () => {
    for (const failure of [{ nth: 2 }, {}]) {
      const host = machine();
      const before = stateOf(host);
      host.fail({ function: fn, code: 0x8007001f, ...failure });
      const report = await observe(requestFor(host), ABOUT);
      assert(odd(report).length > 0, "the failure shows");
      assertEquals([stateOf(host), report.left], [before, []]);
    }
  });
}

Deno.test("observe tries once more to clean up", async () => {
  for (const fn of ["UnprepareLayer", "DeactivateLayer", "DeleteFileW", "CimDismountImage"]) {
    const host = machine();
    const before = stateOf(host);
    host.fail({ function: fn, code: 0x8007001f, nth: 3 });
    const { left } = await observe(requestFor(host), ABOUT);
    assertEquals([fn, stateOf(host), left], [fn, before, []]);
  }
});

Deno.test("observe cleans up, and ends, if something fails that nobody thought of", async () => {
  const inner = machine();
  const before = stateOf(inner);
  const host: Host = {
    machine: inner.machine,
    symbols(dll) {
      const symbols = inner.symbols(dll);
      if (dll.file !== "vmcompute.dll" || !("PrepareLayer" in symbols)) return symbols;
      const broken = () => {
        throw new TypeError("a mistake in the code");
      };
      return { ...symbols, PrepareLayer: broken, UnprepareLayer: broken };
    },
    sleep: (ms, signal) => inner.sleep(ms, signal),
    callback: (listener) => inner.callback(listener),
  };
  await assertRejects(() => observe(requestFor(host), ABOUT), TypeError, "a mistake in the code");
  assertEquals(stateOf(inner), before);
  assertEquals(inner.calls.filter((call) => call.function === "CimMountImage"), [], "no later rule is played");
});

Deno.test("observe lists what it couldn't clean up, and asks nothing more", async () => {
  const host = machine();
  const at = (rule: string) => RULES.findIndex(({ id }) => id === rule);
  const folder = `${FOLDER}\\${at("PrepareLayer.twice") + 1}`;
  const ours = ({ args }: { args: Readonly<Record<string, unknown>> }) => String(args["id"]).startsWith(folder);
  host.fail({ function: "UnprepareLayer", code: 0x80070005, when: ours });
  host.fail({ function: "DeactivateLayer", code: 0x80070005, when: ours });
  const { rules, left } = await observe(requestFor(host), ABOUT);
  assertEquals(left.map(({ hold }) => hold), [{ kind: "activation", scratch: `${folder}\\s` }]);
  assertStringIncludes(left[0]!.because, "0x80070005");
  const after = rules.slice(at("PrepareLayer.twice") + 1);
  assertEquals(new Set(after.map(({ verdict }) => verdict)), new Set(["not asked"]));
  assertEquals(host.calls.at(-1)?.function === "ActivateLayer", false);
  assertEquals(host.held().map(({ kind }) => kind), ["activation", "filter", "folder", "folder", "file"]);
});

Deno.test("observe stops at the next call once it is interrupted, with everything cleaned up", async () => {
  const host = machine();
  const before = stateOf(host);
  const controller = new AbortController();
  const progress = (_: unknown, i: number) => {
    if (i === 20) controller.abort(new DOMException("Interrupted", "AbortError"));
  };
  const report = await observe(requestFor(host, { signal: controller.signal, progress }), ABOUT);
  assertEquals([report.interrupted, report.rules.length, report.left], [true, 20, []]);
  assertEquals(stateOf(host), before);
});

Deno.test("observe refuses a folder that isn't empty, or that it hasn't created", async () => {
  for (
    const prepare of [
      (host: SimulatedHost) => host.addFolder(FOLDER),
      (host: SimulatedHost) => host.addFile(`${FOLDER}\\x`),
    ]
  ) {
    const host = machine();
    prepare(host);
    const before = stateOf(host);
    await assertRejects(() => observe(requestFor(host), ABOUT), CommandError, "Name another one with --folder");
    assertEquals(stateOf(host), before);
  }
  const host = machine();
  const before = stateOf(host);
  await acquireFolder(host, FOLDER, () => {});
  const { left } = await observe(requestFor(host, { rules: rulesOf("LayerExists") }), ABOUT);
  assertEquals([left, stateOf(host)], [[], before]);
});

Deno.test("a dry run only looks at the version and at the layers", async () => {
  const host = machine();
  const played = await rehearse(requestFor(host));
  assertEquals(played.length, RULES.filter(({ never }) => never === undefined).length);
  assertEquals(
    new Set(host.calls.map((call) => call.function)),
    new Set(["RtlGetVersion", "RegGetValueW", "GetFileAttributesW", "GetLastError"]),
  );
});

Deno.test("the rules that change something change it in the folder, and nowhere else", async () => {
  const host = machine();
  await observe(requestFor(host), ABOUT);
  const changing = /^(?!Get|Find|Reg|Rtl|Format|lstrlen|copy|Local|CoTask|NameToGuid)/;
  const paths = host.calls.filter((call) => changing.test(call.function)).flatMap(({ function: fn, args }) =>
    Object.entries(args).filter(([name, value]) =>
      typeof value === "string" && /^[A-Z]:/i.test(value) && !["data", "from", "layers"].includes(name)
    ).map(([, path]) => ({ fn, path: String(path) }))
  );
  assert(paths.length > 500);
  const elsewhere = paths.filter(({ path }) => !path.toLowerCase().startsWith(FOLDER.toLowerCase()));
  // Images are mounted, and VMs boot, from where they are.
  assertEquals(
    new Set(elsewhere.map(({ fn, path }) => `${fn} ${path}`)),
    new Set(["CimMountImage C:\\layers\\cim-layers"]),
  );
});

/** The command as its task starts it, with its reports in a folder of its own. */
class Observer extends Machine {
  readonly report = this.file.replace("machine.json", "observe.json");
  readonly markdown = this.file.replace("machine.json", "observe.md");

  observeArgs(...args: string[]): string[] {
    const granted = this.args("observe:simulated", `--report=${this.report}`, `--markdown=${this.markdown}`, ...args);
    return granted.map((arg) => arg.replace(",observe.json,observe.md", `,${this.report},${this.markdown}`));
  }

  observe(...args: string[]) {
    return run(this.observeArgs(...args));
  }
}

Deno.test("observe writes its report as JSON and as Markdown, and leaves the machine as it was", async () => {
  using machine = new Observer();
  const { code, stdout, stderr } = await machine.observe(...LAYERS);
  assertEquals([code, stderr], [0, ""]);
  const lines = stdout.split("\n");
  assertEquals(lines.slice(1), [machine.report, machine.markdown, ""]);
  const report: Report = JSON.parse(await Deno.readTextFile(machine.report));
  assertEquals(new Set(report.rules.map(({ verdict }) => verdict)), new Set(["same", "not asked"]));
  assertEquals([report.isSimulated, report.windows, report.left], [true, { build: 20348, revision: 2031 }, []]);
  const markdown = await Deno.readTextFile(machine.markdown);
  assertStringIncludes(markdown, "# What Windows 20348.2031 does\n");
  assertStringIncludes(markdown, lines[0]!);
  assertStringIncludes(markdown, "## Could not be asked\n");
  assertEquals(machine.held(), []);
  assertEquals(machine.host().exists(FOLDER), false);

  const again = await machine.observe(...LAYERS);
  assertEquals([again.code, again.stdout], [1, ""]);
  assertStringIncludes(again.stderr, `${machine.report} can't be created`);
});

Deno.test("observe --only asks some rules, --json prints the report, and --answers gives the machine other answers", async () => {
  using machine = new Observer();
  const answers = machine.file.replace("machine.json", "answers.json");
  const situation = "UnprepareLayer: removing the filter from a layer that has none";
  await Deno.writeTextFile(answers, JSON.stringify({ rules: [{ situation, observed: { code: "0x80070037" } }] }));
  const args = machine.observeArgs("--json", "--only=UnprepareLayer.not-prepared,DestroyLayer", `--answers=${answers}`);
  const granted = args.map((arg) => arg.replace("--allow-read=", `--allow-read=${answers},`));
  const { code, stdout, stderr } = await run([...granted, ...LAYERS]);
  assertEquals([code, stderr], [0, ""]);
  assertEquals(odd(JSON.parse(stdout)), ["UnprepareLayer.not-prepared different"]);
  assertEquals(JSON.parse(stdout).rules.length, 6);
  const refused = await run([...args, ...LAYERS]);
  assertEquals([refused.code, JSON.parse(refused.stdout).error.message], [
    1,
    `A permission is missing. Start Deno with --allow-read=${answers}`,
  ]);
});

Deno.test("observe --dry-run tells what it would call, and changes nothing", async () => {
  using machine = new Observer();
  const { code, stdout, stderr } = await machine.observe("--dry-run", "--only=PrepareLayer.twice,host", ...LAYERS);
  assertEquals([code, stderr], [0, ""]);
  assertEquals(stdout.split("\n").slice(0, 12), [
    "PrepareLayer.twice: What does a second PrepareLayer return?",
    "  simulated: 0x80070057 ERROR_INVALID_PARAMETER",
    `  CreateSandboxLayer ${FOLDER}\\1\\s`,
    `  ActivateLayer ${FOLDER}\\1\\s`,
    `  PrepareLayer ${FOLDER}\\1\\s, 2 times`,
    `  UnprepareLayer ${FOLDER}\\1\\s, 2 times`,
    `  DeactivateLayer ${FOLDER}\\1\\s`,
    `  DeleteFileW ${FOLDER}\\1\\s\\sandbox.vhdx`,
    `  RemoveDirectoryW ${FOLDER}\\1\\s`,
    `  RemoveDirectoryW ${FOLDER}\\1`,
    "",
    "Never asked of a host:",
  ]);
  assertEquals([machine.held(), existsSync(machine.report), machine.host().exists(FOLDER)], [[], false, false]);
});

Deno.test("observe that is interrupted ends with 130, with everything cleaned up", async () => {
  using machine = new Observer();
  const ended = await machine.interrupt(machine.observeArgs(...LAYERS));
  assertEquals(ended, { code: 130, stdout: "", stderr: "error: Interrupted\n" });
  assertEquals([machine.held(), machine.host().exists(FOLDER)], [[], false]);
});

const WRONG: [args: string[], says: string][] = [
  [[], "observe needs the folder of one LAYER or more"],
  [["--only=Nothing", "C:/layers/base"], "There is no rule Nothing"],
  [["--folder=C:/layers/base/x", "C:/layers/base"], "--folder and LAYER are in each other"],
  [["--folder=C:/layers", "C:/layers/top", "C:/layers/base"], "--folder and LAYER 1 are in each other"],
];
for (const [args, says] of WRONG) {
  Deno.test(`observe refuses the command line ${JSON.stringify(args.join(" "))}`, async () => {
    using machine = new Observer();
    const { code, stdout, stderr } = await machine.observe(...args);
    assertEquals([code, stdout, existsSync(machine.report)], [2, "", false]);
    assertStringIncludes(stderr, says);
  });
}

Deno.test("observe refuses a folder that is in a layer, or has one in it, under another name, and asks nothing", async () => {
  using machine = new Observer();
  const host = machine.host();
  LAYERS.forEach((layer) => host.addLayer(layer));
  host.addJunction("C:\\alias", "C:\\layers");
  host.addJunction("C:\\top", LAYERS[0]!);
  const content = () => LAYERS.map((layer) => machine.host().readDir(layer));
  const before = content();
  const cases = [
    [LAYERS[1]!, "C:\\alias\\base\\observe"],
    [LAYERS[1]!, "C:\\alias"],
    ["C:\\top", `${LAYERS[0]}\\observe`],
  ] as const;
  for (const [layer, folder] of cases) {
    const { code, stderr } = await machine.observe("--only=DestroyLayer", `--folder=${folder}`, layer);
    assertStringIncludes(stderr, "--folder and LAYER are in each other");
    assertEquals([code, content(), existsSync(machine.report)], [2, before, false]);
  }
});

Deno.test("observe without a grant for its report names the grant, and asks nothing", async () => {
  using machine = new Observer();
  const args = machine.observeArgs(...LAYERS).map((arg) => arg.replace(`,${machine.markdown}`, ""));
  const { code, stderr } = await run(args, { cwd: ROOT });
  assertEquals([code, existsSync(machine.report)], [1, false]);
  assertStringIncludes(stderr, `Start Deno with --allow-write=${machine.markdown}`);
  assertEquals(machine.held(), []);
});
