/** Random translation tables of stage 1, of each granule, and what is tried through them. */
import type { Rng } from '@retrap/tooling/soak'
import { RAM } from '../forms/layout.ts'
import type { TrapCase } from './cases.ts'
import { type TrapGuest, trapVectors } from './guest.ts'

/** A granule: bits of its pages, TCR_EL1.TG0, and levels that can have blocks. */
interface Granule {
  readonly bits: number
  readonly tg0: bigint
  readonly blocks: readonly number[]
  /** Entries side by side that the contiguous hint is about, by level. */
  readonly contiguous: readonly number[]
}

/** By size: 4, 16 and 64 KiB. */
export const GRANULES: readonly Granule[] = [
  { bits: 12, tg0: 0n, blocks: [1, 2], contiguous: [0, 16, 16, 16] },
  { bits: 14, tg0: 2n, blocks: [2], contiguous: [0, 0, 32, 128] },
  { bits: 16, tg0: 1n, blocks: [2], contiguous: [0, 0, 32, 32] },
]

/** 8 MiB: code and vectors, tables, and data. */
const RAM_PAGES = 2048
/** Where `compare.ts` has the code; vectors; tables of the upper half. */
const CODE_FRAME = RAM + 0x4000
const VECTORS_FRAME = RAM + 0x5000
const UPPER_TABLES = RAM + 0x6000
const TABLES = RAM + 0x1_0000
const TABLES_END = RAM + 0x30_0000
const DATA = RAM + 0x40_0000
const DATA_BYTES = 0x40_0000

const UPPER = 0xffff_ff80_0000_0000n
const AF = 1n << 10n
const SHARED = 3n << 8n
const DBM = 1n << 51n
const CONTIGUOUS = 1n << 52n
/** Cached normal memory is the second of MAIR_EL1. */
const NORMAL = 1n << 2n

/** TCR_EL1 of the upper half: 39 bits, 4 KiB pages; of both, cached tables; 48 bits of intermediate addresses. */
const TCR =
  (25n << 16n) |
  (2n << 30n) |
  (1n << 26n) |
  (1n << 24n) |
  (3n << 28n) |
  (1n << 8n) |
  (1n << 10n) |
  (3n << 12n) |
  (5n << 32n)
const TCR_EPD0 = 7
const TCR_TBI0 = 37
const TCR_HA = 39
const TCR_HD = 40
const TCR_HPD0 = 41
const SCTLR_WXN = 19n

const table = (entries: Readonly<Record<number, bigint>>): Uint8Array => {
  const all = new BigUint64Array(512)
  for (const [i, entry] of Object.entries(entries)) all[Number(i)] = entry
  return new Uint8Array(all.buffer)
}

/** Code and vectors, read-only, for both levels. */
const upperHalf = (): TrapGuest['image'] => {
  const rights = AF | SHARED | NORMAL | (3n << 6n) | 3n
  return [
    { gpa: UPPER_TABLES, bytes: table({ 0: BigInt(UPPER_TABLES + 0x1000) | 3n }) },
    { gpa: UPPER_TABLES + 0x1000, bytes: table({ 0: BigInt(UPPER_TABLES + 0x2000) | 3n }) },
    { gpa: UPPER_TABLES + 0x2000, bytes: table({ 0: BigInt(CODE_FRAME) | rights, 1: BigInt(VECTORS_FRAME) | rights }) },
  ]
}

/** Draws the tables of the lower half. */
class Drawing {
  readonly rng: Rng
  readonly granule: Granule
  readonly size: number
  /** Addresses worth a try. */
  readonly addresses: bigint[] = []
  readonly #words = new BigUint64Array((TABLES_END - TABLES) / 8)
  #next = 0

  constructor(rng: Rng, granule: Granule) {
    this.rng = rng
    this.granule = granule
    this.size = rng.between(Math.max(25, granule.bits + 9), 48)
  }

  get bytes(): Uint8Array {
    return new Uint8Array(this.#words.buffer)
  }

  /** Draws all. @returns guest-physical address of the first table */
  draw(): number {
    const { bits } = this.granule
    const step = bits - 3
    const levels = Math.ceil((this.size - bits) / step)
    return this.#table(4 - levels, this.size - bits - (levels - 1) * step, 0n)
  }

  #take(): number {
    const at = TABLES + this.#next
    this.#next += 2 ** this.granule.bits
    return at
  }

  get #hasRoom(): boolean {
    return TABLES + this.#next + 4 * 2 ** this.granule.bits <= TABLES_END
  }

  /** @param bits - of its index @param va - the first address that it is for */
  #table(level: number, bits: number, va: bigint): number {
    const at = this.#take()
    const { rng, granule } = this
    const shift = BigInt(granule.bits + (3 - level) * (granule.bits - 3))
    const put = (index: number, entry: bigint): void => {
      this.#words[(at - TABLES) / 8 + index] = entry
      const low = BigInt(rng.below(2 ** 32)) & 0xfff8n
      this.addresses.push(va + (BigInt(index) << shift) + (low % (1n << shift)))
    }
    for (let i = rng.between(2, 4); i > 0; i--) {
      const index = rng.below(2 ** bits)
      const isLast = level === 3
      if (!isLast && this.#hasRoom && rng.chance(3, 4)) {
        const next = this.#table(level + 1, granule.bits - 3, va + (BigInt(index) << shift))
        // APTable, UXNTable and PXNTable.
        put(index, BigInt(next) | 3n | (rng.chance() ? BigInt(rng.below(16)) << 59n : 0n))
      } else if (rng.chance(1, 8)) put(index, rng.u64() & ~3n)
      // At other levels a block is a fault; QEMU 7.2 takes it as one.
      else if (isLast || granule.blocks.includes(level)) this.#leaves(level, bits, index, shift, put)
    }
    return at
  }

  /** One, or as many as the contiguous hint is about. */
  #leaves(
    level: number,
    bits: number,
    index: number,
    shift: bigint,
    put: (index: number, entry: bigint) => void,
  ): void {
    const { rng, granule } = this
    const kind = level === 3 ? (rng.chance(1, 12) ? 1n : 3n) : 1n
    const count = granule.contiguous[level]!
    const attributes = this.#attributes() | kind
    if (count === 0 || 2 ** bits < count || rng.chance(2, 3)) {
      put(index, this.#output(shift) | attributes)
      return
    }
    const first = index - (index % count)
    const output = this.#output(shift + BigInt(Math.log2(count)))
    for (let i = 0; i < count; i++) put(first + i, (output + (BigInt(i) << shift)) | attributes | CONTIGUOUS)
  }

  /** An output address with as many low bits 0: of data, of a hole, or of more bits than there are. */
  #output(shift: bigint): bigint {
    const { rng } = this
    const mask = (1n << shift) - 1n
    if (rng.chance(1, 6)) return (BigInt(rng.below(2 ** 20)) << 20n) & ~mask
    if (rng.chance(1, 12)) return rng.u64() & 0xffff_ffff_f000n & ~mask
    return BigInt(DATA + rng.below(DATA_BYTES)) & ~mask
  }

  /** AttrIndx of Normal memory, AP, SH, AF, nG, PXN, UXN, DBM. */
  #attributes(): bigint {
    const { rng } = this
    const one = (bit: bigint, often = 1, of = 2): bigint => (rng.chance(often, of) ? bit : 0n)
    const rights = (BigInt(rng.below(4)) << 6n) | one(1n << 53n, 1, 3) | one(1n << 54n, 1, 3) | one(DBM)
    return rights | SHARED | (BigInt(rng.between(1, 2)) << 2n) | one(AF, 5, 6) | one(1n << 11n)
  }
}

/** A guest with random tables, and addresses that they are about. */
export interface DrawnTables {
  readonly guest: TrapGuest
  readonly addresses: readonly bigint[]
}

export function drawTables(rng: Rng, granule: Granule): DrawnTables {
  const drawing = new Drawing(rng, granule)
  const root = drawing.draw()
  const bit = (number: number, often: number): bigint => (rng.chance(1, often) ? 1n << BigInt(number) : 0n)
  const updates = bit(TCR_HA, 2)
  const tcr =
    TCR |
    BigInt(64 - drawing.size) |
    (granule.tg0 << 14n) |
    bit(TCR_EPD0, 16) |
    bit(TCR_TBI0, 2) |
    updates |
    (updates === 0n ? 0n : bit(TCR_HD, 2)) |
    bit(TCR_HPD0, 4)
  return {
    guest: {
      image: [...upperHalf(), ...trapVectors, { gpa: TABLES, bytes: drawing.bytes }],
      map: (p2m) => p2m.populate(RAM / 4096, RAM_PAGES),
      ramPages: RAM_PAGES,
      tcr,
      ttbr0: BigInt(root),
      ttbr1: BigInt(UPPER_TABLES),
      vbar: UPPER + 0x1000n,
      code: UPPER,
      comparesRam: true,
    },
    addresses: drawing.addresses,
  }
}

/** LDR, STR, LDTR, STTR, LDADD, LDXR and BR of X0; AT S1E1R, W, E0R, W, E1RP, WP. */
const TRIES: readonly (readonly [name: string, word: number])[] = [
  ['ldr', 0xf940_0002],
  ['str', 0xf900_001f],
  ['ldtr', 0xf840_0802],
  ['sttr', 0xf800_081f],
  ['ldadd', 0xf83f_0002],
  ['ldxr', 0xc85f_7c02],
  ['br', 0xd61f_0000],
  ['at s1e1r', 0xd508_7800],
  ['at s1e1w', 0xd508_7820],
  ['at s1e0r', 0xd508_7840],
  ['at s1e0w', 0xd508_7860],
  ['at s1e1rp', 0xd508_7900],
  ['at s1e1wp', 0xd508_7920],
]

export function drawTry(rng: Rng, { guest, addresses }: DrawnTables): TrapCase {
  // AArch64.S1ApplyOutputPerms: with DBM, AP[2] is 0 in effect, so that what EL0 may write EL1 may not execute; not so in QEMU.
  const isDirtied = ((guest.tcr >> BigInt(TCR_HD)) & 1n) !== 0n
  const [name, word] = rng.pick(isDirtied ? TRIES.filter(([each]) => each !== 'br') : TRIES)
  const base = rng.pick(addresses)
  // A tag, or a bit too many; or another place nearby.
  const tagged = rng.chance(1, 8) ? base | (BigInt(1 + rng.below(255)) << 56n) : base
  const address = rng.chance(1, 8) ? BigInt.asUintN(64, tagged ^ (1n << BigInt(rng.between(12, 47)))) : tagged
  const mode = rng.pick([5, 5, 0] as const)
  return {
    name: `${name} of ${address.toString(16)}`,
    code: [word],
    x: Array.from({ length: 31 }, (_, i) => (i === 0 ? address : 0n)),
    spEl0: 0n,
    spEl1: 0n,
    pstate: (0x3c0 | mode | (mode !== 0 && rng.chance(1, 4) ? 1 << 22 : 0)) >>> 0,
    sctlr: 0x34d0_d805n | (1n << 2n) | (rng.chance(1, 6) ? 1n << SCTLR_WXN : 0n),
    hcr: 0x300_8000_0001n,
    cptr: 0x33ffn,
    mdcr: 0n,
    cpacr: 3n << 20n,
    offDevice: false,
  }
}
