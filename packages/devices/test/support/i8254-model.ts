/**
 * One counter of an 8254 as the data sheet describes it: counting element, count register and output latch, moved by one
 * clock pulse at a time. It shares no idea with the product's counter, which computes any tick in closed form.
 *
 * Source: Intel 8254 data sheet (231164), "Operational Description", "Mode Definitions", and the figures of each mode.
 */
export class ModelCounter {
  #control = 0
  /** CR; what two digits of BCD or 16 bits hold. */
  #register = 0
  /** CE. */
  #element = 0
  #latch: number | null = null
  #latchReads = 0
  #status: number | null = null
  #highNext = false
  #low = 0
  #lowWritten = false
  #everWritten = false
  /** CR goes to CE with the next clock pulse. */
  #loads = false
  #loaded = false
  /** Modes 0, 1, 4 and 5: the output has yet to react to the terminal count. */
  #armed = false
  #nullCount = true
  #gate: boolean
  out = false
  rises = 0

  constructor(gate: boolean) {
    this.#gate = gate
  }

  get #mode(): number {
    const field = (this.#control >> 1) & 7
    return field > 5 ? field - 4 : field
  }
  get #bcd(): boolean {
    return (this.#control & 1) !== 0
  }
  get #wrap(): number {
    return this.#bcd ? 10_000 : 0x1_0000
  }

  #set(level: boolean): void {
    if (level && !this.out) this.rises++
    this.out = level
  }

  control(word: number): void {
    this.#control = word & 0x3f
    this.#register = 0
    this.#everWritten = false
    this.#lowWritten = false
    this.#highNext = false
    this.#loads = false
    this.#loaded = false
    this.#armed = false
    this.#nullCount = true
    this.#latch = null
    this.#status = null
    this.#set(this.#mode !== 0)
  }

  write(byte: number): void {
    const access = this.#control >> 4
    if (access === 3 && !this.#lowWritten) {
      this.#lowWritten = true
      this.#low = byte
      if (this.#mode === 0) {
        this.#loaded = false
        this.#loads = false
        this.#set(false)
      }
      return
    }
    this.#lowWritten = false
    this.#register = access === 1 ? byte : access === 2 ? byte << 8 : (byte << 8) | this.#low
    this.#nullCount = true
    const first = !this.#everWritten
    this.#everWritten = true
    if (this.#mode === 0) this.#set(false)
    if (this.#mode === 0 || this.#mode === 4 || ((this.#mode === 2 || this.#mode === 3) && first)) this.#loads = true
  }

  gate(level: boolean): void {
    if (level === this.#gate) return
    this.#gate = level
    const mode = this.#mode
    if (mode === 2 || mode === 3) {
      if (!level) this.#set(true)
      else if (this.#everWritten) this.#loads = true
    }
    if ((mode === 1 || mode === 5) && level && this.#everWritten) this.#loads = true
  }

  /** The number that CR holds: 0 is the largest. */
  #count(): number {
    const r = this.#register
    if (!this.#bcd) return r === 0 ? 0x1_0000 : r
    const value = (r >> 12) * 1000 + ((r >> 8) & 15) * 100 + ((r >> 4) & 15) * 10 + (r & 15)
    return value === 0 ? 10_000 : value
  }

  #transfer(): void {
    this.#element = this.#count()
    this.#nullCount = false
    this.#loads = false
    this.#loaded = true
  }

  /** One pulse of CLK. */
  clock(): void {
    const mode = this.#mode
    if (this.#loads) {
      this.#transfer()
      this.#armed = true
      if (mode === 1) this.#set(false)
      if (mode === 3) {
        this.#set(true)
        this.#half()
      }
      if (mode === 2 || mode === 4 || mode === 5) this.#set(true)
      return
    }
    const counts = this.#loaded && (this.#gate || mode === 1 || mode === 5)
    if (!counts) return
    if (mode === 3) return this.#square()
    if (mode === 2) {
      if (this.#element === 1) {
        this.#transfer()
        this.#set(true)
      } else if (--this.#element === 1) this.#set(false)
      return
    }
    // The strobe is one pulse long.
    if ((mode === 4 || mode === 5) && !this.#armed) this.#set(true)
    this.#element = (this.#element - 1 + this.#wrap) % this.#wrap
    if (this.#element !== 0 || !this.#armed) return
    this.#armed = false
    this.#set(mode === 0 || mode === 1)
  }

  /** Mode 3: an odd count loses one where it is loaded, and the high half has one pulse more. */
  #half(): void {
    this.#odd = this.#count() % 2 === 1
    this.#element = this.#count() - (this.#odd ? 1 : 0)
  }
  #odd = false

  #square(): void {
    if (this.#element > 0) this.#element -= 2
    else {
      // The pulse that an odd count has left over.
      this.#turn()
      return
    }
    if (this.#element === 0 && !(this.#odd && this.out)) this.#turn()
  }

  #turn(): void {
    this.#set(!this.out)
    this.#nullCount = false
    this.#half()
  }

  #live(): number {
    const value = this.#element % this.#wrap
    if (!this.#bcd) return value
    return Number.parseInt(String(value).padStart(4, '0'), 16)
  }

  latch(): void {
    if (this.#latch !== null) return
    this.#latch = this.#live()
    this.#latchReads = this.#control >> 4 === 3 ? 2 : 1
  }

  latchStatus(): void {
    this.#status ??= (this.out ? 0x80 : 0) | (this.#nullCount ? 0x40 : 0) | this.#control
  }

  read(): number {
    if (this.#status !== null) {
      const status = this.#status
      this.#status = null
      return status
    }
    const value = this.#latch ?? this.#live()
    const access = this.#control >> 4
    const high = access === 2 || (access === 3 && this.#highNext)
    if (access === 3) this.#highNext = !this.#highNext
    if (this.#latch !== null && --this.#latchReads === 0) this.#latch = null
    return high ? value >> 8 : value & 0xff
  }
}
