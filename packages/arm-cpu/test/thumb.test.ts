/** Thumb code at EL0: single instructions against QEMU, and what a comparison cannot see. */
import { words } from '@retrap/tooling/random'
import { ARM, hasMachine } from '@retrap/tooling/arm-native'
import { skipNote } from '@retrap/tooling/skip'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import type { ArmCpu } from '../src/index.ts'
import { compareA32, comparedThumbRows } from './support/compare-a32.ts'
import { compareVfp, comparedVfpRows } from './support/compare-vfp.ts'
import { atEl1With, vectorOf } from './support/el1.ts'
import { CODE, exception, machine } from './support/machine.ts'

const SEED = slicedSeed(20_261_123)
/** Of each form. */
const CASES = slicedCount(12, 3)
/** The same of A32's vectors is a test of its own: these are the same forms. */
const VECTOR_CASES = 4
const there = hasMachine(ARM)
/** PSTATE of user mode, with Thumb code. */
const THUMB = 0x30

test.skipIf(!there)(
  `Thumb does what QEMU's processor does, in IT blocks too${skipNote(there, 'no cross compiler or no qemu-user')}`,
  { timeout: 60_000 },
  () => {
    const { cases, differences } = compareA32(comparedThumbRows(), CASES, words(SEED))
    expect(differences, SLICE_REPEAT).toEqual([])
    expect(cases).toBe(CASES * comparedThumbRows().length)
  },
)

test.skipIf(!there)(
  `VFP and Advanced SIMD of T32 do what QEMU's processor does${skipNote(there, 'no cross compiler or no qemu-user')}`,
  { timeout: 60_000 },
  () => {
    const rows = comparedVfpRows()
    const { cases, differences } = compareVfp(rows, VECTOR_CASES, words(SEED), true)
    expect(differences, SLICE_REPEAT).toEqual([])
    expect(cases).toBe(VECTOR_CASES * rows.length)
  },
)

/** Halfwords in memory. */
const bytesOf = (halfwords: readonly number[]): Uint8Array => new Uint8Array(Uint16Array.from(halfwords).buffer)

/** A processor in user mode with Thumb code, of halfwords. */
function thumb(...halfwords: number[]): ReturnType<typeof machine> & { cpu: ArmCpu } {
  const made = machine()
  made.host.load(CODE, bytesOf(halfwords))
  made.cpu.registers.pstate = THUMB
  return made
}

/** The number of the SVC that ends a program. */
function ends(cpu: ArmCpu): number {
  const { syndrome } = exception(cpu)
  expect(syndrome >>> 26).toBe(0x11)
  return syndrome & 0xffff
}

describe('control', () => {
  test('BLX calls A32 code, which comes back by BX', () => {
    // movs r0, #5; blx A32; adds r0, #1; svc 7; nop; A32: add r0, r0, #16; bx lr
    const { cpu } = thumb(0x2005, 0xf000, 0xe804, 0x3001, 0xdf07, 0xbf00, 0x0010, 0xe280, 0xff1e, 0xe12f)
    // The instruction has 16 bits.
    expect(exception(cpu).syndrome).toBe(0x4400_0007)
    expect(cpu.registers.x(0)).toBe(22n)
    expect(cpu.registers.x(14)).toBe(BigInt(CODE + 7))
    expect(cpu.registers.pc).toBe(BigInt(CODE + 10))
    expect(cpu.registers.pstate).toBe(THUMB)
  })

  test.each([0, 1])('TBB goes on behind its table: %i', (index) => {
    // tbb [pc, r0]; 2, 4; svc 1; svc 2; svc 3
    const { cpu } = thumb(0xe8df, 0xf000, 0x0201, 0xdf01, 0xdf02, 0xdf03)
    cpu.registers.setX(0, BigInt(index))
    expect(ends(cpu)).toBe(index + 1)
  })

  test('TBH has halfwords', () => {
    // tbh [r0, r1, lsl #1]; svc 1; svc 2
    const { cpu, host } = thumb(0xe8d0, 0xf011, 0xdf01, 0xdf02)
    host.load(0x3000, bytesOf([0, 0, 1]))
    cpu.registers.setX(0, 0x3000n)
    cpu.registers.setX(1, 2n)
    expect(ends(cpu)).toBe(2)
  })

  test('CBZ and CBNZ', () => {
    // cbz r0, .+4; svc 1; cbnz r1, .+4; svc 2; svc 3
    const program = [0xb100, 0xdf01, 0xb901, 0xdf02, 0xdf03]
    const { cpu } = thumb(...program)
    cpu.registers.setX(1, 1n)
    expect(ends(cpu)).toBe(3)
    expect(ends(thumb(...program).cpu)).toBe(2)
  })

  test('POP and LDR into PC, and BX, go to A32 where bit 0 is clear', () => {
    // push {r0, lr}; pop {r1, pc}; at 0x2000 A32: svc 5
    for (const program of [[0xb501, 0xbd02], [0xf8d2, 0xf000], [0x4770]]) {
      const { cpu, host } = thumb(...program)
      host.load(0x2000, new Uint8Array(Uint32Array.of(0xef00_0005).buffer))
      host.load(0x3000, new Uint8Array(Uint32Array.of(0x2000).buffer))
      cpu.registers.setX(2, 0x3000n)
      cpu.registers.setX(13, 0x8000n)
      cpu.registers.setX(14, 0x2000n)
      expect(exception(cpu).syndrome).toBe(0x4600_0005)
      expect(cpu.registers.pstate).toBe(0x10)
    }
  })

  test('a conditional branch that ends an IT block ends it', () => {
    // it eq; beq.w .+6; svc 1; nop; svc 2
    const program = [0xbf08, 0xf000, 0xb801, 0xdf01, 0xbf00, 0xdf02]
    const { cpu } = thumb(...program)
    cpu.registers.nzcv = 0x4000_0000
    expect(ends(cpu)).toBe(2)
    expect(ends(thumb(...program).cpu)).toBe(1)
  })

  test('branches of T16 and T32 have conditions of their own, back too', () => {
    // b .+6; svc 1; svc 2; bne .-2; svc 3
    const { cpu } = thumb(0xe001, 0xdf01, 0xdf02, 0xd1fd, 0xdf03)
    expect(ends(cpu)).toBe(2)
    // bne.w .+6, not taken; svc 3
    const wide = thumb(0xf040, 0x8001, 0xdf03, 0xdf04)
    wide.cpu.registers.nzcv = 0x4000_0000
    expect(ends(wide.cpu)).toBe(3)
  })

  test('the program counter is 4 further on; literals are from a multiple of 4', () => {
    // nop; adr r0, .+10; ldr r1, the same; add r2, pc, #4; mov r3, pc; svc 0; .word
    const { cpu } = thumb(0xbf00, 0xa002, 0x4901, 0xa201, 0x467b, 0xdf00, 0x5678, 0x1234)
    expect(ends(cpu)).toBe(0)
    const base = BigInt(CODE)
    expect([0, 1, 2, 3].map((i) => cpu.registers.x(i))).toEqual([base + 12n, 0x1234_5678n, base + 12n, base + 12n])
  })
})

test('a literal of VFP is from a multiple of 4', () => {
  // nop; vldr d0, [pc, #4]; svc 0
  const { cpu } = thumb(0xbf00, 0xed9f, 0x0b01, 0xdf00, 0x1111, 0x2222, 0x3333, 0x4444)
  expect(ends(cpu)).toBe(0)
  expect(cpu.registers.v(0)).toBe(0x4444_3333_2222_1111n)
})

describe('IT blocks and exceptions', () => {
  // itt ne; movne r0, #1; svcne 9; svc 8
  test('a system call in a block leaves with the rest of ITSTATE', () => {
    const { cpu } = thumb(0xbf1c, 0x2001, 0xdf09, 0xdf08)
    expect(ends(cpu)).toBe(9)
    expect(cpu.registers.pstate).toBe(THUMB)
    expect(cpu.registers.x(0)).toBe(1n)
  })

  test('one whose condition does not hold is none', () => {
    const { cpu } = thumb(0xbf1c, 0x2001, 0xdf09, 0xdf08)
    cpu.registers.nzcv = 0x4000_0000
    expect(ends(cpu)).toBe(8)
    expect(cpu.registers.x(0)).toBe(0n)
  })

  test('a fault leaves ITSTATE as it is for the instruction, which goes on from there', () => {
    // ite ne; ldrne r1, [r2]; moveq r3, #1; adds r4, r4, #1; svc 1
    const { cpu } = thumb(0xbf14, 0x6811, 0x2301, 0x3401, 0xdf01)
    cpu.registers.setX(2, 0x10_0000n)
    expect(exception(cpu).address).toBe(0x10_0000n)
    // IT is 0b0001_0100: its bits 7 to 2 and 1 to 0.
    expect(cpu.registers.pstate).toBe(THUMB | (5 << 10))
    expect(cpu.registers.pc).toBe(BigInt(CODE + 2))
    cpu.registers.setX(2, 0x3000n)
    expect(ends(cpu)).toBe(1)
    expect(cpu.registers.x(3)).toBe(0n)
    expect(cpu.registers.nzcv).toBe(0)
  })

  test('PSTATE with ITSTATE makes the next instruction conditional', () => {
    // What follows ITE EQ: moveq r0, #1; movne r1, #2; svc 0
    const { cpu } = thumb(0x2001, 0x2102, 0xdf00)
    cpu.registers.pstate = THUMB | (3 << 10)
    expect(ends(cpu)).toBe(0)
    expect([0, 1].map((i) => cpu.registers.x(i))).toEqual([0n, 2n])
  })

  test('an undefined instruction, BKPT and the lengths of what is trapped', () => {
    expect(exception(thumb(0xde01).cpu).syndrome).toBe(0x0200_0000)
    expect(exception(thumb(0xbe42).cpu).syndrome).toBe(0xe000_0042)
    // bkpt of A32: #0x1234
    const { cpu } = machine(0xe121_2374)
    cpu.registers.pstate = 0x10
    expect(exception(cpu).syndrome).toBe(0xe200_1234)
  })
})

describe('pages', () => {
  test('an instruction in two pages, and the abort of its second half', () => {
    // nop; movw r0, #0x1234 over the end of the page; svc 0
    const { cpu, host } = thumb()
    host.load(0x2ffc, bytesOf([0xbf00, 0xf241, 0x2034, 0xdf00]))
    cpu.registers.pc = 0x2ffcn
    expect(ends(cpu)).toBe(0)
    expect(cpu.registers.x(0)).toBe(0x1234n)
    host.load(0xfffe, bytesOf([0xf241]))
    cpu.registers.pc = 0xfffen
    const { syndrome, address } = exception(cpu)
    expect(syndrome >>> 26).toBe(0x20)
    expect(address).toBe(0x1_0000n)
    expect(cpu.registers.pc).toBe(0xfffen)
  })

  test('code goes on in the next page', () => {
    const { cpu, host } = thumb()
    host.load(0x2ffe, bytesOf([0x2007, 0xdf03]))
    cpu.registers.pc = 0x2ffen
    expect(ends(cpu)).toBe(3)
    expect(cpu.registers.x(0)).toBe(7n)
  })

  test('a write of one byte of an instruction ends what it was', () => {
    // strb r1, [r2]; movs r0, #1; svc 0: the 1 becomes 9.
    const { cpu } = thumb(0x7011, 0x2001, 0xdf00)
    for (const value of [1n, 9n]) {
      cpu.registers.pc = BigInt(CODE)
      cpu.registers.setX(1, value)
      cpu.registers.setX(2, BigInt(CODE + 2))
      expect(ends(cpu)).toBe(0)
      expect(cpu.registers.x(0)).toBe(value)
    }
  })

  test('one that is in two pages, too', () => {
    // movw r0, #n in two pages: its first byte is written.
    const { cpu, host } = thumb()
    for (const immediate of [0x34, 0x35]) {
      host.load(0x2ffe, bytesOf([0xf241, 0x2000 | immediate, 0xdf00]))
      cpu.registers.pc = 0x2ffen
      expect(ends(cpu)).toBe(0)
      expect(cpu.registers.x(0)).toBe(BigInt(0x1200 | immediate))
    }
  })
})

describe('under EL1 in AArch64', () => {
  const ERET = 0xd69f_03e0

  /** EL0 in AArch32, to which an ERET has led. */
  function below(spsr: number, ...halfwords: number[]): ReturnType<typeof machine> {
    const made = atEl1With(ERET)
    made.host.load(0x2000, bytesOf(halfwords))
    made.cpu.registers.set('elr_el1', 0x2000n)
    made.cpu.registers.set('spsr_el1', BigInt(spsr >>> 0))
    return made
  }

  test.each([
    ['svc 7 of Thumb', THUMB, [0xdf07], 0x4400_0007, 2],
    ['svc 7 of A32', 0x10, [0x0007, 0xef00], 0x4600_0007, 4],
    ['udf', THUMB, [0xde01], 0x0200_0000, 0],
    ['bkpt', THUMB, [0xbe42], 0xe000_0042, 0],
    // An access that is not aligned: ldrd r0, r1, [r2].
    ['ldrd', THUMB, [0xe9d2, 0x0100], 0x9200_0021, 0],
    // mrrc p15, 1, r0, r1, c14; mrc p15, 0, r0, c14, c0, 0; mrc p14, 0, r0, c0, c1, 0: CNTKCTL_EL1 and MDSCR_EL1 trap.
    ['CNTVCT', THUMB, [0xec51, 0x0f1e], 0x13e1_041d, 0],
    ['CNTFRQ', THUMB, [0xee1e, 0x0f10], 0x0fe0_3801, 0],
    ['DBGDSCRint', THUMB, [0xee10, 0x0e11], 0x17e0_0003, 0],
    // mcr p15, 0, r0, c7, c10, 5: SCTLR_EL1.CP15BEN is clear.
    ['DMB by MCR', THUMB, [0xee07, 0x0fba], 0x0200_0000, 0],
    // WFI: SCTLR_EL1.nTWI is clear.
    ['wfi', THUMB, [0xbf30], 0x05e0_0000, 0],
    ['wfi of 32 bits', THUMB, [0xf3af, 0x8003], 0x07e0_0000, 0],
    ['setend', THUMB, [0xb658], 0x0200_0000, 0],
  ])('%s is taken with its syndrome', (_name, spsr, halfwords, syndrome, behind) => {
    const { cpu } = below(spsr, ...halfwords)
    const { registers } = cpu
    registers.setX(2, 0x8002n)
    registers.set('mdscr_el1', 1n << 12n)
    registers.set('sctlr_el1', (registers.get('sctlr_el1') & ~(1n << 5n)) | (1n << 8n))
    expect(vectorOf(cpu)).toBe('+600')
    expect(registers.get('esr_el1')).toBe(BigInt(syndrome >>> 0))
    expect(registers.get('elr_el1')).toBe(BigInt(0x2000 + behind))
    expect(registers.get('spsr_el1')).toBe(BigInt(spsr))
    expect(registers.pstate & 0x1f).toBe(5)
  })

  test('VFP is trapped where CPACR_EL1 says so', () => {
    // vadd.f32 s0, s0, s1
    const { cpu } = below(THUMB, 0xee30, 0x0a20)
    cpu.registers.set('cpacr_el1', 0n)
    expect(vectorOf(cpu)).toBe('+600')
    expect(cpu.registers.get('esr_el1')).toBe(0x1fe0_0000n)
    expect(cpu.registers.get('elr_el1')).toBe(0x2000n)
  })

  test('the counter and the barriers are read and made where EL1 admits it', () => {
    // mcr p15, 0, r0, c7, c10, 5; setend be; mrc p14, 0, r0, c0, c1, 0; svc 0
    const { cpu } = below(THUMB, 0xee07, 0x0fba, 0xb658, 0xee10, 0x0e11, 0xdf00)
    cpu.registers.set('sctlr_el1', (cpu.registers.get('sctlr_el1') | (1n << 5n)) & ~(1n << 8n))
    expect(vectorOf(cpu)).toBe('+600')
    expect(cpu.registers.get('esr_el1')).toBe(0x4400_0000n)
  })

  test('an interrupt in an IT block is taken with ITSTATE, and the return goes on in the block', () => {
    // ite eq; nop; nop; b .: interrupted at once
    const spsr = THUMB | 0x8000_0000 | (3 << 10)
    const { cpu } = below(spsr, 0x2001, 0x2002, 0xe7fe)
    cpu.setIrq(true)
    expect(vectorOf(cpu)).toBe('+680')
    expect(cpu.registers.get('spsr_el1')).toBe(BigInt(spsr >>> 0))
    expect(cpu.registers.get('elr_el1')).toBe(0x2000n)
  })

  test.each([
    ['all fields', 0xf97f_01f0, 0xf96f_01f0],
    ['ITSTATE of A32 code is none', 0x0600_fc10, 0x10],
    ['a reserved ITSTATE is none', 0x0000_4030, 0x30],
    ['E is not there', 0x0000_0210, 0x10],
  ])('the return restores PSTATE: %s', (_name, spsr, status) => {
    const { cpu } = below(spsr & ~(1 << 20), ...((spsr & 0x20) === 0 ? [0, 0xef00] : [0xdf00]))
    vectorOf(cpu)
    expect((Number(cpu.registers.get('spsr_el1')) & ~(1 << 21)) >>> 0).toBe((status & ~(1 << 21)) >>> 0)
  })

  test.each([0x11, 0x13, 0x1f])('a return to another mode of AArch32, %i, is illegal', (mode) => {
    const { cpu } = below(mode, 0xdf00)
    expect(vectorOf(cpu)).toBe('+200')
    expect(cpu.registers.get('esr_el1')).toBe(0x3a00_0000n)
    expect(cpu.registers.get('elr_el1')).toBe(0x2000n)
  })
})
