/*
 * Counters that a driver's reads clear.
 *
 * Source: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual, §13.7, "Statistics Registers".
 */

const FIRST = 0x4000
const COUNT = 64
const HIGHEST = 0xffff_ffff

/** Registers that count. */
export const STAT = {
  MPC: 0x4010,
  RLEC: 0x4040,
  FCRUC: 0x4058,
  /** First of six registers, one for each range of frame sizes. */
  PRC64: 0x405c,
  GPRC: 0x4074,
  BPRC: 0x4078,
  MPRC: 0x407c,
  GPTC: 0x4080,
  GORC: 0x4088,
  GOTC: 0x4090,
  RNBC: 0x40a0,
  RUC: 0x40a4,
  ROC: 0x40ac,
  TOR: 0x40c0,
  TOT: 0x40c8,
  TPR: 0x40d0,
  TPT: 0x40d4,
  /** First of six registers, one for each range of frame sizes. */
  PTC64: 0x40d8,
  MPTC: 0x40f0,
  BPTC: 0x40f4,
  TSCTC: 0x40f8,
  TSCTFC: 0x40fc,
} as const

/** Pairs that count bytes: a read of the upper half clears both. */
const WIDE: readonly number[] = [STAT.GORC, STAT.GOTC, STAT.TOR, STAT.TOT]
/** Largest packets of the first five size classes; the sixth has the others. */
const SIZES = [64, 127, 255, 511, 1023]

const isGroup = (frame: Uint8Array): boolean => (frame[0]! & 1) !== 0
const isBroadcast = (frame: Uint8Array): boolean => frame.subarray(0, 6).every((byte) => byte === 0xff)

export class Statistics {
  readonly words: Uint32Array = new Uint32Array(COUNT)

  /** Whether an offset is a counter's. */
  static has(offset: number): boolean {
    return offset >= FIRST && offset < FIRST + 4 * COUNT
  }

  /** A driver's read. */
  read(offset: number): number {
    const index = (offset - FIRST) >>> 2
    const value = this.words[index]!
    const isLowerHalf = WIDE.includes(offset)
    if (!isLowerHalf) this.words[index] = 0
    if (WIDE.includes(offset - 4)) this.words[index - 1] = 0
    return value
  }

  /** Increments a counter, which saturates. */
  count(offset: number): void {
    const index = (offset - FIRST) >>> 2
    if (this.words[index] !== HIGHEST) this.words[index]!++
  }

  #addBytes(offset: number, bytes: number): void {
    const index = (offset - FIRST) >>> 2
    const low = this.words[index]! + bytes
    if (low <= HIGHEST) this.words[index] = low
    else if (this.words[index + 1] === HIGHEST) this.words[index] = HIGHEST
    else {
      this.words[index] = low
      this.words[index + 1]!++
    }
  }

  /** Counts a good packet that was sent; `bytes` includes the check sequence. */
  sent(frame: Uint8Array, bytes: number): void {
    this.count(STAT.GPTC)
    this.count(STAT.TPT)
    this.#addBytes(STAT.GOTC, bytes)
    this.#addBytes(STAT.TOT, bytes)
    this.#countSize(STAT.PTC64, bytes)
    if (isGroup(frame)) this.count(isBroadcast(frame) ? STAT.BPTC : STAT.MPTC)
  }

  /** A packet on the wire. */
  seen(bytes: number): void {
    this.count(STAT.TPR)
    this.#addBytes(STAT.TOR, bytes)
  }

  /** A good packet that the filters have let through. */
  received(frame: Uint8Array, bytes: number): void {
    this.count(STAT.GPRC)
    this.#addBytes(STAT.GORC, bytes)
    this.#countSize(STAT.PRC64, bytes)
    if (isGroup(frame)) this.count(isBroadcast(frame) ? STAT.BPRC : STAT.MPRC)
  }

  #countSize(first: number, bytes: number): void {
    const found = SIZES.findIndex((size) => bytes <= size)
    this.count(first + 4 * (found < 0 ? SIZES.length : found))
  }

  reset(): void {
    this.words.fill(0)
  }
}
