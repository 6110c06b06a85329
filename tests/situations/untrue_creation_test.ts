// Calls that Windows reports as done, and that made nothing: nobody gets what isn't there.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { mountSandboxVolume, mountWCOWLayers, UnexpectedAnswerError } from "../../mod.ts";
import type { Host } from "../../src/ffi/host.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import {
  copyLayer,
  createLayer,
  createScratch,
  createScratchLayer,
  createUtilityVMScratch,
  expandScratch,
  hcsImportLayer,
  importLayer,
  mountCimImage,
  setupContainerBaseLayer,
} from "../../src/storage/mod.ts";
import { held } from "../support/calls.ts";
import { hostWith } from "../support/host.ts";

const GUID = "11111111-2222-3333-4444-555555555555";
const VOLUME = `\\\\?\\Volume{${GUID}}\\`;
const IMAGE_VOLUME = "\\\\?\\Volume{22222222-2222-3333-4444-555555555555}\\";
const SIZE = 2 ** 30;
const BASE = "C:\\layers\\base";
const layers = [BASE];
const disks = { base: `${BASE}\\blank-base.vhdx`, differencing: `${BASE}\\blank.vhdx`, size: SIZE };

const calls: Record<string, { function: string; call: (host: Host) => Promise<unknown> }> = {
  createScratch: { function: "CreateSandboxLayer", call: (host) => createScratch("C:\\new\\s", layers, { host }) },
  "createScratch of a size": {
    function: "CreateSandboxLayer",
    call: (host) => createScratch("C:\\new\\s", layers, { host, size: 40 * SIZE }),
  },
  "createScratch that expands": {
    function: "ExpandSandboxSize",
    call: (host) => createScratch("C:\\new\\s", layers, { host, size: 40 * SIZE }),
  },
  expandScratch: { function: "ExpandSandboxSize", call: (host) => expandScratch("C:\\s", 40 * SIZE, { host }) },
  "mountWCOWLayers with a new scratch": {
    function: "CreateSandboxLayer",
    call: (host) => mountWCOWLayers("c1", [BASE, "C:\\new\\s"], { host, createScratch: true }),
  },
  "mountWCOWLayers at a folder": {
    function: "SetVolumeMountPointW",
    call: (host) => mountWCOWLayers("c1", [BASE, "C:\\s"], { host, volumeMountPath: "C:\\mnt\\c1" }),
  },
  mountSandboxVolume: {
    function: "SetVolumeMountPointW",
    call: (host) => mountSandboxVolume("C:\\mnt\\c1", VOLUME, { host }),
  },
  mountCimImage: {
    function: "CimMountImage",
    call: (host) => mountCimImage("C:\\cim\\cim-layers\\top.cim", IMAGE_VOLUME, { host }),
  },
  "mountWCOWLayers with an image": {
    function: "CimMountImage",
    call: (host) => mountWCOWLayers("c1", ["C:\\cim\\top", "C:\\s"], { host }),
  },
  createScratchLayer: {
    function: "CreateSandboxLayer",
    call: (host) => createScratchLayer("C:\\layers\\new", layers, { host }),
  },
  createLayer: { function: "CreateLayer", call: (host) => createLayer("C:\\layers\\new", { parent: BASE, host }) },
  copyLayer: { function: "CopyLayer", call: (host) => copyLayer(BASE, "C:\\layers\\new", { host }) },
  importLayer: { function: "ImportLayer", call: (host) => importLayer("C:\\layers\\new", "C:\\unpacked", { host }) },
  hcsImportLayer: {
    function: "HcsImportLayer",
    call: (host) => hcsImportLayer("C:\\layers\\new", "C:\\unpacked", { host }),
  },
  createUtilityVMScratch: {
    function: "CopyFileW",
    call: (host) => createUtilityVMScratch("C:\\new\\s", "C:\\layers\\boot", { vmId: "v1", host }),
  },
  setupContainerBaseLayer: {
    function: "HcsSetupBaseOSLayer",
    call: (host) => setupContainerBaseLayer(BASE, disks, { host }),
  },
};

function someHost(): SimulatedHost {
  const contents = {
    layers,
    cimLayers: ["C:\\cim\\top"],
    scratches: ["C:\\s"],
    folders: ["C:\\unpacked"],
    windowsBoot: ["C:\\layers\\boot"],
  };
  const host = hostWith(contents, { records: false });
  host.addVolume(GUID);
  return host;
}

for (const [name, { function: fn, call }] of Object.entries(calls)) {
  Deno.test(`${name}: ${fn} succeeds without an effect, which is told, and nothing is left`, async () => {
    const host = someHost();
    const before = host.paths();
    host.fail({ function: fn, code: 0 });
    const error = await assertRejects(() => call(host), UnexpectedAnswerError);
    assertEquals([error.operation, held(host), host.paths()], [fn, [], before]);
  });

  Deno.test(`${name}: the look after ${fn} fails, or is wrong, once: the call succeeds`, async () => {
    for (const code of ["ERROR_ACCESS_DENIED", "ERROR_FILE_NOT_FOUND"] as const) {
      const host = someHost();
      host.before(fn, () => void host.fail({ function: "GetFileAttributesW", code, nth: 1 }));
      await call(host);
    }
  });
}
