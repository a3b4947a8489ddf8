import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { BareCpu, CODE, initialState } from './support/bare-cpu.ts'

const test = sliceTests(3)

const PDPT = 0x30_1000
const DIRECTORY = 0x30_8000
const TABLE = 0x30_9000
const LAST_PAGE = 0x2_0000
const COMPATIBILITY_CODE = 0xc09b

/** IA-32e mode with 32-bit code, whose last page below 4 GiB lies at LAST_PAGE; nothing is mapped from 4 GiB on. */
function compatibility(): BareCpu {
  const pc = new BareCpu()
  pc.write64(PDPT + 8 * 3, BigInt(DIRECTORY | 7))
  pc.write64(DIRECTORY + 8 * 511, BigInt(TABLE | 7))
  pc.write64(TABLE + 8 * 511, BigInt(LAST_PAGE | 7))
  const state = initialState('long')
  pc.cpu.load({
    ...state,
    segments: { ...state.segments, cs: { selector: 8, base: 0, limit: 0xffff_ffff, attributes: COMPATIBILITY_CODE } },
  })
  return pc
}

describe('addresses of 32-bit code wrap at 4 GiB (SDM vol. 1, "Flat and segmented addressing"; 32-bit linear addresses)', () => {
  test('a load', () => {
    const pc = compatibility()
    pc.load(LAST_PAGE + 0xffe, [0x11, 0x22])
    pc.load(0, [0x33, 0x44])
    // mov eax, [0fffffffeh]; hlt
    pc.load(CODE, [0xa1, 0xfe, 0xff, 0xff, 0xff, 0xf4])
    expect(pc.run().reason).toBe('hlt')
    expect(pc.register('rax')).toBe(0x4433_2211n)
  })

  test('a store', () => {
    const pc = compatibility()
    // mov [0ffffffffh], eax; hlt
    pc.load(CODE, [0xa3, 0xff, 0xff, 0xff, 0xff, 0xf4])
    pc.setRegister('rax', 0x8877_6655)
    expect(pc.run().reason).toBe('hlt')
    expect([pc.read8(LAST_PAGE + 0xfff), pc.read8(0), pc.read8(1), pc.read8(2)]).toEqual([0x55, 0x66, 0x77, 0x88])
  })
})

test.each([
  { at: 0xffff_fff6, below: [0x34, 0x12], above: [] },
  { at: 0xffff_fffe, below: [0x34, 0x12], above: [0x55, 0x66, 0x77] },
  { at: 0xffff_fffd, below: [0x34, 0x12, 0x55], above: [0x66, 0x77] },
])('64-bit code: the parts of an operand at $at lie on both sides of 4 GiB', ({ at, below, above }) => {
  const pc = new BareCpu()
  pc.write64(PDPT + 8 * 3, BigInt(DIRECTORY | 7))
  pc.write64(DIRECTORY + 8 * 511, BigInt(TABLE | 7))
  pc.write64(TABLE + 8 * 511, BigInt(LAST_PAGE | 7))
  const above4G = 0x2_1000
  pc.write64(PDPT + 8 * 4, BigInt(0x30_a007))
  pc.write64(0x30_a000, BigInt(0x30_b007))
  pc.write64(0x30_b000, BigInt(above4G | 7))
  const state = initialState('long')
  pc.cpu.load({ ...state, gdtr: { base: 0x77_6655, limit: 0x1234 } })
  // sgdt [rbx]; hlt
  pc.load(CODE, [0x0f, 0x01, 0x03, 0xf4])
  pc.setRegister('rbx', at)
  expect(pc.run().reason).toBe('hlt')
  const low = LAST_PAGE + (at & 0xfff)
  expect(below.map((_, i) => pc.read8(low + i))).toEqual(below)
  expect(above.map((_, i) => pc.read8(above4G + i))).toEqual(above)
})

describe('IDIV r64: quotients fit from −2^63 to 2^63 − 1 (SDM vol. 2A, "IDIV")', () => {
  const minimum = -(1n << 63n)
  const rows = [minimum, minimum + 1n, -1n, 0n, 1n, -minimum - 1n].flatMap((quotient) =>
    [2n, 3n, -2n, -3n, -minimum - 1n, minimum].map((divisor) => ({ quotient, divisor, fits: true })),
  )
  const beyond = [-minimum, minimum - 1n].flatMap((quotient) =>
    [2n, 3n, -2n, -3n].map((divisor) => ({ quotient, divisor, fits: false })),
  )
  test.each([...rows, ...beyond])('a quotient of $quotient by $divisor', ({ quotient, divisor, fits }) => {
    for (const remainder of [0n, 1n]) {
      const pc = new BareCpu()
      pc.vector(0, 0x4000)
      pc.load(0x4000, [0xf4])
      // idiv rbx; hlt
      pc.load(CODE, [0x48, 0xf7, 0xfb, 0xf4])
      const product = quotient * divisor
      // The remainder has the dividend's sign.
      const signed = product < 0n || (product === 0n && divisor < 0n) ? -remainder : remainder
      const dividend = product + signed
      pc.setRegister('rbx', divisor)
      pc.setRegister('rax', dividend)
      pc.setRegister('rdx', dividend >> 64n)
      expect(pc.run().reason).toBe('hlt')
      expect(pc.rip).toBe(fits ? CODE + 4 : 0x4001)
      if (!fits) continue
      expect(BigInt.asIntN(64, pc.register('rax'))).toBe(dividend / divisor)
      expect(BigInt.asIntN(64, pc.register('rdx'))).toBe(dividend % divisor)
    }
  })
})
