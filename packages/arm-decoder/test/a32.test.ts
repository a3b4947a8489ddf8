import { words } from '@retrap/tooling/random'
import { skipNote } from '@retrap/tooling/skip'
import { TEST_LONG } from '@retrap/tooling/long'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { a32Forms, findA32, findThumb, type Form, formatA32, formatThumb, t16Forms, t32Forms } from '../src/index.ts'
import { a32Differences, textA32, usedA32Differences, wrongA32 } from './support/a32-text.ts'
import { hasDisassemblers } from './support/disassembly.ts'

type WideSet = 'a32' | 't32'

const SETS: readonly (readonly [WideSet, () => readonly Form[]])[] = [
  ['a32', a32Forms],
  ['t32', t32Forms],
]

/** A word of T32 is no pair of T16. */
const isOf = (set: WideSet, word: number): boolean => set === 'a32' || word >= 0xe800_0000

/** Compares the words of a set among others. */
const expectRight = (set: WideSet, all: readonly number[]): void => {
  const list = all.filter((word) => isOf(set, word))
  expect(wrongA32(set, list), SLICE_REPEAT).toEqual([])
}

/** Parts of the encoding spaces that random words seldom meet, by the manual's bits: a row that is lost is still asked for. */
const SPACES: Readonly<Record<WideSet, readonly (readonly [what: string, value: number, mask: number])[]>> = {
  a32: [
    ['data processing', 0xe000_0000, 0xfc00_0000],
    ['TRAP', 0xe7ff_defe, 0xffff_ffff],
    ['moves of registers', 0xe1a0_0000, 0xffe0_0ff0],
    ['multiplication', 0xe000_0090, 0xff00_00f0],
    ['miscellaneous', 0xe100_0000, 0xff90_0080],
    ['halfword multiplication', 0xe100_0080, 0xff90_0090],
    ['status registers', 0xe100_0000, 0xff90_00f0],
    ['hints', 0xe320_f000, 0xffff_ff00],
    ['media', 0xe600_0010, 0xfe00_0010],
    ['bit fields', 0xe780_0010, 0xff80_0030],
    ['no condition', 0xf000_0000, 0xf800_0000],
    ['CPS, SETEND, SETPAN', 0xf100_0000, 0xffe0_fe10],
    ['barriers', 0xf570_f000, 0xfff0_ff0f],
    ['coprocessors', 0xec00_0e00, 0xfc00_0e00],
    ['VFP', 0xee00_0800, 0xff00_0c10],
    ['VFP, two registers', 0xeeb0_0840, 0xffb0_0c50],
    ['VFP, transfers', 0xee00_0810, 0xff00_0c7f],
    ['VFP, transfers of two', 0xec40_0800, 0xffe0_0cd0],
    ['VFP, no condition', 0xfe80_0800, 0xff80_0c10],
    ['Advanced SIMD', 0xf200_0000, 0xfe00_0000],
    ['Advanced SIMD, two registers', 0xf3b0_0000, 0xffb0_0810],
    ['Advanced SIMD, constants', 0xf280_0010, 0xfeb8_0090],
    ['Advanced SIMD, extensions', 0xfc00_0800, 0xfc00_0c00],
  ],
  t32: [
    ['shifted registers', 0xea00_0000, 0xfe00_0000],
    ['modified immediates', 0xf000_0000, 0xfa00_8000],
    ['plain immediates', 0xf200_0000, 0xfa00_8000],
    ['branches, exceptions, system', 0xf000_8000, 0xf800_8000],
    ['status registers', 0xf380_8000, 0xffe0_d000],
    ['hints', 0xf3af_8000, 0xffff_ff00],
    ['barriers', 0xf3bf_8f00, 0xffff_ff00],
    ['registers', 0xfa00_0000, 0xff00_0000],
    ['registers, with the bits that should be one', 0xfa00_f000, 0xff00_f000],
    ['multiplication', 0xfb00_0000, 0xff00_0000],
    ['coprocessors', 0xec00_0e00, 0xfc00_0e00],
    ['VFP', 0xee00_0800, 0xff00_0c10],
    ['VFP, transfers', 0xee00_0810, 0xff00_0c7f],
    ['VFP, no condition', 0xfe80_0800, 0xff80_0c10],
    ['Advanced SIMD', 0xef00_0000, 0xef00_0000],
    ['Advanced SIMD, two registers', 0xffb0_0000, 0xffb0_0810],
    ['Advanced SIMD, extensions', 0xfc00_0800, 0xfc00_0c00],
  ],
}
const WORDS_IN_SPACE = slicedCount(1000, 4)
const PER_FORM = slicedCount(16, 4)
const IT_EQ = 0xbf08

describe.skipIf(!hasDisassemblers)(
  `A32 and Thumb as LLVM prints them${skipNote(hasDisassemblers, 'llvm-22 or the cross binutils are not installed')}`,
  () => {
    test.each(SETS)('every row of %s', (set, forms) => {
      const next = words(slicedSeed(21))
      const list = forms().flatMap((form) =>
        Array.from({ length: PER_FORM }, (_, index) => {
          const word = ((next() & ~form.mask) | form.value) >>> 0
          // One half is always executed, so that what has no condition is met often enough.
          return form.mask >>> 28 === 0 && (index & 1) === 0 ? ((word & 0xfff_ffff) | 0xe000_0000) >>> 0 : word
        }),
      )
      expectRight(set, list)
    })

    // Fields of ones and zeros have names of their own: stack pointer and PC, ends of ranges.
    test.each(SETS)('every row of %s, with fields at their ends', (set, forms) => {
      const next = words(slicedSeed(22))
      const list = forms().flatMap((form) =>
        Array.from({ length: PER_FORM }, () => {
          let word = form.value
          for (const [letter, { pieces }] of form.fields) {
            const kind = letter === 'c' ? 3 : next() % 3
            for (const piece of pieces) {
              const ones = 2 ** (piece >> 8) - 1
              word |= ((kind === 0 ? 0 : kind === 1 ? ones : next() & ones) << (piece & 255)) >>> 0
            }
          }
          return word >>> 0
        }),
      )
      expectRight(set, list)
    })

    test.each(['a32', 't32'] as const)('spaces of %s that random words seldom meet', (set) => {
      const list = SPACES[set].flatMap(([, value, mask]) => {
        const next = words(slicedSeed(value ^ mask))
        return Array.from({ length: WORDS_IN_SPACE }, () => ((next() & ~mask) | value) >>> 0)
      })
      expectRight(set, list)
    })

    test.each(['a32', 't32'] as const)('any word of %s', (set) => {
      const next = words(slicedSeed(23))
      const any = set === 'a32' ? next : () => 0xe800_0000 + (next() % 0x1800_0000)
      expect(wrongA32(set, Array.from({ length: slicedCount(15_000, 4) }, any)), SLICE_REPEAT).toEqual([])
    })

    test('all of T16', () => {
      // IT makes the instructions after it conditional.
      const all = Array.from({ length: 0xe800 }, (_, word) => word).filter((word) => word >> 8 !== 0xbf || !(word & 15))
      expect(wrongA32('t16', all)).toEqual([])
    })

    test('all IT blocks, with instructions in them', () => {
      const list: number[] = []
      for (let word = 0xbf00; word < 0xc000; word++) {
        // ADDS, MOVS, ADC.W and VADD.F32, as many as the block may have.
        if ((word & 15) !== 0) list.push(word, 0x1840, 0x2005, 0xeb41_0102, 0xee30_0a01)
      }
      expect(wrongA32('t32', list)).toEqual([])
    })

    test('T16 in an IT block', () => {
      const list: number[] = []
      for (let word = 0; word < 0xe800; word += 3) {
        // Branches and what is not conditional end a block or have no place in it.
        if (
          word >> 12 === 0xd ||
          word >> 8 === 0xbf ||
          /^(?:cb|b|set|cps|hlt|bkpt|it|udf)/.test(textA32('t16', word, 0))
        )
          continue
        if (textA32('t16', word, 0) !== '') list.push(IT_EQ, word)
      }
      expect(wrongA32('t16', list)).toEqual([])
    })

    test.runIf(TEST_LONG)('each accepted difference explains something', () => {
      expect(a32Differences.filter((row) => !usedA32Differences.has(row)).map(({ reason }) => reason)).toEqual([])
    })
  },
)

describe('the tables', () => {
  test.each([...SETS, ['t16', t16Forms] as const])('every row of %s can be reached', (set, forms) => {
    const next = words(24)
    const find = (word: number): Form | undefined =>
      set === 'a32'
        ? findA32(word)
        : set === 't32'
          ? findThumb(word >>> 16, word & 0xffff)
          : findThumb(word & 0xffff, 0)
    const unreached = forms().filter((form) => {
      for (let tries = 0; tries < 4000; tries++)
        if (find(((next() & ~form.mask) | form.value) >>> 0) === form) return false
      return true
    })
    expect(unreached.map(({ mnemonic, operands }) => `${mnemonic} ${operands}`)).toEqual([])
  })

  test.each([...SETS, ['t16', t16Forms] as const])('every row of %s has a bit for each of its places', (set, forms) => {
    const width = set === 't16' ? 16 : 32
    const outside = forms().filter(({ mask, fields }) => {
      const tops = [...fields.values()].flatMap(({ pieces }) => pieces.map((piece) => (piece & 255) + (piece >> 8)))
      return Math.max(0, ...tops) > width || (width === 16 && mask > 0xffff)
    })
    expect(outside).toEqual([])
  })
})

describe('text', () => {
  test('targets count from the address', () => {
    expect(formatA32(0xeb00_0001, { address: 0x8000n })).toBe('bl 0x800c')
    expect(formatA32(0xfaff_fffe, { address: 0x8000n })).toBe('blx 0x8000')
    expect(formatA32(0x0aff_fffe, { address: 0n })).toBe('beq 0x0')
    expect(formatA32(0xeaff_fffd, { address: 0n })).toBe('b 0xfffffffc')
    // BLX of Thumb counts from a multiple of 4.
    expect(formatThumb(0xf000, 0xe800, { address: 0x1002n })).toBe('blx 0x1004')
    expect(formatThumb(0xe7fe, 0, { address: 0x1002n })).toBe('b 0x1002')
    const symbols = (address: bigint): string | undefined => (address === 8n ? 'there' : undefined)
    expect(formatA32(0xeaff_fffe, { address: 8n, symbols })).toBe('b there')
  })

  test('an IT block makes instructions conditional, and keeps their flags', () => {
    expect(formatThumb(0x1840, 0)).toBe('adds r0, r0, r1')
    expect(formatThumb(0x1840, 0, { ifThen: 0x08 })).toBe('addeq r0, r0, r1')
    expect(formatThumb(0xeb10, 0x0001, { ifThen: 0x18 })).toBe('addsne.w r0, r0, r1')
  })

  test('no word throws', () => {
    const next = words(25)
    for (let i = 0; i < 20_000; i++) {
      const word = next()
      formatA32(word)
      formatThumb(word >>> 16, word & 0xffff, { ifThen: word & 0xff })
    }
  })
})
