/** Which register number 31 is. Source: Arm ARM (DDI 0487), D1.2.1, "SP_EL0 and SP_ELx"; C5.2.19, "SPSel". */
import { describe, expect, test } from 'vitest'
import { readX, RegisterValue, writeX } from '../src/registers.ts'
import { createArmVcpu } from '../src/vcpu.ts'

describe('register 31', () => {
  // Bits 3:2 of PSTATE are the level, bit 0 is SPSel, which EL0 does not heed.
  test.each([
    { pstate: 0b0000, at: 0 },
    { pstate: 0b0001, at: 0 },
    { pstate: 0b0100, at: 0 },
    { pstate: 0b0101, at: 2 },
    { pstate: 0b1000, at: 0 },
    { pstate: 0b1001, at: 2 },
    { pstate: 0xf000_03c0 | 0b0101, at: 2 },
    { pstate: 0xf000_03c2, at: 0 },
  ])('as the stack pointer, PSTATE $pstate', ({ pstate, at }) => {
    const vcpu = createArmVcpu()
    vcpu.pstate = pstate
    vcpu.sp.set([1, 2, 3, 4])
    const value = new RegisterValue()
    readX(vcpu, 31, true, value)
    expect([value.lo, value.hi]).toEqual([at + 1, at + 2])
    writeX(vcpu, 31, true, 0xa, 0xb)
    expect([...vcpu.sp]).toEqual(at === 0 ? [0xa, 0xb, 3, 4] : [1, 2, 0xa, 0xb])
  })

  test('is zero elsewhere, and takes nothing', () => {
    const vcpu = createArmVcpu()
    vcpu.x.fill(7)
    vcpu.sp.fill(7)
    const value = new RegisterValue()
    readX(vcpu, 31, false, value)
    expect([value.lo, value.hi]).toEqual([0, 0])
    writeX(vcpu, 31, false, 1, 2)
    expect([...vcpu.x, ...vcpu.sp].every((word) => word === 7)).toBe(true)
    readX(vcpu, 30, true, value)
    expect([value.lo, value.hi]).toEqual([7, 7])
    writeX(vcpu, 30, true, 1, 2)
    expect([vcpu.x[60], vcpu.x[61], vcpu.x[59]]).toEqual([1, 2, 7])
  })
})
