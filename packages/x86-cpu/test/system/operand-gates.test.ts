import { describe, expect, test } from 'vitest'
import type { InitialCpuState } from '../../src/index.ts'
import { S_CR0, S_CR4, S_FSW } from '../../src/state/state-layout.ts'
import { BareCpu, CODE, GDT, IDT, STACK, TSS } from '../support/bare-cpu.ts'

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

describe('#UD outside protected mode comes before faults of the operand', () => {
  // With the operand [FFFFh], whose second byte is beyond the limit.
  test.each([
    { name: 'SLDT', code: [0x0f, 0x00, 0x06], vector: UD },
    { name: 'STR', code: [0x0f, 0x00, 0x0e], vector: UD },
    { name: 'LLDT', code: [0x0f, 0x00, 0x16], vector: UD },
    { name: 'LTR', code: [0x0f, 0x00, 0x1e], vector: UD },
    { name: 'VERR', code: [0x0f, 0x00, 0x26], vector: UD },
    { name: 'VERW', code: [0x0f, 0x00, 0x2e], vector: UD },
    { name: 'LAR', code: [0x0f, 0x02, 0x06], vector: UD },
    { name: 'LSL', code: [0x0f, 0x03, 0x06], vector: UD },
    { name: 'ARPL', code: [0x63, 0x06], vector: UD },
    // They exist in real mode.
    { name: 'LMSW', code: [0x0f, 0x01, 0x36], vector: GP },
    { name: 'LGDT', code: [0x0f, 0x01, 0x16], vector: GP },
  ])('$name', ({ code, vector }) => {
    expect(raised([...code, 0xff, 0xff], {})).toBe(vector)
  })
})

describe('privilege and CR4.UMIP come before faults of the operand, where the SDM leaves it open', () => {
  const CR4_UMIP = 1 << 11
  const SS_FAULT = 12
  // With the operand SS:[EBP], which is beyond the limit.
  test.each([
    { name: 'LGDT', code: [0x0f, 0x01, 0x55, 0x00] },
    { name: 'LIDT', code: [0x0f, 0x01, 0x5d, 0x00] },
    { name: 'LLDT', code: [0x0f, 0x00, 0x55, 0x00] },
    { name: 'LTR', code: [0x0f, 0x00, 0x5d, 0x00] },
    { name: 'LMSW', code: [0x0f, 0x01, 0x75, 0x00] },
    { name: 'INVLPG', code: [0x0f, 0x01, 0x7d, 0x00] },
    { name: 'INVPCID', code: [0x66, 0x0f, 0x38, 0x82, 0x45, 0x00] },
    { name: 'SGDT', code: [0x0f, 0x01, 0x45, 0x00] },
    { name: 'SIDT', code: [0x0f, 0x01, 0x4d, 0x00] },
    { name: 'SLDT', code: [0x0f, 0x00, 0x45, 0x00] },
    { name: 'STR', code: [0x0f, 0x00, 0x4d, 0x00] },
    { name: 'SMSW', code: [0x0f, 0x01, 0x65, 0x00] },
  ])('$name at level 3', ({ name, code }) => {
    const kernel = code[1] === 0x38 || !name.startsWith('S')
    expect(raisedAtLevel3(code, CR4_UMIP)).toBe(GP)
    expect(raisedAtLevel3(code, 0)).toBe(kernel ? GP : SS_FAULT)
  })

  /** Vector of the exception that an instruction of level 3 raises, whose stack segment has 1 MiB. */
  function raisedAtLevel3(code: readonly number[], cr4: number): number {
    const pc = new BareCpu({ mode: 'protected' })
    const data: InitialCpuState['segments']['ss'] = { selector: 0x23, base: 0, limit: 0xffff_ffff, attributes: 0xc0f3 }
    pc.cpu.load({
      registers: { rip: CODE, rsp: STACK, rbp: 0x10_0000, rflags: 2 },
      segments: {
        cs: { selector: 0x1b, base: 0, limit: 0xffff_ffff, attributes: 0xc0fb },
        ss: { ...data, limit: 0xf_ffff },
        ...{ ds: data, es: data, fs: data, gs: data },
        ldtr: { selector: 0, base: 0, limit: 0xffff, attributes: 0x82 },
        tr: { selector: 0x28, base: TSS, limit: 0x67, attributes: 0x8b },
      },
      gdtr: { base: GDT, limit: 0x37 },
      idtr: { base: IDT, limit: 0xff },
      ...{ cr0: 0x11, cr3: 0, cr4: 0x600 | cr4, efer: 0 },
    })
    pc.write64(GDT + 8, 0x00cf_9a00_0000_ffffn)
    pc.write64(GDT + 0x10, 0x00cf_9200_0000_ffffn)
    pc.write64(TSS, BigInt(STACK) << 32n)
    pc.write64(TSS + 8, 0x10n)
    for (const vector of [UD, SS_FAULT, GP]) {
      const handler = 0x4000 + 0x10 * vector
      pc.write64(IDT + 8 * vector, BigInt(handler) | (8n << 16n) | (0x8e00n << 32n))
      pc.load(handler, [0xf4])
    }
    pc.load(CODE, [...code])
    expect(pc.run().reason).toBe('hlt')
    return (pc.rip - 0x4001) >> 4
  }
})
