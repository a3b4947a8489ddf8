/** Flags of string comparisons in compiled code: only an element that is compared changes them. */
import { al, dl, eax, ebx, ecx, edi, edx, esi, r8, rax, rdx } from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { runBothWays } from '../support/both-ways.ts'

const test = sliceTests(3)

const DATA = 0x2_0000

const COMPARISONS: Readonly<Record<string, (asm: Assembler) => Assembler>> = {
  SCASB: (asm) => asm.scasb(),
  CMPSD: (asm) => asm.cmpsd(),
  'REPNE SCASB': (asm) => asm.repne().scasb(),
  'REPE CMPSB': (asm) => asm.repe().cmpsb(),
}
/** Operations whose flags are known to be of one kind. */
const BEFORE: Readonly<Record<string, (asm: Assembler) => Assembler>> = {
  ADD: (asm) => asm.add(edx, 0x7fff_fff0),
  CMP: (asm) => asm.cmp(edx, ebx),
  AND: (asm) => asm.and(edx, 0x8000_00ff | 0),
  SHL: (asm) => asm.shl(dl, 3),
}

describe.each(Object.entries(COMPARISONS))('%s', (_name, compare) => {
  test.each(Object.entries(BEFORE))('after %s, with no element and with some', (_before, operation) => {
    const [plain] = runBothWays({
      code: (asm) => {
        const again = asm.label()
        asm.mov(ebx, 120).bind(again)
        asm
          .mov(edi, DATA)
          .mov(esi, DATA + 64)
          .mov(edx, ebx)
          .mov(eax, ebx)
        asm.mov(ecx, ebx).and(ecx, 3)
        operation(asm)
        compare(asm)
        asm.setb(al).adc(r8, rax).pushfq().pop(rdx).add(r8, rdx).imul(r8, r8, 0x1357)
        asm.dec(ebx).jne(again).hlt()
      },
      prepare: (pc) => {
        for (let at = 0; at < 128; at += 8) pc.write64(DATA + at, BigInt(at % 64) * 0x0102_0304_0506n)
      },
    })
    expect(plain.register('r8')).not.toBe(0n)
  })
})
