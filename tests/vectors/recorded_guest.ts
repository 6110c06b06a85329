/**
 * A guest on the simulated host that does what a recorded one did, and the sockets on which it is heard.
 *
 * @module
 */

import { vsockService } from "../../src/ffi/ws2_32.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { addressOf } from "../../src/simulated/guest_network.ts";
import { runtimeIdOf } from "../../src/simulated/runtime_id.ts";
import type { GuestRecording } from "./run.ts";

const VM = "vm1";
const ENTROPY_PORT = 1;
const LOG_PORT = 109;
const REQUESTS = ["NegotiateProtocol", "Create", "Start", "ModifySettings"];
const HOST_SIDE = ["listen", "accept", "close-listener"];

/** The guest of a run. */
export class RecordedGuest {
  readonly #host: SimulatedHost;
  readonly #recording: GuestRecording;
  readonly #runtimeId = runtimeIdOf(VM);
  // By service.
  readonly #sockets = new Map<string, string[]>();
  readonly #ids: bigint[] = [];
  #entropyBytes = 0;
  #requests = 0;
  #cancel: (() => void) | undefined;
  #isLost = false;

  /** Has the guests of a new host do what was recorded. */
  constructor(host: SimulatedHost, recording: GuestRecording) {
    this.#host = host;
    this.#recording = recording;
    this.#listenToSockets();
    for (const name of REQUESTS) host.before(`guest:${name}`, () => this.#request());
  }

  /** Does what was recorded before a step. `cancel` cancels the step, if that was recorded. */
  async beforeStep(cancel: (() => void) | undefined): Promise<void> {
    const { lostAt, cancelledAt } = this.#recording;
    if (lostAt?.isIdle && this.#requests === lostAt.request) {
      this.#lose();
      await this.#host.sleep(1);
    }
    this.#cancel = cancel;
    // While the step waits for something that takes longer.
    if (cancel !== undefined && cancelledAt === undefined) this.#host.sleep(1000).then(cancel);
  }

  #lose(): void {
    if (this.#isLost) return;
    this.#isLost = true;
    this.#host.guests.disconnect(this.#runtimeId);
    const { crash } = this.#recording;
    if (crash !== undefined) this.#host.notify(VM, "SystemExited", crash);
  }

  #request(): Promise<void> | undefined {
    const { lostAt, cancelledAt, lateAt } = this.#recording;
    this.#requests++;
    if (lostAt?.isIdle === false && this.#requests === lostAt.request) this.#lose();
    if (this.#requests === cancelledAt) this.#cancel?.();
    return this.#requests === lateAt ? this.#host.sleep(300) : undefined;
  }

  #listenToSockets(): void {
    const { guests } = this.#host;
    const { connects, crash, sockets } = this.#recording;
    const [listen, accept, close, connect] = [guests.listen, guests.accept, guests.close, guests.connect];
    guests.listen = (address, ...rest) => this.#note(address, "listen", listen.call(guests, address, ...rest));
    guests.accept = (address) => this.#note(address, "accept", accept.call(guests, address));
    guests.close = (address) => this.#note(address, "close-listener", close.call(guests, address) ?? true);
    guests.connect = (address) => {
      if (!connects.some((service) => address === addressOf(this.#runtimeId, service))) {
        if (crash !== undefined) this.#host.notify(VM, "SystemExited", crash);
        return undefined;
      }
      const connection = connect.call(guests, address);
      if (connection === undefined) return undefined;
      const { write } = connection;
      if (address === addressOf(this.#runtimeId, vsockService(ENTROPY_PORT))) {
        const { read } = connection;
        connection.read = async (target) => {
          const size = await read.call(connection, target);
          this.#entropyBytes += size;
          return size;
        };
      } else if (address === addressOf(this.#runtimeId, vsockService(LOG_PORT))) {
        const { text } = sockets.find(({ event }) => event === "log")!;
        connection.write = () => write.call(connection, new TextEncoder().encode(text));
      } else if (address === addressOf(this.#runtimeId, connects.at(-1)!)) {
        this.#listenToIds(connection);
        connection.write = (bytes) => this.#recording.silent || write.call(connection, this.#recorded(bytes));
      }
      return connection;
    };
  }

  // What was answered under the id, or else to another request, if it means the same: ours can have asked in another order.
  #recorded(answer: Uint8Array): Uint8Array {
    const header = new DataView(answer.buffer, answer.byteOffset);
    const id = header.getBigUint64(8, true);
    const { Result } = JSON.parse(new TextDecoder().decode(answer.subarray(16)));
    const { answers } = this.#recording;
    const same = [answers.get(id), ...answers.values()].find((recorded) =>
      recorded?.type === header.getUint32(0, true) && recorded.result === Result
    );
    if (same === undefined) return answer;
    const bytes = same.bytes.slice();
    new DataView(bytes.buffer).setBigUint64(8, id, true);
    return bytes;
  }

  #note<T>(address: string, event: string, result: T): T {
    const service = address.split("/")[1]!;
    if (result) this.#sockets.set(service, [...this.#sockets.get(service) ?? [], event]);
    return result;
  }

  #listenToIds(bridge: { read(target: Uint8Array): Promise<number> }): void {
    const read = bridge.read;
    const bytes: number[] = [];
    bridge.read = async (target) => {
      const size = await read.call(bridge, target);
      bytes.push(...target.subarray(0, size));
      while (bytes.length >= 16) {
        const header = new DataView(Uint8Array.from(bytes.slice(0, 16)).buffer);
        const length = header.getUint32(4, true);
        if (bytes.length < length) break;
        this.#ids.push(header.getBigUint64(8, true));
        bytes.splice(0, length);
      }
      return size;
    };
  }

  /** What is otherwise than recorded in the end, in words. */
  difference(): string | undefined {
    const wrong = this.#ids.findIndex((id, i) => id !== BigInt(i));
    if (wrong >= 0) return `request ${wrong} was sent as ${this.#ids[wrong]}`;
    const entropy = this.#recording.sockets.find(({ event }) => event === "entropy")?.bytes ?? 0;
    if (this.#entropyBytes !== entropy) {
      return `the guest got ${this.#entropyBytes} bytes of entropy, expected ${entropy}`;
    }
    for (const [service, events] of this.#recordedSockets()) {
      const made = this.#sockets.get(service)?.join() ?? "";
      if (made !== events.join()) return `sockets of ${service}: ${made || "none"}, expected ${events.join()}`;
    }
    return undefined;
  }

  // Ours listens from the start on, and in the end nobody listens any more: the original forgets some sockets.
  #recordedSockets(): Map<string, string[]> {
    const { isStarted, sockets } = this.#recording;
    const services = Map.groupBy(sockets.filter(({ event }) => HOST_SIDE.includes(event)), ({ service }) => service!);
    return new Map([...services].map(([service, all]) => {
      const events = all.map(({ event }) => event);
      if (!isStarted) return [service, []];
      return [service, events.includes("close-listener") ? events : [...events, "close-listener"]];
    }));
  }
}
