/** Texts that a disassembler writes in more than one way; `soak` compares the others with LLVM's. */
import { expect, test } from 'vitest'
import { decodeLoadStoreA64, formatLoadStore, LoadStore } from '../src/index.ts'

test.each([
  [0x1800_0000, 'ldr w0, .+0'],
  [0x1800_0021, 'ldr w1, .+4'],
  [0x58ff_ffe2, 'ldr x2, .-4'],
  [0x5800_0802, 'ldr x2, .+256'],
  [0x587f_ffe3, 'ldr x3, .+1048572'],
  [0x5880_0003, 'ldr x3, .-1048576'],
])('a literal load %i is %s', (word, text) => {
  const insn = new LoadStore()
  decodeLoadStoreA64(word, insn)
  expect(formatLoadStore(insn)).toBe(text)
})
