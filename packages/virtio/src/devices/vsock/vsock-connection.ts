import { ByteQueue } from './byte-queue.ts'
import { Operation, type PacketHeader, SHUT_RECEIVE, SHUT_SEND } from './packet.ts'
import type { VsockClient, VsockEnd, VsockRequest, VsockStream } from './vsock-backend.ts'

/** Bytes that a guest may send of a connection before the host has taken them (buf_alloc of the host). */
export const ROOM_BYTES = 0x2_0000
/** Freed room, in bytes, at which the guest is notified. */
const TELL_BYTES = ROOM_BYTES / 4
/** From this many waiting bytes on, `write` asks its caller to hold back. */
const WAITING_BYTES = 0x1_0000

/** The part of its device that a connection needs. */
export interface ConnectionOwner {
  /** The connection has a packet to send. */
  wake(connection: VsockConnection): void
  /** The connection's ports are free again. */
  forget(connection: VsockConnection): void
}

/** A packet without addresses, which the device adds. */
export interface OutgoingPacket {
  readonly operation: number
  readonly flags: number
  readonly payload: Uint8Array
}

const NOTHING = new Uint8Array(0)

/**
 * One connection of a stream socket.
 *
 * | state | meaning |
 * |---|---|
 * | `asked` | the guest has asked, and the host has not answered |
 * | `asking` | the host has asked, and the guest has not answered |
 * | `open` | both ends may send until they have ended |
 * | `finished` | the client knows of its end; the ports are not free before the guest's RST |
 * | `broken` | an RST is to be sent; the client knows |
 * | `gone` | it is no more |
 *
 * Source: VIRTIO 1.2, §5.10.6.3, "Buffer Space Management", and the sections behind it.
 */
export class VsockConnection implements VsockStream, VsockRequest {
  readonly guestPort: number
  readonly hostPort: number
  readonly #owner: ConnectionOwner
  #client: VsockClient | null
  #state: 'asked' | 'asking' | 'open' | 'finished' | 'broken' | 'gone'

  /* From host to guest. Counts of bytes are modulo 2^32. */
  #waiting: Uint8Array[] = []
  #waitingBytes = 0
  #sent = 0
  #guestRoom = 0
  #guestForwarded = 0
  #isFull = false
  #hasAskedForCredit = false
  /** The user has ended the host's stream, or the guest takes no more. */
  #isEnding = false
  #isEndSent = false

  /* From guest to host. */
  readonly #kept: ByteQueue = new ByteQueue()
  #isPaused = false
  #isDelivering = false
  #received = 0
  #forwarded = 0
  #told = 0
  #guestEnded = false
  #isEndTold = false
  /** The guest takes no more. */
  #isDeaf = false
  /** The guest has asked for the host's credit, or is to be told of it. */
  #owesCredit = false
  #owesResponse = false
  #owesRequest: boolean

  /** @param client - null: the guest asks */
  constructor(owner: ConnectionOwner, ports: { guest: number; host: number }, client: VsockClient | null) {
    this.#owner = owner
    this.guestPort = ports.guest
    this.hostPort = ports.host
    this.#client = client
    this.#state = client === null ? 'asked' : 'asking'
    this.#owesRequest = client !== null
  }

  /** Bytes that the host has taken of the guest's, modulo 2^32. */
  get forwarded(): number {
    return this.#forwarded
  }

  /** Whether the connection only waits for the guest's RST. */
  get isFinished(): boolean {
    return this.#state === 'finished'
  }

  // ---- The user's end ----

  accept(client: VsockClient): VsockStream | null {
    if (this.#state !== 'asked') return null
    this.#client = client
    this.#state = 'open'
    this.#owesResponse = true
    this.#owner.wake(this)
    return this
  }

  refuse(): void {
    if (this.#state === 'asked') this.#break()
  }

  write(bytes: Uint8Array): boolean {
    const mayWrite = (this.#state === 'open' || this.#state === 'asking') && !this.#isEnding
    if (!mayWrite || bytes.length === 0) return !this.#isFull
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    this.#isFull = this.#waitingBytes >= WAITING_BYTES
    this.#owner.wake(this)
    // The bytes may have been sent meanwhile.
    return !this.#isFull
  }

  end(): void {
    if (this.#state !== 'open' && this.#state !== 'asking') return
    this.#isEnding = true
    this.#owner.wake(this)
  }

  abort(): void {
    if (this.#state !== 'finished' && this.#state !== 'gone') this.#break()
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    this.#deliver()
    this.#owner.wake(this)
  }

  // ---- Packets to the guest ----

  /** Bytes that the guest has room for. */
  get #credit(): number {
    return Math.max(0, this.#guestRoom - ((this.#sent - this.#guestForwarded) >>> 0))
  }

  /** Whether a packet may be sent now. */
  get hasPacket(): boolean {
    if (this.#state === 'broken') return true
    if (this.#state === 'asking') return this.#owesRequest
    if (this.#state !== 'open') return false
    if (this.#owesResponse || this.#owesCredit) return true
    if (this.#waitingBytes > 0) return this.#credit > 0 || !this.#hasAskedForCredit
    return this.#isEnding && !this.#isEndSent
  }

  /**
   * Takes the next packet; {@link hasPacket} is true.
   *
   * @param room - bytes that its payload may have, at least 1
   */
  next(room: number): OutgoingPacket {
    const packet = this.#next(room)
    this.#told = this.#forwarded
    return packet
  }

  #next(room: number): OutgoingPacket {
    const plain = (operation: number, flags = 0): OutgoingPacket => ({ operation, flags, payload: NOTHING })
    if (this.#state === 'broken') {
      this.#leave()
      return plain(Operation.reset)
    }
    if (this.#owesRequest) {
      this.#owesRequest = false
      return plain(Operation.request)
    }
    if (this.#owesResponse) {
      this.#owesResponse = false
      return plain(Operation.response)
    }
    if (this.#waitingBytes > 0 && this.#credit > 0) {
      this.#owesCredit = false
      this.#hasAskedForCredit = false
      return { operation: Operation.data, flags: 0, payload: this.#takeWaiting(Math.min(room, this.#credit)) }
    }
    if (this.#owesCredit) {
      this.#owesCredit = false
      return plain(Operation.creditUpdate)
    }
    if (this.#waitingBytes > 0) {
      this.#hasAskedForCredit = true
      return plain(Operation.creditRequest)
    }
    this.#isEndSent = true
    const isOver = this.#isEndTold
    if (isOver) this.#finish()
    return plain(Operation.shutdown, isOver ? SHUT_SEND | SHUT_RECEIVE : SHUT_SEND)
  }

  /** @param most - at least 1 */
  #takeWaiting(most: number): Uint8Array {
    const [first = NOTHING] = this.#waiting
    const payload = first.subarray(0, most)
    if (payload.length === first.length) this.#waiting.shift()
    else this.#waiting[0] = first.subarray(payload.length)
    this.#waitingBytes -= payload.length
    this.#sent = (this.#sent + payload.length) >>> 0
    return payload
  }

  /** Notifies the user of room, once the last packet is in transit. */
  packetSent(): void {
    if (!this.#isFull || this.#waitingBytes >= WAITING_BYTES) return
    this.#isFull = false
    this.#client?.drained()
  }

  // ---- Packets of the guest ----

  /**
   * Takes a packet of the guest's.
   *
   * @param payload - null: the packet has not the length that it names
   */
  take(header: PacketHeader, payload: Uint8Array | null): void {
    if (header.operation === Operation.reset) return this.drop(this.#state === 'asking' ? 'refused' : 'reset')
    if (this.#state === 'gone' || this.#state === 'broken') return
    if (!this.#takeCredit(header)) return this.#isBroken()
    switch (header.operation) {
      case Operation.response:
        return this.#response()
      case Operation.data:
        return this.#data(payload)
      case Operation.shutdown:
        return this.#shutdown(header.flags)
      case Operation.creditRequest:
        this.#owesCredit = this.#state === 'open'
        return this.#owner.wake(this)
      case Operation.creditUpdate:
        return this.#owner.wake(this)
      default:
        return this.#isBroken()
    }
  }

  /** @returns false if the guest claims to have received bytes that were not sent */
  #takeCredit({ allocated, forwarded }: PacketHeader): boolean {
    const taken = (forwarded - this.#guestForwarded) >>> 0
    if (taken > (this.#sent - this.#guestForwarded) >>> 0) return false
    this.#guestRoom = allocated
    this.#guestForwarded = forwarded
    return true
  }

  #response(): void {
    if (this.#state !== 'asking' || this.#owesRequest) return this.#isBroken()
    this.#state = 'open'
    this.#client?.connected?.()
    this.#owner.wake(this)
  }

  #data(payload: Uint8Array | null): void {
    const room = ROOM_BYTES - ((this.#received - this.#forwarded) >>> 0)
    const isAllowed = this.#state === 'open' && !this.#guestEnded && !this.#owesResponse
    if (payload === null || !isAllowed || payload.length > room) return this.#isBroken()
    if (payload.length === 0) return
    this.#received = (this.#received + payload.length) >>> 0
    if (this.#isPaused || this.#isDelivering || this.#kept.length > 0) this.#kept.push(payload)
    else this.#handOver(payload)
    this.#deliver()
    this.#owner.wake(this)
  }

  #handOver(bytes: Uint8Array): void {
    this.#forwarded = (this.#forwarded + bytes.length) >>> 0
    if ((this.#forwarded - this.#told) >>> 0 >= TELL_BYTES) this.#owesCredit = true
    this.#client?.data(bytes)
  }

  #shutdown(flags: number): void {
    if (this.#state === 'finished') return this.#break()
    if (this.#state !== 'open') return this.#isBroken()
    if ((flags & SHUT_RECEIVE) !== 0) {
      // No client reads the waiting bytes any more.
      this.#waiting = []
      this.#waitingBytes = 0
      this.#isFull = false
      this.#isDeaf = this.#isEnding = this.#isEndSent = true
    }
    if ((flags & SHUT_SEND) !== 0) this.#guestEnded = true
    this.#deliver()
    this.#owner.wake(this)
  }

  /** Passes the kept bytes to the client, and later ones directly. */
  #deliver(): void {
    if (this.#isDelivering) return
    this.#isDelivering = true
    while (!this.#isPaused && this.#kept.length > 0 && this.#state === 'open')
      this.#handOver(this.#kept.shift(WAITING_BYTES))
    this.#isDelivering = false
    if (this.#state !== 'open' || this.#kept.length > 0 || !this.#guestEnded) return
    if (!this.#isEndTold) {
      this.#isEndTold = true
      this.#client?.ended()
    }
    if (this.#state !== 'open' || !this.#isEndSent) return
    // A guest that is done in both directions waits for an RST. Otherwise it is told that the host is, and sends the RST.
    if (this.#isDeaf) this.#finishByReset()
    else this.#isEndSent = false
  }

  // ---- Its end ----

  /** Ends the connection without a packet, and tells the client. */
  drop(end: VsockEnd): void {
    const isKnown = this.#state === 'finished' || this.#state === 'broken' || this.#state === 'gone'
    const client = this.#client
    this.#leave()
    if (!isKnown) client?.closed(end)
  }

  /** The guest has broken a rule. */
  #isBroken(): void {
    const client = this.#state === 'finished' ? null : this.#client
    this.#break()
    client?.closed('reset')
  }

  /** Ends a connection both of whose ends have finished: the host's RST frees the ports. */
  #finishByReset(): void {
    const client = this.#client
    this.#break()
    client?.closed('finished')
  }

  #finish(): void {
    this.#state = 'finished'
    const client = this.#client
    this.#client = null
    client?.closed('finished')
  }

  #break(): void {
    this.#clear()
    this.#state = 'broken'
    this.#owner.wake(this)
  }

  #leave(): void {
    this.#clear()
    this.#state = 'gone'
    this.#owner.forget(this)
  }

  #clear(): void {
    this.#client = null
    this.#waiting = []
    this.#waitingBytes = 0
    this.#isFull = false
    this.#kept.clear()
  }
}
