/**
 * Where the library differs from the Go original on purpose in what it writes into CIM images.
 *
 * @module
 */

import type { ImageOutcome, SeenCall } from "./image_player.ts";

/** One difference. */
export interface ImageDeviation {
  readonly ours: string;
  readonly runs: readonly string[];
  /** What is expected instead. */
  readonly apply: (expected: ImageOutcome) => ImageOutcome;
}

const CLOSE: SeenCall = { fn: "CimCloseImage", args: {} };
const END: readonly SeenCall[] = [{ fn: "CimCommitImage", args: {} }, CLOSE];

function refused(expected: ImageOutcome): ImageOutcome {
  return { ...expected, fails: true, isRefused: true };
}

function without(fn: string): ImageDeviation["apply"] {
  return (expected) => ({ ...expected, calls: expected.calls.filter((call) => call.fn !== fn) });
}

// The file that comes after the stream in these runs is like the one that has the stream.
function withStream({ calls }: ImageOutcome): ImageOutcome {
  const at = calls.findIndex(({ args }) => args.path === "Files\\s.txt");
  const file = calls[at]!;
  const { size } = file.args;
  return {
    fails: false,
    calls: [
      ...calls.slice(0, at + 1),
      ...written(Number(size)),
      { fn: "CimCreateAlternateStream", args: { path: "Files\\s.txt:one", size: 5 } },
      ...written(5),
      { ...file, args: { ...file.args, path: "Files\\after.txt", size: 1 } },
      ...written(1),
      ...END,
    ],
  };
}

function written(size: number): SeenCall[] {
  return size === 0 ? [] : [{ fn: "CimWriteStream", args: { size } }];
}

/** The table. */
export const IMAGE_DEVIATIONS: readonly ImageDeviation[] = [
  {
    ours: "Nothing is committed after an error. The original makes half an image.",
    runs: [
      "forked-create-file-fails",
      "forked-link-is-standard-file",
      "forked-whiteout-denied",
      "merge-add-fails",
    ],
    apply: without("CimCommitImage"),
  },
  {
    ours: "An image is closed also if writing or completing it has failed. The original leaves it open.",
    runs: ["forked-commit-fails", "forked-write-fails"],
    apply: (expected) => ({ ...expected, calls: [...expected.calls, CLOSE] }),
  },
  {
    ours: "CimCloseStream returns nothing, so that nothing is taken for an error of it.",
    runs: ["forked-close-stream-fails"],
    apply: ({ calls }) => {
      const file = calls.find(({ args }) => args.path === "Files\\a")!;
      const next = { ...file, args: { ...file.args, path: "Files\\b" } };
      return { fails: false, calls: [...calls.slice(0, -END.length), next, ...written(1), ...END] };
    },
  },
  {
    ours: "Alternate data streams are kept, with their type or without. The original fails with them.",
    runs: ["forked-stream", "forked-stream-typed", "forked-stream-typed-empty-file"],
    apply: withStream,
  },
  {
    ours:
      "A path that is there twice, of a device, or that climbs is refused, and so is the removal of all that is in a folder.",
    runs: ["block-whiteout-opaque", "forked-twice", "forked-type-fifo", "forked-traversal-standard-file"],
    apply: refused,
  },
  {
    ours:
      "A removal is about the layers below, wherever it stands. The original removes what the layer itself has added.",
    runs: ["forked-whiteout-then-add"],
    apply: ({ calls, ...expected }) => ({
      ...expected,
      calls: calls.filter(({ fn }, i) => fn !== "CimDeletePath" || !calls.slice(0, i).some((call) => call.fn === fn)),
    }),
  },
  {
    ours: "A link leads to a file of its image also if it spells it in another case.",
    runs: ["block-child"],
    apply: ({ calls, ...expected }) => ({
      ...expected,
      calls: calls.map((call) => call.args.existing === "Files\\NEW.txt" ? { ...call, fn: "CimCreateHardLink" } : call),
    }),
  },
  {
    ours: "The links of a base layer come before its registry hives, as those of others do.",
    runs: ["block-base"],
    apply: ({ calls, ...expected }) => {
      const link = calls.find(({ args }) => args.path === "Files\\data\\b.txt")!;
      const rest = calls.filter((call) => call !== link);
      const at = rest.findIndex(({ args }) => args.path === "Files\\Windows\\System32\\config\\DEFAULT");
      return { ...expected, calls: [...rest.slice(0, at), link, ...rest.slice(at)] };
    },
  },
  {
    ours: "No VHD footer is appended to a file with an image.",
    runs: ["block-footer", "merge-footer-integrity"],
    apply: (expected) => expected,
  },
];
