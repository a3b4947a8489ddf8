import type { StateRegion } from '../arguments.ts'
import * as L from './layout.ts'
import { stateBytes } from './layout.ts'
import { GICD_ICFGR, GICD_IGROUPR, GICD_IPRIORITYR } from './registers.ts'

/** A GIC implements five bits of priority, the upper ones: 32 levels. */
export const PRIORITY_BITS = 0xf8

/** The registers with a bit for each interrupt, in the order of their offsets. */
const BIT_REGISTERS = [L.GROUP, L.ENABLED, L.ENABLED, L.LATCHED, L.LATCHED, L.ACTIVE, L.ACTIVE] as const
/** Interrupt fields by offset, equal in the distributor and in a redistributor. */
const END_OF_BITS = 0x400
const END_OF_PRIORITIES = 0x800
const END_OF_CONFIGURATION = 0xd00
/** SGIs are always edge-triggered. */
const SGIS = 0xffff

/**
 * The state of all interrupts, and the registers that show it.
 *
 * SGIs and PPIs (INTID 0–31) are private to a processor, SPIs (from 32 on) are shared.
 *
 * Source: Arm IHI 0069, "The Distributor and Redistributors"; 12.9 and 12.11.
 */
export class InterruptTable {
  readonly words: Int32Array
  readonly #bytes: Uint8Array
  /** Processors. */
  readonly cpus: number
  /** The first INTID that is neither a PPI nor an SPI. */
  readonly end: number
  /** Number of used words in a bank. */
  readonly bankWords: number

  /** @param state - `stateBytes(cpus)` of machine memory */
  constructor(state: StateRegion, cpus: number, spis: number) {
    this.words = new Int32Array(state.buffer, state.byteOffset, stateBytes(cpus) / 4)
    this.#bytes = new Uint8Array(state.buffer, state.byteOffset, stateBytes(cpus))
    this.cpus = cpus
    this.end = 32 + spis
    this.bankWords = Math.ceil(this.end / 32)
  }

  /** Power-on state: everything off, level-sensitive but for SGIs. Inputs keep their levels; IRQ and FIQ are to be driven. */
  reset(): void {
    const { words } = this
    const shared = L.SHARED_BANKS + 32 * L.LINES
    words.fill(0, 0, shared)
    words.fill(0, shared + 32, L.CPU_BLOCKS)
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      const block = this.block(cpu)
      const lines = words[block + L.LINES]!
      const signals = words[block + L.SIGNALS]!
      words.fill(0, block, block + L.CPU_BLOCK_WORDS)
      words[block + L.LINES] = lines
      words[block + L.SIGNALS] = signals
      words[block + L.EDGE] = SGIS
    }
  }

  /** The first word of a processor's block. */
  block(cpu: number): number {
    return L.CPU_BLOCKS + cpu * L.CPU_BLOCK_WORDS
  }

  /** The word of a bank with interrupts 32n to 32n+31. @param cpu - whose, for n = 0 */
  wordOf(bank: number, cpu: number, n: number): number {
    return n === 0 ? L.CPU_BLOCKS + cpu * L.CPU_BLOCK_WORDS + bank : L.SHARED_BANKS + 32 * bank + n
  }

  /** Returns implemented interrupts 32n to 32n+31 as bits. */
  implemented(n: number): number {
    const count = this.end - 32 * n
    return count >= 32 ? -1 : count <= 0 ? 0 : (1 << count) - 1
  }

  /** Returns pending interrupts, latched or by level. */
  pending(cpu: number, n: number): number {
    const { words } = this
    const level = words[this.wordOf(L.LINES, cpu, n)]! & ~words[this.wordOf(L.EDGE, cpu, n)]!
    return words[this.wordOf(L.LATCHED, cpu, n)]! | level
  }

  /** Interrupts that are pending, enabled and not active. */
  candidates(cpu: number, n: number): number {
    const { words } = this
    return this.pending(cpu, n) & words[this.wordOf(L.ENABLED, cpu, n)]! & ~words[this.wordOf(L.ACTIVE, cpu, n)]!
  }

  bit(bank: number, cpu: number, intid: number): boolean {
    return ((this.words[this.wordOf(bank, cpu, intid >> 5)]! >>> (intid & 31)) & 1) !== 0
  }

  setBit(bank: number, cpu: number, intid: number, value: boolean): void {
    const index = this.wordOf(bank, cpu, intid >> 5)
    if (value) this.words[index]! |= 1 << (intid & 31)
    else this.words[index]! &= ~(1 << (intid & 31))
  }

  /** The group of an interrupt, 0 or 1. */
  groupOf(cpu: number, intid: number): number {
    return (this.words[this.wordOf(L.GROUP, cpu, intid >> 5)]! >>> (intid & 31)) & 1
  }

  priorityOf(cpu: number, intid: number): number {
    return this.#bytes[this.#priorityByte(cpu, intid)]!
  }

  #priorityByte(cpu: number, intid: number): number {
    return intid < 32 ? 4 * (this.block(cpu) + L.PRIVATE_PRIORITIES) + intid : 4 * L.SHARED_PRIORITIES + intid
  }

  setPriority(cpu: number, intid: number, priority: number): void {
    this.#bytes[this.#priorityByte(cpu, intid)] = priority & PRIORITY_BITS
  }

  /** Whether an interrupt may go to any one of the processors. */
  isForAny(intid: number): boolean {
    return this.bit(L.ANY_CPU, 0, intid)
  }

  /** Drives an interrupt's input. @returns whether the set of pending interrupts may change */
  drive(cpu: number, intid: number, level: boolean): boolean {
    if (this.bit(L.LINES, cpu, intid) === level) return false
    this.setBit(L.LINES, cpu, intid, level)
    if (this.bit(L.EDGE, cpu, intid)) {
      if (!level) return false
      this.setBit(L.LATCHED, cpu, intid, true)
    }
    return true
  }

  /** Makes an interrupt active: it is no longer latched. */
  activate(cpu: number, intid: number): void {
    this.setBit(L.ACTIVE, cpu, intid, true)
    this.setBit(L.LATCHED, cpu, intid, false)
  }

  /**
   * Reads a register at an offset from 0x80 to 0xcff: groups, enables, pending and active bits, priorities, triggers.
   * Unimplemented interrupts read 0.
   *
   * @param first - the first word of banks that the frame shows
   * @param end - the first interrupt outside the visible range
   */
  read(offset: number, size: number, cpu: number, first: number, end: number): number {
    if (offset >= GICD_IPRIORITYR && offset < END_OF_PRIORITIES) {
      if (size !== 1 && !isWord(offset, size)) return 0
      let value = 0
      for (let i = size - 1; i >= 0; i--) {
        const intid = offset - GICD_IPRIORITYR + i
        value = value * 256 + (this.#isShown(intid, first, end) ? this.priorityOf(cpu, intid) : 0)
      }
      return value
    }
    if (!isWord(offset, size)) return 0
    if (offset >= GICD_ICFGR && offset < END_OF_CONFIGURATION) {
      const n = (offset - GICD_ICFGR) >> 3
      return n >= first && n < end ? spread(this.words[this.wordOf(L.EDGE, cpu, n)]! >>> (4 * (offset & 4))) : 0
    }
    if (offset < GICD_IGROUPR || offset >= END_OF_BITS) return 0
    const n = (offset & 0x7c) >> 2
    if (n < first || n >= end) return 0
    const bank = BIT_REGISTERS[(offset >> 7) - 1]!
    const value = bank === L.LATCHED ? this.pending(cpu, n) : this.words[this.wordOf(bank, cpu, n)]!
    return value >>> 0
  }

  /** Writes a register of interrupts. @returns whether the register exists */
  write(offset: number, size: number, value: number, cpu: number, first: number, end: number): boolean {
    const { words } = this
    if (offset >= GICD_IPRIORITYR && offset < END_OF_PRIORITIES) {
      if (size !== 1 && !isWord(offset, size)) return false
      for (let i = 0; i < size; i++) {
        const intid = offset - GICD_IPRIORITYR + i
        if (this.#isShown(intid, first, end)) this.setPriority(cpu, intid, value >>> (8 * i))
      }
      return true
    }
    if (!isWord(offset, size)) return false
    if (offset >= GICD_ICFGR && offset < END_OF_CONFIGURATION) {
      const n = (offset - GICD_ICFGR) >> 3
      if (n < first || n >= end) return false
      const shift = 4 * (offset & 4)
      const fixed = n === 0 ? SGIS : 0
      const index = this.wordOf(L.EDGE, cpu, n)
      const edges = (words[index]! & ~(0xffff << shift)) | (gather(value) << shift)
      words[index] = (edges & ~fixed & this.implemented(n)) | fixed
      return true
    }
    if (offset < GICD_IGROUPR || offset >= END_OF_BITS) return false
    const n = (offset & 0x7c) >> 2
    if (n < first || n >= end) return false
    const kind = (offset >> 7) - 1
    const index = this.wordOf(BIT_REGISTERS[kind]!, cpu, n)
    const bits = value & this.implemented(n)
    if (kind === 0) words[index] = bits
    else if ((kind & 1) !== 0) words[index]! |= bits
    else words[index]! &= ~bits
    return true
  }

  #isShown(intid: number, first: number, end: number): boolean {
    return intid >= 32 * first && intid < 32 * end && intid < this.end
  }
}

/** Whether an access is that of an aligned word. */
export function isWord(offset: number, size: number): boolean {
  return size === 4 && (offset & 3) === 0
}

/** Spreads 16 bits to the odd bits of a word, which mean “edge” in GICD_ICFGR. */
function spread(bits: number): number {
  let value = bits & 0xffff
  value = (value | (value << 8)) & 0x00ff_00ff
  value = (value | (value << 4)) & 0x0f0f_0f0f
  value = (value | (value << 2)) & 0x3333_3333
  value = (value | (value << 1)) & 0x5555_5555
  return (value << 1) >>> 0
}

/** Takes the odd bits of a word. */
function gather(word: number): number {
  let value = (word >>> 1) & 0x5555_5555
  value = (value | (value >>> 1)) & 0x3333_3333
  value = (value | (value >>> 2)) & 0x0f0f_0f0f
  value = (value | (value >>> 4)) & 0x00ff_00ff
  return (value | (value >>> 8)) & 0xffff
}
