/** VFP and Advanced SIMD of A32: single instructions against QEMU, and what a comparison cannot see. */
import { a32Forms } from '@retrap/arm-decoder'
import { words } from '@retrap/tooling/random'
import { ARM, hasMachine } from '@retrap/tooling/arm-native'
import { skipNote } from '@retrap/tooling/skip'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { a32SemanticsOf } from '../src/semantics/aarch32/forms.ts'
import type { ArmCpu } from '../src/index.ts'
import { isVectorRow } from './support/compare-a32.ts'
import { compareVfp, comparedVfpRows } from './support/compare-vfp.ts'
import { CODE, exception, machine } from './support/machine.ts'

const SEED = slicedSeed(20_261_122)
/** Of each form. */
const CASES = slicedCount(12, 3)
const there = hasMachine(ARM)
const USER = 0x10
const SVC = 0xef00_0000
/** The end of RAM. */
const END = 0x1_0000n

test.skipIf(!there)(
  `VFP and Advanced SIMD do what QEMU's processor does${skipNote(there, 'no cross compiler or no qemu-user')}`,
  { timeout: 60_000 },
  () => {
    const rows = comparedVfpRows()
    const { cases, differences } = compareVfp(rows, CASES, words(SEED))
    expect(differences, SLICE_REPEAT).toEqual([])
    // Few words of some rows name registers that are there.
    expect(cases).toBeGreaterThan(CASES * rows.length - 20)
  },
)

test('what is absent is BFloat16 and the products of integer matrices', () => {
  const absent = a32Forms().filter((row) => isVectorRow(row) && a32SemanticsOf(row) === undefined)
  expect(new Set(absent.map(({ feature }) => feature))).toEqual(new Set(['AA32BF16', 'AA32I8MM']))
})

/** A processor in user mode, whose vector registers are numbered bytes. */
function a32Machine(...program: number[]): ReturnType<typeof machine> {
  const made = machine(...program, SVC)
  const { registers } = made.cpu
  registers.pstate = USER
  for (let i = 0; i < 32; i++) registers.setV(i, BigInt(i + 1) * 0x01010101_01010101_01010101_01010101n)
  return made
}

const a32 = (...program: number[]): ArmCpu => a32Machine(...program).cpu

/** The vector registers, and R0. */
const stateOf = ({ registers }: ArmCpu): bigint[] => [
  registers.x(0),
  ...Array.from({ length: 32 }, (_, i) => registers.v(i)),
]

describe('an access that aborts has changed nothing', () => {
  test.each([
    // vldmia r0!, {d0-d15}; vldmia r0!, {s0-s31}
    ['VLDM of doubles', 0xecb0_0b20, 120n],
    ['VLDM of singles', 0xecb0_0a20, 124n],
    ['VLDR', 0xed90_0b00, 4n],
    // vld4.8 {d0-d3}, [r0]!; vld2.16 {d0[1], d1[1]}, [r0]!; vld3.32 {d0[], d1[], d2[]}, [r0]!
    ['VLD4', 0xf420_000d, 28n],
    ['VLD2 of a lane', 0xf4a0_054d, 2n],
    ['VLD3 to all lanes', 0xf4a0_0e8d, 8n],
    // vstmia r0!, {d0-d15}; vst4.8 {d0-d3}, [r0]!
    ['VSTM', 0xeca0_0b20, 120n],
    ['VST4', 0xf400_000d, 28n],
  ])('%s', (_name, word, before) => {
    const { cpu, host } = a32Machine(word)
    cpu.registers.setX(0, END - before)
    const state = stateOf(cpu)
    const { syndrome, address } = exception(cpu)
    expect(syndrome >>> 26).toBe(0x24)
    expect(address).toBe(END)
    expect(stateOf(cpu)).toEqual(state)
    expect(cpu.memory.read(host.ramAddress(Number(END) - 128), 128)).toEqual(new Uint8Array(128))
  })

  test('a store to two pages, the second of which is read-only, has stored nothing', () => {
    // vstmia r0, {d0-d15}; vst4.8 {d0-d3}, [r0]
    for (const word of [0xec80_0b20, 0xf400_000f]) {
      const { cpu, host } = a32Machine(word)
      host.readOnly = 9
      cpu.registers.setX(0, 0x8ff0n)
      expect(exception(cpu).address).toBe(0x9000n)
      expect(cpu.memory.read(host.ramAddress(0x8ff0), 16)).toEqual(new Uint8Array(16))
    }
  })
})

/** Source: Arm ARM (DDI 0487) E2.5.1, "Alignment": VLDR and VLDM need words, VLD1 what its operand says. */
describe('alignment', () => {
  test.each([
    ['vldr d0, [r0]', 0xed90_0b00, 2n, 0x21],
    ['vldr s0, [r0]', 0xed90_0a00, 2n, 0x21],
    ['vldr.16 s0, [r0]', 0xed90_0900, 1n, 0x21],
    ['vstr d0, [r0]', 0xed80_0b00, 2n, 0x61],
    ['vldmia r0, {d0, d1}', 0xec90_0b04, 1n, 0x21],
    ['vld1.8 {d0}, [r0:64]', 0xf420_071f, 4n, 0x21],
    ['vld1.8 {d0-d3}, [r0:256]', 0xf420_023f, 16n, 0x21],
    ['vst1.32 {d0, d1}, [r0:128]', 0xf400_0aaf, 8n, 0x61],
    ['vld4.32 {d0[0]-d3[0]}, [r0:128]', 0xf4a0_0b2f, 8n, 0x21],
    ['vld1.32 {d0[]}, [r0:32]', 0xf4a0_0c9f, 2n, 0x21],
  ])('%s aborts', (_name, word, offset, status) => {
    const cpu = a32(word)
    cpu.registers.setX(0, 0x8000n + offset)
    const { syndrome, address } = exception(cpu)
    expect(syndrome & 0x7f).toBe(status)
    expect(address).toBe(0x8000n + offset)
  })

  test.each([
    ['vldr d0, [r0]', 0xed90_0b00, 4n],
    ['vld1.64 {d0, d1}, [r0]', 0xf420_0acf, 1n],
    ['vst1.64 {d0-d3}, [r0:64]', 0xf400_02df, 8n],
  ])('%s does not', (_name, word, offset) => {
    const cpu = a32(word)
    cpu.registers.setX(0, 0x8000n + offset)
    expect(exception(cpu).syndrome).toBe(0x4600_0000)
  })
})

test('VLDR of what lies beside the code', () => {
  // vldr d1, [pc, #-8]: itself and the instruction after it
  const cpu = a32(0xed1f_1b02)
  exception(cpu)
  expect(cpu.registers.v(0) >> 64n).toBe((BigInt(SVC) << 32n) | 0xed1f_1b02n)
})

test('an instruction whose condition does not hold does nothing', () => {
  // vaddeq.f64 d0, d1, d2; vldrne d3, [r1]
  const cpu = a32(0x0e31_0b02, 0x1d91_3b00)
  const state = stateOf(cpu)
  cpu.registers.nzcv = 0
  cpu.registers.setX(1, 0x8000n)
  exception(cpu)
  expect(cpu.registers.v(1)).toBe(0x0202_0202_0202_0202n)
  expect(stateOf(cpu).filter((_, i) => i !== 2)).toEqual(state.filter((_, i) => i !== 2))
})

test('of the registers of VMRS and VMSR EL0 has FPSCR alone', () => {
  // vmrs r1, fpexc; vmrs r1, mvfr0; vmsr fpexc, r1
  for (const word of [0xeef8_1a10, 0xeef7_1a10, 0xeee8_1a10]) {
    const cpu = a32(word)
    expect(exception(cpu).syndrome).toBe(0x0200_0000)
    expect(cpu.registers.pc).toBe(BigInt(CODE))
  }
})

/** Source: Arm ARM (DDI 0487), CPTR_EL2.TFP; ISS of exceptions from an access to SIMD or floating point. */
test('EL2 traps them; what is no instruction of theirs goes on', () => {
  // add r1, r1, #1; vldr d0, [r0] with an address that would abort
  const cpu = a32(0xe281_1001, 0xed90_0b00)
  cpu.registers.set('cptr_el2', 1n << 10n)
  cpu.registers.setX(0, 2n)
  expect(exception(cpu).syndrome).toBe(0x1fe0_0000)
  expect(cpu.registers.pc).toBe(BigInt(CODE + 4))
  expect(cpu.registers.x(1)).toBe(1n)
  cpu.registers.set('cptr_el2', 0n)
  cpu.registers.setX(0, 0x8000n)
  expect(exception(cpu).syndrome).toBe(0x4600_0000)
})

test('they are executed alone too, while a breakpoint is looked for', () => {
  // vadd.i8 d0, d2, d4; svc
  const cpu = a32(0xf202_0804)
  cpu.registers.set('oslsr_el1', 8n)
  cpu.registers.set('mdscr_el1', 1n << 15n)
  cpu.registers.set('dbgbvr2_el1', 0x2000n)
  cpu.registers.set('dbgbcr2_el1', 0x1e7n)
  expect(exception(cpu).syndrome).toBe(0x4600_0000)
  expect(cpu.registers.v(0)).toBe(0x01010101_01010101_05050505_05050505n)
})

/** FPSCR: "AHP, DN, FZ, RMode, FZ16, QC, the flags"; Stride, Len and the trap enables are zero. */
test('FPSCR is FPCR and FPSR', () => {
  // vmsr fpscr, r0; vmrs r1, fpscr; vmrs apsr_nzcv, fpscr
  const cpu = a32(0xeee1_0a10, 0xeef1_1a10, 0xeef1_fa10)
  cpu.registers.setX(0, 0xffff_ffffn)
  exception(cpu)
  expect(cpu.registers.x(1)).toBe(0xffc8_009fn)
  expect([cpu.registers.fpcr, cpu.registers.fpsr, cpu.registers.nzcv]).toEqual([0x07c8_0000, 0xf800_009f, 0xf000_0000])
})

test('VCMP writes the flags of FPSCR, and leaves those of the processor', () => {
  // vcmp.f32 s0, s0; vjcvt.s32.f64 s0, d2
  for (const word of [0xeeb4_0a40, 0xeeb9_0bc2]) {
    const cpu = a32(word)
    cpu.registers.nzcv = 0x9000_0000
    exception(cpu)
    expect(cpu.registers.nzcv).toBe(0x9000_0000)
    expect(cpu.registers.fpsr >>> 28).toBe(word === 0xeeb4_0a40 ? 6 : 0)
  }
})

/** VJCVT: "FPSCR.<N,Z,C,V> = '0':Z:'00'", where Z is zero of what was cut off. QEMU 7.2 has it one where a denormal was flushed. */
test('VJCVT of a denormal number that is flushed', () => {
  // vjcvt.s32.f64 s0, d2
  const cpu = a32(0xeeb9_0bc2)
  cpu.registers.fpcr = 1 << 24
  cpu.registers.setV(1, 1n)
  exception(cpu)
  expect(cpu.registers.fpsr).toBe(0x80)
  expect(cpu.registers.v(0) & 0xffff_ffffn).toBe(0n)
})
