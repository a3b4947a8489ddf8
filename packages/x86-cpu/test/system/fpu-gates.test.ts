import { describe, expect, test } from 'vitest'
import { S_CR0, S_CR4, S_FSW } from '../../src/state-layout.ts'
import { BareCpu, CODE } from '../support/bare-cpu.ts'

const CR0_TS = 1 << 3
const CR4_OSXSAVE = 1 << 18
const UD = 6
const NM = 7
const GP = 13
const MF = 16

// All with the operand [FFF8h], which goes beyond the limit of a real-mode segment.
const FNSTENV = [0xd9, 0x36, 0xf8, 0xff]
const FLDENV = [0xd9, 0x26, 0xf8, 0xff]
const FNSAVE = [0xdd, 0x36, 0xf8, 0xff]
const FRSTOR = [0xdd, 0x26, 0xf8, 0xff]
const FXSAVE = [0x0f, 0xae, 0x06, 0xf8, 0xff]
const FXRSTOR = [0x0f, 0xae, 0x0e, 0xf8, 0xff]
const XSAVE = [0x0f, 0xae, 0x26, 0xf8, 0xff]
const XRSTOR = [0x0f, 0xae, 0x2e, 0xf8, 0xff]
const XSAVEOPT = [0x0f, 0xae, 0x36, 0xf8, 0xff]

interface Given {
  readonly cr0?: number
  readonly cr4?: number
  readonly fsw?: number
}

/** Vector of the exception that an instruction raises. */
function raised(code: readonly number[], { cr0 = 0, cr4 = CR4_OSXSAVE, fsw = 0 }: Given): number {
  const pc = new BareCpu({ mode: 'real' })
  const { u32 } = pc.cpu
  u32[S_CR0 >>> 2]! |= cr0 | 0x20
  u32[S_CR4 >>> 2]! |= cr4
  u32[S_FSW >>> 2] = fsw
  pc.cpu.modeChanged()
  for (const vector of [UD, NM, GP, MF]) {
    pc.vector(vector, 0x4000 + 0x10 * vector)
    pc.load(0x4000 + 0x10 * vector, [0xf4])
  }
  pc.load(CODE, [...code, 0xf4])
  expect(pc.run().reason).toBe('hlt')
  return (pc.rip - 0x4001) >> 4
}

describe('#UD, #NM and #MF come before faults of the operand (SDM vol. 3A, "Priority Among Concurrent Events")', () => {
  test.each([
    { name: 'FNSTENV', code: FNSTENV },
    { name: 'FLDENV', code: FLDENV },
    { name: 'FNSAVE', code: FNSAVE },
    { name: 'FRSTOR', code: FRSTOR },
    { name: 'FXSAVE', code: FXSAVE },
    { name: 'FXRSTOR', code: FXRSTOR },
    { name: 'XSAVE', code: XSAVE },
    { name: 'XRSTOR', code: XRSTOR },
    { name: 'XSAVEOPT', code: XSAVEOPT },
  ])('$name', ({ name, code }) => {
    expect(raised(code, {})).toBe(GP)
    expect(raised(code, { cr0: CR0_TS })).toBe(NM)
    expect(raised(code, { cr0: CR0_TS, cr4: 0 })).toBe(name.startsWith('X') ? UD : NM)
    expect(raised(code, { fsw: 0x8081 })).toBe(name === 'FLDENV' || name === 'FRSTOR' ? MF : GP)
  })
})
