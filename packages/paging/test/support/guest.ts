import { PagingContext, type PagingCpu, type TableReader } from '@retrap/paging'

export const CR0_PE_PG = 0x8000_0001
export const CR0_WP = 0x1_0000
export const CR4 = {
  PSE: 0x10,
  PAE: 0x20,
  PGE: 0x80,
  LA57: 0x1000,
  PCIDE: 0x2_0000,
  SMEP: 0x10_0000,
  SMAP: 0x20_0000,
  PKE: 0x40_0000,
  CET: 0x80_0000,
  PKS: 0x100_0000,
} as const
export const LMA = 0x500
export const NXE = 0x800

/** Sparse guest memory for tables; addresses that were never stored to have none. */
export class Memory implements TableReader {
  readonly words = new Map<number, bigint>()
  exchanges = 0
  /** Called before each exchange, to play another vCPU. */
  race: (gpa: number) => void = () => {}

  store(gpa: number, value: bigint): void {
    this.words.set(gpa, value)
  }

  at(gpa: number): bigint {
    return this.words.get(gpa) ?? 0n
  }

  read32(gpa: number, into: Uint32Array): boolean {
    return this.read64(gpa, into)
  }

  read64(gpa: number, into: Uint32Array): boolean {
    return give(this.words.get(gpa), into)
  }

  compareExchange32(gpa: number, expect: number, value: number): boolean {
    return this.compareExchange64(gpa, expect, 0, value, 0)
  }

  compareExchange64(gpa: number, expectLo: number, expectHi: number, lo: number, hi: number): boolean {
    this.race(gpa)
    if (this.words.get(gpa) !== pair(expectLo, expectHi)) return false
    this.exchanges++
    this.words.set(gpa, pair(lo, hi))
    return true
  }
}

/** Hands a table's entry over. @returns whether there is one */
export function give(value: bigint | undefined, into: Uint32Array): boolean {
  if (value === undefined) return false
  into[0] = Number(value & 0xffff_ffffn)
  into[1] = Number(value >> 32n)
  return true
}

export function pair(lo: number, hi: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)
}

export const INTEL: PagingCpu = { maxPhysicalBits: 39, pages1G: true, pse36: true, amd: false }

export interface Registers {
  readonly cpu?: Partial<PagingCpu>
  readonly cr0?: number
  readonly cr3?: bigint
  readonly cr4?: number
  readonly efer?: number
  readonly pkru?: number
  readonly pkrs?: number
}

/** A vCPU's context; by default four-level paging with everything off that can be. */
export function contextOf(registers: Registers = {}): PagingContext {
  const context = new PagingContext({ ...INTEL, ...registers.cpu })
  const cr3 = registers.cr3 ?? 0x1000n
  context.configure(
    registers.cr0 ?? CR0_PE_PG,
    Number(cr3 & 0xffff_ffffn),
    Number(cr3 >> 32n),
    registers.cr4 ?? CR4.PAE,
    registers.efer ?? LMA,
  )
  context.pkru = registers.pkru ?? 0
  context.pkrs = registers.pkrs ?? 0
  return context
}

/** mulberry32: a small seeded generator of numbers in [0, 1). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b_79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

/** Where `buildPath` puts the table of a level; level 5's is at 0x5000. */
export function tableOf(level: number): number {
  return level * 0x1000
}

/** Guest-physical address of the entry of a level that a linear address selects. */
export function entryGpa(mode: number, level: number, linear: bigint): number {
  if (mode === 2) return tableOf(level) + Number((linear >> (level === 2 ? 22n : 12n)) & 1023n) * 4
  if (mode === 3 && level === 3) return tableOf(3) + Number((linear >> 30n) & 3n) * 8
  return tableOf(level) + Number((linear >> BigInt(12 + 9 * (level - 1))) & 511n) * 8
}

/** CR4 and EFER bits that a mode needs, and CR3 for tables made by `buildPath`. */
export function registersFor(mode: number): { cr0: number; cr3: bigint; cr4: number; efer: number } {
  return {
    cr0: CR0_PE_PG,
    cr3: BigInt(tableOf(mode)),
    cr4: mode === 2 ? 0 : mode === 5 ? CR4.PAE | CR4.LA57 : CR4.PAE,
    efer: mode >= 4 ? LMA : 0,
  }
}

/**
 * Stores the tables that translate one linear address: present, writable, user, accessed entries down to a leaf at
 * level 1 that points to `frame`. PDPTEs of PAE tables only have P.
 */
export function buildPath(memory: Memory, mode: number, linear: bigint, frame: bigint): void {
  for (let level = mode; level >= 1; level--) {
    const bits = mode === 3 && level === 3 ? 1n : 0x27n
    memory.store(entryGpa(mode, level, linear), (level === 1 ? frame : BigInt(tableOf(level - 1))) | bits)
  }
}
