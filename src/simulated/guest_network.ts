/**
 * Sockets between the simulated host and its guests.
 *
 * @module
 */

// What Windows buffers of what nobody has read yet.
const BUFFERED_BYTES = 64 * 1024;

/** One direction of a connection. */
class Pipe {
  readonly #chunks: Uint8Array[] = [];
  readonly #listeners: (() => void)[] = [];
  #unread = 0;
  #closed = false;
  #fault: Error | undefined;
  #wake = Promise.withResolvers<void>();

  write(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#chunks.push(bytes.slice());
    this.#unread += bytes.length;
    this.#signal();
  }

  close(): void {
    this.#closed = true;
    this.#signal();
  }

  /** Has the next read throw, after what was written. */
  fail(fault: Error): void {
    this.#fault ??= fault;
    this.close();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** How many bytes can be written before some are read. */
  get room(): number {
    return Math.max(0, BUFFERED_BYTES - this.#unread);
  }

  /** Whether a read returns something. */
  get isReadable(): boolean {
    return this.#unread > 0 || this.#closed;
  }

  /** Has `listener` called each time when something was written or read, or it was closed. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  #signal(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
    this.#listeners.forEach((listener) => listener());
  }

  /** Reads up to `target.length` bytes. Returns how many, 0 at the end, and `undefined` if there are none yet. */
  tryRead(target: Uint8Array): number | undefined {
    const chunk = this.#chunks.shift();
    if (chunk === undefined) {
      if (this.#fault !== undefined) throw this.#fault;
      return this.#closed ? 0 : undefined;
    }
    const part = chunk.subarray(0, target.length);
    target.set(part);
    if (part.length < chunk.length) this.#chunks.unshift(chunk.subarray(part.length));
    this.#unread -= part.length;
    this.#signal();
    return part.length;
  }

  async read(target: Uint8Array): Promise<number> {
    for (;;) {
      const size = this.tryRead(target);
      if (size !== undefined) return size;
      await this.#wake.promise;
    }
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

  /** Reads what is there. Returns how many bytes, 0 once the other end is closed, and `undefined` if there are none yet. */
  tryRead(target: Uint8Array): number | undefined {
    return this.#in.tryRead(target);
  }

  /** Writes bytes. Returns false if either end is closed. */
  write(bytes: Uint8Array): boolean {
    if (this.#out.closed) return false;
    this.#out.write(bytes);
    return true;
  }

  /** Writes as many bytes as the other end has room for. Returns how many, or `undefined` if either end is closed. */
  tryWrite(bytes: Uint8Array): number | undefined {
    const part = bytes.subarray(0, this.#out.room);
    return this.write(part) ? part.length : undefined;
  }

  /** Whether there is something to read, or the other end is closed. */
  get isReadable(): boolean {
    return this.#in.isReadable;
  }

  /** Has `listener` called each time when something was written or read at either end, or one was closed. */
  onChange(listener: () => void): void {
    this.#in.onChange(listener);
    this.#out.onChange(listener);
  }

  /** Closes this end, and has the other one learn of a fault when it reads. */
  fail(fault: Error): void {
    this.#out.fail(fault);
    this.close();
  }

  /** Whether this end is closed, or the other one. */
  get isClosed(): boolean {
    return this.#out.closed;
  }

  /** Closes this end, which also ends waiting reads. */
  close(): void {
    this.#out.close();
    this.#in.close();
  }
}

interface Listener {
  readonly arrived: Connection[];
  readonly onArrival: () => void;
}

/**
 * The network between the host and its guests: the addresses at which a process of the host listens.
 *
 * @category Simulation
 */
export class GuestNetwork {
  readonly #listeners = new Map<string, Listener>();
  // What guests have of their connections, with the addresses.
  readonly #connected = new Map<Connection, string>();
  /** How many times WSAStartup was called without WSACleanup. */
  started = 0;

  /** Starts listening at an address. Returns false if the address is already in use. */
  listen(address: string, onArrival: () => void = () => {}): boolean {
    if (this.#listeners.has(address)) return false;
    this.#listeners.set(address, { arrived: [], onArrival });
    return true;
  }

  /** Returns the next connection to an address, or `undefined` if there is none. */
  accept(address: string): Connection | undefined {
    return this.#listeners.get(address)?.arrived.shift();
  }

  /** Whether somebody has connected to an address, and wasn't accepted yet. */
  hasArrived(address: string): boolean {
    return (this.#listeners.get(address)?.arrived.length ?? 0) > 0;
  }

  /** Stops listening at an address. */
  close(address: string): void {
    const listener = this.#listeners.get(address);
    this.#listeners.delete(address);
    listener?.arrived.forEach((connection) => connection.close());
  }

  /** Connects as a guest. Returns `undefined` if nobody listens at the address. */
  connect(address: string): Connection | undefined {
    const listener = this.#listeners.get(address);
    if (listener === undefined) return undefined;
    const [guest, host] = Connection.pair();
    listener.arrived.push(host);
    listener.onArrival();
    for (const [other] of this.#connected) if (other.isClosed) this.#connected.delete(other);
    this.#connected.set(guest, address);
    return guest;
  }

  /** Breaks all connections with a guest, and leaves its VM as it is. */
  disconnect(runtimeId: string): void {
    for (const [connection, address] of this.#connected) {
      if (!address.startsWith(`${runtimeId}/`)) continue;
      connection.close();
      this.#connected.delete(connection);
    }
  }
}

/** Returns the address of a service for a VM. */
export function addressOf(runtimeId: string, service: string): string {
  return `${runtimeId}/${service}`;
}
