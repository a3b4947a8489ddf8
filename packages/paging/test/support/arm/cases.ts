/** Random stage-1 tables, registers and accesses. Few entries: those on the path of one address. */
import * as paging from '../../../src/index.ts'
import { give, pair } from '../guest.ts'

/** One descriptor in memory. */
export interface Entry {
  readonly address: number
  readonly value: bigint
}

/** One access under given registers and tables. */
export interface ArmCase {
  readonly format: 'long64' | 'long32' | 'short'
  readonly registers: paging.ArmTranslationRegisters
  readonly va: bigint
  /** `ARM_` bits. */
  readonly access: number
  /** The access is made at EL0, or at EL1 (by an unprivileged instruction if `ARM_UNPRIVILEGED` is set). */
  readonly el0: boolean
  readonly entries: readonly Entry[]
  /** Where the guest's own code is mapped to: executable, read-only for everyone. */
  readonly code: bigint
}

/** Memory is the second GiB. */
const MEMORY_BASE = 0x4000_0000
const MEMORY_END = 0x8000_0000
/** The guest's code. */
const CODE_BASE = 0x4020_0000
const TABLES = 0x4800_0000
const FIXED_TABLES = 0x4c00_0000
const LEAF_BIT = 0x8000_0000n

/** Tables in a map; what is not in it is 0 where there is memory. */
export class SparseTables implements paging.TableReader {
  readonly values: Map<number, bigint>
  /** Called before each exchange, to play another vCPU. */
  race: (address: number) => void = () => {}

  constructor(entries: readonly Entry[]) {
    this.values = new Map(entries.map(({ address, value }) => [address, value]))
  }

  read32(gpa: number, into: Uint32Array): boolean {
    return this.read64(gpa, into)
  }

  read64(gpa: number, into: Uint32Array): boolean {
    return gpa >= MEMORY_BASE && gpa < MEMORY_END && give(this.values.get(gpa) ?? 0n, into)
  }

  compareExchange32(): boolean {
    throw new Error('no Arm format here exchanges 32-bit entries')
  }

  compareExchange64(gpa: number, expectLo: number, expectHi: number, lo: number, hi: number): boolean {
    this.race(gpa)
    if ((this.values.get(gpa) ?? 0n) !== pair(expectLo, expectHi)) return false
    this.values.set(gpa, pair(lo, hi))
    return true
  }
}

/** Draws an integer in [0, bound). */
export type Draw = (bound: number) => number

const pick = <T>(draw: Draw, choices: readonly T[]): T => choices[draw(choices.length)] as T
const draw64 = (draw: Draw): bigint => pair(draw(2 ** 32), draw(2 ** 32))
const mask = (bits: number): bigint => (1n << BigInt(bits)) - 1n
/** One in `n`. */
const rarely = (draw: Draw, n: number): boolean => draw(n) === n - 1

interface Access {
  readonly access: number
  readonly el0: boolean
}

function randomAccess(draw: Draw): Access {
  const kind = pick(draw, [paging.ARM_READ, paging.ARM_WRITE, paging.ARM_FETCH])
  const el0 = draw(2) === 1
  const unprivileged = el0 || (kind !== paging.ARM_FETCH && draw(4) === 1)
  return { access: kind | (unprivileged ? paging.ARM_UNPRIVILEGED : 0) | (draw(2) === 1 ? paging.ARM_PAN : 0), el0 }
}

/**
 * In AArch32 QEMU 7.2 lets PAN forbid EL1's fetches from what EL0 may read, which it does to data accesses only ("PSTATE.PAN").
 * So EL1's code is not for EL0, and EL1 fetches and EL0 runs without PAN.
 */
function randomAccess32(draw: Draw): Access {
  const { access, el0 } = randomAccess(draw)
  return { access: el0 || (access & paging.ARM_FETCH) !== 0 ? access & ~paging.ARM_PAN : access, el0 }
}

/** SCTLR.SPAN: exceptions leave PAN as it is. */
const SPAN = 1 << 23

/** What walks of the long formats go through. */
interface LongHalf {
  readonly granule: number
  readonly inputBits: number
  /** Bits of address that the formats allow. */
  readonly outputBits: number
  /** Index that the code's mapping has in the first table; the path does not use it. */
  readonly reserved?: number | undefined
}

const levelsOf = ({ granule, inputBits }: LongHalf): number => Math.ceil((inputBits - granule) / (granule - 3))

/** A path of tables for an address; its first table is the first entry's. */
function longPath(draw: Draw, half: LongHalf, address: bigint): { table: bigint; entries: Entry[] } {
  const { granule, inputBits, outputBits } = half
  const stride = granule - 3
  const levels = levelsOf(half)
  const firstBits = inputBits - granule - (levels - 1) * stride
  const align = Math.max(2 ** (firstBits + 3), 64)
  const first = TABLES + Math.floor(draw(0x1_0000) / align) * align
  const entries: Entry[] = []
  let table = first
  for (let level = 4 - levels; level <= 3; level++) {
    const shift = granule + (3 - level) * stride
    const width = level === 4 - levels ? firstBits : stride
    const index = Number((address >> BigInt(shift)) & mask(width))
    const blocks = level === 2 || (level === 1 && granule === 12)
    const leaf = level === 3 || (blocks && rarely(draw, 4))
    const next = rarely(draw, 25) ? 0x9000_0000 : TABLES + (level + 1) * 0x10_0000
    let value = leaf ? longLeaf(draw, level, shift, outputBits) : BigInt(next) | 3n | (BigInt(tableRights(draw)) << 59n)
    if (rarely(draw, 25)) value &= ~BigInt(pick(draw, level === 3 ? [1, 2, 3] : [1, 1, 3]))
    if (rarely(draw, 25)) value |= 1n << BigInt(32 + draw(16))
    entries.push({ address: table + index * 8, value })
    if (leaf || next >= MEMORY_END) break
    table = next
  }
  return { table: BigInt(first), entries }
}

/** PXNTable, XNTable, APTable; not too often, or nothing would be allowed. */
const tableRights = (draw: Draw): number => (draw(3) === 0 ? draw(16) : 0)

function longLeaf(draw: Draw, level: number, shift: number, outputBits: number): bigint {
  // Bits 49:48 are reserved or part of larger addresses.
  const upper = (draw64(draw) >> 50n) << 50n
  const address = ((draw64(draw) & mask(rarely(draw, 8) ? 48 : outputBits)) | LEAF_BIT) & ~mask(shift)
  const attributes = BigInt(draw(2 ** 12)) & 0xbfcn
  const accessed = rarely(draw, 4) ? 0n : 0x400n
  return upper | address | attributes | accessed | (level === 3 ? 3n : 1n)
}

const OUTPUT_BITS = [32, 36, 40, 42, 44, 48] as const

/** A mapping of the code's GiB at level 1, for everyone, with attribute 7. */
const CODE_BLOCK = BigInt(MEMORY_BASE) | 0x4ddn
const AP_USER = 0x40n

function long64(draw: Draw): ArmCase {
  const upper = draw(2) === 1
  const granule = pick(draw, [12, 14, 16])
  const tsz = draw(2) === 0 ? pick(draw, [16, 25, 28, 36]) : 16 + draw(granule === 16 ? 32 : 33)
  const ips = draw(6)
  const half = { granule, inputBits: 64 - tsz, outputBits: OUTPUT_BITS[ips] as number }
  let va = (draw64(draw) & mask(half.inputBits)) | (upper ? ~mask(half.inputBits) & mask(64) : 0n)
  va &= ~7n
  const path = longPath(draw, half, va)
  if (rarely(draw, 8)) va ^= 1n << BigInt(half.inputBits + draw(64 - half.inputBits))
  if (rarely(draw, 4)) va = (va & mask(56)) | (BigInt(draw(256)) << 56n)
  const tg = upper ? { 12: 2, 14: 1, 16: 3 } : { 12: 0, 14: 2, 16: 1 }
  const at = upper ? 16n : 0n
  const bit = (n: number, one: boolean): bigint => (one ? 1n << BigInt(n) : 0n)
  // The other half has the code: 39 bits, 4K.
  const fixed = 25n << (16n - at)
  const fixedGranule = upper ? 0n : 2n << 30n
  const which = upper ? 1 : 0
  const tcr =
    (BigInt(tsz) << at) |
    (BigInt(tg[granule as 12]) << (upper ? 30n : 14n)) |
    fixed |
    fixedGranule |
    (BigInt(ips) << 32n) |
    bit(upper ? 23 : 7, rarely(draw, 20)) |
    bit(37 + which, draw(2) === 1) |
    bit(39, draw(2) === 1) |
    bit(40, draw(2) === 1) |
    bit(41 + which, draw(2) === 1) |
    bit(51 + which, draw(3) === 1) |
    bit(55 + which, rarely(draw, 10))
  const tables = [BigInt(FIXED_TABLES), path.table]
  const ttbr = rarely(draw, 25) ? path.table | (1n << BigInt(32 + draw(16))) : path.table
  tables[1] = ttbr | (BigInt(draw(2 ** 16)) << 48n)
  const [ttbr0, ttbr1] = upper ? tables : tables.toReversed()
  return {
    format: 'long64',
    registers: registers(true, {
      sctlr: 1 | SPAN | (draw(4) === 1 ? 1 << 19 : 0),
      tcr,
      ttbr0: ttbr0 as bigint,
      ttbr1: ttbr1 as bigint,
      mair: (draw64(draw) >> 8n) | (0xffn << 56n),
      dacr: 0,
    }),
    va,
    ...randomAccess(draw),
    entries: [{ address: FIXED_TABLES + 8, value: CODE_BLOCK }, ...path.entries],
    code: (upper ? 0n : 0xffff_ff80_0000_0000n) | BigInt(CODE_BASE),
  }
}

interface Wide {
  readonly sctlr: number
  readonly tcr: bigint
  readonly ttbr0: bigint
  readonly ttbr1: bigint
  readonly mair: bigint
  readonly dacr: number
}

function registers(aarch64: boolean, wide: Wide): paging.ArmTranslationRegisters {
  const lo = (value: bigint): number => Number(value & 0xffff_ffffn)
  const hi = (value: bigint): number => Number(value >> 32n)
  return {
    aarch64,
    sctlr: wide.sctlr >>> 0,
    tcrLo: lo(wide.tcr),
    tcrHi: hi(wide.tcr),
    ttbr0Lo: lo(wide.ttbr0),
    ttbr0Hi: hi(wide.ttbr0),
    ttbr1Lo: lo(wide.ttbr1),
    ttbr1Hi: hi(wide.ttbr1),
    mairLo: lo(wide.mair),
    mairHi: hi(wide.mair),
    dacr: wide.dacr >>> 0,
  }
}

/** Which of TTBR0 and TTBR1 has an address, by the table of "TTBCR.T0SZ and T1SZ"; undefined: neither. */
function half32(t0sz: number, t1sz: number, va: number): 0 | 1 | undefined {
  const top = 2 ** 32
  const lowEnd = t0sz !== 0 ? 2 ** (32 - t0sz) : t1sz !== 0 ? top - 2 ** (32 - t1sz) : top
  const highStart = t1sz !== 0 ? top - 2 ** (32 - t1sz) : t0sz !== 0 ? 2 ** (32 - t0sz) : top
  if (va < lowEnd) return 0
  return va >= highStart ? 1 : undefined
}

function long32(draw: Draw): ArmCase {
  const sizes = [0, 0]
  while (true) {
    sizes[0] = draw(8)
    sizes[1] = draw(8)
    if (half32(sizes[0], sizes[1], CODE_BASE) !== undefined) break
  }
  const [t0sz, t1sz] = sizes as [number, number]
  let va = 0
  do {
    va = (rarely(draw, 2) ? draw(2 ** 32) : pick(draw, [0, 2 ** 32 - 2 ** 25]) + draw(2 ** 25)) & ~7
    va >>>= 0
  } while (va >>> 30 === 1)
  const chosen = half32(t0sz, t1sz, va)
  const path = longPath(
    draw,
    { granule: 12, inputBits: 32 - (sizes[chosen ?? 0] as number), outputBits: 40 },
    BigInt(va),
  )
  const codeHalf = half32(t0sz, t1sz, CODE_BASE) as 0 | 1
  const tables = [FIXED_TABLES, FIXED_TABLES]
  if (chosen !== undefined) tables[chosen] = Number(path.table)
  const access = randomAccess32(draw)
  const disabled = [0, 1].map((each) => each !== codeHalf && rarely(draw, 20))
  return {
    format: 'long32',
    registers: registers(false, {
      sctlr:
        1 | SPAN | (draw(4) === 1 ? 1 << 19 : 0) | (draw(4) === 1 ? 1 << 20 : 0) | (draw(2) << 29) | (draw(2) << 28),
      tcr: BigInt(
        2 ** 31 + t0sz + t1sz * 2 ** 16 + (disabled[0] === true ? 1 << 7 : 0) + (disabled[1] === true ? 1 << 23 : 0),
      ),
      ttbr0: BigInt(tables[0] as number),
      ttbr1: BigInt(tables[1] as number),
      mair: (draw64(draw) >> 8n) | (0xffn << 56n),
      dacr: draw(2 ** 32),
    }),
    va: BigInt(va),
    ...access,
    entries: [
      ...path.entries,
      { address: (tables[codeHalf] as number) + 8, value: access.el0 ? CODE_BLOCK : CODE_BLOCK & ~AP_USER },
    ],
    code: BigInt(CODE_BASE),
  }
}

/** The code's megabyte: domain 15, TEX, C and B such that it is Normal with and without remapping. */
const CODE_SECTION = BigInt(MEMORY_BASE + 0x20_0000) | 0x9deen
const SECTION_USER = 0x800n

function short(draw: Draw): ArmCase {
  const split = draw(8)
  let va = 0
  do {
    va = (rarely(draw, 2) ? draw(2 ** 32) : draw(2 ** 28)) & ~7
    va >>>= 0
  } while (va >>> 24 === 0x40)
  const isUpper = (address: number): boolean => split !== 0 && address >>> (32 - split) !== 0
  const lower = TABLES + (draw(4) << 14)
  const upper = FIXED_TABLES
  const tableOf = (address: number): number => (isUpper(address) ? upper : lower)
  const second = TABLES + 0x10_0000 + (draw(64) << 10)
  const entries: Entry[] = []
  const first = tableOf(va) + (va >>> 20) * 4
  const kind = pick(draw, [0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3])
  let level1 = draw(2 ** 32)
  if (kind === 1) {
    const at = rarely(draw, 25) ? 0x9000_0000 : second
    level1 = at | (level1 & 0x3fc) | 1
    entries.push({ address: first, value: BigInt(level1 >>> 0) })
    const page = pick(draw, [0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
    const level2 = (draw(2 ** 32) | 0x8000_0000) & ~3
    const flag = rarely(draw, 4) ? level2 : level2 | 0x10
    if (at === second) entries.push({ address: second + ((va >>> 12) & 0xff) * 4, value: BigInt((flag | page) >>> 0) })
  } else {
    level1 = ((level1 & ~3) | 0x8000_0000 | kind) >>> 0
    // Supersections half the time that bit 18 would have it.
    if (!rarely(draw, 4)) level1 &= ~(1 << 18)
    if (!rarely(draw, 4)) level1 |= 1 << 10
    entries.push({ address: first, value: BigInt(level1 >>> 0) })
  }
  const access = randomAccess32(draw)
  entries.push({
    address: tableOf(CODE_BASE) + (CODE_BASE >>> 20) * 4,
    value: access.el0 ? CODE_SECTION : CODE_SECTION & ~SECTION_USER,
  })
  const pd = [0, 1].map((each) => each !== (isUpper(CODE_BASE) ? 1 : 0) && rarely(draw, 20))
  const low = draw(2) === 0 ? 0x5555_5555 : draw(2 ** 32)
  return {
    format: 'short',
    registers: registers(false, {
      // QEMU 7.2 has no WXN and UWXN for these descriptors.
      sctlr: 1 | SPAN | (draw(2) << 29) | (draw(2) << 28),
      tcr: BigInt(split | (pd[0] === true ? 1 << 4 : 0) | (pd[1] === true ? 1 << 5 : 0)),
      ttbr0: BigInt(lower | draw(0x80)),
      ttbr1: BigInt(upper | draw(0x80)),
      mair: (draw64(draw) & ~0xc000n) | 0x8000n,
      dacr: (low & 0x3fff_ffff) | 0x4000_0000,
    }),
    va: BigInt(va),
    ...access,
    entries,
    code: BigInt(CODE_BASE),
  }
}

const FORMATS = [long64, long32, short] as const

export const randomArmCase = (draw: Draw): ArmCase => pick(draw, FORMATS)(draw)

/** A case as text, for whoever reads a failure. */
export function describeCase({ format, registers: r, va, access, el0, entries }: ArmCase): string {
  const hex = (value: number | bigint): string => value.toString(16)
  const words = Object.entries(r).map(([name, value]) => `${name}=${typeof value === 'number' ? hex(value) : value}`)
  const table = entries.map(({ address, value }) => `${hex(address)}: ${hex(value)}`)
  const kind = ['read', 'write', 'fetch'][access & 3]
  const rights = `${el0 ? 'EL0' : 'EL1'}${(access & paging.ARM_UNPRIVILEGED) !== 0 && !el0 ? ' (unprivileged)' : ''}`
  return `${format} ${kind} ${hex(va)} at ${rights}${(access & paging.ARM_PAN) !== 0 ? ' PAN' : ''}; ${words.join(' ')}; ${table.join(', ')}`
}
