import { words } from '@retrap/tooling/random'
import { skipNote } from '@retrap/tooling/skip'
import { TEST_LONG } from '@retrap/tooling/long'
import { SLICE_REPEAT, sliced, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { a64Aliases } from '../src/a64.ts'
import { a64Forms, findA64, formatA64, loadStoreFormsA64 } from '../src/index.ts'
import { a64Difference, a64Differences, usedA64Differences } from './support/a64-text.ts'
import { disassemble, hasDisassemblers } from './support/disassembly.ts'

/** What is wrong with our text of these words. */
function wrong(list: readonly number[]): string[] {
  const theirs = disassemble('a64', list, 'llvm')
  // Zeros are left out of listings.
  return list.flatMap((word, index) =>
    word === 0 ? [] : (a64Difference(word, theirs[index]!, BigInt(index * 4)) ?? []),
  )
}

/** Parts of the encoding space that random words seldom meet, by the manual's bits: a row that is lost is still asked for. */
const SPACES: readonly (readonly [what: string, value: number, mask: number])[] = [
  ['addresses, additions', 0x1000_0000, 0x1e00_0000],
  ['bit masks, wide moves, bit fields', 0x1200_0000, 0x1e00_0000],
  ['branches, system', 0x1400_0000, 0x1c00_0000],
  ['exceptions', 0xd400_0000, 0xff00_0000],
  ['hints, barriers, PSTATE', 0xd500_0000, 0xfff8_0000],
  ['system instructions', 0xd508_0000, 0xffd8_0000],
  ['system registers', 0xd510_0000, 0xffd0_0000],
  ['TCHANGEF, TCHANGEB', 0xd590_0000, 0xfff9_f000],
  ['branches to registers', 0xd61f_0000, 0xfe1f_0000],
  ['two and one source', 0x1ac0_0000, 0x1fe0_0000],
  ['one source', 0x5ac0_0000, 0x5ffe_0000],
  ['conditional compare and select', 0x1a40_0000, 0x1f60_0000],
  ['integer registers', 0x0a00_0000, 0x0e00_0000],
  ['three sources', 0x1b00_0000, 0x1f00_0000],
  ['three registers of a vector', 0x0e20_0400, 0x9f20_0400],
  ['three of half precision', 0x0e40_0400, 0x9f60_c400],
  ['three, and an extension', 0x0e00_8400, 0x9f20_8400],
  ['two registers of a vector', 0x0e20_0800, 0x9f3e_0c00],
  ['two of half precision', 0x0e78_0800, 0x9f7e_0c00],
  ['across lanes', 0x0e30_0800, 0x9f3e_0c00],
  ['copies', 0x0e00_0400, 0x9fe0_8400],
  ['tables, permutations', 0x0e00_0000, 0xbf20_8400],
  ['modified immediates', 0x0f00_0400, 0x9ff8_0400],
  ['shifts', 0x0f00_0400, 0x9f80_0400],
  ['by element', 0x0f00_0000, 0x9f00_0400],
  ['scalars, three', 0x5e20_0400, 0xdf20_0400],
  ['scalars, two', 0x5e20_0800, 0xdf3e_0c00],
  ['scalars, pairs', 0x5e30_0800, 0xdf3e_0c00],
  ['scalars, half precision', 0x5e40_0400, 0xdf60_c400],
  ['scalars, shifts and elements', 0x5f00_0000, 0xdf00_0000],
  ['cryptography', 0x4e28_0800, 0xff3e_0c00],
  ['SHA', 0x5e00_0000, 0xff20_8c00],
  ['SHA-512, SM3, SM4', 0xce00_0000, 0xff00_0000],
  ['floating point and fixed point', 0x1e00_0000, 0x7f20_0000],
  ['floating point and integers', 0x1e20_0000, 0x7f20_fc00],
  ['floating point', 0x1e20_0000, 0xff20_0000],
  ['floating point, one source', 0x1e20_4000, 0xff20_7c00],
]
const WORDS_IN_SPACE = slicedCount(1000, 4)
const PER_FORM = slicedCount(16, 4)

describe.skipIf(!hasDisassemblers)(
  `A64 as LLVM prints it${skipNote(hasDisassemblers, 'llvm-22 or the cross binutils are not installed')}`,
  () => {
    test('every row, and every other name', () => {
      const next = words(slicedSeed(16))
      const list = [...a64Forms(), ...a64Aliases()].flatMap((form) =>
        Array.from({ length: PER_FORM }, () => ((next() & ~form.mask) | form.value) >>> 0),
      )
      expect(wrong(list), SLICE_REPEAT).toEqual([])
    })

    // Fields of ones and zeros have names of their own: zero registers, aliases, ends of ranges.
    test('every row, with fields at their ends', () => {
      const next = words(slicedSeed(17))
      const list = [...a64Forms(), ...a64Aliases()].flatMap((form) =>
        Array.from({ length: PER_FORM }, () => {
          let word = form.value
          for (const { pieces } of form.fields.values()) {
            const kind = next() % 3
            for (const piece of pieces) {
              const ones = 2 ** (piece >> 8) - 1
              word |= ((kind === 0 ? 0 : kind === 1 ? ones : next() & ones) << (piece & 255)) >>> 0
            }
          }
          return word >>> 0
        }),
      )
      expect(wrong(list), SLICE_REPEAT).toEqual([])
    })

    test('spaces that random words seldom meet', () => {
      const list = SPACES.flatMap(([, value, mask]) => {
        const next = words(slicedSeed(value ^ mask))
        return Array.from({ length: WORDS_IN_SPACE }, () => ((next() & ~mask) | value) >>> 0)
      })
      expect(wrong(list), SLICE_REPEAT).toEqual([])
    })

    test('any word', () => {
      const next = words(slicedSeed(18))
      expect(wrong(Array.from({ length: slicedCount(30_000, 4) }, () => next())), SLICE_REPEAT).toEqual([])
    })

    test('all system registers and system instructions', () => {
      const list: number[] = []
      for (let number = 0; number < 0x8000; number++) list.push(0xd510_0003 + number * 32, 0xd530_0003 + number * 32)
      for (let number = 0; number < 0x4000; number++) list.push(0xd508_0003 + number * 32, 0xd508_001f + number * 32)
      // SYSL and SYSP, few of which have names.
      for (const number of sliced([...Array(0x4000).keys()], 4)) {
        for (const first of [0xd528_0003, 0xd528_001f, 0xd548_0002, 0xd548_001f]) list.push(first + number * 32)
      }
      expect(wrong(list), SLICE_REPEAT).toEqual([])
    })

    test.runIf(TEST_LONG)('each accepted difference explains something', () => {
      expect(a64Differences.filter((row) => !usedA64Differences.has(row)).map(({ reason }) => reason)).toEqual([])
    })
  },
)

test('every row can be reached', () => {
  const next = words(19)
  const unreached = a64Forms().filter((form) => {
    for (let tries = 0; tries < 2000; tries++)
      if (findA64(((next() & ~form.mask) | form.value) >>> 0) === form) return false
    return true
  })
  expect(unreached.map(({ mnemonic, operands }) => `${mnemonic} ${operands}`)).toEqual([])
  expect(a64Forms().slice(0, loadStoreFormsA64.length)).toEqual(loadStoreFormsA64)
})

test('targets count from the address', () => {
  expect(formatA64(0x9400_0001, { address: 0xffff_8000_0000_1000n })).toBe('bl 0xffff800000001004')
  expect(formatA64(0x17ff_ffff, { address: 0x10n })).toBe('b 0xc')
  expect(formatA64(0xb000_0001, { address: 0x1234n })).toBe('adrp x1, 0x2000')
  expect(formatA64(0x5800_0041)).toBe('ldr x1, 0x8')
  const symbols = (address: bigint): string | undefined => (address === 8n ? 'there' : undefined)
  expect([0x5800_0041, 0x1400_0002, 0x1400_0003].map((word) => formatA64(word, { symbols }))).toEqual([
    'ldr x1, there',
    'b there',
    'b 0xc',
  ])
})
