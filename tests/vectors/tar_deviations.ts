/**
 * Where the library differs from the Go original on purpose in what it makes of tars, in the form of {@linkcode DEVIATIONS}.
 *
 * @module
 */

import { type ExportCase, type ImportCase, streamsIn } from "./tar_case.ts";

/** What reading the first entry of a tar is to give. */
export interface SeenEntry {
  readonly path: string;
  readonly type: string;
  readonly size: number;
  readonly attributes: number;
  /** FILETIMEs: creation, write, access, change. */
  readonly times: readonly string[];
  readonly security: string | undefined;
  readonly extended: readonly (readonly [name: string, value: string])[];
  readonly reparse: readonly [tag: number, target: string] | undefined;
  readonly data: string;
  readonly streams: readonly (readonly [name: string, data: string])[];
  readonly next: string | undefined;
}

/** What a file in a tar is to be. */
export interface SeenHeader {
  readonly name: string;
  readonly type: string;
  readonly size: number;
  readonly mode: string;
  readonly linkname: string;
  readonly pax: Readonly<Record<string, string>>;
  readonly data: string;
}

/** One difference in reading. */
export interface ImportDeviation {
  readonly ours: string;
  /** What is expected instead of `expected`, which is undefined where the original refuses; the same if nothing differs. */
  readonly apply: (expected: SeenEntry | "refused", tarCase: ImportCase) => SeenEntry | "refused";
}

/** One difference in writing. */
export interface ExportDeviation {
  readonly ours: string;
  readonly apply: (
    expected: readonly SeenHeader[] | "refused",
    tarCase: ExportCase,
  ) => readonly SeenHeader[] | "refused";
}

function changed<T extends object>(change: (seen: T, tarCase: ImportCase) => Partial<T> | "refused" | undefined) {
  return (expected: T | "refused", tarCase: ImportCase): T | "refused" => {
    const difference = expected === "refused" ? undefined : change(expected, tarCase);
    if (difference === undefined || expected === "refused") return expected;
    return difference === "refused" ? difference : { ...expected, ...difference };
  };
}

// What Go's zero time becomes.
const WRAPPED = "48491090211286549";

/** All differences in reading, in the order in which they apply. */
export const IMPORT_DEVIATIONS: readonly ImportDeviation[] = [
  {
    ours: "a whiteout is the path that it removes, and has no metadata (the original leaves that to its caller)",
    apply: changed<SeenEntry>(({ path }) =>
      path.includes("/.wh.")
        ? { path: path.replace(".wh.", ""), type: "whiteout", times: [], attributes: 0 }
        : undefined
    ),
  },
  {
    ours: "a time of reading or of change that is missing is that of the last write (the original sets the year 1754)",
    apply: changed<SeenEntry>(({ times }) =>
      times.includes(WRAPPED) ? { times: times.map((time) => time === WRAPPED ? times[1]! : time) } : undefined
    ),
  },
  {
    ours: "a folder has its name without the / at the end, and streams like others",
    apply: changed<SeenEntry>(({ path }, { input: { entries } }) => {
      if (!path.endsWith("/")) return undefined;
      const folder = path.slice(0, -1);
      const streams = entries.filter(({ name }) => name.startsWith(`${folder}:`))
        .map(({ name, data }) => [name.slice(folder.length + 1), data!] as const);
      return { path: folder, streams, next: entries[1 + streams.length]?.name };
    }),
  },
  {
    ours: "a stream with its type is the one without (the original adds the type a second time)",
    apply: changed<SeenEntry>(({ streams }) =>
      streams.some(([name]) => name.endsWith(":$DATA"))
        ? { streams: streams.map(([name, data]) => [name.replace(":$DATA", ""), data]) }
        : undefined
    ),
  },
  {
    ours: "the stream after a file is its stream, whatever case its name has, if no other file is in between",
    apply: changed<SeenEntry>(({ path, next }, { input: { entries } }) =>
      next?.includes(":") && next.split(":")[0] !== path && next.split(":")[0]!.toLowerCase() === path.toLowerCase()
        ? { streams: [[next.split(":")[1]!, entries[1]!.data!]], next: entries[2]!.name }
        : undefined
    ),
  },
  {
    ours: "an entry that isn't a file, a folder or a link is refused (the original makes an empty file)",
    apply: changed<SeenEntry>((_, { input: { entries } }) => /^[346]$/.test(entries[0]!.type) ? "refused" : undefined),
  },
  {
    ours: "a name that is too long for NTFS is refused (the original leaves that to Windows)",
    apply: changed<SeenEntry>(({ path }) => path.split("/").some(({ length }) => length > 255) ? "refused" : undefined),
  },
];

// Of a FILETIME after 1970.
function seconds(fileTime: string): string {
  const units = BigInt(fileTime) - 116_444_736_000_000_000n;
  const fraction = String(units % 10_000_000n).padStart(7, "0").replace(/0+$/, "");
  return `${units / 10_000_000n}${fraction && `.${fraction}`}`;
}

// Beyond what Go can count in nanoseconds.
const isOutOfRange = ({ input: { info } }: ExportCase) =>
  BigInt(info.lastWriteTime) < 24_211_514_734_547_759n || BigInt(info.lastWriteTime) > 208_678_456_368_547_758n;

/** All differences in writing, in the order in which they apply. */
export const EXPORT_DEVIATIONS: readonly ExportDeviation[] = [
  {
    ours: "times before 1677 and after 2262 are exact (the original wraps them)",
    apply: (expected, tarCase) => {
      if (expected === "refused" || !isOutOfRange(tarCase)) return expected;
      const seconds = String(BigInt(tarCase.input.info.lastWriteTime) / 10_000_000n - 11_644_473_600n);
      const isNegative = seconds.startsWith("-");
      return expected.map(({ pax: { mtime: _, ...pax }, ...entry }) => ({
        ...entry,
        pax: {
          ...pax,
          atime: seconds,
          ctime: seconds,
          "LIBARCHIVE.creationtime": seconds,
          ...(isNegative || Number(seconds) >= 8 ** 11) && { mtime: seconds },
        },
      }));
    },
  },
  {
    ours: "the mode, which Windows ignores, says file only if there are contents",
    apply: (expected) =>
      expected === "refused"
        ? expected
        : expected.map((entry) => entry.size === 0 && entry.mode === "0100000" ? { ...entry, mode: "0" } : entry),
  },
  {
    ours: "metadata after the data, and sparse files whose source can be read twice, are written (the original fails)",
    apply: (expected, { input, error = "" }) => {
      const streams = /unknown stream ID [39]\b/.test(error) ? streamsIn(input.backupStream ?? "") : undefined;
      const of = (id: number) => streams?.find((stream) => stream.id === id)?.data;
      const [data, security] = [of(1), of(3)];
      if (data?.byteLength !== input.size) return expected;
      const { attributes, ...times } = input.info;
      const mtime = seconds(times.lastWriteTime);
      const pax = {
        "LIBARCHIVE.creationtime": seconds(times.creationTime),
        "MSWINDOWS.fileattr": String(attributes),
        ...security && { "MSWINDOWS.rawsd": security.toBase64() },
        atime: seconds(times.lastAccessTime),
        ctime: seconds(times.changeTime),
        ...mtime.includes(".") && { mtime },
      };
      const name = input.path.replaceAll("\\", "/");
      return [{ name, type: "0", size: input.size, mode: "0100000", linkname: "", pax, data: data.toHex() }];
    },
  },
  {
    ours: "streams of a folder, of a file without data, and before the data are in the tar (the original loses them)",
    apply: (expected, { input }) => {
      if (expected === "refused") return expected;
      const streams = streamsIn(input.backupStream ?? "") ?? [];
      const missing = streams.filter(({ id, name }) =>
        id === 4 && !expected.some((entry) => entry.name.endsWith(name.replace(/:\$DATA$/, "")))
      );
      const [file] = expected;
      const { atime, ctime } = file!.pax;
      return [
        ...expected,
        ...missing.map(({ name, data }): SeenHeader => ({
          name: file!.name + name.replace(/:\$DATA$/, ""),
          type: "0",
          size: data.byteLength,
          mode: "0100000",
          linkname: "",
          pax: { atime: atime!, ctime: ctime! },
          data: data.toHex(),
        })),
      ];
    },
  },
  {
    ours: "a folder has its name without the / at the end",
    apply: (expected) =>
      expected === "refused" ? expected : expected.map((entry) => ({ ...entry, name: entry.name.replace(/\/$/, "") })),
  },
];
