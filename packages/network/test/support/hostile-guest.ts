import { checksumOf, sumWords } from '@retrap/device'
import { BROADCAST_IPV4 } from '../../src/addresses.ts'
import { ETHERNET_HEADER } from '../../src/frames/ethernet.ts'
import { put16, put32 } from '../../src/frames/bytes.ts'
import { pseudoHeaderSum, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP, putIpv4 } from '../../src/frames/ipv4.ts'
import { makeUdp } from '../../src/frames/datagrams.ts'
import { dhcpMessage, GATEWAY, GUEST, GUEST_MAC, TestGuest } from './test-guest.ts'

/** Source of a case's choices: an integer from 0 to `bound` − 1. */
export type Choose = (bound: number) => number

const ADDRESSES = [GATEWAY, 0x0a000203, 0x0a000264, 0xc0000201, GUEST, BROADCAST_IPV4, 0x7f000001, 0xe0000001, 0]
const SOURCES = [GUEST, GUEST, GUEST, 0x0a000210, 0, GATEWAY, 0xc0000202, BROADCAST_IPV4]
const PORTS = [80, 53, 67, 69, 22, 1000, 1001, 0, 65_535]
const FLAGS = [2, 16, 18, 4, 20, 17, 24, 1, 0, 63]
/** What no guest may bring the network to hold. */
const MOST_TCP = 1024
const MOST_UDP = 256

/** A guest that sends anything, and a host that answers or does not. */
export class HostileGuest {
  readonly guest: TestGuest
  readonly #choose: Choose
  /** Sequence numbers near those that our side uses, so that some segments fit. */
  #sequence = 1

  constructor(guest: TestGuest, choose: Choose) {
    this.guest = guest
    this.#choose = choose
  }

  static async create(choose: Choose): Promise<HostileGuest> {
    const bootFiles = async (name: string): Promise<Uint8Array | null> => (name === 'a' ? new Uint8Array(5000) : null)
    return new HostileGuest(
      await TestGuest.create({ bootFiles, hostForwards: [{ hostPort: 1, guestPort: 22 }] }),
      choose,
    )
  }

  /** Does one thing. @returns what is wrong then */
  act(): string | undefined {
    const { guest } = this
    const before = guest.frames.length
    const kind = this.#choose(20)
    if (kind < 12) this.#send()
    else if (kind < 16) this.#host()
    else if (kind < 17) guest.full = !guest.full
    else guest.clock.advance([0, 1, 40, 1000, 70_000][this.#choose(5)]!)
    if (!guest.full) guest.network.ready()
    guest.clock.settle()
    const { tcp, udp } = guest.network.openConnections
    if (tcp > MOST_TCP || udp > MOST_UDP) return `${tcp} connections and ${udp} sockets are held`
    const isSent = kind < 12 && guest.frames.length - before > 400
    return isSent ? `one frame led to ${guest.frames.length - before}` : undefined
  }

  #send(): void {
    const choose = this.#choose
    const frame = this.#frame()
    for (let changes = choose(3) * choose(4); changes > 0; changes--) frame[choose(frame.length)] = choose(256)
    // Otherwise a checksum would stop nearly all that was changed.
    if (choose(2) === 0) repair(frame)
    const cut = choose(10) === 0 ? choose(frame.length + 1) : frame.length
    this.guest.network.send(frame.subarray(0, cut))
  }

  #frame(): Uint8Array {
    const choose = this.#choose
    const source = SOURCES[choose(SOURCES.length)]!
    const destination = ADDRESSES[choose(ADDRESSES.length)]!
    const [mine, theirs] = [PORTS[choose(PORTS.length)]!, PORTS[choose(PORTS.length)]!]
    const protocol = [PROTOCOL_TCP, PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP, choose(256)][choose(5)]!
    let payload: Uint8Array = Uint8Array.from({ length: choose(3) * choose(500) }, () => choose(256))
    if (protocol === PROTOCOL_TCP) {
      payload = Uint8Array.of(...new Uint8Array(20), ...payload.subarray(0, 1400))
      put16(payload, 0, mine)
      put16(payload, 2, theirs)
      put32(payload, 4, this.#near())
      put32(payload, 8, this.#near())
      payload[12] = 0x50 + 16 * choose(3)
      payload[13] = FLAGS[choose(FLAGS.length)]!
      put16(payload, 14, [65_535, 0, 1, 1000][choose(4)]!)
    } else if (protocol === PROTOCOL_UDP) {
      const inner = [
        dhcpMessage(GUEST_MAC + 2 * choose(400), [53, 1, choose(9), 50, 4, 10, 0, 2, choose(256)]),
        Uint8Array.of(
          0,
          choose(7),
          97,
          0,
          ...new TextEncoder().encode(['octet', 'blksize', '8', 'tsize', '0', ''].join('\0')),
        ),
        payload,
      ][choose(3)]!
      payload = makeUdp(source, destination, { sourcePort: mine, destinationPort: theirs, payload: inner })
    }
    const frame = new Uint8Array(34 + Math.min(1480, payload.length))
    frame.set(payload.subarray(0, 1480), 34)
    frame.set([0x52, 0x55, 10, 0, 2, 2, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, choose(8) === 0 ? 6 : 0])
    const fragment = choose(4) === 0 ? (choose(2) << 13) | [0, 1, 64, 8191][choose(4)]! : 0x4000
    putIpv4(frame, { source, destination, protocol }, choose(4), fragment)
    return frame
  }

  #near(): number {
    const last = this.guest.segments.at(-1)
    const base = [this.#sequence, last?.sequence ?? 0, last?.acknowledgment ?? 0, 0xffff_ff00][this.#choose(4)]!
    this.#sequence = (base + this.#choose(3) * this.#choose(3000)) >>> 0
    return this.#sequence
  }

  #host(): void {
    const { host } = this.guest
    const choose = this.#choose
    const socket = host.tcp[choose(host.tcp.length + 1)]
    if (socket === undefined) {
      host.udp[choose(host.udp.length + 1)]?.receive({ address: '192.0.2.1', port: 80 }, new Uint8Array(choose(70_000)))
      if (choose(4) > 0) return
      const socketOf = { write: () => choose(4) > 0, end() {}, abort() {}, pause() {}, resume() {} }
      host.listeners[0]?.accept({ address: '127.0.0.1', port: choose(70_000) }, socketOf)
      return
    }
    socket.full = choose(3) === 0
    const { client } = socket
    if (!this.#told.has(socket)) {
      this.#told.add(socket)
      if (choose(4) > 0) client.connected()
      else client.closed((['refused', 'unreachable', 'reset', 'finished'] as const)[choose(4)]!)
    } else if (choose(3) > 0) client.data(new Uint8Array(choose(100_000)))
    else
      [() => client.ended(), () => client.drained(), () => client.closed('finished'), () => client.closed('reset')][
        choose(4)
      ]!()
  }
  readonly #told = new Set<unknown>()
}

/** Puts in the checksums that the frame's bytes call for. */
function repair(frame: Uint8Array): void {
  const at = ETHERNET_HEADER
  const header = (frame[at]! & 15) * 4
  const end = at + Math.min(frame.length - at, (frame[at + 2]! << 8) | frame[at + 3]!)
  if (header < 20 || at + header > end) return
  put16(frame, at + 10, 0)
  put16(frame, at + 10, checksumOf(sumWords(frame, at, at + header)))
  const [source, destination] = [26, 30].map((place) => new DataView(frame.buffer).getUint32(place))
  const protocol = frame[at + 9]!
  const place = protocol === PROTOCOL_TCP ? 16 : protocol === PROTOCOL_ICMP ? 2 : 6
  const from = at + header
  if (from + place + 2 > end) return
  put16(frame, from + place, 0)
  const pseudo = protocol === PROTOCOL_ICMP ? 0 : pseudoHeaderSum(source!, destination!, protocol, end - from)
  put16(frame, from + place, checksumOf(sumWords(frame, from, end, pseudo)))
}
