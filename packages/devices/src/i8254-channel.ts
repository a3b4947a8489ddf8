import { CounterPort, type I8254ChannelState } from './i8254-port.ts'

const NONE = -1

/**
 * One counter of an 8254, in closed form: its state is brought up to a tick
 * on demand, in constant time, however many ticks have passed.
 *
 * Source: Intel 8254 Programmable Interval Timer data sheet (231164),
 * "Operational Description" and "Mode Definitions".
 */
export class I8254Channel {
  readonly #port = new CounterPort()
  #mode = 0
  #modulus = 0x1_0000
  /** CR as a number of ticks, 1 … modulus. */
  #countRegister = 0x1_0000
  /** CE at `tick`, 0 … modulus. Mode 3 keeps `left` instead. */
  #count = 0
  /** Mode 3: ticks left of this half cycle. */
  #left = 0
  /** Mode 3: the half cycle that runs was loaded with an odd count. */
  #odd = false
  #tick = 0
  /** Tick at which CR goes to CE, or NONE. */
  #loadTick = NONE
  /** Modes 0, 1, 4, 5: the terminal count has been reached. Set while nothing was loaded. */
  #fired = true
  /** Mode 0: a first byte stops the count until the second. */
  #counting = false
  #nullCount = true
  /** A count was written since the control word. */
  #written = false
  #gateInput: boolean
  #output = false
  /** Rising edges of OUT since `takeRises`. */
  #rises = 0

  constructor(gate: boolean) {
    this.#gateInput = gate
  }

  /** OUT at the tick last synchronised to. */
  get out(): boolean {
    return this.#output
  }

  /** How often OUT has risen since the last call. */
  takeRises(): number {
    const rises = this.#rises
    this.#rises = 0
    return rises
  }

  /** Ticks from one rise of OUT to the next; 0 in the modes that are not periodic. */
  get period(): number {
    return this.#mode === 2 || this.#mode === 3 ? this.#countRegister : 0
  }

  /** The control word for this counter, bits 5:0. */
  writeControl(tick: number, control: number): void {
    this.sync(tick)
    // Until a new count is loaded, the counting element holds what it held.
    this.#count = this.#liveCount()
    this.#port.writeControl(control)
    this.#setMode(control)
    this.#countRegister = this.#modulus
    this.#loadTick = NONE
    this.#fired = true
    this.#counting = false
    this.#nullCount = true
    this.#written = false
    this.#drive(this.#mode !== 0)
  }

  writeCount(tick: number, byte: number): void {
    this.sync(tick)
    const count = this.#port.write(byte)
    if (count === NONE) {
      if (this.#mode === 0) {
        // "Writing the first byte disables counting. OUT is set low immediately."
        this.#counting = false
        this.#loadTick = NONE
        this.#fired = true
        this.#drive(false)
      }
      return
    }
    this.#countRegister = count
    this.#nullCount = true
    const first = !this.#written
    this.#written = true
    switch (this.#mode) {
      case 0:
        this.#drive(false)
        this.#loadTick = tick + 1
        break
      case 4:
        this.#loadTick = tick + 1
        break
      case 2:
      case 3:
        // A later count waits for the end of the cycle or for a trigger.
        if (first) this.#loadTick = tick + 1
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
    this.#port.latchStatus((this.#output ? 0x80 : 0) | (this.#nullCount ? 0x40 : 0))
  }

  setGate(tick: number, gate: boolean): void {
    if (gate === this.#gateInput) return
    this.sync(tick)
    this.#gateInput = gate
    switch (this.#mode) {
      case 1:
      case 5:
        // A rising edge is the trigger; the level means nothing.
        if (gate && this.#written) this.#loadTick = tick + 1
        break
      case 2:
      case 3:
        if (gate) {
          if (this.#written) this.#loadTick = tick + 1
        } else {
          // OUT goes high, and the count stands until the gate rises and a new one is loaded: it reads as it did.
          if (this.#mode === 3 && !this.#output && this.#odd) this.#left++
          this.#drive(true)
        }
        break
      default:
        break
    }
  }

  get gate(): boolean {
    return this.#gateInput
  }

  /** The tick at which OUT next rises, or falls where that is due first and not on its way up in mode 2; Infinity if never. */
  nextChange(): number {
    if (this.#loadTick !== NONE) return this.#loadTick
    if (!this.#runs()) return Infinity
    switch (this.#mode) {
      case 2:
        return this.#countRegister === 1 && this.#count === 1 ? Infinity : this.#tick + this.#count
      case 3:
        return this.#tick + this.#left
      case 4:
      case 5:
        return this.#fired ? (this.#output ? Infinity : this.#tick + 1) : this.#tick + this.#count
      default:
        return this.#fired ? Infinity : this.#tick + this.#count
    }
  }

  /** Brings the counter to `tick`; never goes back. */
  sync(tick: number): void {
    if (tick <= this.#tick) return
    if (this.#loadTick !== NONE && tick >= this.#loadTick) {
      // The clock pulse that loads a count does not count.
      this.#advance(this.#loadTick - 1)
      this.#tick = this.#loadTick
      this.#load()
    }
    this.#advance(tick)
  }

  /** Brings the counter up to a tick, from which ticks are counted afterwards. No load is pending then: it takes a tick. */
  moveOrigin(tick: number): void {
    this.sync(tick)
    this.#tick = 0
  }

  #load(): void {
    this.#loadTick = NONE
    this.#nullCount = false
    this.#counting = true
    this.#fired = false
    this.#count = this.#countRegister
    if (this.#mode === 1) this.#drive(false)
    else if (this.#mode === 3) {
      this.#drive(true)
      this.#left = this.#halfCycle()
    } else if (this.#mode !== 0) this.#drive(this.#mode !== 2 || this.#count !== 1)
  }

  /** Begins a half cycle. @returns its ticks: the high one has the odd tick */
  #halfCycle(): number {
    this.#odd = this.#countRegister % 2 === 1
    return this.#output ? Math.ceil(this.#countRegister / 2) : Math.floor(this.#countRegister / 2)
  }

  #runs(): boolean {
    return this.#counting && (this.#gateInput || this.#mode === 1 || this.#mode === 5)
  }

  #advance(tick: number): void {
    const elapsed = tick - this.#tick
    if (elapsed <= 0) return
    this.#tick = tick
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
        // OUT is low for the one tick at terminal count.
        if (this.#fired) this.#drive(true)
        else if (elapsed >= this.#count) {
          this.#fired = true
          this.#drive(false)
          if (elapsed > this.#count) this.#drive(true)
        }
        break
      default:
        if (!this.#fired && elapsed >= this.#count) {
          this.#fired = true
          this.#drive(true)
        }
        break
    }
    const count = (this.#count - elapsed) % this.#modulus
    this.#count = count < 0 ? count + this.#modulus : count
  }

  #advanceRate(elapsed: number): void {
    if (elapsed < this.#count) {
      this.#count -= elapsed
    } else {
      const into = elapsed - this.#count
      this.#nullCount = false
      // The end of the cycle is low for one tick and rises at the reload.
      if (this.#countRegister > 1) {
        this.#drive(false)
        this.#drive(true)
        this.#rises += Math.floor(into / this.#countRegister)
      }
      this.#count = this.#countRegister - (into % this.#countRegister)
    }
    this.#drive(this.#count !== 1)
  }

  #advanceSquare(elapsed: number): void {
    if (elapsed < this.#left) {
      this.#left -= elapsed
      return
    }
    let rest = elapsed - this.#left
    this.#nullCount = false
    this.#drive(!this.#output)
    if (rest >= this.#countRegister) {
      // Whole cycles leave the phase alone, but OUT has risen once in each.
      this.#rises += Math.floor(rest / this.#countRegister)
      rest %= this.#countRegister
    }
    this.#left = this.#halfCycle()
    // A count of 1 has a low half of no ticks; data sheets exclude it, and it must not hang us.
    while (rest >= this.#left) {
      rest -= this.#left
      this.#drive(!this.#output)
      this.#left = this.#halfCycle()
    }
    this.#left -= rest
  }

  #drive(level: boolean): void {
    if (level && !this.#output) this.#rises++
    this.#output = level
  }

  /** Returns the content of the counting element. */
  #liveCount(): number {
    if (this.#mode !== 3 || !this.#counting) return this.#count
    // Counts by two; the high half of an odd count lingers at 0 for a tick.
    return 2 * (this.#output && this.#odd ? this.#left - 1 : this.#left)
  }

  #setMode(control: number): void {
    const mode = (control >> 1) & 7
    this.#mode = mode > 5 ? mode - 4 : mode
    this.#modulus = this.#port.modulus()
  }

  save(): I8254ChannelState {
    return {
      ...this.#port.save(),
      countRegister: this.#countRegister,
      count: this.#count,
      left: this.#left,
      odd: this.#odd,
      tick: this.#tick,
      loadTick: this.#loadTick,
      out: this.#output,
      fired: this.#fired,
      counting: this.#counting,
      gate: this.#gateInput,
      nullCount: this.#nullCount,
      written: this.#written,
    }
  }

  restore(state: I8254ChannelState): void {
    this.#port.restore(state)
    this.#setMode(state.control)
    this.#countRegister = state.countRegister
    this.#count = state.count
    this.#left = state.left
    this.#odd = state.odd
    this.#tick = state.tick
    this.#loadTick = state.loadTick
    this.#output = state.out
    this.#fired = state.fired
    this.#counting = state.counting
    this.#gateInput = state.gate
    this.#nullCount = state.nullCount
    this.#written = state.written
    this.#rises = 0
  }
}
