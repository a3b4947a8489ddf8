import type { NetworkClock } from '../clock.ts'
import type { Ipv4Packet } from './ipv4.ts'

/** Packets under way at once; the oldest makes room. */
const MOST_PACKETS = 16
const MOST_FRAGMENTS = 64
/** RFC 1122 §3.3.2: between 60 and 120 seconds. */
const LIFETIME_MS = 60_000

interface Partial {
  readonly startedMs: number
  readonly fragments: Ipv4Packet[]
  /** Length of the whole payload; null until the last fragment has arrived. */
  totalBytes: number | null
}

/**
 * Puts fragments together. Fragments that overlap discard the whole packet, as RFC 5722 asks for IPv6.
 *
 * Source: RFC 791 §3.2, "An Example Reassembly Procedure"; RFC 815.
 */
export class Reassembly {
  readonly #clock: NetworkClock
  readonly #packets = new Map<string, Partial>()

  constructor(clock: NetworkClock) {
    this.#clock = clock
  }

  /** Takes a packet. @returns the whole packet, if this completes it */
  add(packet: Ipv4Packet): Ipv4Packet | null {
    if (!packet.moreFragments && packet.offset === 0) return packet
    const end = packet.offset + packet.payload.length
    // All fragments but the last are multiples of 8 bytes.
    if (packet.payload.length === 0 || (packet.moreFragments && (end & 7) !== 0)) return null
    const key = `${packet.source} ${packet.destination} ${packet.protocol} ${packet.identification}`
    const partial = this.#partial(key)
    const { fragments } = partial
    if (fragments.some((other) => other.offset === packet.offset && other.payload.length === packet.payload.length)) {
      return null
    }
    const overlaps = fragments.some(
      (other) => other.offset < end && packet.offset < other.offset + other.payload.length,
    )
    const isBeyond = partial.totalBytes !== null && (end > partial.totalBytes || !packet.moreFragments)
    if (overlaps || isBeyond || fragments.length === MOST_FRAGMENTS) {
      this.#packets.delete(key)
      return null
    }
    fragments.push(packet)
    if (!packet.moreFragments) partial.totalBytes = end
    const total = partial.totalBytes
    const held = fragments.reduce((sum, { payload }) => sum + payload.length, 0)
    if (total === null || held < total) return null
    this.#packets.delete(key)
    return held === total ? join(fragments, total) : null
  }

  #partial(key: string): Partial {
    const now = this.#clock.now()
    const found = this.#packets.get(key)
    if (found !== undefined && now - found.startedMs < LIFETIME_MS) return found
    this.#packets.delete(key)
    for (const [oldest, { startedMs }] of this.#packets) {
      if (this.#packets.size < MOST_PACKETS && now - startedMs < LIFETIME_MS) break
      this.#packets.delete(oldest)
    }
    const partial: Partial = { startedMs: now, fragments: [], totalBytes: null }
    this.#packets.set(key, partial)
    return partial
  }
}

function join(fragments: readonly Ipv4Packet[], totalBytes: number): Ipv4Packet | null {
  const first = fragments.find(({ offset }) => offset === 0)
  if (first === undefined) return null
  const payload = new Uint8Array(totalBytes)
  for (const { offset, payload: part } of fragments) payload.set(part, offset)
  return { ...first, moreFragments: false, payload }
}
