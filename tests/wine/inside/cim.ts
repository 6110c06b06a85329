/**
 * Layers on CIM images, for tests inside and across processes, and a Windows that takes them.
 *
 * @module
 */

import type { Host } from "../../../src/ffi/host.ts";
import { ntdll, type ntdllSymbols } from "../../../src/ffi/ntdll.ts";
import type { Dll, NativeSymbols, SymbolTable } from "../../../src/ffi/table.ts";
import { LayerFolders } from "./layers.ts";
import type { RecordedCall } from "./trace.ts";

/** A host that is `host`, but for the build of its Windows. Wine calls itself 19043. */
export function onBuild(host: Host, build: number): Host {
  const { RtlGetVersion } = host.symbols(ntdll);
  const answers: NativeSymbols<typeof ntdllSymbols> = {
    ...host.symbols(ntdll),
    RtlGetVersion(info) {
      const status = RtlGetVersion(info);
      new DataView(info!.buffer, info!.byteOffset).setUint32(12, build, true);
      return status;
    },
  };
  return {
    machine: {},
    symbols: <T extends SymbolTable>(dll: Dll<T>) =>
      dll === ntdll as unknown ? answers as unknown as NativeSymbols<T> : host.symbols(dll),
    sleep: (ms, signal) => host.sleep(ms, signal),
    callback: (listener) => host.callback(listener),
  };
}

/** A stack whose topmost layer has an image. */
export class ImageLayers extends LayerFolders {
  /** Folder of the images. */
  readonly images: string;

  /** A stack with layers of these names, the topmost first. */
  constructor(names: readonly string[]) {
    super(names);
    this.images = `${this.root}\\cim-layers`;
    Deno.mkdirSync(this.images);
    Deno.writeTextFileSync(`${this.images}\\${names[0]}.cim`, "image");
  }
}

const PAIRS = [
  ["ActivateLayer", "DeactivateLayer"],
  ["CimMountImage", "CimDismountImage"],
  ["HcsAttachOverlayFilter", "HcsDetachOverlayFilter"],
] as const;

/** What the calls took of the host for the one stack there is, and no later one gave back. */
export function heldOfImage(calls: readonly RecordedCall[]): string[] {
  const done = calls.filter(({ hr }) => hr === "0x00000000").map(({ fn }) => fn);
  return PAIRS.filter(([take, give]) => done.lastIndexOf(take) > done.lastIndexOf(give)).map(([take]) => take);
}
