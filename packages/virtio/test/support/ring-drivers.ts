/** A piece of a chain: bytes to be read by the device, or a place for some. */
export interface Piece {
  readonly gpa: number
  readonly length: number
  readonly write: boolean
}

/** Where a ring is. */
export interface RingPlace {
  readonly size: number
  readonly descriptors: number
  readonly driver: number
  readonly device: number
  readonly eventIndex: boolean
}

/** A chain that the device has given back. */
export interface Reaped {
  readonly token: number
  readonly written: number
}

/**
 * The driver's side of a queue as the specification tells a driver to work; it shares nothing with the product's rings.
 *
 * Source: VIRTIO 1.2, §2.7.13, "Supplying Buffers to The Device"; §2.8.21, likewise for packed rings.
 */
export interface RingDriver {
  readonly free: number
  /** Puts a chain into the ring, unseen by the device until `publish`. A table is where the descriptors go instead. */
  add(pieces: readonly Piece[], token: number, table?: number): void
  /** Makes chains available. @returns whether the device wants to be notified */
  publish(): boolean
  /** Takes chains that were given back. */
  reap(): Reaped[]
  /** Asks for an interrupt for the next chain. @returns whether one has been given back meanwhile */
  arm(): boolean
  /** Goes on over another machine's RAM. */
  move(view: DataView): void
}

const NEXT = 1
const WRITE = 2
const INDIRECT = 4

function putDescriptor(view: DataView, at: number, gpa: number, length: number, flags: number, next: number): void {
  view.setUint32(at, gpa, true)
  view.setUint32(at + 4, 0, true)
  view.setUint32(at + 8, length, true)
  view.setUint16(at + 12, flags, true)
  view.setUint16(at + 14, next, true)
}

export class SplitDriver implements RingDriver {
  #view: DataView
  readonly #place: RingPlace
  readonly #freeList: number[]
  readonly #chains = new Map<number, { token: number; slots: number[] }>()
  #available: number
  #published: number
  #used: number

  /** @param start - the index that everything begins at */
  constructor(view: DataView, place: RingPlace, start = 0) {
    this.#view = view
    this.#place = place
    this.#freeList = Array.from({ length: place.size }, (_, i) => i)
    this.#available = start
    this.#published = start
    this.#used = start
    view.setUint16(place.driver + 2, start, true)
    view.setUint16(place.device + 2, start, true)
  }

  get free(): number {
    return this.#freeList.length
  }

  add(pieces: readonly Piece[], token: number, table?: number): void {
    const { descriptors, driver, size } = this.#place
    const view = this.#view
    const slots: number[] = []
    if (table !== undefined) {
      pieces.forEach(({ gpa, length, write }, i) => {
        const flags = (write ? WRITE : 0) | (i + 1 < pieces.length ? NEXT : 0)
        putDescriptor(view, table + 16 * i, gpa, length, flags, i + 1)
      })
      slots.push(this.#freeList.shift()!)
      putDescriptor(view, descriptors + 16 * slots[0]!, table, 16 * pieces.length, INDIRECT, 0)
    } else {
      for (const _ of pieces) slots.push(this.#freeList.shift()!)
      pieces.forEach(({ gpa, length, write }, i) => {
        const flags = (write ? WRITE : 0) | (i + 1 < pieces.length ? NEXT : 0)
        putDescriptor(view, descriptors + 16 * slots[i]!, gpa, length, flags, slots[i + 1] ?? 0)
      })
    }
    this.#chains.set(slots[0]!, { token, slots })
    view.setUint16(driver + 4 + 2 * (this.#available % size), slots[0]!, true)
    this.#available = (this.#available + 1) & 0xffff
  }

  publish(): boolean {
    const { driver, device, size, eventIndex } = this.#place
    const before = this.#published
    const now = this.#available
    this.#view.setUint16(driver + 2, now, true)
    this.#published = now
    if (now === before) return false
    if (!eventIndex) return (this.#view.getUint16(device, true) & 1) === 0
    const event = this.#view.getUint16(device + 4 + 8 * size, true)
    // The device is notified when its event index is one of those that were passed.
    for (let at = before; at !== now; at = (at + 1) & 0xffff) if (at === event) return true
    return false
  }

  reap(): Reaped[] {
    const { device, size } = this.#place
    const found: Reaped[] = []
    while (this.#view.getUint16(device + 2, true) !== this.#used) {
      const at = device + 4 + 8 * (this.#used % size)
      const id = this.#view.getUint32(at, true)
      const chain = this.#chains.get(id)
      if (chain === undefined) throw new Error(`descriptor ${id} came back and was not given`)
      this.#chains.delete(id)
      this.#freeList.push(...chain.slots)
      found.push({ token: chain.token, written: this.#view.getUint32(at + 4, true) })
      this.#used = (this.#used + 1) & 0xffff
    }
    return found
  }

  arm(): boolean {
    const { driver, device, size, eventIndex } = this.#place
    if (eventIndex) this.#view.setUint16(driver + 4 + 2 * size, this.#used, true)
    else this.#view.setUint16(driver, 0, true)
    return this.#view.getUint16(device + 2, true) !== this.#used
  }

  move(view: DataView): void {
    this.#view = view
  }
}

const AVAILABLE = 1 << 7
const USED = 1 << 15

export class PackedDriver implements RingDriver {
  #view: DataView
  readonly #place: RingPlace
  readonly #freeIds: number[]
  readonly #chains = new Map<number, { token: number; slots: number }>()
  #freeSlots: number
  #next = 0
  #wrap = 1
  #used = 0
  #usedWrap = 1
  /** Heads whose flags are to be written by `publish`, and positions since the last one. */
  #heads: { at: number; flags: number }[] = []
  #passed: number[] = []

  constructor(view: DataView, place: RingPlace) {
    this.#view = view
    this.#place = place
    this.#freeIds = Array.from({ length: place.size }, (_, i) => i)
    this.#freeSlots = place.size
  }

  get free(): number {
    return this.#freeSlots
  }

  add(pieces: readonly Piece[], token: number, table?: number): void {
    const view = this.#view
    const { descriptors, size } = this.#place
    const id = this.#freeIds.shift()!
    let entries = pieces.map(({ gpa, length, write }) => ({ gpa, length, flags: write ? WRITE : 0 }))
    if (table !== undefined) {
      entries.forEach(({ gpa, length, flags }, i) => putDescriptor(view, table + 16 * i, gpa, length, flags, 0))
      // In a table of a packed ring the flags are the last word.
      entries.forEach(({ flags }, i) => {
        view.setUint16(table + 16 * i + 12, 0, true)
        view.setUint16(table + 16 * i + 14, flags, true)
      })
      entries = [{ gpa: table, length: 16 * entries.length, flags: INDIRECT }]
    }
    entries.forEach(({ gpa, length, flags }, i) => {
      const at = descriptors + 16 * this.#next
      const all = flags | (i + 1 < entries.length ? NEXT : 0) | (this.#wrap === 1 ? AVAILABLE : USED)
      view.setUint32(at, gpa, true)
      view.setUint32(at + 4, 0, true)
      view.setUint32(at + 8, length, true)
      view.setUint16(at + 12, id, true)
      if (i === 0) this.#heads.push({ at, flags: all })
      else view.setUint16(at + 14, all, true)
      this.#passed.push(this.#next | (this.#wrap << 15))
      if (++this.#next === size) {
        this.#next = 0
        this.#wrap ^= 1
      }
    })
    this.#freeSlots -= entries.length
    this.#chains.set(id, { token, slots: entries.length })
  }

  publish(): boolean {
    const { device, eventIndex } = this.#place
    // The first head last: the device looks no further before.
    for (const { at, flags } of this.#heads.toReversed()) this.#view.setUint16(at + 14, flags, true)
    const passed = this.#passed
    this.#heads = []
    this.#passed = []
    if (passed.length === 0) return false
    const flags = this.#view.getUint16(device + 2, true) & 3
    if (flags !== 2 || !eventIndex) return flags !== 1
    return passed.includes(this.#view.getUint16(device, true))
  }

  #isUsed(): boolean {
    const flags = this.#view.getUint16(this.#place.descriptors + 16 * this.#used + 14, true)
    const expected = this.#usedWrap === 1 ? AVAILABLE | USED : 0
    return (flags & (AVAILABLE | USED)) === expected
  }

  reap(): Reaped[] {
    const { descriptors, size } = this.#place
    const found: Reaped[] = []
    while (this.#freeSlots < size && this.#isUsed()) {
      const at = descriptors + 16 * this.#used
      const id = this.#view.getUint16(at + 12, true)
      const chain = this.#chains.get(id)
      if (chain === undefined) throw new Error(`buffer ${id} came back and was not given`)
      this.#chains.delete(id)
      this.#freeIds.push(id)
      this.#freeSlots += chain.slots
      found.push({ token: chain.token, written: this.#view.getUint32(at + 8, true) })
      this.#used += chain.slots
      if (this.#used >= size) {
        this.#used -= size
        this.#usedWrap ^= 1
      }
    }
    return found
  }

  arm(): boolean {
    const { driver, eventIndex, size } = this.#place
    if (eventIndex) this.#view.setUint16(driver, this.#used | (this.#usedWrap << 15), true)
    this.#view.setUint16(driver + 2, eventIndex ? 2 : 0, true)
    return this.#freeSlots < size && this.#isUsed()
  }

  move(view: DataView): void {
    this.#view = view
  }
}
