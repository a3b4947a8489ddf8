import { describe, expect, test } from 'vitest'
import * as paging from '../../src/index.ts'
import { type Entry, SparseTables } from '../support/arm/cases.ts'

/** 48 bits of intermediate address: TCR.IPS. */
const NO_REGISTERS: paging.ArmTranslationRegisters = {
  aarch64: true,
  sctlr: 1,
  tcrLo: 0,
  tcrHi: 5,
  ttbr0Lo: 0,
  ttbr0Hi: 0,
  ttbr1Lo: 0,
  ttbr1Hi: 0,
  mairLo: 0xff,
  mairHi: 0,
  dacr: 0,
}

const L1 = 0x4000_0000
const L2 = 0x4001_0000
const L3 = 0x4002_0000

interface Outcome {
  readonly text: string
  readonly result: paging.ArmWalkResult
}

/** Walks and says how it ended; `short` in the short format's codes. */
function walk(
  registers: Partial<paging.ArmTranslationRegisters>,
  tables: SparseTables,
  va: bigint,
  access: number,
  short = false,
): Outcome {
  const context = new paging.ArmPagingContext()
  context.update({ ...NO_REGISTERS, ...registers })
  const result = new paging.ArmWalkResult()
  const unsigned = BigInt.asUintN(64, va)
  const outcome = paging.walkArm(
    context,
    tables,
    Number(unsigned & 0xffff_ffffn),
    Number(unsigned >> 32n),
    access,
    result,
  )
  if (outcome === paging.ARM_WALK_OK) return { text: `0x${result.ipa.toString(16)}`, result }
  if (outcome === paging.ARM_WALK_TABLE) return { text: `table 0x${result.tableIpa.toString(16)}`, result }
  expect(outcome).toBe(paging.ARM_WALK_FAULT)
  return { text: `fault 0x${(short ? paging.shortFaultStatus(result) : result.status).toString(16)}`, result }
}

const table = (...entries: readonly (readonly [number, bigint])[]): SparseTables =>
  new SparseTables(entries.map(([address, value]): Entry => ({ address, value })))

/** AF, and EL0 may access. */
const USER = 0x440n
const READ_ONLY = 0x80n
const PXN = 1n << 53n
const UXN = 1n << 54n
const DBM = 1n << 51n
const EL0 = paging.ARM_UNPRIVILEGED

describe('long descriptors (VMSAv8-64)', () => {
  test.each([
    { granule: 12, tg0: 0, levels: 3 },
    { granule: 14, tg0: 2, levels: 3 },
    { granule: 16, tg0: 1, levels: 2 },
  ])('tables may be at odd pages of 2^$granule bytes, and end at the granule', ({ granule, tg0, levels }) => {
    const va = 0x1234_5678
    const size = 2 ** granule
    const stride = granule - 3
    // One table behind another, each at an odd page.
    const tables = Array.from({ length: levels }, (_, i) => 0x4000_0000 + (2 * i + 1) * size)
    const page = 0x5000_0000 + size
    const entries = tables.map((at, i) => {
      const shift = granule + (levels - 1 - i) * stride
      const index = Math.floor(va / 2 ** shift) % 2 ** stride
      const next = tables[i + 1]
      return [at + 8 * index, BigInt(next ?? page) | (next === undefined ? USER : 0n) | 3n] as const
    })
    // 39 bits.
    const registers = { tcrLo: 25 | (tg0 << 14), ttbr0Lo: tables[0]! }
    const { text, result } = walk(registers, table(...entries), BigInt(va), paging.ARM_READ | EL0)
    expect([text, result.pageBytes]).toEqual([`0x${(page + (va % size)).toString(16)}`, size])
  })

  // 39 bits, 4K: from level 1.
  const registers = { tcrLo: 25, ttbr0Lo: L1 }
  /** One page at the address 0x12345678. */
  const page = (bits: bigint, tableBits = 0n): SparseTables =>
    table(
      [L1, BigInt(L2) | 3n | tableBits],
      [L2 + 0x91 * 8, BigInt(L3) | 3n],
      [L3 + 0x145 * 8, 0x8_7654_3000n | 3n | bits],
    )
  const VA = 0x1234_5678n
  const MAPPED = '0x876543678'

  test.each([
    ['EL1 reads what only it may access', 0x400n, paging.ARM_READ, MAPPED],
    ['EL0 does not', 0x400n, paging.ARM_READ | EL0, 'fault 0xf'],
    ['EL0 executes what it may not read', 0x400n, paging.ARM_FETCH | EL0, MAPPED],
    ['EL0 reads what is read-only', USER | READ_ONLY, paging.ARM_READ | EL0, MAPPED],
    ['nobody writes what is read-only', USER | READ_ONLY, paging.ARM_WRITE, 'fault 0xf'],
    ['EL1 does not execute what EL0 may write', USER, paging.ARM_FETCH, 'fault 0xf'],
    ['EL1 executes what EL0 may only read', USER | READ_ONLY, paging.ARM_FETCH, MAPPED],
    ['PXN stops EL1', 0x400n | PXN, paging.ARM_FETCH, 'fault 0xf'],
    ['PXN does not stop EL0', USER | PXN, paging.ARM_FETCH | EL0, MAPPED],
    ['UXN stops EL0', USER | UXN, paging.ARM_FETCH | EL0, 'fault 0xf'],
    ['UXN does not stop EL1', 0x400n | UXN, paging.ARM_FETCH, MAPPED],
    ['PAN stops EL1 from reading what EL0 may', USER, paging.ARM_READ | paging.ARM_PAN, 'fault 0xf'],
    ['PAN does not stop a fetch', USER | READ_ONLY, paging.ARM_FETCH | paging.ARM_PAN, MAPPED],
    ['without the access flag there is a fault', 0x40n, paging.ARM_READ, 'fault 0xb'],
  ])('%s', (_name, bits, access, expected) => {
    expect(walk(registers, page(bits), VA, access).text).toBe(expected)
  })

  test.each([
    ['APTable[0] takes EL0 out', 1n << 61n, USER, paging.ARM_READ | EL0, 'fault 0xf'],
    ['APTable[1] takes writes out', 1n << 62n, USER, paging.ARM_WRITE, 'fault 0xf'],
    ['UXNTable', 1n << 60n, USER, paging.ARM_FETCH | EL0, 'fault 0xf'],
    ['PXNTable', 1n << 59n, 0x400n, paging.ARM_FETCH, 'fault 0xf'],
  ])('%s, unless TCR.HPD0 is set', (_name, tableBits, bits, access, expected) => {
    expect(walk(registers, page(bits, tableBits), VA, access).text).toBe(expected)
    expect(walk({ ...registers, tcrHi: 5 | (1 << 9) }, page(bits, tableBits), VA, access).text).toBe(MAPPED)
  })

  test('GP says whether the page is guarded, a block too', () => {
    const guarded = 1n << 50n
    const fetched = (tables: SparseTables): boolean => walk(registers, tables, VA, paging.ARM_FETCH).result.guarded
    expect([fetched(page(0x400n)), fetched(page(0x400n | guarded))]).toEqual([false, true])
    // In a table's descriptor it is no such bit.
    expect(fetched(page(0x400n, guarded))).toBe(false)
    expect(fetched(table([L1, BigInt(L2) | 3n], [L2 + 0x91 * 8, 0x4000_0401n | guarded]))).toBe(true)
  })

  test('SCTLR.WXN: what may be written is not executed', () => {
    const wxn = { ...registers, sctlr: 1 | (1 << 19) }
    expect(walk(wxn, page(0x400n), VA, paging.ARM_FETCH).text).toBe('fault 0xf')
    expect(walk(wxn, page(USER), VA, paging.ARM_FETCH | EL0).text).toBe('fault 0xf')
    expect(walk(wxn, page(USER | READ_ONLY), VA, paging.ARM_FETCH | EL0).text).toBe(MAPPED)
    // What EL0 cannot write.
    expect(walk(wxn, page(0x400n), VA, paging.ARM_FETCH | EL0).text).toBe(MAPPED)
  })

  test('TCR.E0PD0 hides the half from EL0, TCR.EPD0 from everyone', () => {
    expect(walk({ ...registers, tcrHi: 5 | (1 << 23) }, page(USER), VA, paging.ARM_READ | EL0).text).toBe('fault 0x4')
    expect(walk({ ...registers, tcrHi: 5 | (1 << 23) }, page(USER), VA, paging.ARM_READ).text).toBe(MAPPED)
    expect(walk({ ...registers, tcrLo: 25 | (1 << 7) }, page(USER), VA, paging.ARM_READ).text).toBe('fault 0x4')
  })

  test('a top byte is ignored by TBI, for data only by TBID', () => {
    const tagged = VA | (0xabn << 56n)
    expect(walk(registers, page(0x400n), tagged, paging.ARM_READ).text).toBe('fault 0x4')
    expect(walk({ ...registers, tcrHi: 5 | (1 << 5) }, page(0x400n), tagged, paging.ARM_READ).text).toBe(MAPPED)
    expect(walk({ ...registers, tcrHi: 5 | (1 << 5) }, page(0x400n), tagged, paging.ARM_FETCH).text).toBe(MAPPED)
    const dataOnly = 5 | (1 << 5) | (1 << 19)
    expect(walk({ ...registers, tcrHi: dataOnly }, page(0x400n), tagged, paging.ARM_READ).text).toBe(MAPPED)
    expect(walk({ ...registers, tcrHi: dataOnly }, page(0x400n), tagged, paging.ARM_FETCH).text).toBe('fault 0x4')
  })

  test('hardware sets the access flag and the dirty state, and only what it must', () => {
    const leaf = L3 + 0x145 * 8
    const both = { ...registers, tcrHi: 5 | (1 << 7) | (1 << 8) }
    const clean = 0x8_7654_3003n | READ_ONLY | DBM
    for (const [access, expected] of [
      [paging.ARM_READ, clean | 0x400n],
      [paging.ARM_WRITE, (clean | 0x400n) & ~READ_ONLY],
    ] as const) {
      const tables = page(READ_ONLY | DBM)
      expect(walk(both, tables, VA, access).text).toBe(MAPPED)
      expect(tables.values.get(leaf)).toBe(expected)
    }
    // Without HA, HD does nothing.
    const tables = page(READ_ONLY | DBM | 0x400n)
    expect(walk({ ...registers, tcrHi: 5 | (1 << 8) }, tables, VA, paging.ARM_WRITE).text).toBe('fault 0xf')
    // A walk whose rights do not hold changes nothing.
    const denied = page(READ_ONLY | DBM)
    expect(walk(both, denied, VA, paging.ARM_WRITE | EL0).text).toBe('fault 0xf')
    expect(denied.values.get(leaf)).toBe(clean)
  })

  test('an entry that changes between read and exchange is walked again', () => {
    const tables = page(0n)
    let raced = 0
    tables.race = (address) => {
      if (raced++ === 0) tables.values.set(address, 0x9_9999_9003n)
    }
    expect(walk({ ...registers, tcrHi: 5 | (1 << 7) }, tables, VA, paging.ARM_READ).text).toBe('0x999999678')
    expect(raced).toBe(2)
    expect(tables.values.get(L3 + 0x145 * 8)).toBe(0x9_9999_9403n)
  })

  test('an entry that is taken away then is a translation fault', () => {
    const tables = page(0n)
    tables.race = (address) => void tables.values.set(address, 0n)
    expect(walk({ ...registers, tcrHi: 5 | (1 << 7) }, tables, VA, paging.ARM_READ).text).toBe('fault 0x7')
  })

  test('a table that is in no memory is named', () => {
    const tables = table([L1, 0x9000_0003n])
    expect(walk(registers, tables, VA, paging.ARM_READ).text).toBe('table 0x90000488')
  })

  test('addresses beyond TCR.IPS are address size faults, at the level that has them', () => {
    const narrow = { ...registers, tcrHi: 1 }
    expect(walk({ ...narrow, ttbr0Hi: 16 }, page(0x400n), VA, paging.ARM_READ).text).toBe('fault 0x0')
    expect(walk(narrow, page(0x400n), VA, paging.ARM_READ).text).toBe(MAPPED)
    expect(walk(narrow, page(0x400n | (1n << 36n)), VA, paging.ARM_READ).text).toBe('fault 0x3')
    expect(walk(narrow, table([L1, (1n << 36n) | 3n]), VA, paging.ARM_READ).text).toBe('fault 0x1')
  })

  test.each([
    ['4K, level 0', { tcrLo: 16, ttbr0Lo: L1 }, 0n, 'fault 0x4'],
    ['16K, level 1', { tcrLo: 17 | (2 << 14), ttbr0Lo: L1 }, 0n, 'fault 0x5'],
    ['64K, level 1', { tcrLo: 16 | (1 << 14), ttbr0Lo: L1 }, 0n, 'fault 0x5'],
    ['4K, level 1', { tcrLo: 25, ttbr0Lo: L1 }, 0x8_0000_0000n, '0x800000678'],
    ['16K, level 2', { tcrLo: 28 | (2 << 14), ttbr0Lo: L1 }, 0x8_0000_0000n, '0x800000678'],
    ['64K, level 2', { tcrLo: 25 | (1 << 14), ttbr0Lo: L1 }, 0x8_0000_0000n, '0x800000678'],
  ])('blocks: %s', (_name, block, address, expected) => {
    expect(walk(block, table([L1, address | 0x401n]), 0x678n, paging.ARM_READ).text).toBe(expected)
  })

  test('memory of a Device type is told apart by MAIR', () => {
    const mair = { ...registers, mairLo: 0x0400_44ff }
    for (const [index, device] of [
      [0n, false],
      [1n, false],
      [2n, true],
      [3n, true],
    ] as const) {
      expect(walk(mair, page(0x400n | (index << 2n)), VA, paging.ARM_READ).result.device).toBe(device)
    }
  })
})

test('a register that is no word is refused, by name', () => {
  for (const value of [2 ** 32, -(2 ** 31) - 1, 0.5, NaN]) {
    expect(() => new paging.ArmPagingContext().update({ ...NO_REGISTERS, ttbr1Lo: value })).toThrow(
      expect.objectContaining({ code: 'ERR_MODE', message: expect.stringContaining('ttbr1Lo') }),
    )
  }
})

describe('stage 1 off', () => {
  test('addresses are intermediate addresses, if they are not too large; data is Device memory', () => {
    const off = { sctlr: 0 }
    const read = walk(off, table(), 0x1234_5678_9abcn, paging.ARM_READ)
    expect([read.text, read.result.device]).toEqual(['0x123456789abc', true])
    expect(walk(off, table(), 0x1000n, paging.ARM_FETCH).result.device).toBe(false)
    expect(walk(off, table(), 1n << 48n, paging.ARM_READ).text).toBe('fault 0x0')
    expect(walk(off, table(), 1n << 56n, paging.ARM_READ).text).toBe('fault 0x0')
    expect(walk({ ...off, tcrHi: 5 | (1 << 5) }, table(), (1n << 56n) | 8n, paging.ARM_READ).text).toBe('0x8')
    expect(walk({ ...off, aarch64: false }, table(), (1n << 56n) | 8n, paging.ARM_READ).text).toBe('0x8')
  })
})

describe('long descriptors (VMSAv8-32)', () => {
  const EAE = 0x8000_0000
  const registers = { aarch64: false, tcrLo: EAE, ttbr0Lo: L1, ttbr1Lo: L2, mairLo: 0xff }
  const block = (bits: bigint): bigint => 0x40_0000_0401n | bits

  test.each([
    [0, 0, 0xffff_fff8n, 'lower 3'],
    [0, 1, 0x7fff_fff8n, 'lower 1'],
    [0, 1, 0x8000_0000n, 'upper 0'],
    [1, 0, 0x8000_0000n, 'upper 2'],
    [2, 2, 0x3fff_fff8n, 'lower, from level 2'],
    [2, 2, 0x4000_0000n, 'nothing'],
    [2, 2, 0xc000_0000n, 'upper, from level 2'],
  ])('T0SZ %i and T1SZ %i: 0x%s', (t0sz, t1sz, va, where) => {
    const split = { ...registers, tcrLo: EAE + t0sz + t1sz * 0x1_0000 }
    const { text, result } = walk(split, table(), va, paging.ARM_READ)
    if (where === 'nothing') expect(text).toBe('fault 0x5')
    else {
      const base = where.startsWith('lower') ? L1 : L2
      const slot = where.endsWith('level 2') ? (Number(va) >>> 21) & 511 : Number(where.at(-1))
      expect(result.tableIpa).toBe(base + slot * 8)
      expect(text).toBe(where.endsWith('level 2') ? 'fault 0x6' : 'fault 0x5')
    }
  })

  test.each([
    ['XN is for both levels of privilege', 0x40n | UXN, paging.ARM_FETCH, 'fault 0xd'],
    ['what is executed must be readable', 0n, paging.ARM_FETCH | EL0, 'fault 0xd'],
    ['PL1 may execute what PL0 may write', 0x40n, paging.ARM_FETCH, '0x4000000008'],
    ['PAN does not stop a fetch', 0x40n, paging.ARM_FETCH | paging.ARM_PAN, '0x4000000008'],
  ])('%s', (_name, bits, access, expected) => {
    expect(walk(registers, table([L1, block(bits)]), 8n, access).text).toBe(expected)
  })

  test('SCTLR.UWXN: not what PL0 may write', () => {
    const uwxn = { ...registers, sctlr: 1 | (1 << 20) }
    expect(walk(uwxn, table([L1, block(0x40n)]), 8n, paging.ARM_FETCH).text).toBe('fault 0xd')
    expect(walk(uwxn, table([L1, block(0n)]), 8n, paging.ARM_FETCH).text).toBe('0x4000000008')
  })

  test('addresses have 40 bits', () => {
    expect(walk(registers, table([L1, block(1n << 40n)]), 8n, paging.ARM_READ).text).toBe('fault 0x1')
  })
})

describe('short descriptors', () => {
  const CLIENT = 0x5555_5555
  const registers = { aarch64: false, ttbr0Lo: L1, ttbr1Lo: L2, dacr: CLIENT }
  /** A section for everyone, Normal. */
  const SECTION = 0x9000_1c0en
  const short = (
    changes: Partial<paging.ArmTranslationRegisters>,
    level1: bigint,
    access: number,
    level2 = 0n,
    va = 0x1_2344n,
  ): string => walk({ ...registers, ...changes }, table([L1, level1], [L3 + 0x12 * 4, level2]), va, access, true).text
  const PAGES = BigInt(L3) | 1n

  test.each([
    ['a section', SECTION, 0n, '0x90012344'],
    ['a supersection', 0x9900_1c0en | (1n << 18n) | (5n << 20n) | (10n << 5n), 0n, '0xa599012344'],
    ['a small page', PAGES, 0x9abc_d03en, '0x9abcd344'],
    ['a large page', PAGES, 0x9abc_003dn, '0x9abc2344'],
    ['nothing at level 1', 0n, 0n, 'fault 0x5'],
    ['nothing at level 2', PAGES, 0n, 'fault 0x7'],
    ['tables in no memory', 0x9000_0001n, 0n, 'table 0x90000048'],
  ])('%s', (_name, level1, level2, expected) => {
    expect(short({}, level1, paging.ARM_READ, level2)).toBe(expected)
  })

  // What a hypervisor reports in an ESR has the codes of the long format (Arm ARM, "ISS encoding for a Data Abort").
  test.each([
    ['a translation fault at level 1', 0n, 0n, CLIENT, 0x05],
    ['a translation fault at level 2', PAGES, 0n, CLIENT, 0x06],
    ['a permission fault at level 1', SECTION & ~0xc00n, 0n, CLIENT, 0x0d],
    ['a permission fault at level 2', PAGES, 0x9abc_d00en, CLIENT, 0x0e],
  ])('%s has a status of its own', (_name, level1, level2, dacr, status) => {
    const tables = table([L1, level1], [L3 + 0x12 * 4, level2])
    expect(walk({ ...registers, dacr }, tables, 0x1_2344n, paging.ARM_READ).result.status).toBe(status)
  })

  test.each([
    [0, paging.ARM_READ, 'fault 0xd'],
    [1, paging.ARM_WRITE, '0x90012344'],
    [1, paging.ARM_READ | EL0, 'fault 0xd'],
    [2, paging.ARM_READ | EL0, '0x90012344'],
    [2, paging.ARM_WRITE | EL0, 'fault 0xd'],
    [2, paging.ARM_WRITE, '0x90012344'],
    [3, paging.ARM_WRITE | EL0, '0x90012344'],
    [5, paging.ARM_READ, '0x90012344'],
    [5, paging.ARM_WRITE, 'fault 0xd'],
    [5, paging.ARM_READ | EL0, 'fault 0xd'],
    [7, paging.ARM_READ | EL0, '0x90012344'],
    [7, paging.ARM_WRITE, 'fault 0xd'],
    [3, paging.ARM_READ | paging.ARM_PAN, 'fault 0xd'],
    [3, paging.ARM_FETCH | paging.ARM_PAN, '0x90012344'],
  ])('AP %i, access %i: %s', (ap, access, expected) => {
    const level1 = (SECTION & ~0xc00n) | (BigInt(ap & 3) << 10n) | (BigInt(ap >> 2) << 15n)
    expect(short({}, level1, access)).toBe(expected)
  })

  test('domains: no access, client, manager; the fault knows its level', () => {
    const guarded = (SECTION & ~0xc00n) | (3n << 5n) | 0x10n
    expect(short({ dacr: 0 }, guarded, paging.ARM_READ)).toBe('fault 0x9')
    expect(short({ dacr: 2 << 6 }, guarded, paging.ARM_READ)).toBe('fault 0x9')
    expect(short({ dacr: 1 << 6 }, guarded, paging.ARM_READ)).toBe('fault 0xd')
    expect(short({ dacr: 3 << 6 }, guarded, paging.ARM_WRITE | EL0)).toBe('0x90012344')
    expect(short({ dacr: 3 << 6 }, guarded, paging.ARM_FETCH)).toBe('0x90012344')
    expect(short({ dacr: 0 }, PAGES, paging.ARM_READ, 0x9abc_d03en)).toBe('fault 0xb')
    // Nothing there comes before nothing allowed.
    expect(short({ dacr: 0 }, PAGES, paging.ARM_READ, 0n)).toBe('fault 0x7')
  })

  test('SCTLR.AFE: AP[0] is the access flag, for managers too', () => {
    const afe = { sctlr: 1 | (1 << 29) }
    expect(short(afe, SECTION & ~0x400n, paging.ARM_READ)).toBe('fault 0x3')
    expect(short({ ...afe, dacr: 3 }, SECTION & ~0x400n, paging.ARM_READ)).toBe('fault 0x3')
    expect(short(afe, PAGES, paging.ARM_READ, 0x9abc_d02en)).toBe('fault 0x6')
    expect(short(afe, SECTION & ~0x800n, paging.ARM_READ | EL0)).toBe('fault 0xd')
    expect(short(afe, SECTION, paging.ARM_WRITE | EL0)).toBe('0x90012344')
  })

  test('XN, PXN, WXN, UWXN', () => {
    expect(short({}, SECTION | 0x10n, paging.ARM_FETCH | EL0)).toBe('fault 0xd')
    expect(short({}, SECTION | 1n, paging.ARM_FETCH)).toBe('fault 0xd')
    expect(short({}, SECTION | 1n, paging.ARM_FETCH | EL0)).toBe('0x90012344')
    expect(short({}, PAGES | 4n, paging.ARM_FETCH, 0x9abc_d03en)).toBe('fault 0xf')
    expect(short({}, PAGES, paging.ARM_FETCH, 0x9abc_d03fn)).toBe('fault 0xf')
    expect(short({}, PAGES, paging.ARM_FETCH, 0x9abc_803dn)).toBe('fault 0xf')
    expect(short({ sctlr: 1 | (1 << 19) }, SECTION, paging.ARM_FETCH)).toBe('fault 0xd')
    expect(short({ sctlr: 1 | (1 << 20) }, SECTION, paging.ARM_FETCH)).toBe('fault 0xd')
    expect(short({ sctlr: 1 | (1 << 20) }, SECTION & ~0x800n, paging.ARM_FETCH)).toBe('0x90012344')
  })

  test('TTBCR.N splits the addresses, PD0 and PD1 switch the halves off', () => {
    const where = (tcrLo: number, va: bigint): number | string => {
      const { text, result } = walk({ ...registers, tcrLo }, table(), va, paging.ARM_READ, true)
      expect(text).toBe('fault 0x5')
      return result.tableIpa
    }
    expect(where(0, 0xfff0_0000n)).toBe(L1 + 0xfff * 4)
    expect(where(1, 0x7ff0_0000n)).toBe(L1 + 0x7ff * 4)
    expect(where(1, 0x8000_0000n)).toBe(L2 + 0x800 * 4)
    expect(where(7, 0x01f0_0000n)).toBe(L1 + 0x1f * 4)
    expect(where(7, 0x0200_0000n)).toBe(L2 + 0x20 * 4)
    expect(short({ tcrLo: 0x10 }, SECTION, paging.ARM_READ)).toBe('fault 0x5')
    expect(short({ tcrLo: 0x21 }, SECTION, paging.ARM_READ, 0n, 0x8000_0000n)).toBe('fault 0x5')
  })

  test('Device memory by TEX, C and B, or by PRRR with TEX remap', () => {
    const device = (type: bigint, changes: Partial<paging.ArmTranslationRegisters> = {}): boolean => {
      const level1 = (SECTION & ~0x700cn) | ((type >> 2n) << 12n) | ((type & 3n) << 2n)
      return walk({ ...registers, ...changes }, table([L1, level1]), 0n, paging.ARM_READ).result.device
    }
    expect([0n, 1n, 2n, 3n, 4n, 8n].map((type) => device(type))).toEqual([true, true, false, false, false, true])
    // Types 0 to 3: Strongly-ordered, Device, Normal, Normal.
    const remap = { sctlr: 1 | (1 << 28), mairLo: 0b1010_0100 }
    expect([0n, 1n, 2n, 3n].map((type) => device(type, remap))).toEqual([true, true, false, false])
  })
})
