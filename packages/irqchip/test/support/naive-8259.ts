/*
 * The 8259A as the data sheet tells it, input by input: "Interrupt Sequence", "Priority Resolver", "Programming the
 * 8259A". Shares nothing with src: booleans in arrays, and a walk from the highest priority to the lowest.
 */

const eight = (): boolean[] => new Array<boolean>(8).fill(false)
const byte = (flags: readonly boolean[]): number => flags.reduce((sum, flag, i) => sum + (flag ? 2 ** i : 0), 0)
const flags = (value: number): boolean[] => eight().map((_, i) => Math.floor(value / 2 ** i) % 2 === 1)

/** One chip. `slaveAt` is the input that a slave drives, if any. */
export class Naive8259 {
  up = eight()
  seen = eight()
  pulsed = eight()
  inService = eight()
  masked = eight()
  level = eight()
  lowest = 7
  base = 0
  expects: ('icw2' | 'icw3' | 'icw4')[] = []
  automaticEoi = false
  nested: 'fully' | 'specially' = 'fully'
  rotateAutomatically = false
  specialMask = false
  status: 'irr' | 'isr' = 'irr'
  polling = false
  readonly slaveAt: number | undefined
  readonly canBeLevel: boolean[]

  constructor(slaveAt: number | undefined, canBeLevel: number) {
    this.slaveAt = slaveAt
    this.canBeLevel = flags(canBeLevel)
  }

  wire(i: number, up: boolean): void {
    const was = this.up[i] || this.pulsed[i]
    this.up[i] = up
    if (up && !was) this.seen[i] = true
    if (!up && !this.pulsed[i]) this.seen[i] = false
  }

  pulse(i: number): void {
    if (this.up[i] || this.pulsed[i]) return
    this.pulsed[i] = true
    this.seen[i] = true
  }

  setLevel(value: number): void {
    this.level = flags(value).map((wanted, i) => wanted && this.canBeLevel[i]!)
    this.seen = this.seen.map((seen, i) => seen && !this.level[i])
  }

  requesting(i: number): boolean {
    return this.level[i] ? this.up[i]! || this.pulsed[i]! : this.seen[i]!
  }

  get irr(): number {
    return byte(eight().map((_, i) => this.requesting(i)))
  }
  get isr(): number {
    return byte(this.inService)
  }
  get imr(): number {
    return byte(this.masked)
  }

  /** Inputs from the highest priority to the lowest. */
  get order(): number[] {
    return Array.from({ length: 8 }, (_, i) => (this.lowest + 1 + i) % 8)
  }

  /** The input to interrupt with, or undefined. */
  resolve(): number | undefined {
    for (const i of this.order) {
      const asks = this.requesting(i) && !this.masked[i]
      if (this.inService[i] && !(this.specialMask && this.masked[i])) {
        return asks && this.nested === 'specially' && i === this.slaveAt ? i : undefined
      }
      if (asks) return i
    }
    return undefined
  }

  /** First INTA pulse, or the read of a poll. */
  accept(): number | undefined {
    const i = this.resolve()
    if (i === undefined) return undefined
    this.seen[i] = false
    this.pulsed[i] = false
    if (!this.automaticEoi) this.inService[i] = true
    else if (this.rotateAutomatically) this.lowest = i
    return i
  }

  in(a0: 0 | 1): number {
    if (this.polling) {
      this.polling = false
      const i = this.accept()
      return i === undefined ? 0 : 0x80 + i
    }
    if (a0 === 1) return this.imr
    return this.status === 'isr' ? this.isr : this.irr
  }

  out(a0: 0 | 1, value: number): void {
    const d = flags(value)
    if (a0 === 1) {
      const word = this.expects.shift()
      if (word === 'icw2') this.base = value - (value % 8)
      else if (word === 'icw4') {
        this.automaticEoi = d[1]!
        this.nested = d[4] ? 'specially' : 'fully'
      } else if (word === undefined) this.masked = d
    } else if (d[4]) {
      this.seen = eight()
      this.pulsed = eight()
      this.inService = eight()
      this.masked = eight()
      this.lowest = 7
      this.base = 0
      this.expects = ['icw2']
      if (!d[1]) this.expects.push('icw3')
      if (d[0]) this.expects.push('icw4')
      this.automaticEoi = false
      this.nested = 'fully'
      this.rotateAutomatically = false
      this.specialMask = false
      this.status = 'irr'
      this.polling = false
    } else if (d[3]) {
      if (d[6]) this.specialMask = d[5]!
      this.polling = d[2]!
      if (d[1] && !d[2]) this.status = d[0] ? 'isr' : 'irr'
    } else {
      this.command(d[7]!, d[6]!, d[5]!, value % 8)
    }
  }

  command(rotate: boolean, specific: boolean, eoi: boolean, named: number): void {
    if (!eoi && !specific) {
      this.rotateAutomatically = rotate
      return
    }
    if (!eoi && !rotate) return
    const i = specific
      ? named
      : this.order.find((each) => this.inService[each] && !(this.specialMask && this.masked[each]))
    if (i === undefined) return
    if (eoi) this.inService[i] = false
    if (rotate) this.lowest = i
  }
}

/** Two chips as a PC has them. */
export class Naive8259Pair {
  readonly master = new Naive8259(2, 0xf8)
  readonly slave = new Naive8259(undefined, 0xde)

  cascade(): void {
    this.master.wire(2, this.slave.resolve() !== undefined)
  }

  get int(): boolean {
    return this.master.resolve() !== undefined
  }

  inta(): number {
    const i = this.master.accept()
    if (i !== 2) return this.master.base + (i ?? 7)
    const j = this.slave.accept()
    this.master.wire(2, false)
    this.cascade()
    return this.slave.base + (j ?? 7)
  }
}
