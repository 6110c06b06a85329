/**
 * Sockets between the simulated host and its guests.
 *
 * @module
 */

/** What comes through one direction of a connection. */
class Pipe {
  readonly #chunks: Uint8Array[] = [];
  #closed = false;
  #wake = Promise.withResolvers<void>();

  write(bytes: Uint8Array): void {
    this.#chunks.push(bytes.slice());
    this.#signal();
  }

  close(): void {
    this.#closed = true;
    this.#signal();
  }

  get closed(): boolean {
    return this.#closed;
  }

  #signal(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  /** Reads up to `target.length` bytes; answers 0 at the end. */
  async read(target: Uint8Array): Promise<number> {
    while (this.#chunks.length === 0) {
      if (this.#closed) return 0;
      await this.#wake.promise;
    }
    const chunk = this.#chunks.shift()!;
    const part = chunk.subarray(0, target.length);
    target.set(part);
    if (part.length < chunk.length) this.#chunks.unshift(chunk.subarray(part.length));
    return part.length;
  }
}

/** One end of a connection. */
export class Connection {
  readonly #in: Pipe;
  readonly #out: Pipe;

  private constructor(incoming: Pipe, outgoing: Pipe) {
    this.#in = incoming;
    this.#out = outgoing;
  }

  /** Both ends of a new connection. */
  static pair(): [Connection, Connection] {
    const [a, b] = [new Pipe(), new Pipe()];
    return [new Connection(a, b), new Connection(b, a)];
  }

  /** Reads up to `target.length` bytes; answers 0 once the other end is closed. */
  read(target: Uint8Array): Promise<number> {
    return this.#in.read(target);
  }

  /** Writes; answers false where one end is closed. */
  write(bytes: Uint8Array): boolean {
    if (this.#out.closed) return false;
    this.#out.write(bytes);
    return true;
  }

  /** Closes this end; what waits to read from it ends as well. */
  close(): void {
    this.#out.close();
    this.#in.close();
  }
}

interface Listener {
  readonly arrived: Connection[];
  readonly waiting: ((connection: Connection | undefined) => void)[];
}

/** Who listens at which address. */
export class GuestNetwork {
  readonly #listeners = new Map<string, Listener>();
  /** How often WSAStartup was called without WSACleanup. */
  started = 0;

  /** Listens. Answers false where somebody does. */
  listen(address: string): boolean {
    if (this.#listeners.has(address)) return false;
    this.#listeners.set(address, { arrived: [], waiting: [] });
    return true;
  }

  /** The next connection to an address; `undefined` once nobody listens there. */
  accept(address: string): Promise<Connection | undefined> {
    const listener = this.#listeners.get(address);
    if (listener === undefined) return Promise.resolve(undefined);
    const arrived = listener.arrived.shift();
    if (arrived !== undefined) return Promise.resolve(arrived);
    return new Promise((resolve) => listener.waiting.push(resolve));
  }

  /** Stops listening. */
  close(address: string): void {
    const listener = this.#listeners.get(address);
    this.#listeners.delete(address);
    listener?.waiting.forEach((resolve) => resolve(undefined));
    listener?.arrived.forEach((connection) => connection.close());
  }

  /** A guest connects; `undefined` where nobody listens. */
  connect(address: string): Connection | undefined {
    const listener = this.#listeners.get(address);
    if (listener === undefined) return undefined;
    const [guest, host] = Connection.pair();
    const waiting = listener.waiting.shift();
    if (waiting === undefined) listener.arrived.push(host);
    else waiting(host);
    return guest;
  }
}

/** The address of a service of a VM. */
export function addressOf(runtimeId: string, service: string): string {
  return `${runtimeId}/${service}`;
}
