/** Branches to addresses with a tag. */
import { describe, expect, test } from 'vitest'
import { exception } from './support/machine.ts'
import { atEl1, vectorOf } from './support/el1.ts'

const HVC = 0xd400_0002
const BR = 0xd61f_0000 // br x0
const ADR = 0x1000_0001 // adr x1, .
const RET = 0xd65f_0000 // ret x0
const TBI0 = 1n << 37n
const TBI1 = 1n << 38n
const TBID0 = 1n << 51n
const TAG = 0x5a00_0000_0000_0000n

/** Source: Arm ARM (DDI 0487), "AArch64.BranchAddr": the tag is no part of the program counter. */
describe('a tag', () => {
  test.each([
    ['BR', BR, false],
    ['RET', RET, false],
    ['BR, executed alone', BR, true],
  ])('is lost by %s', (_name, word, alone) => {
    const cpu = atEl1(word, 0, 0, 0, ADR, HVC)
    cpu.registers.set('tcr_el1', TBI0)
    cpu.registers.setX(0, TAG | 0x1010n)
    if (alone) {
      cpu.registers.set('oslsr_el1', 8n)
      cpu.registers.set('mdscr_el1', (1n << 15n) | (1n << 13n))
      cpu.registers.set('dbgbcr2_el1', 0x1e7n)
      cpu.registers.pstate = 5
    }
    expect(exception(cpu).syndrome).toBe(0x5a00_0000)
    expect(cpu.registers.x(1)).toBe(0x1010n)
    expect(cpu.registers.pc).toBe(0x1018n)
  })

  test('is lost before an interrupt', () => {
    // msr daifclr, #2 with an interrupt that comes with the branch: its target is what the exception returns to
    const cpu = atEl1(0xd503_42ff, BR, HVC)
    cpu.registers.set('tcr_el1', TBI0)
    cpu.registers.setX(0, TAG | 0x1008n)
    cpu.run(1)
    cpu.setIrq(true)
    vectorOf(cpu)
    expect(cpu.registers.get('elr_el1') >> 56n).toBe(0n)
  })

  test.each([
    ['without TCR_EL1.TBI0', 0n, TAG | 0x1010n],
    ['of data alone', TBI0 | TBID0, TAG | 0x1010n],
    ['of the upper range', TBI0, TAG | 0x80_0000_0000_1010n],
  ])('%s stays: nothing is there', (_name, control, target) => {
    const cpu = atEl1(BR, 0, 0, 0, HVC)
    cpu.registers.set('tcr_el1', control)
    cpu.registers.setX(0, target)
    expect(vectorOf(cpu)).toBe('+200')
    expect(cpu.registers.get('far_el1')).toBe(target)
  })

  test('of the upper range is replaced by bit 55', () => {
    const cpu = atEl1(BR, 0, 0, 0, HVC)
    cpu.registers.set('tcr_el1', TBI1)
    cpu.registers.setX(0, TAG | 0x80_0000_0000_1010n)
    expect(vectorOf(cpu)).toBe('+200')
    expect(cpu.registers.get('far_el1')).toBe(0xff80_0000_0000_1010n)
  })
})
