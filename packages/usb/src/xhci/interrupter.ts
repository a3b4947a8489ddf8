import { type Clock, Instant, listed, Stateful, type Timer } from '@retrap/device'
import type { GuestAccess } from './guest-access.ts'
import { CODE, type EventWords, TRB, TRB_BYTES } from './trb.ts'

/** Entries of the longest event ring segment table: 2 to the power of HCSPARAMS2's ERST Max. */
export const MOST_SEGMENTS = 16
const LEAST_TRBS = 16
const MOST_TRBS = 4096

const PENDING = 0x1
const ENABLE = 0x2
const BUSY = 0x8
/** 1 ms. */
const USUAL_MODERATION = 4000
const MODERATION_UNIT_NS = 250

/** The registers, in the order of their list in saved states. */
const POWER_ON = {
  management: 0,
  moderation: USUAL_MODERATION,
  tableSize: 0,
  tableLo: 0,
  tableHi: 0,
  dequeueLo: 0,
  dequeueHi: 0,
}

const FIRST_PLACE = { segment: 0, index: 0, cycle: 1 }

/** The registers by offset. */
const REGISTERS: Readonly<Record<number, keyof typeof POWER_ON>> = {
  0x00: 'management',
  0x04: 'moderation',
  0x08: 'tableSize',
  0x10: 'tableLo',
  0x14: 'tableHi',
  0x18: 'dequeueLo',
  0x1c: 'dequeueHi',
}

interface Segment {
  readonly base: number
  readonly trbs: number
}

/** The part of the controller that an interrupter reaches. */
export interface InterrupterHost {
  readonly memory: GuestAccess
  readonly clock: Clock
  timer(callback: () => void): Timer
  /** Whether the controller runs, and memory can be reached. */
  mayWrite(): boolean
  /** The interrupter has become pending. */
  raised(interrupter: Interrupter): void
  /** The guest has enabled the interrupter, or has acknowledged its interrupt. */
  changed(interrupter: Interrupter): void
  /** Ring is invalid. */
  broken(): void
  /** Called when the interrupter's event ring has room again. */
  drained(): void
}

/** An event ring and its interrupt. Source: xHCI 1.2, §4.9.4, "Event Ring Management", and §4.17, "Interrupters". */
export class Interrupter extends Stateful {
  readonly index: number
  readonly #host: InterrupterHost
  readonly #moderated: Timer
  readonly #r = { ...POWER_ON }
  /** Place of the next event on the ring, and its cycle bit. */
  readonly #place = { ...FIRST_PLACE }
  readonly #s = this.keeps({
    registers: listed(this.#r),
    segments: null as readonly Segment[] | null,
    at: listed(this.#place),
    waiting: [] as EventWords[],
    flags: {
      save: (): boolean[] => [this.#wanted, this.#full],
      restore: (flags: readonly [wanted: boolean, full: boolean]): void => void ([this.#wanted, this.#full] = flags),
    },
    notBefore: () => this.#notBefore,
  })
  /** An event wants an interrupt. */
  #wanted = false
  /** Whether the guest was notified that the ring is full. */
  #full = false
  readonly #notBefore = new Instant()

  constructor(index: number, host: InterrupterHost) {
    super()
    this.index = index
    this.#host = host
    this.#moderated = host.timer(() => this.#raise())
  }

  /** Whether events wait for room: nothing that makes more may go on. */
  get isFull(): boolean {
    return this.#s.waiting.length > 0
  }

  /** Whether the interrupter asks for an interrupt. */
  get isPending(): boolean {
    return (this.#r.management & (PENDING | ENABLE)) === (PENDING | ENABLE)
  }

  /** A message has been sent in place of the pin. */
  sent(): void {
    this.#r.management &= ~PENDING
  }

  read(register: number): number {
    const name = REGISTERS[register]
    return name === undefined ? 0 : this.#r[name]
  }

  write(register: number, value: number): void {
    switch (register) {
      case 0x00:
        this.#r.management = (this.#r.management & ~ENABLE & ~(value & PENDING)) | (value & ENABLE)
        this.#host.changed(this)
        break
      case 0x04:
        this.#r.moderation = value
        break
      case 0x08:
        this.#r.tableSize = value & 0xffff
        break
      case 0x10:
      case 0x14:
        if (register === 0x10) this.#r.tableLo = (value & ~0x3f) >>> 0
        else this.#r.tableHi = value
        this.#restart()
        break
      case 0x18: {
        const busy = this.#r.dequeueLo & ~value & BUSY
        this.#r.dequeueLo = ((value & ~BUSY) | busy) >>> 0
        this.#freed()
        break
      }
      case 0x1c:
        this.#r.dequeueHi = value
        this.#freed()
        break
    }
  }

  /** Begins the event ring anew, at its first segment. */
  #restart(): void {
    this.#s.segments = null
    Object.assign(this.#place, FIRST_PLACE)
    this.#full = false
  }

  /** Puts an event on the ring, now or once there is room. */
  post(event: EventWords, interrupts = true): void {
    this.#s.waiting.push(event)
    if (!this.#put()) {
      this.#s.waiting = []
      this.#host.broken()
      return
    }
    if (!interrupts) return
    this.#wanted = true
    this.#raise()
  }

  #load(): readonly Segment[] | null {
    if (this.#s.segments !== null) return this.#s.segments
    const count = this.#r.tableSize
    const view =
      count === 0 || count > MOST_SEGMENTS
        ? null
        : this.#host.memory.view(this.#r.tableHi * 2 ** 32 + this.#r.tableLo, count * 16)
    if (view === null) return null
    const segments = Array.from({ length: count }, (_, i) => ({
      base: view.getUint32(16 * i + 4, true) * 2 ** 32 + ((view.getUint32(16 * i, true) & ~0x3f) >>> 0),
      trbs: view.getUint16(16 * i + 8, true),
    }))
    if (segments.some(({ trbs }) => trbs < LEAST_TRBS || trbs > MOST_TRBS)) return null
    this.#s.segments = segments
    return segments
  }

  /** Returns the number of free entries on the ring; −1 if the guest's pointer is not on the ring. */
  #free(segments: readonly Segment[]): number {
    const pointer = this.#r.dequeueHi * 2 ** 32 + ((this.#r.dequeueLo & ~0xf) >>> 0)
    let total = 0
    let guest = -1
    let own = 0
    segments.forEach(({ base, trbs }, i) => {
      if (pointer >= base && pointer < base + trbs * TRB_BYTES) guest = total + (pointer - base) / TRB_BYTES
      if (i === this.#place.segment) own = total + this.#place.index
      total += trbs
    })
    return guest < 0 ? -1 : (guest - own - 1 + total) % total
  }

  /** @returns false for an invalid ring */
  #put(): boolean {
    while (this.#s.waiting.length > 0) {
      const segments = this.#load()
      const free = segments === null ? -1 : this.#free(segments)
      if (segments === null || free < 0) return false
      if (this.#full && free < 2) return true
      this.#full = free < 2
      if (free === 0) return true
      const event: EventWords = this.#full
        ? [0, 0, (CODE.EVENT_RING_FULL << 24) >>> 0, TRB.HOST_CONTROLLER << 10]
        : this.#s.waiting.shift()!
      if (!this.#write(segments, event) || this.#full) return true
    }
    return true
  }

  #write(segments: readonly Segment[], [lo, hi, status, control]: EventWords): boolean {
    const { base, trbs } = segments[this.#place.segment]!
    const address = base + this.#place.index * TRB_BYTES
    if (!this.#host.memory.writeWords(address, [lo, hi, status, control | this.#place.cycle])) return false
    this.#place.index++
    if (this.#place.index < trbs) return true
    this.#place.index = 0
    this.#place.segment++
    if (this.#place.segment < segments.length) return true
    this.#place.segment = 0
    this.#place.cycle ^= 1
    return true
  }

  /** Puts waiting events on the ring, if the function may write memory now. */
  proceed(): void {
    // Half of a new pointer may be on no ring: the other half follows.
    if (this.isFull && this.#host.mayWrite()) this.#put()
  }

  /** The guest has taken events, or has ended its handler. */
  #freed(): void {
    const hadWaiting = this.isFull
    this.proceed()
    this.#raise()
    if (hadWaiting && !this.isFull) this.#host.drained()
  }

  #raise(): void {
    if (!this.#wanted || (this.#r.dequeueLo & BUSY) !== 0 || this.#s.segments === null) return
    const total = this.#s.segments.reduce((sum, { trbs }) => sum + trbs, 0)
    if (this.#free(this.#s.segments) === total - 1) {
      this.#wanted = false
      return
    }
    const now = new Instant()
    this.#host.clock.read(now)
    if (now.isBefore(this.#notBefore)) {
      this.#moderated.armAfter(0, this.#notBefore)
      return
    }
    this.#notBefore.set(now).add((this.#r.moderation & 0xffff) * MODERATION_UNIT_NS)
    this.#wanted = false
    this.#r.management |= PENDING
    this.#r.dequeueLo = (this.#r.dequeueLo | BUSY) >>> 0
    this.#host.raised(this)
  }

  override reset(): void {
    this.#moderated.cancel()
    super.reset()
    this.#wanted = false
    this.#notBefore.set({ lo: 0, hi: 0 })
    this.#restart()
  }

  /** Goes on after a state was restored. */
  resume(): void {
    this.#raise()
  }
}
