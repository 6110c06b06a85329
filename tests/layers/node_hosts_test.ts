// Whole hosts of docker and containerd, as their files lie there: what is told of each folder whose disk is attached.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { findMounts, listMounts, type MountInfo } from "../../mod.ts";
import { cimVolumeName } from "../../src/host_holds/layer_image.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { activateLayer, deactivateLayer, mountCimImage } from "../../src/storage/mod.ts";
import EXPECTED_DOCKER from "../nodes/data/expected-docker.json" with { type: "json" };
import EXPECTED_CONTAINERD from "../nodes/data/expected.json" with { type: "json" };
import HOSTS from "../nodes/data/hosts.json" with { type: "json" };
import { hostInFront } from "../support/host.ts";

interface Expected {
  readonly folder: string;
  readonly class: string;
  readonly namespace?: string;
  readonly container?: string;
  /** What a build calls its scratch. */
  readonly key?: string;
  readonly chain?: readonly string[];
  readonly mountedCim?: string;
  readonly merged?: string;
}

interface NodeHost {
  readonly name: string;
  readonly tool: "docker" | "containerd";
  readonly root: string;
  readonly snapshots: string;
  readonly folders: readonly Expected[];
}

const DOCKER_ROOT = "C:\\ProgramData\\docker";
const CONTAINERD_ROOT = "C:\\ProgramData\\containerd\\root";
const META = "io.containerd.metadata.v1.bolt\\meta.db";

const NODES: readonly NodeHost[] = [
  {
    name: "docker-windowsfilter",
    tool: "docker",
    root: DOCKER_ROOT,
    snapshots: `${DOCKER_ROOT}\\windowsfilter`,
    folders: EXPECTED_DOCKER,
  },
  ...Object.entries(EXPECTED_CONTAINERD).map(([name, folders]) => ({
    name,
    tool: "containerd" as const,
    root: CONTAINERD_ROOT,
    snapshots: `${CONTAINERD_ROOT}\\io.containerd.snapshotter.v1.${
      name.replace("containerd-", "").replace("nerdctl", "windows")
    }\\snapshots`,
    folders: folders as Expected[],
  })),
];

const dataFile = (file: string) => Deno.readFileSync(new URL(`../nodes/data/${file}`, import.meta.url));

async function unzipped(file: string): Promise<Uint8Array> {
  const stream = new Blob([dataFile(file)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function hostOf({ name, tool, root, snapshots }: NodeHost): Promise<SimulatedHost> {
  const host = new SimulatedHost();
  const files: Readonly<Record<string, string | number | null>> = HOSTS[name as keyof typeof HOSTS];
  for (const [path, content] of Object.entries(files)) {
    if (content === null) host.addFolder(`${root}\\${path}`);
    else host.addFile(`${root}\\${path}`, content);
  }
  if (tool === "containerd") {
    host.addFile(`${snapshots.slice(0, -"\\snapshots".length)}\\metadata.db`, dataFile(`${name}.metadata.db`));
    host.addFile(`${root}\\${META}`, await unzipped(`${name}.meta.db.gz`));
  }
  return host;
}

const byFolder = (a: { scratch: string }, b: { scratch: string }) => a.scratch < b.scratch ? -1 : 1;

/** What is to be told of a folder. */
function expectedOf({ tool, snapshots }: NodeHost, one: Expected): Partial<MountInfo> {
  // Every container of these hosts but those of a namespace named so is one of Kubernetes.
  const namespace = tool === "docker" || one.container === undefined ? undefined : one.namespace ?? "k8s.io";
  return {
    state: "mounted",
    scratch: `${snapshots}\\${one.folder}`,
    containerId: one.container,
    // None is mounted, even if there is one.
    image: undefined,
    owner: {
      tool,
      pid: undefined,
      start: undefined,
      state: "unknown",
      ...namespace !== undefined && { namespace },
    },
    ...one.chain && { layers: one.chain.map((layer) => `${snapshots}\\${layer}`) },
  };
}

const pick = (mount: MountInfo, keys: readonly string[]) =>
  Object.fromEntries(Object.entries(mount).filter(([key]) => keys.includes(key)));

for (const node of NODES) {
  Deno.test(`listMounts() tells of each folder of ${node.name} with a disk what its tool has written down`, async () => {
    const host = await hostOf(node);
    const { snapshots, folders } = node;
    const withDisk = folders.filter(({ folder }) => host.exists(`${snapshots}\\${folder}\\sandbox.vhdx`));
    // Those that are scratches are among them, and others that aren't, or that nobody has a record of any more.
    assertEquals(folders.filter((one) => one.class === "scratch" && !withDisk.includes(one)), []);
    for (const { folder } of withDisk) await activateLayer(`${snapshots}\\${folder}`, { host });
    const mounts = (await listMounts({ host })).sort(byFolder);
    const expected = withDisk.map((one) => expectedOf(node, namespaceOf(node, one)))
      .sort((a, b) => byFolder(a as MountInfo, b as MountInfo));
    assertEquals(mounts.map((mount, i) => pick(mount, Object.keys(expected[i] ?? {}))), expected);
    // And none of them if nothing is attached, whatever is written down.
    for (const { folder } of withDisk) await deactivateLayer(`${snapshots}\\${folder}`, { host });
    assertEquals(await listMounts({ host }), []);
  });
}

// Of a folder that is being removed, the data don't tell the namespace.
function namespaceOf({ name }: NodeHost, one: Expected): Expected {
  return name === "containerd-nerdctl" && one.class === "rename-without-commit"
    ? { ...one, namespace: "default" }
    : one;
}

for (const node of NODES.filter(({ name }) => /cim/.test(name))) {
  Deno.test(`the images of the containers of ${node.name} are told, also those that are left without a scratch`, async () => {
    const host = await hostOf(node);
    const { snapshots, folders } = node;
    const containers = folders.filter((one) => one.class === "scratch");
    // Windows doesn't tell which image a volume shows, so that any one will do.
    host.addFile("C:\\images\\any.cim", 4096);
    const volumes = new Map<string, string>();
    const containerd = hostInFront(host, { records: false, machine: {} });
    for (const { container } of containers) {
      volumes.set(container!, await cimVolumeName(container!));
      await mountCimImage("C:\\images\\any.cim", volumes.get(container!)!, { host: containerd });
    }
    const [first, ...others] = containers;
    for (const { folder } of others) await activateLayer(`${snapshots}\\${folder}`, { host });
    const told = async () =>
      (await listMounts({ host })).map(({ state, scratch, containerId, image, owner }) => (
        { state, scratch, containerId, image, owner: [owner.tool, owner.namespace] }
      )).sort(byFolder);
    const image = ({ mountedCim, merged }: Expected) => mountedCim ? `cim-layers\\${mountedCim}` : merged!;
    assertEquals(
      await told(),
      containers.map((one) => ({
        state: one === first ? "gone" as const : "mounted" as const,
        scratch: `${snapshots}\\${one.folder}`,
        containerId: one.container,
        image: { path: `${snapshots}\\${image(one)}`, volume: volumes.get(one.container!)! },
        owner: ["containerd", "k8s.io"],
      })),
    );
    for (const { container } of containers) {
      const [found] = await findMounts(volumes.get(container!)!, { host }) as [MountInfo];
      assertEquals(found.containerId, container);
    }
  });
}

Deno.test("a container is told as unknown, not guessed, if its database is damaged, and its layers all the same", async () => {
  const node = NODES.find(({ name }) => name === "containerd-windows")!;
  const host = await hostOf(node);
  const { root, snapshots, folders } = node;
  await activateLayer(`${snapshots}\\8`, { host });
  const told = async () => (await listMounts({ host })).map(({ containerId, layers }) => [containerId, layers.length]);
  const { container, chain } = folders.find(({ folder }) => folder === "8")!;
  assertEquals(await told(), [[container, chain!.length]]);
  const whole = await unzipped("containerd-windows.meta.db.gz");
  const replace = (path: string, content: Uint8Array) => {
    host.remove(path);
    host.addFile(path, content);
  };
  for (const damaged of [new Uint8Array(), whole.subarray(0, 20_000), new Uint8Array(whole.length)]) {
    replace(`${root}\\${META}`, damaged);
    assertEquals(await told(), [[undefined, chain!.length]]);
  }
  // Its last transaction is torn: the one before it counts.
  const torn = whole.slice();
  torn[16]! ^= 1;
  replace(`${root}\\${META}`, torn);
  assertEquals(await told(), [[container, chain!.length]]);
});

Deno.test("a scratch of a build isn't taken for that of a container", async () => {
  const node = NODES.find(({ name }) => name === "docker-windowsfilter")!;
  const host = await hostOf(node);
  const step = `${node.snapshots}\\${"5".repeat(64)}`;
  host.addScratch(step);
  await activateLayer(step, { host });
  assertEquals((await listMounts({ host })).map(({ owner, containerId }) => [owner.tool, containerId]), [[
    "docker",
    undefined,
  ]]);
});
