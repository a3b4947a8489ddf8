import { Stateful, viewed } from '@retrap/device'
import type { ChainBuilder } from './chain.ts'
import { DESCRIPTOR_BYTES, INDIRECT, NEXT, WRITE, passed, type Ring, type RingOptions, type Taken } from './ring.ts'
import { fence, type RingMemory } from './ring-memory.ts'

const NO_INTERRUPT = 1
/** Offsets in the available and used rings: of the index, and of the entries behind it. */
const INDEX = 2
const ENTRIES = 4
const USED_BYTES = 8

/**
 * A split virtqueue.
 *
 * Source: VIRTIO 1.2, §2.7, "Split Virtqueues".
 */
export class SplitRing extends Stateful implements Ring {
  readonly #memory: RingMemory
  readonly #options: RingOptions
  /** Indices of the next chain and of the next used entry, modulo 2^16. */
  readonly #r = this.keeps(
    {
      next: 0,
      used: 0,
      nextWrap: 0,
      usedWrap: 0,
      sinceAsked: viewed(
        (): number => (this.#asked < 0 ? -1 : (this.#r.used - this.#asked) & 0xffff),
        (since) => (this.#asked = since < 0 ? -1 : (this.#r.used - since) & 0xffff),
      ),
    },
    { device: 'ring', settled: () => this.#limit() },
  )
  /** Where `used` was when the driver was last asked for interrupts; −1: not yet. */
  #asked = -1
  /** Used entries that the driver does not know of yet. */
  #staged = 0
  readonly #descriptorBytes = new Uint8Array(DESCRIPTOR_BYTES)
  readonly #descriptor = new DataView(this.#descriptorBytes.buffer)
  /** Descriptors of an indirect table. One read of guest memory has them all: the table of a large request has 66. */
  readonly #tableBytes: Uint8Array
  readonly #table: DataView
  readonly #elementBytes = new Uint8Array(USED_BYTES)
  readonly #element = new DataView(this.#elementBytes.buffer)

  constructor(memory: RingMemory, options: RingOptions) {
    super()
    this.#memory = memory
    this.#options = options
    this.#tableBytes = new Uint8Array(DESCRIPTOR_BYTES * options.size)
    this.#table = new DataView(this.#tableBytes.buffer)
  }

  get isEmpty(): boolean {
    return this.#memory.read16(this.#options.driver + INDEX) === this.#r.next
  }

  take(into: ChainBuilder): Taken {
    const { driver, size } = this.#options
    const index = this.#memory.read16(driver + INDEX)
    if (index < 0) return 'broken'
    const waiting = (index - this.#r.next) & 0xffff
    if (waiting === 0) return 'empty'
    // More chains than entries: the driver is faulty.
    if (waiting > size) return 'broken'
    // The driver wrote the entries before the index.
    fence()
    const head = this.#memory.read16(driver + ENTRIES + 2 * (this.#r.next % size))
    if (head < 0 || head >= size || !this.#walk(head, into)) return 'broken'
    into.id = head
    into.slots = 1
    this.#r.next = (this.#r.next + 1) & 0xffff
    return 'taken'
  }

  /** Collects the pieces of a chain. @returns false: the chain breaks a rule */
  #walk(head: number, into: ChainBuilder): boolean {
    const { descriptors, size, indirect } = this.#options
    let table = descriptors
    let entries = size
    let inTable = false
    // Number of the table's descriptors that have been read.
    let known = 0
    into.begin()
    for (let index = head; ;) {
      const isKnown = index < known
      const descriptor = isKnown ? this.#table : this.#descriptor
      const at = isKnown ? DESCRIPTOR_BYTES * index : 0
      if (index >= entries) return false
      if (!isKnown && !this.#memory.read(table + DESCRIPTOR_BYTES * index, this.#descriptorBytes)) return false
      const low = descriptor.getUint32(at, true)
      const high = descriptor.getUint32(at + 4, true)
      const length = descriptor.getUint32(at + 8, true)
      const flags = descriptor.getUint16(at + 12, true)
      if ((flags & INDIRECT) !== 0) {
        if (!indirect || inTable || (flags & NEXT) !== 0 || length === 0 || length % DESCRIPTOR_BYTES !== 0)
          return false
        inTable = true
        table = high * 2 ** 32 + low
        entries = length / DESCRIPTOR_BYTES
        index = 0
        const count = Math.min(entries, size)
        // A table that leaves RAM is read one by one: descriptors that the chain skips are no error.
        if (this.#memory.read(table, this.#tableBytes.subarray(0, DESCRIPTOR_BYTES * count))) known = count
        continue
      }
      if (!into.add(low, high, length, (flags & WRITE) !== 0)) return false
      if ((flags & NEXT) === 0) return true
      index = descriptor.getUint16(at + 14, true)
    }
  }

  listen(): boolean {
    if (!this.#options.eventIndex) return false
    const { device, driver, size } = this.#options
    if (!this.#memory.publish16(device + ENTRIES + USED_BYTES * size, this.#r.next)) return true
    // The driver may have looked at the event index just before, and keep quiet.
    fence()
    return this.#memory.read16(driver + INDEX) !== this.#r.next
  }

  use(id: number, _slots: number, written: number): boolean {
    const { device, size } = this.#options
    this.#element.setUint32(0, id, true)
    this.#element.setUint32(4, written, true)
    const at = device + ENTRIES + USED_BYTES * ((this.#r.used + this.#staged) % size)
    this.#staged++
    return this.#memory.write(at, this.#elementBytes)
  }

  publish(): boolean {
    this.#r.used = (this.#r.used + this.#staged) & 0xffff
    this.#staged = 0
    return this.#memory.publish16(this.#options.device + INDEX, this.#r.used)
  }

  wantsInterrupt(): boolean {
    const { driver, size, eventIndex } = this.#options
    const before = this.#asked
    this.#asked = this.#r.used
    fence()
    if (!eventIndex) return (this.#memory.read16(driver) & NO_INTERRUPT) === 0
    if (before < 0) return true
    return passed(this.#memory.read16(driver + ENTRIES + 2 * size), this.#r.used, before)
  }

  #limit(): void {
    this.#r.next &= 0xffff
    this.#r.used &= 0xffff
  }
}
