import { describe, expect, test } from 'vitest'
import * as paging from '../src/index.ts'

const { UC, WC, WT, WP, WB, UC_MINUS } = paging.MemoryType
const TYPES = { UC, WC, WT, WP, WB, 'UC-': UC_MINUS }

describe('the effective memory type (SDM vol. 3A, "Selecting Memory Types for Pentium III and More Recent Processor Families")', () => {
  test.each([
    { mtrr: 'UC', row: 'UC WC UC UC UC UC' },
    { mtrr: 'WC', row: 'UC WC UC UC WC WC' },
    { mtrr: 'WT', row: 'UC WC WT WP WT UC' },
    { mtrr: 'WP', row: 'UC WC WT WP WP WC' },
    { mtrr: 'WB', row: 'UC WC WT WP WB UC' },
  ] as const)('MTRR $mtrr with PAT UC, WC, WT, WP, WB, UC-: $row', ({ mtrr, row }) => {
    const found = [UC, WC, WT, WP, WB, UC_MINUS].map((pat) => paging.effectiveMemoryType(TYPES[mtrr], pat))
    expect(found).toEqual(row.split(' ').map((name) => TYPES[name as keyof typeof TYPES]))
  })

  test('reserved types are uncacheable', () => {
    expect(paging.effectiveMemoryType(2 as paging.MemoryType, WB)).toBe(UC)
    expect(paging.effectiveMemoryType(WB, 3 as paging.MemoryType)).toBe(UC)
  })
})

describe('the PAT (SDM vol. 3A, "Selecting a Memory Type from the PAT")', () => {
  test.each([
    { leaf: 0, level: 1, index: 0, type: WB },
    { leaf: 0x08, level: 1, index: 1, type: WT },
    { leaf: 0x10, level: 1, index: 2, type: UC_MINUS },
    { leaf: 0x18, level: 1, index: 3, type: UC },
    { leaf: 0x88, level: 1, index: 5, type: WT },
    { leaf: 0x1080, level: 2, index: 4, type: WB },
    { leaf: 0x1098, level: 3, index: 7, type: UC },
    { leaf: 0x0098, level: 2, index: 3, type: UC },
  ])('a leaf $leaf at level $level selects field $index', ({ leaf, level, index, type }) => {
    expect(paging.patIndex(leaf, level)).toBe(index)
    expect(paging.patType(paging.PAT_RESET, index)).toBe(type)
  })
})

describe('MTRRs (SDM vol. 3A, "Memory Type Range Registers (MTRRs)")', () => {
  const range = (base: number, bytes: number, type: number): { base: bigint; mask: bigint } => ({
    base: BigInt(base) | BigInt(type),
    mask: (((1n << 40n) - 1n) & ~(BigInt(bytes) - 1n)) | 0x800n,
  })
  const mtrrs = (
    variable: paging.Mtrrs['variable'],
    fixed: readonly bigint[] = [],
    defType = 0xc06n,
  ): paging.Mtrrs => ({ ...{ maxPhysicalBits: 40, defType, fixed, variable } })
  const GIB = 2 ** 30

  test.each([
    { given: 'none: the default', variable: [], gpa: 5 * GIB, type: WB },
    { given: 'a hole below 4 GiB', variable: [range(3 * GIB, GIB, UC)], gpa: 3 * GIB, type: UC },
    { given: 'just below that hole', variable: [range(3 * GIB, GIB, UC)], gpa: 3 * GIB - 1, type: WB },
    { given: 'two of one type', variable: [range(0, GIB, WC), range(0, GIB, WC)], gpa: 0x20_0000, type: WC },
    { given: 'WT over WB', variable: [range(0, GIB, WB), range(0, GIB, WT)], gpa: 0x20_0000, type: WT },
    { given: 'UC over anything', variable: [range(0, GIB, WP), range(0, 2 * GIB, UC)], gpa: 0x20_0000, type: UC },
    { given: 'WC over WB: undefined', variable: [range(0, GIB, WC), range(0, GIB, WB)], gpa: 0x20_0000, type: UC },
    { given: 'one that is not valid', variable: [{ ...range(0, GIB, UC), mask: 0n }], gpa: 0x20_0000, type: WB },
  ])('$given', ({ variable, gpa, type }) => expect(paging.mtrrType(mtrrs(variable), gpa)).toBe(type))

  test('below 1 MiB the fixed ranges decide', () => {
    const fixed = Array.from({ length: 11 }, (_, i) => BigInt(`0x${`0${i % 2 === 0 ? 6 : 5}`.repeat(8)}`))
    fixed[1] = 0x0000_0000_0000_0004n
    const of = (gpa: number): number => paging.mtrrType(mtrrs([range(0, GIB, WC)], fixed), gpa)
    expect([of(0x1234), of(0x7_ffff), of(0x8_0000), of(0x8_4000)]).toEqual([WB, WB, WT, UC])
    expect([of(0xa_0000), of(0xc_0000), of(0xc_8000), of(0xf_ffff)]).toEqual([WB, WP, WB, WB])
    expect(of(0x10_0000)).toBe(WC)
    expect(paging.mtrrType(mtrrs([range(0, GIB, WC)], fixed, 0x806n), 0x1234)).toBe(WC)
  })

  test('disabled, everything is uncacheable', () => {
    expect(paging.mtrrType(mtrrs([range(0, GIB, WB)], [], 0x406n), 0x1234)).toBe(UC)
  })

  test.each([-1, 2 ** 40])('there is no address %s', (gpa) => {
    expect(() => paging.mtrrType(mtrrs([]), gpa)).toThrow(paging.PagingError)
  })
})
