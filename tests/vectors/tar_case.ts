/**
 * What the Go original (go-winio's backuptar) made of entries of tars and of backup streams, as it lies in the files.
 *
 * @module
 */

/** The folder with the cases of this checkout. */
export const TAR_RECORDINGS = `${import.meta.dirname}/tar`;

/** One case: a tar that was read, or a file that was written to a tar. */
export type TarCase = ImportCase | ExportCase;

/** What the first entry of a tar became. */
export interface ImportCase {
  readonly name: string;
  readonly input: { readonly entries: readonly RecordedEntry[]; readonly tar?: string };
  readonly fileInfo?: { readonly path: string; readonly size: number; readonly info: RecordedInfo };
  /** Set if the entry was refused; the other errors likewise. */
  readonly fileInfoError?: string;
  readonly error?: string;
  /** Hex of all that was given to BackupWrite. */
  readonly backupStream: string;
  /** The entry at which it stopped. */
  readonly next?: string;
}

/** What the tar of a file became. */
export interface ExportCase {
  readonly name: string;
  readonly input: {
    readonly path: string;
    readonly size: number;
    readonly info: RecordedInfo;
    /** Hex. */
    readonly backupStream?: string;
    readonly seekable?: boolean;
  };
  readonly entries?: readonly RecordedEntry[];
  readonly error?: string;
  /** The tar in base64, without its end. */
  readonly tar?: string;
  /** The header alone. */
  readonly headerBytes?: string;
}

/** Attributes, and times as decimal FILETIMEs. */
export interface RecordedInfo {
  readonly attributes: number;
  readonly creationTime: string;
  readonly lastWriteTime: string;
  readonly lastAccessTime: string;
  readonly changeTime: string;
}

/** An entry, as Go's reader has it. */
export interface RecordedEntry {
  readonly name: string;
  readonly type: string;
  readonly size: number;
  readonly mode: string;
  readonly linkname?: string;
  /** Seconds, with nine digits of fraction. */
  readonly mtime: string;
  readonly pax?: Readonly<Record<string, string>>;
  /** Hex. */
  readonly data?: string;
  readonly dataLength?: number;
}

/** Whether a case is one of reading. */
export function isImport(tarCase: TarCase): tarCase is ImportCase {
  return "entries" in tarCase.input;
}

/** Whether a recording is one of a tar. */
export function isTarCase(run: object): run is TarCase {
  return "input" in run;
}

/** A stream in a backup stream. */
export interface BackupStream {
  readonly id: number;
  readonly name: string;
  readonly data: Uint8Array;
}

/** The streams in a backup stream, sparse ones filled up; undefined if it makes no sense. */
export function streamsIn(hex: string): BackupStream[] | undefined {
  const bytes = Uint8Array.fromHex(hex);
  const view = new DataView(bytes.buffer);
  const streams: BackupStream[] = [];
  for (let at = 0; at < bytes.byteLength;) {
    if (at + 20 > bytes.byteLength) return undefined;
    const [id, size, nameSize] = [
      view.getUint32(at, true),
      Number(view.getBigUint64(at + 8, true)),
      view.getUint32(at + 16, true),
    ];
    if (id > 10) return undefined;
    const name = new TextDecoder("utf-16le").decode(bytes.subarray(at + 20, at + 20 + nameSize));
    const data = bytes.slice(at += 20 + nameSize, at += size);
    const last = streams.at(-1);
    if (id !== 9) streams.push({ id, name, data });
    else if (last?.id !== 1) return undefined;
    else {
      const offset = Number(new DataView(data.buffer).getBigUint64(0, true));
      if (offset < last.data.byteLength) return undefined;
      const longer = new Uint8Array(offset + data.byteLength - 8);
      longer.set(last.data);
      longer.set(data.subarray(8), offset);
      streams[streams.length - 1] = { ...last, data: longer };
    }
  }
  return streams;
}
