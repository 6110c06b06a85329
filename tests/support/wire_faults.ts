/**
 * What can go wrong on the connection with a simulated guest: each message is looked at on its way to the guest, and its
 * answer on its way back.
 *
 * @module
 */

import { vsockService } from "../../src/ffi/ws2_32.ts";
import { answerTo, type GuestMessage } from "../../src/simulated/bridge_guest.ts";
import { addressOf } from "../../src/simulated/guest_network.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { runtimeIdOf } from "../../src/simulated/runtime_id.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Who answers in place of the guest. */
export interface Answering {
  /** Sends bytes. They are lost if the connection has ended. */
  send(bytes: Bytes): void;
  /** Ends the connection. */
  close(): void;
}

/** What becomes of a message. */
export interface Reaction {
  /** Whether the guest does what it is asked for. Default: true. */
  readonly isDone?: boolean;
  /**
   * Answers. `usual` is what the guest answers, or that it was done if the guest isn't asked. Default: `usual` is sent.
   */
  answer?(guest: Answering, usual: Bytes): void;
}

/** What goes wrong. Messages are counted from 1 on. */
export interface Wire {
  /** Returns after how many of its bytes the connection ends while a message is sent. Default: it doesn't. */
  sending?(message: number, bytes: Bytes): number | undefined;
  /** Returns what becomes of a message that was sent. Default: what it asks for. */
  react?(message: number, bytes: Bytes): Reaction | undefined;
}

/** A VM to whose guest messages are sent. */
export interface WiredVM {
  readonly id: string;
  readonly os: "windows" | "linux";
}

const SERVICES = { windows: "acef5661-84a1-4e44-856b-6245e69f4620", linux: vsockService(0x40000000) };
const HEADER_BYTES = 16;

/** Has things go wrong on the connection of a process with the guest of a VM. */
export function onWire({ guests }: SimulatedHost, { id, os }: WiredVM, wire: Wire): void {
  const bridge = addressOf(runtimeIdOf(id), SERVICES[os]);
  const { accept, connect } = guests;
  let [sent, received] = [0, 0];
  let end = () => {};

  guests.connect = (address) => {
    const guest = connect.call(guests, address);
    if (guest === undefined || address !== bridge) return guest;
    end = () => guest.close();
    const { read, write } = guest;
    const answering: Answering = { send: (bytes) => void write.call(guest, bytes), close: end };
    // By the ids of messages that the guest is at.
    const reactions = new Map<bigint, Reaction>();
    guest.read = async (target) => {
      for (let size; (size = await read.call(guest, target)) > 0;) {
        const bytes = target.slice(0, size) as Bytes;
        const message = messageIn(bytes);
        const reaction = wire.react?.(++received, bytes) ?? {};
        if (reaction.isDone !== false) {
          reactions.set(message.id, reaction);
          return size;
        }
        const usual = answerTo(message, { Result: 0 });
        if (reaction.answer === undefined) answering.send(usual);
        else reaction.answer(answering, usual);
      }
      return 0;
    };
    guest.write = (bytes) => {
      const { id } = messageIn(bytes as Bytes);
      const { answer } = reactions.get(id) ?? {};
      reactions.delete(id);
      if (answer === undefined) return write.call(guest, bytes);
      answer(answering, bytes as Bytes);
      return true;
    };
    return guest;
  };

  guests.accept = (address) => {
    const own = accept.call(guests, address);
    if (own === undefined || address !== bridge) return own;
    const { tryWrite } = own;
    own.tryWrite = (bytes) => {
      const limit = own.isClosed ? undefined : wire.sending?.(++sent, bytes as Bytes);
      if (limit === undefined) return tryWrite.call(own, bytes);
      end();
      return Math.min(limit, bytes.length) || undefined;
    };
    return own;
  };
}

// A message is read as it was written: as a whole.
function messageIn(bytes: Bytes): GuestMessage {
  const header = new DataView(bytes.buffer, bytes.byteOffset);
  const text = new TextDecoder().decode(bytes.subarray(HEADER_BYTES));
  return { type: header.getUint32(0, true), id: header.getBigUint64(8, true), text };
}
