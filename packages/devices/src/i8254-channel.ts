import { Stateful } from '@retrap/device'
import { CounterPort } from './i8254-port.ts'

const NONE = -1

/** The state at power-on: no count has been loaded. */
const POWER_ON = {
  countRegister: 0x1_0000,
  count: 0,
  left: 0,
  odd: false,
  tick: 0,
  loadTick: NONE,
  out: false,
  fired: true,
  counting: false,
  gate: false,
  nullCount: true,
  written: false,
}

/**
 * One counter of an 8254, in closed form: its state is brought up to a tick
 * on demand, in constant time, however many ticks have passed.
 *
 * Source: Intel 8254 Programmable Interval Timer data sheet (231164),
 * "Operational Description" and "Mode Definitions".
 */
export class I8254Channel extends Stateful {
  readonly #port = new CounterPort()
  #mode = 0
  #modulus = 0x1_0000
  readonly #r: typeof POWER_ON
  /** Rising edges of OUT since `takeRises`. */
  #rises = 0

  constructor(gate: boolean) {
    super()
    this.#r = this.keeps(
      { port: this.#port, ...POWER_ON, gate },
      {
        flat: ['port'],
        settled: (): void => {
          this.#setMode(this.#port.control)
          this.#rises = 0
        },
      },
    )
  }

  /** OUT at the tick last synchronised to. */
  get out(): boolean {
    return this.#r.out
  }

  /** Number of rises of OUT since the last call. */
  takeRises(): number {
    const rises = this.#rises
    this.#rises = 0
    return rises
  }

  /** Ticks from one rise of OUT to the next; 0 in the modes that are not periodic. */
  get period(): number {
    return this.#mode === 2 || this.#mode === 3 ? this.#r.countRegister : 0
  }

  /** The control word for this counter, bits 5:0. */
  writeControl(tick: number, control: number): void {
    this.sync(tick)
    // The counting element keeps its value until a new count is loaded.
    this.#r.count = this.#liveCount()
    this.#port.writeControl(control)
    this.#setMode(control)
    this.#r.countRegister = this.#modulus
    this.#r.loadTick = NONE
    this.#r.fired = true
    this.#r.counting = false
    this.#r.nullCount = true
    this.#r.written = false
    this.#drive(this.#mode !== 0)
  }

  writeCount(tick: number, byte: number): void {
    this.sync(tick)
    const count = this.#port.write(byte)
    if (count === NONE) {
      if (this.#mode === 0) {
        // "Writing the first byte disables counting. OUT is set low immediately."
        this.#r.counting = false
        this.#r.loadTick = NONE
        this.#r.fired = true
        this.#drive(false)
      }
      return
    }
    this.#r.countRegister = count
    this.#r.nullCount = true
    const first = !this.#r.written
    this.#r.written = true
    switch (this.#mode) {
      case 0:
        this.#drive(false)
        this.#r.loadTick = tick + 1
        break
      case 4:
        this.#r.loadTick = tick + 1
        break
      case 2:
      case 3:
        // A later count waits for the end of the cycle or for a trigger.
        if (first) this.#r.loadTick = tick + 1
        break
      default:
        // Modes 1 and 5 load on a trigger only.
        break
    }
  }

  /** Reads a byte: latched status, latched count, or the live count. */
  readCount(tick: number): number {
    const status = this.#port.takeStatus()
    if (status !== NONE) return status
    this.sync(tick)
    return this.#port.read(this.#liveCount())
  }

  /** Counter latch: holds the count until it has been read. A second latch before that is ignored. */
  latchCount(tick: number): void {
    this.sync(tick)
    this.#port.latchCount(this.#liveCount())
  }

  /** Read-back of status: OUT, null count, and the control word as written. */
  latchStatus(tick: number): void {
    this.sync(tick)
    this.#port.latchStatus((this.#r.out ? 0x80 : 0) | (this.#r.nullCount ? 0x40 : 0))
  }

  setGate(tick: number, gate: boolean): void {
    if (gate === this.#r.gate) return
    this.sync(tick)
    this.#r.gate = gate
    switch (this.#mode) {
      case 1:
      case 5:
        // A rising edge is the trigger; the level means nothing.
        if (gate && this.#r.written) this.#r.loadTick = tick + 1
        break
      case 2:
      case 3:
        if (gate) {
          if (this.#r.written) this.#r.loadTick = tick + 1
        } else {
          // OUT goes high, and the count stops at its value until the gate rises or a new count is loaded.
          if (this.#mode === 3 && !this.#r.out && this.#r.odd) this.#r.left++
          this.#drive(true)
        }
        break
      default:
        break
    }
  }

  get gate(): boolean {
    return this.#r.gate
  }

  /** The tick at which OUT next rises, or falls where that is due first and not on its way up in mode 2; Infinity if never. */
  nextChange(): number {
    if (this.#r.loadTick !== NONE) return this.#r.loadTick
    if (!this.#runs()) return Infinity
    switch (this.#mode) {
      case 2:
        return this.#r.countRegister === 1 && this.#r.count === 1 ? Infinity : this.#r.tick + this.#r.count
      case 3:
        return this.#r.tick + this.#r.left
      case 4:
      case 5:
        return this.#r.fired ? (this.#r.out ? Infinity : this.#r.tick + 1) : this.#r.tick + this.#r.count
      default:
        return this.#r.fired ? Infinity : this.#r.tick + this.#r.count
    }
  }

  /** Advances the counter to `tick`. */
  sync(tick: number): void {
    if (tick <= this.#r.tick) return
    if (this.#r.loadTick !== NONE && tick >= this.#r.loadTick) {
      // The clock pulse that loads a count does not count.
      this.#advance(this.#r.loadTick - 1)
      this.#r.tick = this.#r.loadTick
      this.#load()
    }
    this.#advance(tick)
  }

  /** Brings the counter up to a tick, from which ticks are counted afterwards. No load is pending then: it takes a tick. */
  moveOrigin(tick: number): void {
    this.sync(tick)
    this.#r.tick = 0
  }

  #load(): void {
    this.#r.loadTick = NONE
    this.#r.nullCount = false
    this.#r.counting = true
    this.#r.fired = false
    this.#r.count = this.#r.countRegister
    if (this.#mode === 1) this.#drive(false)
    else if (this.#mode === 3) {
      this.#drive(true)
      this.#r.left = this.#halfCycle()
    } else if (this.#mode !== 0) this.#drive(this.#mode !== 2 || this.#r.count !== 1)
  }

  /** Begins a half cycle. @returns ticks of the half cycle: the high half has the odd tick */
  #halfCycle(): number {
    this.#r.odd = this.#r.countRegister % 2 === 1
    return this.#r.out ? Math.ceil(this.#r.countRegister / 2) : Math.floor(this.#r.countRegister / 2)
  }

  #runs(): boolean {
    return this.#r.counting && (this.#r.gate || this.#mode === 1 || this.#mode === 5)
  }

  #advance(tick: number): void {
    const elapsed = tick - this.#r.tick
    if (elapsed <= 0) return
    this.#r.tick = tick
    if (!this.#runs()) return
    switch (this.#mode) {
      case 2:
        this.#advanceRate(elapsed)
        return
      case 3:
        this.#advanceSquare(elapsed)
        return
      case 4:
      case 5:
        // OUT is low for a single tick at terminal count.
        if (this.#r.fired) this.#drive(true)
        else if (elapsed >= this.#r.count) {
          this.#r.fired = true
          this.#drive(false)
          if (elapsed > this.#r.count) this.#drive(true)
        }
        break
      default:
        if (!this.#r.fired && elapsed >= this.#r.count) {
          this.#r.fired = true
          this.#drive(true)
        }
        break
    }
    const count = (this.#r.count - elapsed) % this.#modulus
    this.#r.count = count < 0 ? count + this.#modulus : count
  }

  #advanceRate(elapsed: number): void {
    if (elapsed < this.#r.count) {
      this.#r.count -= elapsed
    } else {
      const into = elapsed - this.#r.count
      this.#r.nullCount = false
      // The end of the cycle is low for one tick and rises at the reload.
      if (this.#r.countRegister > 1) {
        this.#drive(false)
        this.#drive(true)
        this.#rises += Math.floor(into / this.#r.countRegister)
      }
      this.#r.count = this.#r.countRegister - (into % this.#r.countRegister)
    }
    this.#drive(this.#r.count !== 1)
  }

  #advanceSquare(elapsed: number): void {
    if (elapsed < this.#r.left) {
      this.#r.left -= elapsed
      return
    }
    let rest = elapsed - this.#r.left
    this.#r.nullCount = false
    this.#drive(!this.#r.out)
    if (rest >= this.#r.countRegister) {
      // Whole cycles leave the phase alone, but OUT has risen once in each.
      this.#rises += Math.floor(rest / this.#r.countRegister)
      rest %= this.#r.countRegister
    }
    this.#r.left = this.#halfCycle()
    // A count of 1 has a low half of no ticks; data sheets exclude it, and it must not hang us.
    while (rest >= this.#r.left) {
      rest -= this.#r.left
      this.#drive(!this.#r.out)
      this.#r.left = this.#halfCycle()
    }
    this.#r.left -= rest
  }

  #drive(level: boolean): void {
    if (level && !this.#r.out) this.#rises++
    this.#r.out = level
  }

  /** Returns the content of the counting element. */
  #liveCount(): number {
    if (this.#mode !== 3 || !this.#r.counting) return this.#r.count
    // Counts by two; the high half of an odd count lingers at 0 for a tick.
    return 2 * (this.#r.out && this.#r.odd ? this.#r.left - 1 : this.#r.left)
  }

  #setMode(control: number): void {
    const mode = (control >> 1) & 7
    this.#mode = mode > 5 ? mode - 4 : mode
    this.#modulus = this.#port.modulus()
  }
}
