/**
 * Stand-ins for programs that documents call and that aren't here. They print what the real ones print on a Windows
 * host, as far as it is read. Their `C:` is a folder of that name where they run.
 *
 * @module
 */

const WINDOWSFILTER = "C:/ProgramData/docker/windowsfilter";
const SNAPSHOTS = "C:\\ProgramData\\containerd\\root\\io.containerd.snapshotter.v1.windows\\snapshots";

const script = (folder: string, name: string, text: string) =>
  Deno.writeTextFileSync(`${folder}/${name}`, `#!/bin/sh\n${text}\n`, { mode: 0o755 });

/** Puts a stand-in into a folder of programs, and its files into the folder where it runs. */
export const STAND_INS: Readonly<Record<"ctr" | "docker", (programs: string, folder: string) => void>> = {
  docker(programs, folder) {
    Deno.mkdirSync(`${folder}/${WINDOWSFILTER}/1`, { recursive: true });
    Deno.writeTextFileSync(
      `${folder}/${WINDOWSFILTER}/1/layerchain.json`,
      JSON.stringify([2, 3].map((n) => `${WINDOWSFILTER.replaceAll("/", "\\")}\\${n}`)),
    );
    script(programs, "docker", `[ "$1 $2" = "image inspect" ] && echo ${WINDOWSFILTER}/1`);
  },
  ctr(programs) {
    const mounts = [{
      Type: "windows-layer",
      Source: `${SNAPSHOTS}\\9`,
      Target: "",
      Options: ["ro", `parentLayerPaths=${JSON.stringify([3, 2, 1].map((n) => `${SNAPSHOTS}\\${n}`))}`],
    }];
    script(
      programs,
      "ctr",
      `case "$6" in view) cat <<'END'\n${JSON.stringify(mounts)}\nEND\n;; rm) ;; *) exit 1;; esac`,
    );
  },
};
