/**
 * Sockets between the simulated host and its guests.
 *
 * @module
 */

/** One direction of a connection. */
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

  /** Reads up to `target.length` bytes. Returns how many, and 0 at the end. */
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

/**
 * One end of a connection between a guest and the host.
 *
 * @category Simulation
 */
export class Connection {
  readonly #in: Pipe;
  readonly #out: Pipe;

  private constructor(incoming: Pipe, outgoing: Pipe) {
    this.#in = incoming;
    this.#out = outgoing;
  }

  /** Creates a connection, and returns both ends. */
  static pair(): [Connection, Connection] {
    const [a, b] = [new Pipe(), new Pipe()];
    return [new Connection(a, b), new Connection(b, a)];
  }

  /** Reads up to `target.length` bytes. Returns how many, and 0 once the other end is closed. */
  read(target: Uint8Array): Promise<number> {
    return this.#in.read(target);
  }

  /** Writes bytes. Returns false if either end is closed. */
  write(bytes: Uint8Array): boolean {
    if (this.#out.closed) return false;
    this.#out.write(bytes);
    return true;
  }

  /** Closes this end, which also ends waiting reads. */
  close(): void {
    this.#out.close();
    this.#in.close();
  }
}

interface Listener {
  readonly arrived: Connection[];
  readonly waiting: ((connection: Connection | undefined) => void)[];
}

/**
 * The network between the host and its guests: the addresses at which a process of the host listens.
 *
 * @category Simulation
 */
export class GuestNetwork {
  readonly #listeners = new Map<string, Listener>();
  /** How many times WSAStartup was called without WSACleanup. */
  started = 0;

  /** Starts listening at an address. Returns false if the address is already in use. */
  listen(address: string): boolean {
    if (this.#listeners.has(address)) return false;
    this.#listeners.set(address, { arrived: [], waiting: [] });
    return true;
  }

  /** Waits for the next connection to an address. Returns `undefined` once nobody listens there. */
  accept(address: string): Promise<Connection | undefined> {
    const listener = this.#listeners.get(address);
    if (listener === undefined) return Promise.resolve(undefined);
    const arrived = listener.arrived.shift();
    if (arrived !== undefined) return Promise.resolve(arrived);
    return new Promise((resolve) => listener.waiting.push(resolve));
  }

  /** Stops listening at an address. */
  close(address: string): void {
    const listener = this.#listeners.get(address);
    this.#listeners.delete(address);
    listener?.waiting.forEach((resolve) => resolve(undefined));
    listener?.arrived.forEach((connection) => connection.close());
  }

  /** Connects as a guest. Returns `undefined` if nobody listens at the address. */
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

/** Returns the address of a service for a VM. */
export function addressOf(runtimeId: string, service: string): string {
  return `${runtimeId}/${service}`;
}
