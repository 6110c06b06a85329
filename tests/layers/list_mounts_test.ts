// Mounts of other tools in the list: docker's and containerd's, as their folders and files tell them.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { findMounts, listMounts, type MountInfo, mountWCOWLayers, recover } from "../../mod.ts";
import { type NativeCall, SimulatedHost, type SimulatedHostOptions } from "../../src/simulated/mod.ts";
import { activateLayer } from "../../src/storage/mod.ts";
import EXPECTED from "../nodes/data/expected.json" with { type: "json" };
import { held } from "../support/calls.ts";
import { hostInFront, LAYERS, SCRATCH, STACK } from "../support/host.ts";

interface Scratch {
  readonly folder: string;
  readonly container?: string;
  readonly key?: string;
  /** Not told of each host. */
  readonly chain?: readonly string[];
}

const DOCKER = "C:\\ProgramData\\docker\\windowsfilter";
const CONTAINERD = "C:\\ProgramData\\containerd\\root\\io.containerd.snapshotter.v1.windows";
const SNAPSHOTS = `${CONTAINERD}\\snapshots`;
const DATABASE = `${CONTAINERD}\\metadata.db`;
const WEB = "cbb1ca0618920b2e6f822c1615e01149e02d40258aa3ac95274e4d1e58b26969";
const JOB = "b4418426bc7e043a97a58cbc37b2480dea85757a5c3df931f6f17090035aaec6";
const WEB_LAYERS = ["e6a9", "b3ea", "1e20"].map((start) => `${DOCKER}\\${start.padEnd(64, "0")}`);
// What the sample database says.
const POD = "0afc3f0538ffe2e89e9126676fad5d06f0d7cdd959fe2bd4a91d6d0a777bcb29";
const IN_POD = "506adeff76beb86ea40af597703a64d43bcd3b482bae2baaaaec33b92af20e1c";

function addDocker(host: SimulatedHost, folder = DOCKER): void {
  const [top, ...below] = WEB_LAYERS.map((layer) => layer.replace(DOCKER, folder));
  [top!, ...below].forEach((layer) => host.addLayer(layer));
  for (const id of [WEB, JOB]) {
    host.addScratch(`${folder}\\${id}`);
    host.addFile(`${folder}\\${id}\\layerchain.json`, JSON.stringify([top, ...below]));
  }
}

function addContainerd(host: SimulatedHost, database?: Uint8Array): void {
  for (const layer of [1, 2, 3, 4, 5]) host.addLayer(`${SNAPSHOTS}\\${layer}`);
  for (const scratch of ["7", "8", "10", "rm-13"]) host.addScratch(`${SNAPSHOTS}\\${scratch}`);
  host.addFile(DATABASE, database ?? readDatabase());
}

function readDatabase(node = "containerd-windows"): Uint8Array {
  return Deno.readFileSync(new URL(`../nodes/data/${node}.metadata.db`, import.meta.url));
}

function nodeHost(options?: SimulatedHostOptions): SimulatedHost {
  const host = new SimulatedHost(options);
  LAYERS.forEach((layer) => host.addLayer(layer));
  host.addScratch(SCRATCH);
  return host;
}

/** Mounts as another tool does: without a record. */
async function mountByTool(host: SimulatedHost, scratch: string, layers: readonly string[]): Promise<string> {
  const tool = hostInFront(host.otherProcess(), { records: false });
  return (await mountWCOWLayers("any", [...layers, scratch], { host: tool })).path;
}

const isIn = (args: NativeCall["args"], folder: string) => `${args["path"] ?? args["pattern"]}`.startsWith(folder);

const named = ({ owner, containerId, state, scratch }: MountInfo) => [owner.tool, containerId, state, scratch];

Deno.test("listMounts() tells what this library, docker and containerd have mounted, and each thing leads to its mount", async () => {
  const host = nodeHost();
  addDocker(host);
  addContainerd(host);
  assertEquals(await listMounts({ host }), []);
  const { path } = await mountWCOWLayers("c1", STACK, { host });
  const web = await mountByTool(host, `${DOCKER}\\${WEB}`, WEB_LAYERS);
  const pod = await mountByTool(host, `${SNAPSHOTS}\\7`, [2, 1].map((layer) => `${SNAPSHOTS}\\${layer}`));
  const inPod = await mountByTool(host, `${SNAPSHOTS}\\8`, [5, 4, 3].map((layer) => `${SNAPSHOTS}\\${layer}`));
  const mounts = await listMounts({ host });
  assertEquals(mounts.map(named), [
    ["hcs-layers", "c1", "mounted", SCRATCH],
    ["docker", WEB, "mounted", `${DOCKER}\\${WEB}`],
    ["containerd", POD, "mounted", `${SNAPSHOTS}\\7`],
    ["containerd", IN_POD, "mounted", `${SNAPSHOTS}\\8`],
  ]);
  assertEquals(mounts.map(({ volume }) => volume), [path, web, pod, inPod]);
  const { space, ...docker } = mounts[1]!;
  assertEquals(space!.size > 0n, true);
  assertEquals(docker, {
    id: undefined,
    containerId: WEB,
    state: "mounted",
    scratch: `${DOCKER}\\${WEB}`,
    layers: WEB_LAYERS,
    image: undefined,
    volume: web,
    mountPoints: [],
    owner: { tool: "docker", pid: undefined, start: undefined, state: "unknown" },
    since: undefined,
    permanent: undefined,
  });
  for (const [i, { containerId, scratch, layers, volume }] of mounts.entries()) {
    for (const handle of [containerId!, scratch, ...layers, volume!, volume!.slice(0, -1), scratch.toUpperCase()]) {
      assertEquals(await findMounts(handle, { host }), [mounts[i]!], handle);
    }
  }
});

const ROOTS = ["C:\\ProgramData\\docker\\containerd\\daemon", "C:\\var\\lib\\rancher\\rke2\\agent\\containerd"];

for (const [node, folders] of Object.entries(EXPECTED)) {
  Deno.test(`listMounts() tells the container and layers of each scratch of ${node}, also where other tools start containerd`, async () => {
    const scratches = folders.filter((folder) => folder.class === "scratch") as Scratch[];
    for (const root of ["C:\\ProgramData\\containerd\\root", ...ROOTS]) {
      const store = `${root}\\io.containerd.snapshotter.v1.${
        node.replace("containerd-", "").replace("nerdctl", "windows")
      }`;
      const host = new SimulatedHost();
      host.addFile(`${store}\\metadata.db`, readDatabase(node));
      for (const { folder } of scratches) {
        host.addScratch(`${store}\\snapshots\\${folder}`);
        await activateLayer(`${store}\\snapshots\\${folder}`, { host });
      }
      const mounts = await listMounts({ host });
      assertEquals(mounts.length, scratches.length);
      for (const { folder, container, key, chain } of scratches) {
        const mount = mounts.find(({ scratch }) => scratch === `${store}\\snapshots\\${folder}`)!;
        assertEquals(mount.containerId, container ?? key);
        if (chain !== undefined) assertEquals(mount.layers, chain.map((layer) => `${store}\\snapshots\\${layer}`));
      }
    }
  });
}

Deno.test("recover() leaves what other tools have mounted", async () => {
  const host = nodeHost();
  addDocker(host);
  await mountByTool(host, `${DOCKER}\\${WEB}`, WEB_LAYERS);
  const before = held(host);
  assertEquals([await recover({ host }), held(host)], [[], before]);
});

Deno.test("a scratch of docker that this library has mounted is told once, as ours", async () => {
  const host = nodeHost();
  addDocker(host);
  await mountWCOWLayers("c1", [...WEB_LAYERS, `${DOCKER}\\${WEB}`], { host });
  assertEquals((await listMounts({ host })).map(named), [["hcs-layers", "c1", "mounted", `${DOCKER}\\${WEB}`]]);
});

Deno.test("what another tool has half removed, and what is in use without a volume, is told", async () => {
  const host = nodeHost();
  addDocker(host);
  addContainerd(host);
  host.addScratch(`${DOCKER}\\${JOB}-removing`);
  await mountByTool(host, `${DOCKER}\\${JOB}-removing`, WEB_LAYERS);
  await mountByTool(host, `${SNAPSHOTS}\\rm-13`, [`${SNAPSHOTS}\\1`]);
  // As of a container in a VM.
  using _vm = host.openFile(`${SNAPSHOTS}\\10\\sandbox.vhdx`, { access: ["read", "write"], share: ["read"] });
  assertEquals((await listMounts({ host })).map(named), [
    ["docker", JOB, "mounted", `${DOCKER}\\${JOB}-removing`],
    ["containerd", "e2af788664d32f4f1518d6efecf566b3bcde85e98986f04f05173cd6e9da7590", "partial", `${SNAPSHOTS}\\10`],
    // It has no record any more.
    ["containerd", undefined, "mounted", `${SNAPSHOTS}\\rm-13`],
  ]);
});

Deno.test("a scratch of another tool is told if Windows doesn't tell whether its disk is in use", async () => {
  const host = nodeHost();
  addDocker(host);
  const disk = `${DOCKER}\\${JOB}\\sandbox.vhdx`;
  host.fail({ function: "CreateFileW", code: "ERROR_NOT_READY", when: ({ args }) => args["path"] === disk });
  assertEquals((await listMounts({ host })).map(({ scratch }) => scratch), [`${DOCKER}\\${JOB}`]);
});

Deno.test("links in the folders of another tool are passed by: what they lead to isn't the tool's", async () => {
  const host = nodeHost();
  addDocker(host);
  await mountByTool(host, SCRATCH, LAYERS);
  host.addJunction(`${DOCKER}\\link`, SCRATCH);
  host.addFolder(`${DOCKER}\\shared`);
  host.addSymbolicLink(`${DOCKER}\\shared\\sandbox.vhdx`, `${SCRATCH}\\sandbox.vhdx`);
  assertEquals((await listMounts({ host })).map(named), [["unknown", undefined, "mounted", SCRATCH]]);
});

Deno.test("files of other tools that can't be read hide no mount: only what they would have told is unknown", async () => {
  const host = nodeHost();
  addDocker(host);
  addContainerd(host, new Uint8Array(65536));
  host.writeTextFile(`${DOCKER}\\${WEB}\\layerchain.json`, "\0\0\0\0");
  await mountByTool(host, `${DOCKER}\\${WEB}`, WEB_LAYERS);
  await mountByTool(host, `${SNAPSHOTS}\\7`, [`${SNAPSHOTS}\\1`]);
  const all = [["docker", WEB, []], ["containerd", undefined, []]];
  const told = async () =>
    (await listMounts({ host })).map(({ owner, containerId, layers }) => [owner.tool, containerId, layers]);
  assertEquals(await told(), all);
  host.fail({ function: "ReadFile", code: "ERROR_ACCESS_DENIED" });
  assertEquals(await told(), all);
});

Deno.test("folders of other tools that can't be looked at hide nothing else", async () => {
  const host = nodeHost();
  addDocker(host);
  addContainerd(host);
  await mountByTool(host, `${SNAPSHOTS}\\7`, [`${SNAPSHOTS}\\1`]);
  await mountByTool(host, `${DOCKER}\\${WEB}`, WEB_LAYERS);
  host.fail({ function: "FindFirstFileW", code: "ERROR_ACCESS_DENIED", when: ({ args }) => isIn(args, DOCKER) });
  // Windows tells of its disk.
  assertEquals((await listMounts({ host })).map(({ owner, layers }) => [owner.tool, layers.length]), [
    ["containerd", 2],
    ["docker", 3],
  ]);
});

Deno.test("listMounts() looks where the configurations of docker and containerd say, and nowhere off the drives", async () => {
  const host = nodeHost();
  host.addFile("C:\\ProgramData\\docker\\config\\daemon.json", '{ "data-root": "C:/data/docker/" }');
  addDocker(host, "C:\\data\\docker\\windowsfilter");
  const config = "version = 3\nroot = 'C:\\data\\ctd'\n[plugins.x]\nroot = 'C:\\else'\n";
  host.addFile("C:\\Program Files\\containerd\\config.toml", config);
  const snapshots = "C:\\data\\ctd\\io.containerd.snapshotter.v1.windows\\snapshots";
  host.addLayer(`${snapshots}\\1`);
  host.addScratch(`${snapshots}\\7`);
  host.addFile(`${snapshots.slice(0, -"\\snapshots".length)}\\metadata.db`, readDatabase());
  const moved = WEB_LAYERS.map((layer) => layer.replace(DOCKER, "C:\\data\\docker\\windowsfilter"));
  await mountByTool(host, `C:\\data\\docker\\windowsfilter\\${WEB}`, moved);
  await mountByTool(host, `${snapshots}\\7`, [`${snapshots}\\1`]);
  // Docker wrote it where its root was before.
  const chain = `C:\\data\\docker\\windowsfilter\\${WEB}\\layerchain.json`;
  host.writeTextFile(chain, JSON.stringify(WEB_LAYERS));
  const mounts = await listMounts({ host });
  assertEquals(mounts.map(({ owner, containerId, layers }) => [owner.tool, containerId, layers]), [
    ["docker", WEB, moved],
    ["containerd", POD, [`${snapshots}\\2`, `${snapshots}\\1`]],
  ]);
  host.writeTextFile("C:\\Program Files\\containerd\\config.toml", 'root = "C:\\\\data\\\\ctd"\n');
  assertEquals((await listMounts({ host })).length, 2);
  host.writeTextFile("C:\\ProgramData\\docker\\config\\daemon.json", '{ "data-root": "\\\\\\\\server\\\\share" }');
  const from = host.calls.length;
  assertEquals((await listMounts({ host })).map(({ owner }) => owner.tool), ["containerd", "docker"]);
  assertEquals(host.calls.slice(from).filter(({ args }) => `${args["path"]}`.includes("server")), []);
});

Deno.test("a database that is changed while it is read is read again, and its lock is never asked for", async () => {
  const host = nodeHost();
  addContainerd(host);
  await mountByTool(host, `${SNAPSHOTS}\\7`, [`${SNAPSHOTS}\\1`]);
  const from = host.calls.length;
  const whole = readDatabase();
  const torn = readDatabase();
  // Its last transaction isn't valid yet, so that the one before it counts.
  torn[16]! ^= 1;
  let reads = 0;
  let isTorn = () => reads === 1;
  host.before("CreateFileW", ({ args }) => {
    if (args["path"] !== DATABASE) return;
    reads++;
    host.remove(DATABASE);
    host.addFile(DATABASE, isTorn() ? torn : whole);
  });
  assertEquals((await listMounts({ host })).map(({ containerId }) => containerId), [POD]);
  assertEquals(reads, 3);
  assertEquals(host.calls.slice(from).filter((call) => call.function === "LockFileEx"), []);
  // One that is changed each time is given up.
  isTorn = () => reads % 2 === 1;
  assertEquals((await listMounts({ host })).map(({ containerId }) => containerId), [undefined]);
});

Deno.test("without meta.db, only what can be written to has the id of its container for a key", async () => {
  const host = nodeHost();
  const bytes = readDatabase();
  const kind = [..."kind"].map((char) => char.charCodeAt(0));
  const scratches = ["1", "7", "8"].map((folder) => `${SNAPSHOTS}\\${folder}`);
  scratches.forEach((scratch) => host.addScratch(scratch));
  for (const scratch of scratches) await activateLayer(scratch, { host });
  const containers = async () => (await listMounts({ host })).map(({ containerId }) => containerId);
  host.addFile(DATABASE, bytes);
  // A layer whose disk somebody has attached is no container.
  assertEquals(await containers(), [undefined, POD, IN_POD]);
  for (let at = 0; at < bytes.length; at++) {
    if (kind.every((char, i) => bytes[at + i] === char) && bytes[at + 4] === 2) bytes[at + 4] = 1;
  }
  host.remove(DATABASE);
  host.addFile(DATABASE, bytes);
  assertEquals(await containers(), [undefined, undefined, undefined]);
});

Deno.test("a mount that Windows tells of in other letters, and without its volume, is told once", async () => {
  const host = nodeHost();
  await mountWCOWLayers("c1", [...LAYERS, SCRATCH.toUpperCase()], { host });
  host.fail({ function: "GetLayerMountPath", code: "ERROR_NOT_READY" });
  const mounts = await listMounts({ host });
  assertEquals(mounts.map(named), [["hcs-layers", "c1", "mounted", SCRATCH.toUpperCase()]]);
});
