import { skipNote } from '@retrap/tooling/skip'
import { describe, expect, test } from 'vitest'
import { a32Forms, a64Forms, type Form, t16Forms, t32Forms } from '../src/index.ts'
import { unexplained } from './support/compare-text.ts'
import { hasDisassemblers, lastForm, ours, type SetName } from './support/disassembly.ts'
import { words } from './support/rng.ts'

const SETS: readonly (readonly [SetName, readonly Form[]])[] = [
  ['a64', a64Forms],
  ['a32', a32Forms],
  ['t32', t32Forms],
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

describe.skipIf(!hasDisassemblers)(
  `text as LLVM prints it${skipNote(hasDisassemblers, 'llvm-22 or the cross binutils are not installed')}`,
  () => {
    test.each(SETS)('%s', (set, forms) => {
      expect(unexplained(set, sample(set, forms, 7, 25, 15_000), 'llvm')).toEqual([])
    })

    test('all of T16', () => {
      // IT and the hints are none of ours, and would make what follows them conditional.
      const all = Array.from({ length: 0xe800 }, (_, word) => word).filter((word) => word >> 8 !== 0xbf)
      expect(unexplained('t16', all, 'llvm')).toEqual([])
      for (let word = 0xbf00; word < 0xc000; word++) expect(ours('t16', word, 0)).toBe('')
    })
  },
)

describe('the tables', () => {
  test.each([...SETS, ['t16', t16Forms] as const])('every row of %s can be reached', (set, forms) => {
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
  test.each([...SETS, ['t16', t16Forms] as const])('every row of %s has an operation', (_set, forms) => {
    expect(forms.filter(({ operation }) => !OPERATIONS.has(operation))).toEqual([])
  })
})
