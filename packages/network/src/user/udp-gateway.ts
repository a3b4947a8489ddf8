import type { Ipv4Address } from '../addresses.ts'
import { Alarm, type NetworkClock } from '../clock.ts'
import { PROTOCOL_UDP } from '../frames/ipv4.ts'
import { makeUdp, MOST_UDP_BYTES } from '../frames/datagrams.ts'
import type { SocketAddress, Sockets, UdpSocket } from '../sockets.ts'
import type { Link } from './link.ts'

/** Sockets and forwarded peers at once; the one that was silent for longest makes room. */
const MOST_ENTRIES = 256
/** Forwarded peers among them: a sender with many addresses must not close the guest's own sockets. */
const MOST_PEERS = 64
/** RFC 4787 §4.3: five minutes. */
const IDLE_MS = 300_000

/** One end of a datagram, as guests see it. */
export interface UdpEnd {
  readonly address: Ipv4Address
  readonly port: number
}

export interface UdpGatewayOptions {
  readonly clock: NetworkClock
  readonly link: Link
  readonly sockets: Sockets
  /** The address under which guests know one of the host's network. */
  seenAs(address: string): Ipv4Address | null
}

interface Entry {
  readonly socket: UdpSocket
  /** Destination of responses to a forwarded peer; null for others. */
  readonly peer: SocketAddress | null
  usedMs: number
}

/** Gives each port of a guest's a socket of the host's, and takes datagrams for forwarded ports. */
export class UdpGateway {
  readonly #options: UdpGatewayOptions
  readonly #entries = new Map<string, Entry>()
  readonly #sweep: Alarm

  constructor(options: UdpGatewayOptions) {
    this.#options = options
    this.#sweep = new Alarm(options.clock, () => this.#expire())
  }

  /** Number of sockets and peers. */
  get count(): number {
    return this.#entries.size
  }

  /**
   * Sends a guest's datagram.
   *
   * @param to - the destination; null: only peers of a forwarded port may get responses
   * @returns false if the datagram has no permitted destination
   */
  send(guest: UdpEnd, seen: UdpEnd, to: SocketAddress | null, payload: Uint8Array): boolean {
    const peer = this.#use(peerKey(guest, seen))
    if (peer !== undefined && peer.peer !== null) {
      peer.socket.send(peer.peer, payload)
      return true
    }
    if (to === null) return false
    const key = endKey(guest)
    let entry = this.#use(key)
    if (entry === undefined) {
      const socket = this.#options.sockets.openUdp((from, bytes) => this.#receive(key, guest, from, bytes))
      entry = this.#add(key, { socket, peer: null, usedMs: 0 })
    }
    entry.socket.send(to, payload)
    return true
  }

  /** Takes a datagram that has come to a forwarded port. */
  forward(socket: UdpSocket, from: SocketAddress, bytes: Uint8Array, guest: UdpEnd): void {
    const address = this.#options.seenAs(from.address)
    if (address === null) return
    const seen = { address, port: from.port }
    const key = peerKey(guest, seen)
    if (this.#use(key) === undefined) this.#add(key, { socket, peer: from, usedMs: 0 })
    this.deliver(seen, guest, bytes)
  }

  /** Sends a guest a datagram. */
  deliver(from: UdpEnd, guest: UdpEnd, payload: Uint8Array): void {
    if (payload.length > MOST_UDP_BYTES) return
    const datagram = { sourcePort: from.port, destinationPort: guest.port, payload }
    const fields = { source: from.address, destination: guest.address, protocol: PROTOCOL_UDP }
    this.#options.link.send(fields, makeUdp(from.address, guest.address, datagram))
  }

  /** Closes all sockets. */
  close(): void {
    for (const key of this.#entries.keys()) this.#remove(key)
    this.#sweep.close()
  }

  #receive(key: string, guest: UdpEnd, from: SocketAddress, bytes: Uint8Array): void {
    const address = this.#options.seenAs(from.address)
    if (address === null || this.#use(key) === undefined) return
    this.deliver({ address, port: from.port }, guest, bytes)
  }

  /** Finds an entry, and notes that it is in use. The map is in the order of use. */
  #use(key: string): Entry | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    entry.usedMs = this.#options.clock.now()
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    return entry
  }

  #add(key: string, entry: Entry): Entry {
    const peers = entry.peer === null ? [] : [...this.#entries].filter(([, { peer }]) => peer !== null)
    if (peers.length === MOST_PEERS) this.#remove(peers[0]![0])
    else if (this.#entries.size === MOST_ENTRIES) {
      const [oldest] = this.#entries.keys()
      this.#remove(oldest!)
    }
    entry.usedMs = this.#options.clock.now()
    this.#entries.set(key, entry)
    if (!this.#sweep.isSet) this.#sweep.set(IDLE_MS)
    return entry
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key)
    this.#entries.delete(key)
    // A forwarded port stays open.
    if (entry !== undefined && entry.peer === null) entry.socket.close()
  }

  #expire(): void {
    const now = this.#options.clock.now()
    for (const [key, { usedMs }] of this.#entries) {
      if (now - usedMs < IDLE_MS) {
        this.#sweep.set(IDLE_MS - (now - usedMs))
        return
      }
      this.#remove(key)
    }
  }
}

const endKey = ({ address, port }: UdpEnd): string => `${address}:${port}`
const peerKey = (guest: UdpEnd, seen: UdpEnd): string => `${endKey(guest)} ${endKey(seen)}`
