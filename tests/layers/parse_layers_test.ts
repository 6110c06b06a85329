import { assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import {
  type ContainerdMount,
  InvalidInputError,
  type LayerSource,
  parseLCOWLayers,
  parseWCOWLayers,
} from "../../mod.ts";

const SCRATCH = "C:\\snapshots\\4";
const quoted = (...paths: string[]) => JSON.stringify(paths);
const of = (type: string, ...options: string[]): LayerSource => ({ mounts: [{ type, source: SCRATCH, options }] });

const PARENTS = `parentLayerPaths=${quoted("C:\\snapshots\\3", "C:\\snapshots\\2")}`;
const CIMS = `parentCimPaths=${quoted("C:\\snapshots\\cim-layers\\3.cim", "C:\\snapshots\\cim-layers\\2.cim")}`;
const BLOCKS = `parentCimPaths=${quoted("C:\\snapshots\\3\\l.bcim\\layer.cim", "C:\\snapshots\\2\\l.bcim\\layer.cim")}`;
const MERGED = "mergedCIMPath=C:\\snapshots\\3\\m.bcim\\merged.cim";

Deno.test("parseWCOWLayers() takes windows-layer and the folders of the OCI specification as folders", () => {
  const folders = { kind: "folders", layers: ["C:\\snapshots\\3", "C:\\snapshots\\2"], scratch: SCRATCH } as const;
  assertEquals(parseWCOWLayers(of("windows-layer", PARENTS)), folders);
  assertEquals(parseWCOWLayers({ layerFolders: [...folders.layers, SCRATCH] }), folders);
  assertEquals(parseWCOWLayers({ mounts: [], layerFolders: [...folders.layers, SCRATCH] }), folders);
});

Deno.test("parseWCOWLayers() and parseLCOWLayers() take both spellings of JSON, and ignore what else a mount has", () => {
  const mount = { Type: "windows-layer", Source: SCRATCH, Target: "", Options: [PARENTS], Labels: {} };
  assertEquals(parseWCOWLayers({ mounts: [mount] }), parseWCOWLayers(of("windows-layer", PARENTS)));
  const linux = { Type: "lcow-layer", Source: SCRATCH, Options: [PARENTS] };
  assertEquals(parseLCOWLayers({ mounts: [linux] }), parseLCOWLayers(of("lcow-layer", PARENTS)));
});

Deno.test("parseWCOWLayers() takes CimFS as folders with their images", () => {
  assertEquals(parseWCOWLayers(of("CimFS", PARENTS, CIMS)), {
    kind: "images",
    layers: [
      { folder: "C:\\snapshots\\3", image: "C:\\snapshots\\cim-layers\\3.cim" },
      { folder: "C:\\snapshots\\2", image: "C:\\snapshots\\cim-layers\\2.cim" },
    ],
    scratch: SCRATCH,
  });
});

Deno.test("parseWCOWLayers() takes BlockCIM as images in files or on disks, with the one that merges them", () => {
  const layers = [{ path: "C:\\snapshots\\3\\l.bcim", name: "layer.cim" }, {
    path: "C:\\snapshots\\2\\l.bcim",
    name: "layer.cim",
  }];
  const merged = { path: "C:\\snapshots\\3\\m.bcim", name: "merged.cim" };
  assertEquals(parseWCOWLayers(of("BlockCIM", BLOCKS, "blockCIMType=file", MERGED, "other=1")), {
    kind: "blockImages",
    storage: "file",
    layers,
    merged,
    scratch: SCRATCH,
  });
  const one = `parentCimPaths=${quoted("\\\\.\\PhysicalDrive3\\layer.cim")}`;
  assertEquals(parseWCOWLayers(of("BlockCIM", one, "blockCIMType=file", "blockCIMType=device", MERGED)), {
    kind: "blockImages",
    storage: "disk",
    layers: [{ path: "\\\\.\\PhysicalDrive3", name: "layer.cim" }],
    merged: undefined,
    scratch: SCRATCH,
  });
});

Deno.test("parseLCOWLayers() finds disks in folders, and takes partitions as they are", () => {
  const disks = {
    layers: [{ vhdPath: "C:\\snapshots\\3\\layer.vhd" }, { vhdPath: "C:\\snapshots\\2\\layer.vhd" }],
    scratchVhdPath: `${SCRATCH}\\sandbox.vhdx`,
  };
  assertEquals(parseLCOWLayers(of("lcow-layer", PARENTS)), disks);
  assertEquals(parseLCOWLayers({ layerFolders: ["C:\\snapshots\\3", "C:\\snapshots\\2", SCRATCH] }), disks);
  const partitions = JSON.stringify([{ Path: "C:\\disks\\all.vhd", Partition: 2 }, { Path: "C:\\disks\\all.vhd" }]);
  assertEquals(
    parseLCOWLayers(of("lcow-partitioned-layer", `parent-partitioned-layers=${partitions}`, "scratch=C:\\s\\any.vhdx")),
    {
      layers: [{ vhdPath: "C:\\disks\\all.vhd", partition: 2 }, { vhdPath: "C:\\disks\\all.vhd", partition: 0 }],
      scratchVhdPath: "C:\\s\\any.vhdx",
    },
  );
});

const REFUSED: readonly [source: LayerSource, argument: string, linux?: boolean][] = [
  [{}, "mounts"],
  [{ mounts: [{ type: "windows-layer" }], layerFolders: [SCRATCH, SCRATCH] }, "mounts"],
  [{ mounts: [{ type: "windows-layer" }, { type: "windows-layer" }] }, "mounts"],
  [{ mounts: [{ type: "windows-layer", source: SCRATCH, target: "C:\\x" }] }, "mounts[0].target"],
  [{ layerFolders: [SCRATCH] }, "layerFolders"],
  [{ layerFolders: ["C:\\layers\\..\\x", SCRATCH] }, "layerFolders[0]"],
  [{ layerFolders: [SCRATCH, SCRATCH] }, "layerFolders"],
  [of("overlay", PARENTS), "mounts[0].type"],
  [of("windows-layer"), "mounts[0].options"],
  [of("windows-layer", "parentLayerPaths=[]"), "mounts[0].options.parentLayerPaths"],
  [of("windows-layer", "parentLayerPaths= ["), "mounts[0].options.parentLayerPaths"],
  [of("windows-layer", 'parentLayerPaths="C:\\\\a"'), "mounts[0].options.parentLayerPaths"],
  [of("windows-layer", `parentLayerPaths=${quoted("layers\\1")}`), "mounts[0].options.parentLayerPaths[0]"],
  [of("windows-layer", `parentLayerPaths=${quoted("C:\\a\\..\\b")}`), "mounts[0].options.parentLayerPaths[0]"],
  [of("windows-layer", `parentLayerPaths=${quoted("C:\\a\0")}`), "mounts[0].options.parentLayerPaths[0]"],
  [of("windows-layer", `parentLayerPaths=${quoted(SCRATCH)}`), "mounts[0].options.parentLayerPaths"],
  [{ mounts: [{ type: "windows-layer", source: "scratch", options: [PARENTS] }] }, "mounts[0].source"],
  [{ mounts: [{ type: "windows-layer", options: [PARENTS] }] }, "mounts[0].source"],
  [of("CimFS", PARENTS), "mounts[0].options"],
  [of("CimFS", PARENTS, `parentCimPaths=${quoted("C:\\1.cim")}`), "mounts[0].options.parentCimPaths"],
  [of("BlockCIM", "blockCIMType=file"), "mounts[0].options"],
  [of("BlockCIM", BLOCKS, MERGED), "mounts[0].options"],
  [of("BlockCIM", BLOCKS, MERGED, "blockCIMType=disk"), "mounts[0].options.blockCIMType"],
  [of("BlockCIM", BLOCKS, "blockCIMType=file"), "mounts[0].options"],
  [
    of("BlockCIM", `parentCimPaths=${quoted("C:\\layer.cim")}`, "blockCIMType=file"),
    "mounts[0].options.parentCimPaths[0]",
  ],
  [of("windows-layer", PARENTS), "mounts[0].type", true],
  [of("lcow-layer"), "mounts[0].options", true],
  [of("lcow-partitioned-layer", "scratch=C:\\s.vhdx", "ro"), "mounts[0].options", true],
  [of("lcow-partitioned-layer", "scratch=C:\\s.vhdx"), "mounts[0].options", true],
  [
    of("lcow-partitioned-layer", 'parent-partitioned-layers=[{"Path":"C:\\\\a.vhd"}]'),
    "mounts[0].options",
    true,
  ],
  [
    of(
      "lcow-partitioned-layer",
      "scratch=C:\\s.vhdx",
      'parent-partitioned-layers=[{"Path":"C:\\\\a.vhd","Partition":-1}]',
    ),
    "mounts[0].options.parent-partitioned-layers[0].Partition",
    true,
  ],
];

for (const [source, argument, linux] of REFUSED) {
  const parse = linux ? parseLCOWLayers : parseWCOWLayers;
  Deno.test(`${parse.name}() refuses ${argument} of ${JSON.stringify(source)}`, () => {
    const error = assertThrows(() => parse(source), InvalidInputError);
    assertEquals(error.argument, argument);
  });
}

Deno.test("parseWCOWLayers() refuses a mount that is none, by name", () => {
  const mounts = [null] as unknown as ContainerdMount[];
  assertEquals(assertThrows(() => parseWCOWLayers({ mounts }), InvalidInputError).argument, "mounts[0]");
});
