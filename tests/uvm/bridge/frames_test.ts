import { assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import { GuestConnectionError } from "../../../src/errors/vm_errors.ts";
import { guestMessage } from "../../../src/simulated/bridge_guest.ts";
import { frameOf, FrameReader, LARGEST_FRAME, setId } from "../../../src/uvm/bridge/frames.ts";

type Bytes = Uint8Array<ArrayBuffer>;

function taken(reader: FrameReader, bytes: Bytes, pieces: number): [number, number, string][] {
  const frames: [number, number, string][] = [];
  for (let at = 0; at < bytes.length;) {
    const part = bytes.subarray(at, at + Math.min(pieces, reader.space.length));
    reader.space.set(part);
    for (const { type, id, body } of reader.take(part.length)) frames.push([type, id, new TextDecoder().decode(body)]);
    at += part.length;
  }
  return frames;
}

function joined(...parts: Bytes[]): Bytes {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

Deno.test("frameOf() writes type, size, id and a line, as the container tools do", () => {
  const frame = frameOf(0x10100b01, '{"é":1}');
  setId(frame, 0x01020304);
  const body = new TextEncoder().encode('{"é":1}\n');
  assertEquals([...frame], [1, 0x0b, 0x10, 0x10, 25, 0, 0, 0, 4, 3, 2, 1, 0, 0, 0, 0, ...body]);
});

Deno.test("FrameReader finds frames wherever the stream is cut", () => {
  const largest = "x".repeat(LARGEST_FRAME - 16);
  const bytes = joined(
    guestMessage(0x20100a01, 1n, "{}"),
    guestMessage(0x20100a01, 2n, ""),
    guestMessage(0x20100a01, 3n, largest),
    guestMessage(0x30100101, 4n, "é"),
  );
  for (const pieces of [1, 15, 16, 17, 1000, Infinity]) {
    const reader = new FrameReader();
    assertEquals(taken(reader, bytes, pieces), [
      [0x20100a01, 1, "{}"],
      [0x20100a01, 2, ""],
      [0x20100a01, 3, largest],
      [0x30100101, 4, "é"],
    ]);
    assertEquals(reader.isInside, false);
  }
});

Deno.test("FrameReader refuses a size that is impossible as soon as it has the header", () => {
  for (const size of [15, 0, LARGEST_FRAME + 1, 0xffffffff]) {
    const frame = guestMessage(0x20100a01, 1n, "");
    new DataView(frame.buffer).setUint32(4, size, true);
    const error = assertThrows(() => taken(new FrameReader(), frame, 16), GuestConnectionError, `${size} bytes`);
    assertEquals(error.reason, "invalid");
    assertEquals(taken(new FrameReader(), frame.subarray(0, 15), 15), []);
  }
});
