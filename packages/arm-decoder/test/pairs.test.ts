/** Instructions that transfer two words (DDI 0487, "LDRD", "STRD", "LDREXD", "STREXD", encodings A1 and T1). */
import { expect, test } from 'vitest'
import { decodeLoadStoreA32, decodeLoadStoreThumb, InstructionSet, LoadStore } from '../src/index.ts'

test.each([
  { text: 'ldrd r4, r9, [r2]', set: InstructionSet.T32, word: 0xe9d2_4900, second: 9 },
  { text: 'strd r4, r9, [r2]', set: InstructionSet.T32, word: 0xe9c2_4900, second: 9 },
  { text: 'ldrexd r4, r9, [r2]', set: InstructionSet.T32, word: 0xe8d2_497f, second: 9 },
  { text: 'strexd r0, r4, r9, [r2]', set: InstructionSet.T32, word: 0xe8c2_4970, second: 9 },
  { text: 'ldrd r4, r5, [r2]', set: InstructionSet.A32, word: 0xe1c2_40d0, second: 5 },
  { text: 'strd r4, r5, [r2]', set: InstructionSet.A32, word: 0xe1c2_40f0, second: 5 },
])('$text has two registers of a word each', ({ set, word, second }) => {
  const insn = new LoadStore()
  const known =
    set === InstructionSet.T32 ? decodeLoadStoreThumb(word >>> 16, word & 0xffff, insn) : decodeLoadStoreA32(word, insn)
  expect(known).toBe(true)
  expect([insn.set, insn.rn, insn.rt, insn.rt2]).toEqual([set, 2, 4, second])
  expect([insn.elements, insn.elementSize, insn.registerSize]).toEqual([2, 4, 4])
})
