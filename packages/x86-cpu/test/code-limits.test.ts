/** The limit of CS holds for code that was executed before by another segment (SDM vol. 3A, "Limit Checking"). */
import { eax, far } from '@retrap/x86-assembler'
import type { Assembler, Label } from '@retrap/x86-assembler'
import { descriptor } from '@retrap/x86-assembler/guest-code'
import { describe, expect, test } from 'vitest'
import { X86CodeSpace } from '../src/access/code-space.ts'
import * as S from '../src/state/state-layout.ts'
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

describe('in the last page of a segment of 64 KiB', () => {
  const BASE = 0x2_0000
  /** A machine with that segment, whose faults of fetches end it. */
  const machine = (): BareCpu => {
    const pc = new BareCpu({ mode: 'protected' })
    pc.write64(GDT + FLAT_CODE, descriptor(0, 0xf_ffff, 0x9b, 0xc))
    pc.write64(GDT + DATA, descriptor(0, 0xf_ffff, 0x93, 0xc))
    pc.write64(GDT + SHORT, descriptor(BASE, 0xffff, 0x9b, 4))
    pc.write32(IDT + 8 * 13, HANDLER | (FLAT_CODE << 16))
    pc.write32(IDT + 8 * 13 + 4, 0x8e00)
    return pc
  }

  test.each([
    { what: 'ends with the segment', before: 5, result: PASSED },
    { what: 'reaches beyond the segment by a byte', before: 4, result: 0 },
  ])('an instruction that $what goes as the limit says', ({ before, result }) => {
    const pc = machine()
    // MOV EAX, imm32, of five bytes; what follows it lies beyond the limit.
    const at = BASE + 0x1_0000 - before
    pc.program((asm) => asm.mov(eax, PASSED), at)
    pc.program((asm) => asm.hlt(), HANDLER)
    pc.program((asm) => asm.jmpf(far(SHORT, 0x1_0000 - before)))
    expect(pc.run()).toEqual({ reason: 'hlt' })
    expect(pc.register('rax')).toBe(BigInt(result))
  })
})

describe('where instructions run among others', () => {
  const u32 = new Uint32Array(0x1000 >>> 2)
  const cs = (S.S_SEGMENTS + S.SEG_BYTES * S.CS) >>> 2
  const space = new X86CodeSpace(u32, {} as never, {} as never, {} as never, { hooks: null } as never)
  const segment = (base: number, limit: number): void => {
    u32[S.S_MODE >>> 2] = S.MODE_16
    u32[cs + (S.SEG_BASE >>> 2)] = base
    u32[cs + (S.SEG_LIMIT >>> 2)] = limit
  }

  test.each([
    { what: 'the last page of a segment', base: 0xf_0000, limit: 0xffff, lo: 0xf_f123, status: S.STATUS_DONE },
    {
      what: 'a page of which a byte is beyond the limit',
      base: 0xf_0000,
      limit: 0xfffe,
      lo: 0xf_f123,
      status: S.STATUS_STEP,
    },
    {
      what: 'a page that begins before the segment',
      base: 0xf_0010,
      limit: 0xffff,
      lo: 0xf_0020,
      status: S.STATUS_DONE,
    },
    {
      what: 'a page that begins before the segment and ends after it',
      base: 0xf_0010,
      limit: 0xfee,
      lo: 0xf_0020,
      status: S.STATUS_STEP,
    },
    { what: 'the last page of all', base: 0, limit: 0xffff_ffff, lo: 0xffff_f000, status: S.STATUS_STEP },
    { what: 'the last page but one of all', base: 0, limit: 0xffff_ffff, lo: 0xffff_e000, status: S.STATUS_DONE },
    { what: 'a segment of less than a page', base: 0x1000, limit: 0xffe, lo: 0x1000, status: S.STATUS_STEP },
  ])('$what', ({ base, limit, lo, status }) => {
    segment(base, limit)
    expect(space.check(lo, 0)).toBe(status)
  })

  test.each([
    { what: 'a page in the segment', base: 0xf_0000, limit: 0xffff, lo: 0xf_f123, mode: S.MODE_16 },
    { what: 'one that begins before it', base: 0xf_0010, limit: 0xffff, lo: 0xf_0020, mode: S.MODE_16_EDGE },
    { what: 'one that ends after it', base: 0xf_0000, limit: 0xfffe, lo: 0xf_f123, mode: S.MODE_16_EDGE },
    { what: 'one that 64 KiB end in', base: 0xf_0010, limit: 0xffff_ffff, lo: 0x10_0000, mode: S.MODE_16_EDGE },
    { what: 'one of 32-bit code', base: 0xf_0010, limit: 0xffff, lo: 0xf_0020, mode: S.MODE_32, code: S.MODE_32 },
  ])('the mode of $what', ({ base, limit, lo, mode, code = S.MODE_16 }) => {
    segment(base, limit)
    u32[S.S_MODE >>> 2] = code
    expect(space.modeAt(lo)).toBe(mode)
  })

  // 14 bytes of an instruction may lie on its second page.
  test.each([
    { limit: 0x100d, status: S.STATUS_DONE },
    { limit: 0x100c, status: S.STATUS_STEP },
    { limit: 5, status: S.STATUS_STEP },
  ])('an instruction that goes on at 1000h under the limit $limit', ({ limit, status }) => {
    segment(0x2_0000, limit)
    expect(space.checkSecondPage(0x2_1000)).toBe(status)
  })
})
