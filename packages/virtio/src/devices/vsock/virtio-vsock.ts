import { DeviceError } from '@retrap/device'
import type { VirtioChain } from '../../ring/chain.ts'
import type { VirtioQueue } from '../../queue.ts'
import type { VirtioDevice, VirtioHost, VirtioQueueDefinition } from '../../virtio-device.ts'
import { decodeHeader, encodeHeader, HEADER_BYTES, HOST_CID, Operation, type PacketHeader, STREAM } from './packet.ts'
import type { VsockBackend, VsockClient, VsockStream } from './vsock-backend.ts'
import { ROOM_BYTES, VsockConnection } from './vsock-connection.ts'

/** Options of {@link VirtioVsock}. */
export interface VirtioVsockOptions {
  /** The guest's address: 3 to 4294967294. */
  readonly cid: number
  /** The host's side; default: the guest's connections are refused. */
  readonly host?: VsockBackend | undefined
  /** Names the device; default `virtio-vsock`. */
  readonly name?: string
}

const SOCKET = 19
const STREAM_FEATURE = 0
const QUEUE_ENTRIES = 128
const RECEIVE = 0
const TRANSPORT_RESET = 0

const [LEAST_CID, MOST_CID] = [3, 0xffff_fffe]
const MOST_PORT = 0xffff_fffe
/** The host's ports of connections that it opens. */
const [FIRST_PORT, LAST_PORT] = [0x4000_0000, 0x7fff_ffff]
/** Most simultaneous connections, including those that wait for the guest's RST. */
const MOST_CONNECTIONS = 512
/** Most waiting RSTs for packets without a connection; beyond this, the guest's packets are not taken. */
const MOST_STRAYS = 64

/**
 * Stream sockets between guest and host: `AF_VSOCK` of Linux. The host is at CID 2.
 *
 * Source: VIRTIO 1.2, §5.10, "Socket Device".
 */
export class VirtioVsock implements VirtioDevice {
  /** Names the device. */
  readonly name: string
  /** Device type. */
  readonly type: number = SOCKET
  /** Packets to the guest, packets of the guest, and events. */
  readonly queues: readonly VirtioQueueDefinition[] = [
    { size: QUEUE_ENTRIES, notify: () => this.#send() },
    { size: QUEUE_ENTRIES, notify: (queue) => this.#receive(queue) },
    { size: QUEUE_ENTRIES, notify: (queue) => this.#tell(queue) },
  ]
  /** Stream sockets. */
  readonly features: readonly number[] = [STREAM_FEATURE]
  /** The guest's CID, 64 bits wide. */
  readonly config: Uint8Array = new Uint8Array(8)
  readonly #cid: number
  readonly #backend: VsockBackend | undefined
  #host: VirtioHost | null = null
  readonly #connections = new Map<string, VsockConnection>()
  /** Connections with a packet to send, in turn. */
  readonly #ready = new Set<VsockConnection>()
  /** Headers that were refused, and are answered by RSTs. */
  #strays: PacketHeader[] = []
  #lastPort = LAST_PORT
  #isSending = false
  /** Packets of the guest wait until RSTs have been sent. */
  #isStalled = false
  /** The guest is to be told that its connections are no more. */
  #owesEvent = false

  /** @throws DeviceError `ERR_OPTION` */
  constructor({ cid, host, name = 'virtio-vsock' }: VirtioVsockOptions) {
    if (!Number.isInteger(cid) || cid < LEAST_CID || cid > MOST_CID)
      throw new DeviceError(
        'ERR_OPTION',
        `${name}: cid ${cid}: expected a whole number from ${LEAST_CID} to ${MOST_CID}`,
      )
    this.name = name
    this.#cid = cid
    this.#backend = host
    new DataView(this.config.buffer).setUint32(0, cid, true)
  }

  /** Names the guest to the back end. */
  attach(host: VirtioHost): void {
    this.#host = host
    this.#backend?.attach?.({ connect: (port, client) => this.#connect(port, client) })
  }

  // ---- The host's connections ----

  #connect(port: number, client: VsockClient): VsockStream {
    if (!Number.isInteger(port) || port < 0 || port > MOST_PORT)
      throw new DeviceError('ERR_OPTION', `${this.name}: port ${port}: expected a whole number from 0 to ${MOST_PORT}`)
    const connection = this.#add({ guest: port, host: this.#freePort(port) }, client)
    const isUnreachable = this.#host?.running !== true || !this.#hasRoom()
    if (!isUnreachable) this.#connections.set(keyOf(connection.guestPort, connection.hostPort), connection)
    // Nothing is called back before this returns.
    queueMicrotask(() => (isUnreachable ? connection.drop('unreachable') : this.#wake(connection)))
    return connection
  }

  #add(ports: { readonly guest: number; readonly host: number }, client: VsockClient | null): VsockConnection {
    return new VsockConnection(
      {
        wake: (connection) => this.#wake(connection),
        forget: (connection) => this.#forget(connection),
      },
      ports,
      client,
    )
  }

  #freePort(guestPort: number): number {
    do this.#lastPort = this.#lastPort === LAST_PORT ? FIRST_PORT : this.#lastPort + 1
    while (this.#connections.has(keyOf(guestPort, this.#lastPort)))
    return this.#lastPort
  }

  /** Makes room where a guest has not answered the end of a connection. */
  #hasRoom(): boolean {
    if (this.#connections.size < MOST_CONNECTIONS) return true
    for (const connection of this.#connections.values()) {
      if (!connection.isFinished) continue
      connection.drop('finished')
      return true
    }
    return false
  }

  #wake(connection: VsockConnection): void {
    const isKnown = this.#connections.get(keyOf(connection.guestPort, connection.hostPort)) === connection
    if (!isKnown || !connection.hasPacket) return
    this.#ready.add(connection)
    this.#send()
  }

  #forget(connection: VsockConnection): void {
    const key = keyOf(connection.guestPort, connection.hostPort)
    if (this.#connections.get(key) === connection) this.#connections.delete(key)
    this.#ready.delete(connection)
  }

  // ---- Packets of the guest ----

  #receive(queue: VirtioQueue): void {
    for (let left = queue.size; this.#strays.length < MOST_STRAYS;) {
      const chain = queue.take()
      if (chain === null) return
      this.#packet(chain)
      chain.complete(0)
      if (--left > 0) continue
      // A driver on another thread may continue forever.
      return this.#host?.lookAgain()
    }
    this.#isStalled = true
  }

  #packet({ readable }: VirtioChain): void {
    const bytes = readable.slice(0, HEADER_BYTES)
    if (bytes === null) return
    const header = decodeHeader(bytes)
    // The guest may not send packets with another source address.
    if (header.sourceCid !== this.#cid) return
    if (header.type !== STREAM || header.destinationCid !== HOST_CID) return this.#stray(header)
    const isWhole = header.length === readable.length - HEADER_BYTES && header.length <= ROOM_BYTES
    const payload = isWhole ? readable.slice(HEADER_BYTES, header.length) : null
    const connection = this.#connections.get(keyOf(header.sourcePort, header.destinationPort))
    if (connection !== undefined) connection.take(header, payload)
    else if (header.operation === Operation.request) this.#request(header)
    else this.#stray(header)
  }

  #request(header: PacketHeader): void {
    if (this.#backend?.request === undefined || !this.#hasRoom()) return this.#stray(header)
    const connection = this.#add({ guest: header.sourcePort, host: header.destinationPort }, null)
    this.#connections.set(keyOf(connection.guestPort, connection.hostPort), connection)
    connection.take({ ...header, operation: Operation.creditUpdate }, null)
    this.#backend.request(connection)
  }

  #stray(header: PacketHeader): void {
    // Two ends that refuse each other's RSTs would never stop. An address of 64 bits has no answer.
    if (header.operation === Operation.reset || Number.isNaN(header.destinationCid)) return
    this.#strays.push(header)
    this.#send()
  }

  // ---- Packets to the guest ----

  #send(): void {
    const queue = this.#host?.queues[RECEIVE]
    // A client that is told of room may write at once.
    if (queue === undefined || this.#isSending) return
    this.#isSending = true
    try {
      this.#sendTo(queue)
    } finally {
      this.#isSending = false
    }
    if (!this.#isStalled || this.#strays.length >= MOST_STRAYS) return
    this.#isStalled = false
    this.#host?.lookAgain()
  }

  #sendTo(queue: VirtioQueue): void {
    for (let left = queue.size; ;) {
      const [connection] = this.#ready
      if (connection?.hasPacket === false) {
        this.#ready.delete(connection)
        continue
      }
      if (this.#strays.length === 0 && connection === undefined) return
      const chain = queue.take()
      if (chain === null) return
      const room = chain.writable.length - HEADER_BYTES
      if (room < 1) return this.#host?.needsReset()
      const stray = this.#strays.shift()
      if (stray !== undefined) this.#write(chain, answerTo(stray))
      else if (connection !== undefined) this.#sendNext(connection, chain, room)
      if (--left > 0) continue
      return this.#host?.lookAgain()
    }
  }

  #sendNext(connection: VsockConnection, chain: VirtioChain, room: number): void {
    this.#ready.delete(connection)
    const { operation, flags, payload } = connection.next(room)
    const header: PacketHeader = {
      sourceCid: HOST_CID,
      destinationCid: this.#cid,
      sourcePort: connection.hostPort,
      destinationPort: connection.guestPort,
      length: payload.length,
      type: STREAM,
      operation,
      flags,
      allocated: ROOM_BYTES,
      forwarded: connection.forwarded,
    }
    this.#write(chain, header, payload)
    connection.packetSent()
    this.#wake(connection)
  }

  #write(chain: VirtioChain, header: PacketHeader, payload: Uint8Array = new Uint8Array(0)): void {
    const bytes = new Uint8Array(HEADER_BYTES + payload.length)
    encodeHeader(header, bytes)
    bytes.set(payload, HEADER_BYTES)
    chain.complete(chain.writable.write(0, bytes) ? bytes.length : 0)
  }

  // ---- Events ----

  #tell(queue: VirtioQueue): void {
    if (!this.#owesEvent) return
    const chain = queue.take()
    if (chain === null) return
    this.#owesEvent = false
    const event = new Uint8Array(4)
    new DataView(event.buffer).setUint32(0, TRANSPORT_RESET, true)
    chain.complete(chain.writable.write(0, event) ? event.length : 0)
  }

  // ---- Machine ----

  /** A driver that begins has no connections. */
  start(): void {
    this.#owesEvent = false
  }

  /** Ends all connections: the device is no more. */
  removed(): void {
    this.reset()
  }

  /** Ends all connections. */
  reset(): void {
    this.#strays = []
    this.#isStalled = false
    this.#ready.clear()
    const connections = [...this.#connections.values()]
    this.#connections.clear()
    for (const connection of connections) connection.drop('reset')
  }

  /** Whether nothing could be sent or taken now. */
  isAtRest(): boolean {
    const [receive, transmit, event] = this.#host?.queues ?? []
    const hasRoom = receive?.isEmpty === false
    if (hasRoom && (this.#strays.length > 0 || this.#ready.size > 0)) return false
    if (this.#owesEvent && event?.isEmpty === false) return false
    return this.#strays.length >= MOST_STRAYS || transmit?.isEmpty !== false
  }

  /** Notifies the guest that its connections have ended, because the host lacks the saved machine's. */
  restore(): void {
    this.#owesEvent = true
  }
}

const keyOf = (guestPort: number, hostPort: number): string => `${guestPort}:${hostPort}`

/** The RST that answers a packet. */
function answerTo(header: PacketHeader): PacketHeader {
  return {
    sourceCid: header.destinationCid,
    destinationCid: header.sourceCid,
    sourcePort: header.destinationPort,
    destinationPort: header.sourcePort,
    length: 0,
    type: header.type,
    operation: Operation.reset,
    flags: 0,
    allocated: 0,
    forwarded: 0,
  }
}
