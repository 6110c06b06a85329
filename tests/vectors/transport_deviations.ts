/**
 * Where the library differs from the Go original on purpose in what it imports and exports.
 *
 * @module
 */

import type { TransportOutcome } from "./transport_player.ts";

/** One difference. */
export interface TransportDeviation {
  readonly ours: string;
  readonly runs: readonly string[];
  /** What is expected instead. */
  readonly apply: (expected: TransportOutcome) => TransportOutcome;
}

const ATTRIBUTES = '[["MSWINDOWS.fileattr","32"]]';
const FOLDER = '[["MSWINDOWS.fileattr","16"]]';
const SPARSE = '[["MSWINDOWS.fileattr","544"]]';
const [FILES, HIVES] = [`5 Files 0  ${FOLDER} `, `5 Hives 0  ${FOLDER} `];
const EMPTY = `0 Files/a.txt 0  ${ATTRIBUTES} `;
const DELTA = `0 Hives/System_Delta 1  ${ATTRIBUTES} 64`;
const END = "DeactivateLayer C:\\snap\\9";

function exports(...tar: string[]): TransportDeviation["apply"] {
  return ({ calls, ...expected }) => ({
    ...expected,
    fails: false,
    calls: calls.at(-1) === END ? calls : [...calls, END],
    tar,
  });
}

/** The table. */
export const TRANSPORT_DEVIATIONS: readonly TransportDeviation[] = [
  {
    ours: "After an error in the tar, Windows makes no layer of what came before it, and nothing is left.",
    runs: [
      "import-base-whiteout",
      "import-child-absolute",
      "import-child-link-outside",
      "import-child-other-root",
      "import-child-traversal-front",
      "import-child-twice",
      "import-child-utility-vm-other-folder",
      "import-child-wcidirs-name",
      "import-child-whiteout-of-hive",
    ],
    apply: (expected) => ({ ...expected, calls: [], importFolder: undefined }),
  },
  {
    ours: "The type in the name of a stream isn't taken for a part of it.",
    runs: ["import-child-typed-stream"],
    apply: ({ importFolder = [], ...expected }) => ({
      ...expected,
      importFolder: importFolder.map((file) =>
        file.replace("20000000" + TYPED + TYPE + TYPE, "14000000" + TYPED + TYPE)
      ),
    }),
  },
  {
    ours: "Names of folders that end with a / are those without. The original loses the utility VM.",
    runs: ["import-child-utility-vm-slash"],
    apply: ({ calls, importFolder = [], ...expected }) => ({
      ...expected,
      fails: false,
      calls: [...calls, "ProcessUtilityImage \\\\?\\C:\\snap\\9\\UtilityVM"],
      importFolder: importFolder.filter((file) => !file.startsWith("UtilityVM")),
    }),
  },
  {
    ours:
      "A removal is about the layers below, wherever it stands. The original removes what the layer itself has added.",
    runs: ["import-child-whiteout-then-add"],
    apply: ({ layer = [], ...expected }) => ({ ...expected, layer: [...layer, "Files\\old.txt"].sort() }),
  },
  {
    ours: "Sparse files are exported, with their zeros.",
    runs: ["export-child-sparse"],
    apply: exports(FILES, `0 Files/sp 8  ${SPARSE} 0000000061626364`, HIVES, DELTA),
  },
  {
    ours: "Hives without that of the system are exported, with the times of their folder.",
    runs: ["export-child-no-system-delta"],
    apply: exports(FILES, EMPTY, HIVES, `0 Hives/Software_Delta 1  ${ATTRIBUTES} 64`),
  },
  {
    ours: "Empty lines in the list of removals are passed over. The original's process ends.",
    runs: ["export-child-tombstones-empty-line"],
    apply: exports(FILES, "0 Files/.wh.x 0  [] ", EMPTY, HIVES, DELTA),
  },
  {
    ours: "A removal in a folder that isn't exported comes last. The original loses it.",
    runs: ["export-child"],
    apply: ({ tar = [], ...expected }) => ({ ...expected, tar: [...tar, "0 Files/nofolder/.wh.lost 0  [] "] }),
  },
];

// `:one`, and `:$DATA`, behind the number of bytes that the name has.
const TYPED = "3a006f006e006500";
const TYPE = "3a0024004400410054004100";
