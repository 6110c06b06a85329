/**
 * Layers on Wine's `C:` for tests inside.
 *
 * @module
 */

/** The folder below which tests may write. */
export const WORK = "C:\\work";

/** A stack of layers in a folder of its own, which is removed with all that is in it. */
export class LayerFolders implements Disposable {
  /** The folder. */
  readonly root: string;
  /** Folder of the scratch, with a disk in it. */
  readonly scratch: string;
  /** Folders of the read-only layers, topmost first. */
  readonly layers: readonly string[];

  /** A stack with layers of these names, the topmost first. */
  constructor(names: readonly string[], scratch = "scratch") {
    Deno.mkdirSync(WORK, { recursive: true });
    this.root = Deno.makeTempDirSync({ dir: WORK });
    this.layers = names.map((name) => `${this.root}\\${name}`);
    this.scratch = `${this.root}\\${scratch}`;
    for (const folder of this.all) Deno.mkdirSync(`\\\\?\\${folder}`, { recursive: true });
    Deno.writeTextFileSync(`\\\\?\\${this.scratch}\\sandbox.vhdx`, "");
  }

  /** All folders, as a mount takes them. */
  get all(): string[] {
    return [...this.layers, this.scratch];
  }

  /** Whether there is a file or folder of this name in {@linkcode LayerFolders.root}. */
  has(name: string): boolean {
    return [...Deno.readDirSync(this.root)].some((entry) => entry.name === name);
  }

  /** Removes the folder. */
  [Symbol.dispose](): void {
    Deno.removeSync(`\\\\?\\${this.root}`, { recursive: true });
  }
}
