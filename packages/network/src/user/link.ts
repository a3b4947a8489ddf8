import { type Ipv4Address, isWithin, type Subnet } from '../addresses.ts'
import type { NetworkClock } from '../clock.ts'
import type { FrameQueue } from '../frame-queue.ts'
import { makeArp, readArp, putEthernet, TYPE_IPV4 } from '../frames/ethernet.ts'
import { fragmentIpv4, type Ipv4Fields } from '../frames/ipv4.ts'
import { get32 } from '../frames/bytes.ts'

const MOST_NEIGHBOURS = 256
/** Packets that wait for an address; one for each, as RFC 1122 §2.3.2.2 asks for. */
const MOST_WAITING = 16
const ARP_INTERVAL_MS = 1000

/** The Ethernet side of the gateway: which addresses are ours, and where the guests are. */
export class Link {
  /** Our Ethernet address: 52:55 and the gateway's IPv4 address, as QEMU has it. */
  readonly mac: number
  readonly #subnet: Subnet
  readonly #ours: ReadonlySet<Ipv4Address>
  readonly #clock: NetworkClock
  readonly #queue: FrameQueue
  readonly #neighbours = new Map<Ipv4Address, number>()
  readonly #waiting = new Map<Ipv4Address, Uint8Array>()
  readonly #asked = new Map<Ipv4Address, number>()
  #identification = 0

  /** @param ours - addresses that we answer for; the first is the gateway's */
  constructor(clock: NetworkClock, queue: FrameQueue, subnet: Subnet, ours: readonly Ipv4Address[]) {
    this.#clock = clock
    this.#queue = queue
    this.#subnet = subnet
    this.#ours = new Set(ours)
    this.mac = 0x5255_0000_0000 + (ours[0] ?? 0)
  }

  /** Takes an ARP packet's frame. */
  receiveArp(frame: Uint8Array): void {
    const packet = readArp(frame)
    if (packet === null) return
    this.learn(packet.sender, packet.senderMac)
    if (packet.operation === 'request' && this.#ours.has(packet.target)) {
      const reply = { operation: 'reply', senderMac: this.mac, sender: packet.target, target: packet.sender } as const
      this.#queue.push(makeArp(reply, packet.senderMac))
    }
  }

  /** Notes a guest's hardware address. */
  learn(address: Ipv4Address, mac: number): void {
    if (!isWithin(address, this.#subnet) || this.#ours.has(address) || this.#neighbours.get(address) === mac) return
    this.#neighbours.delete(address)
    if (this.#neighbours.size === MOST_NEIGHBOURS) dropFirst(this.#neighbours)
    this.#neighbours.set(address, mac)
    const waiting = this.#waiting.get(address)
    this.#waiting.delete(address)
    this.#asked.delete(address)
    if (waiting !== undefined) this.transmit(waiting)
  }

  /** Sends an IPv4 packet, fragmented if needed. @param mac - absent: the destination's */
  send(fields: Ipv4Fields, payload: Uint8Array, mac?: number): void {
    this.#identification = (this.#identification + 1) & 0xffff
    for (const frame of fragmentIpv4(fields, payload, this.#identification)) this.transmit(frame, mac)
  }

  /** Sends a frame after filling in its Ethernet header. */
  transmit(frame: Uint8Array, mac?: number): void {
    const destination = get32(frame, 30)
    const known = mac ?? this.#neighbours.get(destination)
    if (known === undefined) {
      this.#ask(destination, frame)
      return
    }
    putEthernet(frame, known, this.mac, TYPE_IPV4)
    this.#queue.push(frame)
  }

  #ask(address: Ipv4Address, frame: Uint8Array): void {
    if (!isWithin(address, this.#subnet)) return
    this.#waiting.delete(address)
    if (this.#waiting.size === MOST_WAITING) dropFirst(this.#waiting)
    this.#waiting.set(address, frame)
    const now = this.#clock.now()
    if (now - (this.#asked.get(address) ?? -Infinity) < ARP_INTERVAL_MS) return
    if (this.#asked.size === MOST_NEIGHBOURS) dropFirst(this.#asked)
    this.#asked.set(address, now)
    const [sender = 0] = this.#ours
    this.#queue.push(makeArp({ operation: 'request', senderMac: this.mac, sender, target: address }))
  }
}

const dropFirst = (map: Map<Ipv4Address, unknown>): void => {
  const [first] = map.keys()
  if (first !== undefined) map.delete(first)
}
