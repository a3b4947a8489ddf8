/** What XRSTOR takes in the header of an area (SDM vol. 1, "Operation of XRSTOR"). */
import { ptr, rax, rcx, rdx } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { S_CR4, S_XCR0 } from '../../src/state/state-layout.ts'
import { S_ACTIVITY } from '../../src/state/system-state.ts'
import { BareCpu, CODE, STACK } from '../support/bare-cpu.ts'

const AREA = 0x9000
const HEADER = AREA + 512
const FAULT = 0x7000
const GP = 13
const XCR0 = 7
const COMPACTED = 0x80

const pc = new BareCpu()
pc.cpu.u32[S_CR4 >>> 2]! |= (1 << 9) | (1 << 18)
pc.cpu.u32[S_XCR0 >>> 2] = XCR0
pc.cpu.modeChanged()
pc.load(FAULT, [0xf4])
pc.vector(GP, FAULT)
pc.load(AREA + 24, [0x80, 0x1f])
pc.program((asm) => {
  asm.mov(rcx, AREA).xor(rdx, rdx).mov(rax, XCR0).xrstor64(ptr(rcx)).hlt()
})

/** Whether XRSTOR takes a header of these bytes, by their place in it. */
function takes(header: Readonly<Record<number, number>>): boolean {
  pc.load(
    HEADER,
    Array.from({ length: 64 }, (_, at) => header[at] ?? 0),
  )
  pc.cpu.u32[S_ACTIVITY >>> 2] = 0
  pc.rip = CODE
  pc.setRegister('rsp', STACK)
  expect(pc.run().reason).toBe('hlt')
  return pc.rip !== FAULT + 1
}

const bits = Array.from({ length: 64 * 8 }, (_, bit) => ({ at: bit >> 3, value: 1 << (bit & 7) }))

/** Bit 63 of XCOMP_BV says that the form is the compacted one. */
const standard = bits.filter(({ at, value }) => at !== 15 || value !== COMPACTED)

describe('the standard form', () => {
  test('takes components that XCR0 has, nothing else in the first 24 bytes, and anything in the rest', () => {
    const taken = standard.filter(({ at, value }) => takes({ [at]: value })).map(({ at, value }) => at * 256 + value)
    const rest = bits.filter(({ at }) => at >= 24).map(({ at, value }) => at * 256 + value)
    expect(taken).toEqual([1, 2, 4, ...rest])
  })
})

describe('the compacted form', () => {
  test('takes components that XCR0 has and XCOMP_BV names, and nothing else', () => {
    const all = { 8: XCR0, 15: COMPACTED }
    const taken = bits.filter(({ at, value }) =>
      takes({ ...all, [at]: (at === 15 ? COMPACTED : at === 8 ? XCR0 : 0) | value }),
    )
    expect(taken.map(({ at, value }) => at * 256 + value)).toEqual([
      ...[1, 2, 4],
      ...[1, 2, 4].map((value) => 8 * 256 + value),
      15 * 256 + COMPACTED,
    ])
    // A component that the area has no room for.
    for (const value of [1, 2, 4]) expect(takes({ 0: value, 8: XCR0 & ~value, 15: COMPACTED })).toBe(false)
  })
})
