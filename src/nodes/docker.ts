/**
 * What docker has written into the folders of its layers.
 *
 * @module
 */

import { dirname } from "jsr:@std/path@^1.1.0/windows";
import { kindOf } from "../checks/existing.ts";
import { nameOf } from "../checks/windows_path.ts";
import { UnexpectedAnswerError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import { directoryEntries, programData, readText } from "../ffi/kernel32.ts";
import { ifReadable, type LayerStore, localFolder } from "./store.ts";

const LAYERS = "windowsfilter";
const CHAIN = "layerchain.json";
const OF_CONTAINER = /-(removing|init)$/;
const CONTAINER = /^[0-9a-f]{64}$/;

/** Returns the store of docker on a host, if there is one. */
export function dockerStores(host: Host): LayerStore[] {
  const folder = `${dockerRoot(host)}\\${LAYERS}`;
  return kindOf(host, folder) === "folder" ? [storeIn(host, folder)] : [];
}

/** Returns the store whose folder this is, by its name: its root can be one that no file tells. */
export function dockerStoreAt(host: Host, folder: string): LayerStore | undefined {
  return nameOf(folder).toLowerCase() === LAYERS ? storeIn(host, folder) : undefined;
}

function storeIn(host: Host, folder: string): LayerStore {
  const root = dirname(folder);
  let containers: ((name: string) => string | undefined) | undefined;
  return {
    tool: "docker",
    folder,
    facts(name) {
      containers ??= ifReadable(root, () => containersIn(host, root)) ?? (() => undefined);
      // A folder that is being removed has another name, as has what docker writes before the container does.
      const container = containers(name.replace(OF_CONTAINER, ""));
      // The root can have been moved since, but all layers are in the same folder.
      const chain = `${folder}\\${name}\\${CHAIN}`;
      const layers = ifReadable(chain, () => parentsInChain(readText(host, chain)));
      return { container, layers: layers?.map((layer) => `${folder}\\${nameOf(layer)}`) };
    },
    withImages: () => [],
  };
}

// A folder has the id of its container as its name, except where docker says otherwise. A step of a build has such a name, too, and is no
// container. Where docker has written down no containers at all, names are all that is known.
function containersIn(host: Host, root: string): (name: string) => string | undefined {
  const containers = `${root}\\containers`;
  const mounts = `${root}\\image\\${LAYERS}\\layerdb\\mounts`;
  const isContainer = kindOf(host, containers) === "folder"
    ? (id: string) => ifReadable(id, () => kindOf(host, `${containers}\\${id}\\config.v2.json`)) === "file"
    : () => true;
  const owners = new Map<string, string>();
  for (
    const id of kindOf(host, mounts) === "folder" ? [...directoryEntries(host, mounts)].map(({ name }) => name) : []
  ) {
    const file = `${mounts}\\${id}\\mount-id`;
    // Of a container that is just being made or removed, it isn't there.
    const mount = ifReadable(file, () => kindOf(host, file) === "file" ? readText(host, file) : undefined);
    if (mount !== undefined) owners.set(mount, id);
  }
  return (name) => {
    const id = owners.get(name) ?? name;
    return CONTAINER.test(id) && isContainer(id) ? id : undefined;
  };
}

/** Returns where docker keeps all it has. Where its service's command line says otherwise, this isn't it. */
export function dockerRoot(host: Host): string {
  const usual = `${programData(host)}\\docker`;
  const file = `${usual}\\config\\daemon.json`;
  if (kindOf(host, file) !== "file") return usual;
  const config = parsed(readText(host, file), file) as { "data-root"?: unknown } | null;
  return config?.["data-root"] === undefined ? usual : localFolder(config["data-root"], file);
}

/**
 * Returns the folders of the layers that a layer of docker rests on, the nearest first, from its `layerchain.json`. They are
 * absolute, as they were when docker wrote them.
 *
 * @throws {UnexpectedAnswerError} if it is no such file: what the layer rests on is unknown, not nothing.
 */
export function parentsInChain(json: string): string[] {
  const chain = parsed(json, CHAIN);
  // A base layer has the four letters.
  if (chain === null) return [];
  if (!Array.isArray(chain) || !chain.every((folder) => typeof folder === "string")) {
    throw new UnexpectedAnswerError(CHAIN, "is no list of folders", json);
  }
  return chain;
}

function parsed(json: string, file: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new UnexpectedAnswerError(file, "is not JSON", json, { cause });
  }
}
