import type { VgaRegisters } from './registers.ts'

/** Bytes of the legacy window, from 0xA0000 on. */
export const WINDOW_BYTES = 0x2_0000
/** Part of the window, and its size, that bits 3:2 of the graphics controller's register 6 choose. */
const PARTS = [
  { first: 0, bytes: 0x2_0000 },
  { first: 0, bytes: 0x1_0000 },
  { first: 0x1_0000, bytes: 0x8000 },
  { first: 0x1_8000, bytes: 0x8000 },
] as const
const NOTHING = 0xff
/** Writes are reported in granules of 4 KiB. */
const GRANULE_SHIFT = 12
/** How the guest's addresses lead to planes. */
const PLANAR = 0
const ODD_EVEN = 1
const CHAIN_4 = 2

/** Expands a mask of planes, or one bit for each plane, to a word with one byte for each plane. */
const SPREAD: Uint32Array = Uint32Array.from({ length: 16 }, (_, planes) => {
  let word = 0
  for (let plane = 0; plane < 4; plane++) if (((planes >> plane) & 1) !== 0) word |= 0xff << (8 * plane)
  return word
})

/**
 * Memory as a VGA's guest sees it from 0xA0000 to 0xBFFFF: four planes behind latches and an arithmetic unit.
 *
 * Byte `a` of plane `p` is byte `4·a + p` of the frame buffer. Addresses of odd/even and chain-4 modes have the bits that
 * choose a plane taken out, as in Bochs and its kin: the memory of these modes is dense in the frame buffer.
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, "Video Subsystem", "Graphics Controller Registers".
 */
export class Planes {
  /** The byte of each plane that the last read has left. */
  latch = 0
  /** Bit mask of written planes; the owner clears it. */
  touchedPlanes = 0
  readonly #bytes: Uint8Array
  readonly #words: Int32Array
  /** Bit mask of written pages. */
  readonly #touched: Uint32Array
  #first = 0
  #length = 0
  #bank = 0
  #readLayout = PLANAR
  #writeLayout = PLANAR
  #mapMask = 0
  #readPlane = 0
  #compares = false
  #compareValue = 0
  #compareMask = 0
  #writeMode = 0
  #rotation = 0
  #operation = 0
  #setReset = 0
  #setResetMask = 0
  #bitMask = 0

  constructor(memory: Uint8Array) {
    this.#bytes = memory
    this.#words = new Int32Array(memory.buffer, memory.byteOffset, memory.byteLength >> 2)
    this.#touched = new Uint32Array(Math.ceil(memory.length / 2 ** (GRANULE_SHIFT + 5)))
  }

  /** Takes the parameters of accesses out of the registers. @param bank - bank of a linear mode; −1: a mode of VGA's own */
  configure(registers: VgaRegisters, bank: number): void {
    const { sequencer, graphics, misc } = registers
    const linear = bank >= 0
    const part = linear ? PARTS[1] : PARTS[((graphics[6]! >> 2) & 3) as 0 | 1 | 2 | 3]
    this.#first = part.first
    this.#length = linear || (misc & 2) !== 0 ? part.bytes : 0
    this.#bank = linear ? bank : 0
    const chained = linear || (sequencer[4]! & 8) !== 0
    this.#readLayout = chained ? CHAIN_4 : (graphics[5]! & 0x10) !== 0 ? ODD_EVEN : PLANAR
    this.#writeLayout = chained ? CHAIN_4 : (sequencer[4]! & 4) === 0 ? ODD_EVEN : PLANAR
    this.#mapMask = linear ? 15 : sequencer[2]! & 15
    this.#readPlane = graphics[4]! & 3
    this.#compares = !linear && (graphics[5]! & 8) !== 0
    this.#compareValue = SPREAD[graphics[2]! & 15]!
    this.#compareMask = SPREAD[graphics[7]! & 15]!
    this.#writeMode = linear ? 0 : graphics[5]! & 3
    this.#rotation = linear ? 0 : graphics[3]! & 7
    this.#operation = linear ? 0 : (graphics[3]! >> 3) & 3
    this.#setReset = SPREAD[graphics[0]! & 15]!
    this.#setResetMask = linear ? 0 : SPREAD[graphics[1]! & 15]!
    this.#bitMask = linear ? -1 : graphics[8]! * 0x0101_0101
  }

  /** Offset of the frame buffer's part that accesses from 0xA0000 to 0xAFFFF read and write as it is, or −1. */
  get direct(): number {
    const plain =
      this.#first === 0 &&
      this.#length === PARTS[1].bytes &&
      this.#writeLayout === CHAIN_4 &&
      this.#mapMask === 15 &&
      this.#writeMode === 0 &&
      this.#rotation === 0 &&
      this.#operation === 0 &&
      this.#setResetMask === 0 &&
      (this.#bitMask | 0) === -1 &&
      !this.#compares
    return plain ? this.#bank : -1
  }

  /** Reads a byte. @param at - bytes from 0xA0000 */
  read(at: number): number {
    const offset = at - this.#first
    if (offset < 0 || offset >= this.#length) return NOTHING
    const address = offset + this.#bank
    const layout = this.#readLayout
    const word = layout === CHAIN_4 ? address >>> 2 : layout === ODD_EVEN ? address >>> 1 : address
    if (word >= this.#words.length) return NOTHING
    const latch = this.#words[word]!
    // As under QEMU: chained memory may also be read as plain memory, and such reads load no latch.
    if (layout !== CHAIN_4) this.latch = latch
    if (this.#compares) {
      const differences = (latch ^ this.#compareValue) & this.#compareMask
      return ~(differences | (differences >>> 8) | (differences >>> 16) | (differences >>> 24)) & 0xff
    }
    if (layout === CHAIN_4) return (latch >>> (8 * (address & 3))) & 0xff
    const plane = layout === ODD_EVEN ? (this.#readPlane & 2) | (address & 1) : this.#readPlane
    return (latch >>> (8 * plane)) & 0xff
  }

  /** Writes a byte. @param at - bytes from 0xA0000 */
  write(at: number, value: number): void {
    const offset = at - this.#first
    if (offset < 0 || offset >= this.#length) return
    const address = offset + this.#bank
    let word = address
    let planes = this.#mapMask
    if (this.#writeLayout === CHAIN_4) {
      word = address >>> 2
      planes &= 1 << (address & 3)
    } else if (this.#writeLayout === ODD_EVEN) {
      word = address >>> 1
      planes &= (address & 1) !== 0 ? 0b1010 : 0b0101
    }
    if (word >= this.#words.length) return
    const mask = SPREAD[planes]!
    this.#words[word] = (this.#words[word]! & ~mask) | (this.#combine(value) & mask)
    this.touchedPlanes |= planes
    const granule = word >>> (GRANULE_SHIFT - 2)
    this.#touched[granule >>> 5]! |= 1 << (granule & 31)
  }

  /** Returns the arithmetic unit's result for a byte, for all planes. */
  #combine(value: number): number {
    const mode = this.#writeMode
    if (mode === 1) return this.latch
    let mask = this.#bitMask
    let data: number
    if (mode === 2) data = SPREAD[value & 15]!
    else {
      const rotated = ((value >>> this.#rotation) | (value << (8 - this.#rotation))) & 0xff
      if (mode === 3) {
        mask &= rotated * 0x0101_0101
        data = this.#setReset
      } else data = ((rotated * 0x0101_0101) & ~this.#setResetMask) | (this.#setReset & this.#setResetMask)
    }
    if (this.#operation === 1) data &= this.latch
    else if (this.#operation === 2) data |= this.latch
    else if (this.#operation === 3) data ^= this.latch
    return (data & mask) | (this.latch & ~mask)
  }

  /** Makes the first bytes of memory 0. */
  clear(bytes: number): void {
    this.#bytes.fill(0, 0, bytes)
    this.touchedPlanes = 15
    const granules = Math.ceil(bytes / 2 ** GRANULE_SHIFT)
    for (let i = 0; i < granules; i++) this.#touched[i >>> 5]! |= 1 << (i & 31)
  }

  /** Reports the bytes written since the last call, by granules. */
  takeTouched(report: (offset: number, bytes: number) => void): void {
    const touched = this.#touched
    for (let word = 0; word < touched.length; word++) {
      const bits = touched[word]!
      if (bits === 0) continue
      touched[word] = 0
      for (let bit = 0; bit < 32; bit++) {
        if (((bits >>> bit) & 1) !== 0) report((32 * word + bit) * 2 ** GRANULE_SHIFT, 2 ** GRANULE_SHIFT)
      }
    }
  }
}
