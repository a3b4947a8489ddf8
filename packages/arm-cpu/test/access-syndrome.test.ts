import { a64Forms, findA64 } from '@retrap/arm-decoder'
import { words } from '@retrap/tooling/random'
import { expect, test } from 'vitest'
import { accessSyndrome } from '../src/access/access-syndrome.ts'

const ISV = 1 << 24

/** An encoding class of Arm ARM C4.1 "Loads and Stores" whose loads and stores of one general register have a valid syndrome. */
interface EncodingClass {
  readonly mask: number
  readonly value: number
  /** Size in bits 31:30 and operation in 23:22; otherwise the class has its own. */
  readonly kind: 'usual' | 'ordered' | 'literal' | 'doubleword'
  readonly acquires: boolean
}

const encodingClass = (
  mask: number,
  value: number,
  kind: EncodingClass['kind'] = 'usual',
  acquires = false,
): EncodingClass => ({ mask, value, kind, acquires })

/** Bit 26, of SIMD&FP registers, is clear in all. */
const CLASSES: readonly EncodingClass[] = [
  // Unsigned immediate; register offset; unscaled immediate; unprivileged.
  encodingClass(0x3f00_0000, 0x3900_0000),
  encodingClass(0x3f20_0c00, 0x3820_0800),
  encodingClass(0x3f20_0c00, 0x3800_0000),
  encodingClass(0x3f20_0c00, 0x3800_0800),
  // LDAPUR and STLUR; LDAR, STLR, LDLAR and STLLR; LDAPR.
  encodingClass(0x3f20_0c00, 0x1900_0000, 'usual', true),
  encodingClass(0x3fa0_0000, 0x0880_0000, 'ordered', true),
  encodingClass(0x3fff_fc00, 0x38bf_c000, 'ordered', true),
  encodingClass(0x3f00_0000, 0x1800_0000, 'literal'),
  // LDRAA and LDRAB without writeback.
  encodingClass(0xff20_0c00, 0xf820_0400, 'doubleword'),
]

const syndrome = (size: number, isSigned: boolean, word: number, wide: boolean, acquires: boolean): number =>
  ISV | (size << 22) | (isSigned ? 1 << 21 : 0) | ((word & 31) << 16) | (wide ? 1 << 15 : 0) | (acquires ? 1 << 14 : 0)

/** The fields by the encoding alone: SAS, SSE, SRT, SF, AR; 0 where ISV is clear. */
function expected(word: number): number {
  const found = CLASSES.find(({ mask, value }) => ((word & mask) ^ value) >>> 0 === 0)
  if (found === undefined) return 0
  const size = word >>> 30
  const operation = (word >>> 22) & 3
  switch (found.kind) {
    case 'ordered':
      return syndrome(size, false, word, size === 3, found.acquires)
    case 'doubleword':
      return syndrome(3, false, word, true, false)
    case 'literal':
      if (size === 3) return 0
      return syndrome(size === 1 ? 3 : 2, size === 2, word, size !== 0, false)
    default:
      // Signed doublewords are prefetches.
      if (size === 3 && operation > 1) return 0
      return syndrome(size, operation > 1, word, operation === 2 || size === 3, found.acquires)
  }
}

test('ISV is set for the loads and stores that DDI 0487 lists (ESR_EL2, "ISS encoding for an exception from a Data Abort")', () => {
  const next = words(1)
  const wrong: string[] = []
  let valid = 0
  let invalid = 0
  for (const row of a64Forms()) {
    for (let i = 0; i < 50; i++) {
      const word = ((next() & ~row.mask) | row.value) >>> 0
      if (findA64(word)?.index !== row.index) continue
      const [is, ought] = [accessSyndrome(0, word, 0), expected(word)]
      const name = `${row.mnemonic} ${row.operands}`
      if (is !== ought) wrong.push(`${name} ${word.toString(16)}: ${is.toString(16)}, not ${ought.toString(16)}`)
      if (ought === 0) invalid++
      else valid++
    }
  }
  expect(wrong).toEqual([])
  expect(valid).toBeGreaterThan(1000)
  expect(invalid).toBeGreaterThan(10_000)
})
