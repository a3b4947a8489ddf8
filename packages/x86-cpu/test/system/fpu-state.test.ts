import { describe, expect } from 'vitest'
import * as S from '../../src/state/state-layout.ts'
import { cpuModel } from '../../src/model/models.ts'
import { Processor } from '../../src/model/processor.ts'
import { Bench, fillFpu } from './bench.ts'
import { test } from './with-bench.ts'

/** That state's own bytes: control words and pointers, then the registers. */
const fpuBytes = (b: Bench): number[] => [
  ...b.cpu.u8.subarray(S.S_MXCSR, S.S_FDS),
  ...Array.from({ length: 8 }, (_, i) => [...b.cpu.u8.subarray(S.S_FPR + 16 * i, S.S_FPR + 16 * i + 10)]).flat(),
  ...Array.from({ length: 16 }, (_, i) => [...b.cpu.u8.subarray(S.S_XMM + 64 * i, S.S_XMM + 64 * i + 16)]).flat(),
]
const clearFpu = (b: Bench): void => {
  b.cpu.u8.fill(0, S.S_MXCSR, S.S_FDS + 4)
  b.cpu.u8.fill(0, S.S_FPR, S.S_XMM + 64 * 16)
}
const AREA = 0xa000

describe('FXSAVE and FXRSTOR (SDM vol. 1, "FXSAVE and FXRSTOR Instructions")', () => {
  test('the legacy image', ({ user32: b }) => {
    fillFpu(b, 32)
    b.cpu.bytes.fill(0xee, AREA, AREA + 512)
    expect(b.outcome('FXSAVE', { size: 4, address: AREA })).toBe('ok')
    expect([b.u16(AREA), b.u16(AREA + 2), b.u16(AREA + 4), b.u16(AREA + 6)]).toEqual([
      0x27f,
      0x4100 | (5 << 11),
      0xe1,
      0x7a5,
    ])
    expect([b.u32(AREA + 8), b.u32(AREA + 12), b.u32(AREA + 16), b.u32(AREA + 20)]).toEqual([
      0x1122_3344, 0x1b, 0x99aa_bbcc, 0,
    ])
    expect([b.u32(AREA + 24), b.u32(AREA + 28)]).toEqual([0x1fbf, 0xffff])
    // ST0 is physical register 5.
    expect(b.u32(AREA + 32)).toBe(0x5453_5251)
    expect(b.u32(AREA + 160 + 16)).toBe(0x8a89_8887)
    // Eight XMM registers outside 64-bit mode; what follows is not touched.
    expect(b.cpu.bytes[AREA + 287]).not.toBe(0xee)
    expect(b.cpu.bytes.subarray(AREA + 288, AREA + 512).every((byte) => byte === 0xee)).toBe(true)
  })

  test('REX.W stores 64-bit pointers, and 64-bit mode 16 registers', ({ user64: b }) => {
    fillFpu(b, 32)
    expect(b.outcome('FXSAVE64', { size: 8, address: AREA })).toBe('ok')
    expect([b.u32(AREA + 12), b.u32(AREA + 20)]).toEqual([0x5566, 0xddee])
    expect(b.cpu.bytes[AREA + 415]).toBe((0x80 + 7 * 15 + 15) & 0xff)
    const before = fpuBytes(b)
    clearFpu(b)
    expect(b.outcome('FXRSTOR64', { size: 8, address: AREA })).toBe('ok')
    b.s.set(S.S_FCS, 0x1b)
    expect(fpuBytes(b)).toEqual(before)
  })

  test.for([
    { what: 'a misaligned area', address: AREA + 8, result: '#GP(0)' },
    { what: 'CR0.TS', cr0: 8, result: '#NM' },
    { what: 'CR0.EM', cr0: 4, result: '#NM' },
    { what: 'an absent second page', address: 0xaff0, absent: 0xb, result: '#PF(6)' },
    { what: 'a reserved bit of MXCSR', mxcsr: 0x1_0000, restore: '#GP(0)', result: 'ok' },
  ])('$what', ({ address = AREA, cr0 = 0, absent, mxcsr, restore, result }, { user32: b }) => {
    b.s.set(S.S_CR0, 0x11 | cr0)
    b.cpu.modeChanged()
    if (absent !== undefined) b.cpu.absent.add(absent)
    expect(b.outcome('FXSAVE', { address })).toBe(result)
    if (absent !== undefined) expect(b.cpu.bytes.subarray(0xaff0, 0xb000).every((byte) => byte === 0)).toBe(true)
    if (mxcsr !== undefined) b.cpu.view.setUint32(address + 24, mxcsr, true)
    expect(b.outcome('FXRSTOR', { address })).toBe(restore ?? (absent === undefined ? result : '#PF(4)'))
  })
})

describe('XSAVE, XSAVEOPT and XRSTOR (SDM vol. 1, "Managing State Using the XSAVE Feature Set")', () => {
  const bench = (components = 3): Bench => {
    const b = Bench.long64(3)
    b.s.set(S.S_CR4, 1 << 18)
    b.s.set(S.S_XCR0, components)
    fillFpu(b, 32)
    b.s.setGpr(0, 4, 0xffff_ffff)
    b.s.setGpr(2, 4, 0xffff_ffff)
    return b
  }
  const xsaveTest = test.extend('b', () => bench())
  const header = (b: Bench): number => b.u32(AREA + 512)

  xsaveTest('writes what XCR0 and EDX:EAX name, and their bits in the header', ({ b }) => {
    b.cpu.bytes.fill(0xee, AREA, AREA + 512)
    b.s.setGpr(0, 4, 2)
    b.cpu.view.setUint32(AREA + 512, 1, true)
    expect(b.outcome('XSAVE64', { size: 8, address: AREA })).toBe('ok')
    expect(header(b)).toBe(3)
    expect(b.u32(AREA)).toBe(0xeeee_eeee)
    expect(b.u32(AREA + 24)).toBe(0x1fbf)
    expect(b.cpu.bytes[AREA + 160]).toBe(0x80)
    expect(b.u32(AREA + 416)).toBe(0xeeee_eeee)
  })

  xsaveTest('XRSTOR gives back what XSAVE took', ({ b }) => {
    expect(b.outcome('XSAVE64', { size: 8, address: AREA })).toBe('ok')
    const before = fpuBytes(b)
    clearFpu(b)
    expect(b.outcome('XRSTOR64', { size: 8, address: AREA })).toBe('ok')
    b.s.set(S.S_FCS, 0x1b)
    expect(fpuBytes(b)).toEqual(before)
  })

  xsaveTest('a component whose bit is clear is initialised, MXCSR is loaded all the same', ({ b }) => {
    b.cpu.view.setUint32(AREA + 24, 0x1f80, true)
    expect(b.outcome('XRSTOR', { size: 4, address: AREA })).toBe('ok')
    expect([b.s.get(S.S_FCW), b.s.get(S.S_FTAG_EMPTY), b.s.get(S.S_FTOP), b.s.get(S.S_MXCSR)]).toEqual([
      0x37f, 0xff, 0, 0x1f80,
    ])
    expect(b.cpu.u8.subarray(S.S_XMM, S.S_XMM + 16).every((byte) => byte === 0)).toBe(true)
    // Now nothing is in use: XSAVEOPT writes no component, and says so.
    b.cpu.bytes.fill(0xee, AREA, AREA + 512)
    b.cpu.view.setUint32(AREA + 512, 3, true)
    expect(b.outcome('XSAVEOPT', { size: 4, address: AREA })).toBe('ok')
    expect([header(b), b.u32(AREA), b.u32(AREA + 160)]).toEqual([0, 0xeeee_eeee, 0xeeee_eeee])
    expect(b.u32(AREA + 24)).toBe(0x1f80)
    expect(b.outcome('XSAVE', { size: 4, address: AREA })).toBe('ok')
    expect([header(b), b.u16(AREA)]).toEqual([0, 0x37f])
  })

  const upper = (b: Bench, i: number): number[] => [...b.cpu.u8.subarray(S.S_XMM + 64 * i + 16, S.S_XMM + 64 * i + 32)]

  test('AVX lies above the header, and goes with MXCSR', () => {
    const b = bench(7)
    b.cpu.bytes.fill(0xee, AREA, AREA + 512)
    b.cpu.bytes.fill(0xee, AREA + 576, AREA + 840)
    b.s.setGpr(0, 4, 4)
    expect(b.outcome('XSAVE64', { size: 8, address: AREA })).toBe('ok')
    expect([header(b), b.u32(AREA), b.u32(AREA + 24), b.u32(AREA + 160)]).toEqual([4, 0xeeee_eeee, 0x1fbf, 0xeeee_eeee])
    expect([...b.cpu.bytes.subarray(AREA + 576 + 15 * 16, AREA + 832)]).toEqual(upper(b, 15))
    expect(b.u32(AREA + 832)).toBe(0xeeee_eeee)
    const all = (): number[][] => Array.from({ length: 16 }, (_, i) => upper(b, i))
    const before = all()
    for (let i = 0; i < 16; i++) b.cpu.u8.fill(0x55, S.S_XMM + 64 * i + 16, S.S_XMM + 64 * i + 32)
    expect(b.outcome('XRSTOR64', { size: 8, address: AREA })).toBe('ok')
    expect(all()).toEqual(before)
    // Not in XSTATE_BV: zeroed, and nothing of it is read.
    b.cpu.view.setUint32(AREA + 512, 0, true)
    expect(b.outcome('XRSTOR64', { size: 8, address: AREA })).toBe('ok')
    expect([...upper(b, 0), ...upper(b, 15)].every((byte) => byte === 0)).toBe(true)
    expect(b.cpu.u8[S.S_XMM]).toBe(0x80)
    expect(b.outcome('XSAVEOPT64', { size: 8, address: AREA })).toBe('ok')
    expect(header(b)).toBe(0)
  })

  test('outside 64-bit mode there are eight registers', ({ protected32: b }) => {
    b.s.set(S.S_CR4, 1 << 18)
    b.s.set(S.S_XCR0, 7)
    fillFpu(b, 32)
    b.s.setGpr(0, 4, 4)
    b.cpu.bytes.fill(0xee, AREA + 576, AREA + 840)
    expect(b.outcome('XSAVE', { size: 4, address: AREA })).toBe('ok')
    expect(b.u32(AREA + 704)).toBe(0xeeee_eeee)
    b.cpu.bytes.fill(0, AREA + 576, AREA + 840)
    expect(b.outcome('XRSTOR', { size: 4, address: AREA })).toBe('ok')
    expect([upper(b, 7)[0], upper(b, 8)[0]]).toEqual([0, 0x80 + 7 * 8 + 16])
  })

  test('FXSAVE and FXRSTOR know nothing of it', () => {
    const b = bench(7)
    b.cpu.bytes.fill(0xee, AREA, AREA + 840)
    const before = upper(b, 3)
    expect(b.outcome('FXSAVE64', { size: 8, address: AREA })).toBe('ok')
    expect(b.u32(AREA + 576)).toBe(0xeeee_eeee)
    b.cpu.view.setUint32(AREA + 24, 0x1f80, true)
    expect(b.outcome('FXRSTOR64', { size: 8, address: AREA })).toBe('ok')
    expect(upper(b, 3)).toEqual(before)
  })

  test.each([
    { what: 'a misaligned area', setup: () => undefined, address: AREA + 16, result: '#GP(0)' },
    { what: 'no CR4.OSXSAVE', setup: (b: Bench) => b.s.set(S.S_CR4, 0), result: '#UD' },
    { what: 'CR0.TS', setup: (b: Bench) => b.s.set(S.S_CR0, 0x8000_0019), result: '#NM' },
    {
      what: 'a component that XCR0 has not',
      setup: (b: Bench) => b.cpu.view.setUint32(AREA + 512, 4, true),
      result: '#GP(0)',
    },
    {
      what: 'the compacted form on a processor without XSAVEC',
      setup: (b: Bench) => {
        b.cpu.processor = new Processor(cpuModel('max,-xsavec,-xsaves'))
        b.cpu.view.setUint32(AREA + 524, 0x8000_0000, true)
      },
      result: '#GP(0)',
    },
    { what: 'a reserved header byte', setup: (b: Bench) => b.cpu.view.setUint8(AREA + 535, 1), result: '#GP(0)' },
    {
      what: 'a reserved bit of MXCSR',
      setup: (b: Bench) => b.cpu.view.setUint32(AREA + 24, 0x10000, true),
      result: '#GP(0)',
    },
  ])('XRSTOR with $what: $result, nothing changed', ({ setup, address = AREA, result }) => {
    const b = bench()
    setup(b)
    const before = fpuBytes(b)
    expect(b.outcome('XRSTOR', { size: 4, address })).toBe(result)
    expect(fpuBytes(b)).toEqual(before)
  })
})

describe('FNSTENV, FLDENV, FNSAVE, FRSTOR (SDM vol. 1, "Saving the x87 FPU’s State with FSTENV/FNSTENV and FSAVE/FNSAVE")', () => {
  const tags = (b: Bench): void => {
    // R5 valid, R6 zero, R7 special, R0 unsupported, the others empty.
    b.s.set(S.S_FTAG_EMPTY, 0b0001_1110)
    b.cpu.u8.fill(0, S.S_FPR, S.S_FPR + 128)
    b.s.set(S.S_FPR + 16 * 5 + 4, 0x8000_0000)
    b.cpu.u16[(S.S_FPR + 16 * 5 + 8) >>> 1] = 0x3fff
    b.cpu.u16[(S.S_FPR + 16 * 7 + 8) >>> 1] = 0x7fff
    b.cpu.u16[(S.S_FPR + 8) >>> 1] = 0x3fff
  }
  const TAGS = (2 << 14) | (1 << 12) | (0 << 10) | (3 << 8) | (3 << 6) | (3 << 4) | (3 << 2) | 2

  test.each([
    {
      size: 4,
      real: false,
      words: [0xffff_027f, 0xffff_6900, 0xffff_0000 + TAGS, 0x1122_3344, 0x07a5_001b, 0x99aa_bbcc, 0xffff_0000],
    },
    { size: 2, real: false, words: [0x27f, 0x6900, TAGS, 0x3344, 0x1b, 0xbbcc, 0] },
    {
      size: 4,
      real: true,
      words: [0xffff_027f, 0xffff_6900, 0xffff_0000 + TAGS, 0xffff_34f4, 0x0112_27a5, 0xffff_bbcc, 0x099a_a000],
    },
    { size: 2, real: true, words: [0x27f, 0x6900, TAGS, 0x34f4, 0x27a5, 0xbbcc, 0xa000] },
  ])('the $size-byte layout, real mode $real', ({ size, real, words }) => {
    const b = real ? Bench.real() : Bench.protected32()
    fillFpu(b, 32)
    tags(b)
    expect(b.outcome('FNSTENV', { size, address: AREA })).toBe('ok')
    expect(words.map((_, i) => (size === 2 ? b.u16(AREA + 2 * i) : b.u32(AREA + 4 * i)))).toEqual(words)
    expect(b.s.get(S.S_FCW)).toBe(0x27f)
    b.s.set(S.S_FTOP, 0)
    b.s.set(S.S_FSW, 0)
    b.s.set(S.S_FTAG_EMPTY, 0)
    expect(b.outcome('FLDENV', { size, address: AREA })).toBe('ok')
    expect([b.s.get(S.S_FTOP), b.s.get(S.S_FSW), b.s.get(S.S_FTAG_EMPTY)]).toEqual([5, 0x4100, 0b0001_1110])
    expect(b.outcome('FNSTENV', { size, address: AREA + 64 })).toBe('ok')
    if (!real)
      expect(b.cpu.bytes.slice(AREA + 64, AREA + 64 + 6 * size)).toEqual(b.cpu.bytes.slice(AREA, AREA + 6 * size))
  })

  test.each([
    // SDM volume 1, figures 8-9 to 8-12; what is reserved has ones.
    { size: 4, real: false, words: [0x1122_3344, 0xffa5_001b, 0x99aa_bbcc, 0xffff_0023] },
    { size: 2, real: false, words: [0x3344, 0x001b, 0xbbcc, 0x0023], ip: 0x3344, op: 0, dp: 0xbbcc },
    { size: 4, real: true, words: [0xffff_3344, 0xf112_27a5, 0xffff_bbcc, 0xf99a_afff], cs: 0, ds: 0 },
    { size: 2, real: true, words: [0x3344, 0x27a5, 0xbbcc, 0xafff], ip: 0x2_3344, dp: 0xa_bbcc, cs: 0, ds: 0 },
  ])('FLDENV takes pointers of $size bytes, real mode $real', ({ size, real, words, ...given }) => {
    const b = real ? Bench.real() : Bench.protected32()
    for (const [i, word] of [0x37f, 0, 0xffff, ...words].entries()) {
      if (size === 2) b.cpu.view.setUint16(AREA + 2 * i, word, true)
      else b.cpu.view.setUint32(AREA + 4 * i, word, true)
    }
    // Upper halves of pointers that had 64 bits.
    b.s.set(S.S_FIP + 4, 5)
    b.s.set(S.S_FDP + 4, 5)
    expect(b.outcome('FLDENV', { size, address: AREA })).toBe('ok')
    const { ip = 0x1122_3344, dp = 0x99aa_bbcc, cs = 0x1b, ds = 0x23, op = 0x7a5 } = given
    const found = [S.S_FIP, S.S_FIP + 4, S.S_FCS, S.S_FOP, S.S_FDP, S.S_FDP + 4, S.S_FDS].map((at) => b.s.get(at) >>> 0)
    expect(found).toEqual([ip, 0, cs, op, dp, 0, ds])
  })

  test('FNSAVE is followed by FNINIT; FRSTOR brings everything back', ({ protected32: b }) => {
    fillFpu(b, 32)
    tags(b)
    const registers = b.cpu.u8.slice(S.S_FPR, S.S_FPR + 128)
    expect(b.outcome('FNSAVE', { size: 4, address: AREA })).toBe('ok')
    expect([b.s.get(S.S_FCW), b.s.get(S.S_FTAG_EMPTY), b.s.get(S.S_FTOP)]).toEqual([0x37f, 0xff, 0])
    // ST0, 28 bytes in, is R5.
    expect([b.u32(AREA + 32), b.u16(AREA + 36)]).toEqual([0x8000_0000, 0x3fff])
    b.cpu.u8.fill(0xff, S.S_FPR, S.S_FPR + 128)
    for (let i = 0; i < 8; i++) b.cpu.u8.fill(0, S.S_FPR + 16 * i + 10, S.S_FPR + 16 * i + 16)
    expect(b.outcome('FRSTOR', { size: 4, address: AREA })).toBe('ok')
    expect(b.cpu.u8.slice(S.S_FPR, S.S_FPR + 128)).toEqual(registers)
    expect([b.s.get(S.S_FCW), b.s.get(S.S_FTOP), b.s.get(S.S_FTAG_EMPTY)]).toEqual([0x27f, 5, 0b0001_1110])
  })

  test('an unmasked exception in the image is pending afterwards, and FLDENV waits for it', ({ protected32: b }) => {
    b.cpu.view.setUint32(AREA, 0x037b, true)
    b.cpu.view.setUint32(AREA + 4, 0x0004, true)
    b.cpu.view.setUint32(AREA + 8, 0xffff, true)
    expect(b.outcome('FLDENV', { size: 4, address: AREA })).toBe('ok')
    expect(b.s.get(S.S_FSW)).toBe(0x8084)
    expect(b.outcome('FLDENV', { size: 4, address: AREA })).toBe('#MF')
    expect(b.outcome('FNSTENV', { size: 4, address: AREA })).toBe('ok')
    expect([b.s.get(S.S_FCW), b.s.get(S.S_FSW)]).toEqual([0x37f, 4])
  })
})

describe('MASKMOVDQU and MASKMOVQ', () => {
  test('bytes whose mask is clear are not accessed', ({ protected32: b }) => {
    fillFpu(b, 32)
    b.cpu.u8.fill(0, S.S_XMM + 64, S.S_XMM + 80)
    b.cpu.u8[S.S_XMM + 64 + 3] = 0x80
    b.cpu.u8[S.S_XMM + 64 + 7] = 0xff
    b.s.setGpr(7, 4, 0xbff8)
    b.cpu.absent.add(0xc)
    expect(b.outcome('MASKMOVDQU', { offsets: [S.S_XMM, S.S_XMM + 64] })).toBe('ok')
    expect([...b.cpu.bytes.subarray(0xbff8, 0xc000)]).toEqual([0, 0, 0, 0x83, 0, 0, 0, 0x87])
    b.cpu.u8[S.S_XMM + 64 + 9] = 0x80
    b.cpu.bytes.fill(0, 0xbff8, 0xc000)
    expect(b.outcome('MASKMOVDQU', { offsets: [S.S_XMM, S.S_XMM + 64] })).toBe('#PF(2)')
    expect(b.cpu.bytes[0xbffb]).toBe(0)
  })
  test('MASKMOVQ makes the x87 registers valid', ({ protected32: b }) => {
    b.s.set(S.S_FTOP, 3)
    b.s.setGpr(7, 4, 0xb000)
    expect(b.outcome('MASKMOVQ', { offsets: [S.S_FPR, S.S_FPR + 16] })).toBe('ok')
    expect([b.s.get(S.S_FTOP), b.s.get(S.S_FTAG_EMPTY)]).toEqual([0, 0])
  })
})
