import { words } from '@retrap/tooling/random'
import { TEST_LONG } from '@retrap/tooling/long'
import { skipNote } from '@retrap/tooling/skip'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { loadStoreFormsA32, loadStoreFormsA64, type Form, loadStoreFormsT16, loadStoreFormsT32 } from '../src/index.ts'
import { unexplained } from './support/compare-text.ts'
import { differences, usedDifferences } from './support/differences.ts'
import { hasDisassemblers, lastForm, ours, type SetName } from './support/disassembly.ts'

const SETS: readonly (readonly [SetName, readonly Form[]])[] = [
  ['a64', loadStoreFormsA64],
  ['a32', loadStoreFormsA32],
  ['t32', loadStoreFormsT32],
]

/** Random encodings of every form, and random words where loads and stores are. */
function sample(set: SetName, forms: readonly Form[], seed: number, perForm: number, others: number): number[] {
  const next = words(seed)
  const list: number[] = []
  for (const form of forms) {
    for (let i = 0; i < perForm; i++) list.push(((next() & ~form.mask) | form.value) >>> 0)
  }
  for (let i = 0; i < others; i++) {
    const word = next()
    if (set === 'a64') list.push((i & 1) === 0 ? ((word & ~(5 << 25)) | (4 << 25)) >>> 0 : word)
    else list.push(set === 't32' ? (word | 0xe800_0000) >>> 0 : word)
  }
  return list
}

/**
 * Parts of the encoding spaces where few random words would be, by the manual's bits and not by our tables: a row of a
 * table that is lost is still asked for.
 */
const SPACES: Readonly<Partial<Record<SetName, readonly (readonly [what: string, value: number, mask: number])[]>>> = {
  a32: [
    ['halfwords and doubles, immediate', 0x0040_0090, 0x0e40_0090],
    ['halfwords and doubles, register', 0x0000_0090, 0x0e40_0f90],
    ['exclusives', 0x0180_0c90, 0x0f80_0cf0],
    ['exclusives with the bits that should be one', 0x0180_0c9f, 0x0f80_0cff],
    ['SIMD structures', 0xf400_0000, 0xff10_0000],
    ['SIMD registers', 0x0c00_0a00, 0x0e00_0e00],
    ['block transfers', 0x0800_0000, 0x0e00_0000],
    ['prefetches, exception return', 0xf000_0000, 0xf000_0000],
  ],
  t32: [
    ['doubles, exclusives, table branches', 0xe840_0000, 0xfe40_0000],
    ['exclusives with the bits that should be one', 0xe8c0_0f4f, 0xffe0_0f4f],
    ['SIMD structures', 0xf900_0000, 0xff10_0000],
    ['SIMD registers', 0xec00_0a00, 0xfe00_0e00],
    ['single registers', 0xf800_0000, 0xfe00_0000],
    ['block transfers', 0xe800_0000, 0xfe40_0000],
  ],
  a64: [
    ['exclusives', 0x0800_0000, 0x3f00_0000],
    ['SIMD structures', 0x0c00_0000, 0xbe00_0000],
    ['pairs', 0x2800_0000, 0x3a00_0000],
    ['single registers', 0x3800_0000, 0x3a00_0000],
    ['atomics', 0x3820_0000, 0x3f20_0c00],
  ],
}
const WORDS_IN_SPACE = slicedCount(3000, 4)

describe.skipIf(!hasDisassemblers)(
  `text as LLVM prints it${skipNote(hasDisassemblers, 'llvm-22 or the cross binutils are not installed')}`,
  () => {
    test.each(
      Object.entries(SPACES).flatMap(([set, spaces]) => spaces.map((space) => [set as SetName, ...space] as const)),
    )('%s, %s', (set, _what, value, mask) => {
      const next = words(slicedSeed(value ^ 11))
      // One half has the condition AL, so that an instruction without one is not drowned.
      const list = Array.from({ length: WORDS_IN_SPACE }, (_, i) => {
        const word = ((next() & ~mask) | value) >>> 0
        return set === 'a32' && (mask & 0xf000_0000) === 0 && (i & 1) === 0
          ? ((word & 0xfff_ffff) | 0xe000_0000) >>> 0
          : word
      })
      expect(unexplained(set, list, 'llvm'), SLICE_REPEAT).toEqual([])
    })
  },
)

describe.skipIf(!hasDisassemblers)(
  `text of every row as LLVM prints it${skipNote(hasDisassemblers, 'llvm-22 or the cross binutils are not installed')}`,
  () => {
    test.each(SETS)('%s', (set, forms) => {
      const list = sample(set, forms, slicedSeed(7), slicedCount(25, 4), slicedCount(15_000, 4))
      expect(unexplained(set, list, 'llvm'), SLICE_REPEAT).toEqual([])
    })

    test('all of T16', () => {
      // IT and the hints are none of ours, and would make what follows them conditional.
      const all = Array.from({ length: 0xe800 }, (_, word) => word).filter((word) => word >> 8 !== 0xbf)
      expect(unexplained('t16', all, 'llvm')).toEqual([])
      for (let word = 0xbf00; word < 0xc000; word++) expect(ours('t16', word, 0)).toBe('')
    })

    test.runIf(TEST_LONG)('each accepted difference explains something', () => {
      expect(differences.filter((row) => !usedDifferences.has(row)).map(({ reason }) => reason)).toEqual([])
    })
  },
)

describe('the tables', () => {
  test.each([...SETS, ['t16', loadStoreFormsT16] as const])('every row of %s can be reached', (set, forms) => {
    const next = words(3)
    const unreached = forms.filter((form) => {
      for (let tries = 0; tries < 2000; tries++) {
        const word = ((next() & ~form.mask) | form.value) >>> 0
        if (ours(set, set === 't16' ? word & 0xffff : word, 0) !== '' && lastForm() === form) return false
      }
      return true
    })
    expect(unreached.map(({ mnemonic, operands }) => `${mnemonic} ${operands}`)).toEqual([])
  })

  const OPERATIONS = new Set(
    'load store prefetch load-exclusive store-exclusive atomic compare-and-swap load-64b store-64b copy copy-forward fill cache zero tag-load tag-store tags scalable other table-branch return save'.split(
      ' ',
    ),
  )
  test.each([...SETS, ['t16', loadStoreFormsT16] as const])('every row of %s has an operation', (_set, forms) => {
    expect(forms.filter(({ operation }) => !OPERATIONS.has(operation))).toEqual([])
  })
})
