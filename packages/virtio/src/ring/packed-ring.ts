import { Stateful } from '@retrap/device'
import type { ChainBuilder } from './chain.ts'
import { DESCRIPTOR_BYTES, INDIRECT, NEXT, WRITE, passed, type Ring, type RingOptions, type Taken } from './ring.ts'
import { fence, type RingMemory } from './ring-memory.ts'

const LENGTH = 8
const ID = 12
const FLAGS = 14
const AVAILABLE = 1 << 7
const USED = 1 << 15

/** Offset of the flags in an event suppression area, behind a ring offset with its wrap counter. */
const EVENT_FLAGS = 2
const EVENTS_OFF = 1
const EVENTS_AT = 2
const WRAP = 1 << 15

/**
 * A packed virtqueue.
 *
 * Source: VIRTIO 1.2, §2.8, "Packed Virtqueues".
 */
export class PackedRing extends Stateful implements Ring {
  readonly #memory: RingMemory
  readonly #options: RingOptions
  readonly #r = this.keeps(
    { next: 0, used: 0, nextWrap: 1, usedWrap: 1, sinceAsked: -1 },
    { device: 'ring', settled: () => this.#limit() },
  )
  /** The first entry that is to be published: its flags are written last. */
  #firstAt = -1
  #firstFlags = 0
  readonly #descriptorBytes = new Uint8Array(DESCRIPTOR_BYTES)
  readonly #descriptor = new DataView(this.#descriptorBytes.buffer)
  readonly #answerBytes = new Uint8Array(FLAGS - LENGTH)
  readonly #answer = new DataView(this.#answerBytes.buffer)
  readonly #event = new Uint8Array(4)

  constructor(memory: RingMemory, options: RingOptions) {
    super()
    this.#memory = memory
    this.#options = options
  }

  /** 1: the driver has made the descriptor available; 0: it has not; −1: the descriptor is not in RAM. */
  #available(): -1 | 0 | 1 {
    const flags = this.#memory.read16(this.#options.descriptors + DESCRIPTOR_BYTES * this.#r.next + FLAGS)
    if (flags < 0) return -1
    const available = (flags & AVAILABLE) !== 0 ? 1 : 0
    const used = (flags & USED) !== 0 ? 1 : 0
    return available === this.#r.nextWrap && used !== this.#r.nextWrap ? 1 : 0
  }

  get isEmpty(): boolean {
    return this.#available() === 0
  }

  take(into: ChainBuilder): Taken {
    const { descriptors, size, indirect } = this.#options
    const available = this.#available()
    if (available !== 1) return available === 0 ? 'empty' : 'broken'
    // The driver wrote the descriptors before the first one's flags.
    fence()
    const descriptor = this.#descriptor
    let position = this.#r.next
    let wrap = this.#r.nextWrap
    into.begin()
    for (let slots = 1; ; slots++) {
      if (slots > size) return 'broken'
      if (!this.#memory.read(descriptors + DESCRIPTOR_BYTES * position, this.#descriptorBytes)) return 'broken'
      const flags = descriptor.getUint16(FLAGS, true)
      const id = descriptor.getUint16(ID, true)
      const low = descriptor.getUint32(0, true)
      const high = descriptor.getUint32(4, true)
      const length = descriptor.getUint32(LENGTH, true)
      if ((flags & INDIRECT) !== 0) {
        // An indirect table is the whole chain.
        if (!indirect || slots > 1 || (flags & NEXT) !== 0) return 'broken'
        if (!this.#table(high * 2 ** 32 + low, length, into)) return 'broken'
      } else if (!into.add(low, high, length, (flags & WRITE) !== 0)) return 'broken'
      if (++position === size) {
        position = 0
        wrap ^= 1
      }
      if ((flags & NEXT) !== 0) continue
      into.id = id
      into.slots = slots
      this.#r.next = position
      this.#r.nextWrap = wrap
      return 'taken'
    }
  }

  /** Collects the pieces of a table. Of their flags only `WRITE` counts. */
  #table(gpa: number, bytes: number, into: ChainBuilder): boolean {
    const descriptor = this.#descriptor
    if (bytes === 0 || bytes % DESCRIPTOR_BYTES !== 0) return false
    for (let done = 0; done < bytes; done += DESCRIPTOR_BYTES) {
      if (!this.#memory.read(gpa + done, this.#descriptorBytes)) return false
      const flags = descriptor.getUint16(FLAGS, true)
      const [low, high] = [descriptor.getUint32(0, true), descriptor.getUint32(4, true)]
      if ((flags & INDIRECT) !== 0) return false
      if (!into.add(low, high, descriptor.getUint32(LENGTH, true), (flags & WRITE) !== 0)) return false
    }
    return true
  }

  listen(): boolean {
    const { device, eventIndex } = this.#options
    if (!eventIndex) return false
    const memory = this.#memory
    if (!memory.publish16(device, this.#r.next | (this.#r.nextWrap << 15))) return true
    if (!memory.publish16(device + EVENT_FLAGS, EVENTS_AT)) return true
    // The driver may have looked at the event just before, and keep quiet.
    fence()
    return this.#available() !== 0
  }

  use(id: number, slots: number, written: number): boolean {
    const { descriptors, size } = this.#options
    const at = descriptors + DESCRIPTOR_BYTES * this.#r.used
    this.#answer.setUint32(0, written, true)
    this.#answer.setUint16(ID - LENGTH, id, true)
    const flags = (this.#r.usedWrap === 1 ? AVAILABLE | USED : 0) | (written > 0 ? WRITE : 0)
    this.#r.used += slots
    if (this.#r.used >= size) {
      this.#r.used -= size
      this.#r.usedWrap ^= 1
    }
    if (this.#r.sinceAsked >= 0) this.#r.sinceAsked += slots
    if (!this.#memory.write(at + LENGTH, this.#answerBytes)) return false
    if (this.#firstAt >= 0) return this.#memory.publish16(at + FLAGS, flags)
    this.#firstAt = at
    this.#firstFlags = flags
    return true
  }

  publish(): boolean {
    const at = this.#firstAt
    this.#firstAt = -1
    return at < 0 || this.#memory.publish16(at + FLAGS, this.#firstFlags)
  }

  wantsInterrupt(): boolean {
    const { driver, size, eventIndex } = this.#options
    const since = this.#r.sinceAsked
    this.#r.sinceAsked = 0
    fence()
    const event = this.#event
    if (!this.#memory.read(driver, event)) return true
    const flags = event[EVENT_FLAGS]! & 3
    if (flags === EVENTS_OFF) return false
    if (flags !== EVENTS_AT || !eventIndex || since < 0) return true
    const word = event[0]! | (event[1]! << 8)
    // An offset of the round before lies below the positions of this one.
    const offset = (word & (WRAP - 1)) - ((word & WRAP) >>> 15 === this.#r.usedWrap ? 0 : size)
    return passed(offset, this.#r.used, this.#r.used - since)
  }

  #limit(): void {
    const { size } = this.#options
    this.#r.next %= size
    this.#r.used %= size
    this.#r.nextWrap &= 1
    this.#r.usedWrap &= 1
  }
}
