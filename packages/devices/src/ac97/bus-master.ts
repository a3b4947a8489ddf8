import { type DeviceContext, Instant, listed, Stateful, type Timer } from '@retrap/device'

/*
 * Source: Intel 82801AA (ICH) data sheet (290655), "AC '97 Audio Controller Registers", "Native Audio Bus Mastering
 * Control Registers".
 */

// Registers of a channel.
const BDBAR = 0x0
const CIV = 0x4
const LVI = 0x5
const SR = 0x6
const PICB = 0x8
const PIV = 0xa
const CR = 0xb

// Status.
const HALTED = 0x01
const AT_LAST = 0x02
const LAST_INTERRUPT = 0x04
const BUFFER_INTERRUPT = 0x08
const CLEARED_BY_ONE = 0x1c
// Control.
const RUN = 0x01
const RESET = 0x02
const LAST_ENABLE = 0x04
const FIFO_ENABLE = 0x08
const BUFFER_ENABLE = 0x10

const ENTRY_BYTES = 8
const INTERRUPT_ON_END = 0x8000_0000
const SECOND_NS = 1e9
/** Interval at which samples are moved at most. A driver that reads the position has samples moved up to the present. */
const SLICE_NS = 10e6
/** Samples at a time. */
const PIECE = 4096

/** The registers, in the order of their list in saved states. `left` counts the samples that are left of the buffer. */
const POWER_ON = { base: 0, current: 0, last: 0, status: HALTED, left: 0, prefetched: 0, control: 0 }

/** The part of its controller that a channel reaches. */
export interface BusMasterWires {
  readonly context: DeviceContext
  /** Samples of a frame. */
  readonly channels: 1 | 2
  /** Frames a second. */
  readonly rate: () => number
  readonly mayMaster: () => boolean
  /** Moves samples: of memory to the loudspeakers, or of a microphone to memory. */
  readonly move: (gpa: number, samples: number) => void
  /** Interrupts may have changed. */
  readonly update: () => void
}

/** A channel that moves samples by a ring of 32 descriptors, as time passes. */
export class BusMaster extends Stateful {
  readonly #wires: BusMasterWires
  readonly #timer: Timer
  readonly #now = new Instant()
  /** The instant from which frames are counted. */
  readonly #since = new Instant()
  readonly #r = { ...POWER_ON }
  readonly #s = this.keeps({
    registers: listed(this.#r),
    address: 0,
    flags: 0,
    since: this.#since,
    moved: 0,
    next: () => this.#timer,
  })

  constructor(wires: BusMasterWires) {
    super()
    this.#wires = wires
    this.#timer = wires.context.timer(() => {
      this.sync()
      this.#arm()
    })
  }

  /** Whether the channel asks for an interrupt. */
  get interrupts(): boolean {
    const byLast = (this.#r.status & LAST_INTERRUPT) !== 0 && (this.#r.control & LAST_ENABLE) !== 0
    return byLast || ((this.#r.status & BUFFER_INTERRUPT) !== 0 && (this.#r.control & BUFFER_ENABLE) !== 0)
  }

  get #isRunning(): boolean {
    return (this.#r.control & RUN) !== 0 && (this.#r.status & HALTED) === 0
  }

  /** Reads one byte of a register. */
  read(offset: number): number {
    this.sync()
    if (offset < CIV) return (this.#r.base >>> (8 * (offset - BDBAR))) & 0xff
    if (offset === CIV) return this.#r.current
    if (offset === LVI) return this.#r.last
    if (offset === SR || offset === SR + 1) return offset === SR ? this.#r.status : 0
    if (offset === PICB || offset === PICB + 1) return (this.#r.left >>> (8 * (offset - PICB))) & 0xff
    if (offset === PIV) return this.#r.prefetched
    return offset === CR ? this.#r.control : 0
  }

  write(offset: number, value: number): void {
    this.sync()
    if (offset < CIV) {
      const shift = 8 * (offset - BDBAR)
      this.#r.base = ((this.#r.base & ~(0xff << shift)) | (value << shift)) & ~7
    } else if (offset === LVI) this.#setLast(value & 31)
    else if (offset === SR) this.#r.status &= ~(value & CLEARED_BY_ONE)
    else if (offset === CR) this.#setControl(value)
    this.#arm()
    this.#wires.update()
  }

  #setLast(value: number): void {
    this.#r.last = value
    // A new last buffer restarts a channel that has stopped at the old one.
    if ((this.#r.control & RUN) !== 0 && (this.#r.status & AT_LAST) !== 0 && value !== this.#r.current) {
      this.#step()
      this.#begin()
    }
  }

  #setControl(value: number): void {
    if ((value & RESET) !== 0) {
      if ((this.#r.control & RUN) === 0) this.reset()
      return
    }
    const begins = (value & RUN) !== 0 && (this.#r.control & RUN) === 0
    this.#r.control = value & (RUN | LAST_ENABLE | FIFO_ENABLE | BUFFER_ENABLE)
    if (begins) {
      if (this.#r.left === 0) this.#fetch()
      this.#begin()
    } else if ((value & RUN) === 0) this.#r.status |= HALTED
  }

  #begin(): void {
    this.recount()
    this.#r.status &= ~(HALTED | AT_LAST)
  }

  /** Counts frames from now on, as at a new rate. */
  recount(): void {
    this.#wires.context.clock.read(this.#since)
    this.#s.moved = 0
  }

  /** Takes the descriptor of the present buffer. */
  #fetch(): void {
    const entry = new DataView(new ArrayBuffer(ENTRY_BYTES))
    const { dma } = this.#wires.context
    if (!dma.read((this.#r.base >>> 0) + ENTRY_BYTES * this.#r.current, new Uint8Array(entry.buffer)))
      entry.setUint32(4, 0)
    this.#s.address = entry.getUint32(0, true) & ~1
    this.#s.flags = entry.getUint32(4, true)
    this.#r.left = this.#s.flags & 0xffff
    this.#r.prefetched = (this.#r.current + 1) & 31
  }

  #step(): void {
    this.#r.current = this.#r.prefetched
    this.#fetch()
  }

  /** Transfers the frames of the time that has passed. */
  sync(): void {
    if (!this.#isRunning || !this.#wires.mayMaster()) return
    const { clock } = this.#wires.context
    const { rate, channels, update } = this.#wires
    clock.read(this.#now)
    const frames = rate()
    let due = Math.floor((this.#now.since(this.#since) * frames) / SECOND_NS) - this.#s.moved
    // A ring has 32 buffers: after them it stands, however long the host was away.
    for (let buffers = 0; this.#isRunning && (due > 0 || this.#r.left === 0) && buffers <= 32; buffers++) {
      const samples = Math.min(due * channels, this.#r.left)
      this.#moveSamples(samples)
      const whole = Math.ceil(samples / channels)
      due -= whole
      this.#s.moved += whole
      if (this.#r.left === 0) this.#endBuffer()
    }
    for (; this.#s.moved >= frames; this.#s.moved -= frames) this.#since.add(SECOND_NS)
    update()
  }

  #moveSamples(samples: number): void {
    for (let done = 0; done < samples; done += PIECE) {
      const part = Math.min(PIECE, samples - done)
      this.#wires.move(this.#s.address >>> 0, part)
      this.#s.address += 2 * part
    }
    this.#r.left -= samples
  }

  #endBuffer(): void {
    if ((this.#s.flags & INTERRUPT_ON_END) !== 0) this.#r.status |= BUFFER_INTERRUPT
    if (this.#r.current === this.#r.last) this.#r.status |= LAST_INTERRUPT | AT_LAST | HALTED
    else this.#step()
  }

  override reset(): void {
    super.reset()
    this.#since.set({ lo: 0, hi: 0 })
  }

  #arm(): void {
    if (!this.#isRunning) {
      this.#timer.cancel()
      return
    }
    const { rate, channels } = this.#wires
    // The end of the buffer, or a slice of time if that is sooner.
    const end = Math.ceil(((this.#s.moved + Math.ceil(this.#r.left / channels)) * SECOND_NS) / rate())
    this.#wires.context.clock.read(this.#now)
    const wait = Math.min(Math.max(end - this.#now.since(this.#since), 1000), SLICE_NS)
    this.#timer.armAfter(wait)
  }
}
