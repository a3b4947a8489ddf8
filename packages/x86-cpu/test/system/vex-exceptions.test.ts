import { describe, expect, test } from 'vitest'
import { FLAG_VM, S_AVX_GATE, S_CR0, S_CR4, S_EFLAGS, S_VEX_GATE, S_XCR0 } from '../../src/state/state-layout.ts'
import { BareCpu, CODE } from '../support/bare-cpu.ts'

const CR0_EM = 1 << 2
const CR0_TS = 1 << 3
const CR4_OSFXSR = 1 << 9
const CR4_OSXSAVE = 1 << 18
const UD = 6
const NM = 7

/** vaddps ymm0, ymm0, ymm0 */
const VADDPS = [0xc5, 0xfc, 0x58, 0xc0]
/** vpgatherdd xmm0, [rbx + xmm1 * 4], xmm2 */
const VPGATHERDD = [0xc4, 0xe2, 0x69, 0x90, 0x04, 0x8b]
/** vmaskmovps xmm0, xmm2, [rbx] */
const VMASKMOVPS = [0xc4, 0xe2, 0x69, 0x2c, 0x03]
/** vmaskmovdqu xmm0, xmm2 */
const VMASKMOVDQU = [0xc5, 0xf9, 0xf7, 0xc2]
const VZEROUPPER = [0xc5, 0xf8, 0x77]
/** vldmxcsr [rbx] */
const VLDMXCSR = [0xc5, 0xf8, 0xae, 0x13]
/** andn eax, eax, eax */
const ANDN = [0xc4, 0xe2, 0x78, 0xf2, 0xc0]

/** Vector of the exception that code ends with, or -1. */
function run(pc: BareCpu, code: readonly number[]): number {
  for (const [i, vector] of [UD, NM, 13].entries()) {
    pc.vector(vector, 0x4000 + 0x10 * i)
    pc.load(0x4000 + 0x10 * i, [0xf4])
  }
  pc.load(CODE, [...code, 0xf4])
  expect(pc.run().reason).toBe('hlt')
  const ended = [UD, NM, 13].findIndex((_, i) => pc.rip === 0x4001 + 0x10 * i)
  return [UD, NM, 13][ended] ?? -1
}

describe('what VEX-encoded instructions need (SDM vol. 2A, "AVX and AVX2 Exceptions")', () => {
  test.each([
    { given: 'everything', cr0: 0, cr4: CR4_OSXSAVE, xcr0: 7, vector: -1 },
    { given: 'no CR4.OSFXSR', cr0: 0, cr4: CR4_OSXSAVE, xcr0: 7, without: CR4_OSFXSR, vector: -1 },
    { given: 'CR0.EM', cr0: CR0_EM, cr4: CR4_OSXSAVE, xcr0: 7, vector: -1 },
    { given: 'CR0.TS', cr0: CR0_TS, cr4: CR4_OSXSAVE, xcr0: 7, vector: NM },
    { given: 'no CR4.OSXSAVE', cr0: 0, cr4: 0, xcr0: 7, vector: UD },
    { given: 'no CR4.OSXSAVE, and CR0.TS', cr0: CR0_TS, cr4: 0, xcr0: 7, vector: UD },
    { given: 'SSE state only', cr0: 0, cr4: CR4_OSXSAVE, xcr0: 3, vector: UD },
    { given: 'x87 state only', cr0: 0, cr4: CR4_OSXSAVE, xcr0: 1, vector: UD },
  ])('$given', ({ cr0, cr4, xcr0, without = 0, vector }) => {
    for (const code of [VADDPS, VPGATHERDD, VMASKMOVPS, VMASKMOVDQU, VZEROUPPER, VLDMXCSR]) {
      const pc = new BareCpu()
      pc.cpu.u32[S_CR0 >>> 2]! |= cr0
      pc.cpu.u32[S_CR4 >>> 2] = ((pc.cpu.u32[S_CR4 >>> 2] as number) | cr4) & ~without
      pc.cpu.u32[S_XCR0 >>> 2] = xcr0
      pc.cpu.modeChanged()
      pc.setRegister('rbx', 0x9000)
      pc.setRegister('rdi', 0x9000)
      expect(run(pc, code)).toBe(vector)
    }
  })

  test('those on general registers need protected mode and nothing else', () => {
    const pc = new BareCpu()
    pc.cpu.u32[S_CR0 >>> 2]! |= CR0_EM | CR0_TS
    pc.cpu.modeChanged()
    expect(run(pc, ANDN)).toBe(-1)
  })

  test.each([
    { name: 'VADDPS', code: VADDPS },
    { name: 'ANDN', code: ANDN },
  ])('$name in real mode is undefined', ({ code }) => {
    const pc = new BareCpu({ mode: 'real' })
    pc.enableState(7)
    expect(run(pc, code)).toBe(UD)
  })

  test('so it is in virtual-8086 mode', () => {
    const pc = new BareCpu({ mode: 'protected' })
    const { cpu } = pc
    pc.enableState(7)
    expect([cpu.u32[S_AVX_GATE >>> 2], cpu.u32[S_VEX_GATE >>> 2]]).toEqual([0, 0])
    cpu.u32[S_EFLAGS >>> 2]! |= FLAG_VM
    cpu.modeChanged()
    expect([cpu.u32[S_AVX_GATE >>> 2], cpu.u32[S_VEX_GATE >>> 2]]).toEqual([UD, UD])
  })

  test.each([
    { xcr0: 7, vector: -1 },
    { xcr0: 3, vector: UD },
  ])('XSETBV of $xcr0 takes effect at once', ({ xcr0, vector }) => {
    const pc = new BareCpu()
    pc.enableState(10 - xcr0)
    pc.setRegister('rax', xcr0)
    expect(run(pc, [0x0f, 0x01, 0xd1, ...VADDPS])).toBe(vector)
  })
})
