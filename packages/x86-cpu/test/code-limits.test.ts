/** The limit of CS holds for code that was executed before by another segment (SDM vol. 3A, "Limit Checking"). */
import { eax, far } from '@retrap/x86-assembler'
import type { Assembler, Label } from '@retrap/x86-assembler'
import { descriptor } from '@retrap/guest-code'
import { describe, expect, test } from 'vitest'
import { BareCpu, GDT, IDT } from './support/bare-cpu.ts'

const FLAT_CODE = 0x08
const DATA = 0x10
const SHORT = 0x18
const HANDLER = 0x5000
const PLACE = 0x1800
const FAULTED = 0xfa17
const PASSED = 0x1234

/** Far transfers to code of the other segment. */
const TRANSFERS: Readonly<Record<string, (asm: Assembler, target: Label) => void>> = {
  'a far jump': (asm, target) => asm.jmpf(far(SHORT, target)),
  'a far call': (asm, target) => asm.callf(far(SHORT, target)),
  'a far return': (asm, target) => asm.push(SHORT).push(target).retf(),
  IRET: (asm, target) => asm.pushfd().push(SHORT).push(target).iret(),
}

describe.each(Object.entries(TRANSFERS))('after %s into a segment', (_, transfer) => {
  test.each([
    ['whose limit is below the code', descriptor(0, PLACE - 1, 0x9b, 4), FAULTED],
    ['whose limit is within the instruction', descriptor(0, PLACE + 2, 0x9b, 4), FAULTED],
    ['whose limit is the last byte of the code', descriptor(0, PLACE + 5, 0x9b, 4), PASSED],
  ])('%s, a near jump there goes as the limit says', (_, other, result) => {
    const pc = new BareCpu({ mode: 'protected' })
    pc.write64(GDT + FLAT_CODE, descriptor(0, 0xf_ffff, 0x9b, 0xc))
    pc.write64(GDT + DATA, descriptor(0, 0xf_ffff, 0x93, 0xc))
    pc.write64(GDT + SHORT, other)
    pc.write32(IDT + 8 * 13, HANDLER | (FLAT_CODE << 16))
    pc.write32(IDT + 8 * 13 + 4, 0x8e00)
    pc.program((asm) => asm.mov(eax, FAULTED).hlt(), HANDLER)
    pc.program((asm) => {
      const [place, limited, end] = [asm.label('place'), asm.label('limited'), asm.label('end')]
      // By the flat segment, so that the page is known.
      asm.call(place)
      transfer(asm, limited)
      asm.bind(limited).mov(eax, 0).push(end).jmp(place).bind(end).hlt()
      asm.org(PLACE).bind(place).mov(eax, PASSED).ret()
    })
    expect(pc.run()).toEqual({ reason: 'hlt' })
    expect(pc.register('rax')).toBe(BigInt(result))
  })
})
