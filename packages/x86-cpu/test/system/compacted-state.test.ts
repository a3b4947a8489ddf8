import { describe, expect, test as base } from 'vitest'
import { cpuModel } from '../../src/model/models.ts'
import { Processor } from '../../src/model/processor.ts'
import { S_CR0, S_CR4, S_FCW, S_FTAG_EMPTY, S_MXCSR, S_PKRU, S_XCR0, S_XMM } from '../../src/state/state-layout.ts'
import { Bench } from './bench.ts'

const AREA = 0xa000
const COMPACTED = 0x8000_0000

/** 64-bit mode at level 0: x87 in its initial configuration, XMM1 and the upper half of YMM2 in use, PKRU 55H. */
function bench(components = 0x207, cpl = 0): Bench {
  const b = Bench.long64(cpl)
  b.s.set(S_CR4, (1 << 5) | (1 << 18))
  b.s.set(S_XCR0, components)
  b.s.set(S_FCW, 0x37f)
  b.s.set(S_FTAG_EMPTY, 0xff)
  b.s.set(S_MXCSR, 0x1f80)
  b.s.set(S_XMM + 64, 0x1111_1111)
  b.s.set(S_XMM + 128 + 16, 0x2222_2222)
  b.s.set(S_PKRU, 0x55)
  b.s.setGpr(0, 4, 0xffff_ffff)
  b.s.setGpr(2, 4, 0xffff_ffff)
  b.cpu.bytes.fill(0xee, AREA, AREA + 1024)
  return b
}

/** The same, whose area has what XSAVEC wrote. */
function saved(components = 0x207): Bench {
  const b = bench(components)
  b.cpu.bytes.fill(0, AREA + 512, AREA + 576)
  expect(b.outcome('XSAVEC64', { size: 8, address: AREA })).toBe('ok')
  return b
}
const test = base.extend('b', () => bench()).extend('written', () => saved())

const EMPTY = 0xeeee_eeee

describe('XSAVEC and XSAVES (SDM vol. 1, "Operation of XSAVEC", "Operation of XSAVES")', () => {
  test.for(['XSAVEC64', 'XSAVES64'])('%s writes what is in use, one component behind the other', (mnemonic, { b }) => {
    expect(b.outcome(mnemonic, { size: 8, address: AREA })).toBe('ok')
    expect([512, 516, 520, 524, 528].map((at) => b.u32(AREA + at))).toEqual([0x206, 0, 0x207, COMPACTED, EMPTY])
    // x87 is not written, MXCSR goes with SSE.
    expect([0, 24, 160 + 16, 576 + 32, 832, 836, 840].map((at) => b.u32(AREA + at))).toEqual([
      EMPTY,
      0x1f80,
      0x1111_1111,
      0x2222_2222,
      0x55,
      0,
      EMPTY,
    ])
  })

  test('a component that is not asked for takes no room, one in its initial configuration does', ({ b }) => {
    b.s.setGpr(0, 4, 0x203)
    expect(b.outcome('XSAVEC64', { size: 8, address: AREA })).toBe('ok')
    expect([b.u32(AREA + 512), b.u32(AREA + 520), b.u32(AREA + 576)]).toEqual([0x202, 0x203, 0x55])
    b.s.set(S_XMM + 128 + 16, 0)
    b.s.setGpr(0, 4, 0xffff_ffff)
    b.cpu.bytes.fill(0xee, AREA, AREA + 1024)
    expect(b.outcome('XSAVEC64', { size: 8, address: AREA })).toBe('ok')
    expect([b.u32(AREA + 512), b.u32(AREA + 520), b.u32(AREA + 576), b.u32(AREA + 832)]).toEqual([
      0x202,
      0x207,
      EMPTY,
      0x55,
    ])
  })

  test('an MXCSR other than 1F80H has SSE written', () => {
    const b = bench(3)
    b.s.set(S_XMM + 64, 0)
    expect(b.outcome('XSAVEC64', { size: 8, address: AREA })).toBe('ok')
    expect(b.u32(AREA + 512)).toBe(0)
    b.s.set(S_MXCSR, 0x1fa0)
    expect(b.outcome('XSAVEC64', { size: 8, address: AREA })).toBe('ok')
    expect([b.u32(AREA + 512), b.u32(AREA + 24)]).toEqual([2, 0x1fa0])
  })

  test.each([
    { mnemonic: 'XSAVEC', cpl: 3, result: 'ok' },
    { mnemonic: 'XSAVES', cpl: 3, result: '#GP(0)' },
    { mnemonic: 'XRSTORS', cpl: 3, result: '#GP(0)' },
    { mnemonic: 'XSAVEC', setup: (b: Bench) => b.s.set(S_CR4, 0), result: '#UD' },
    { mnemonic: 'XSAVES', setup: (b: Bench) => b.s.set(S_CR4, 0), result: '#UD' },
    { mnemonic: 'XSAVEC', setup: (b: Bench) => b.s.set(S_CR0, 0x8000_0019), result: '#NM' },
    { mnemonic: 'XSAVEC', address: AREA + 16, result: '#GP(0)' },
    { mnemonic: 'XSAVES', address: AREA + 16, result: '#GP(0)' },
  ])('$mnemonic: $result', ({ mnemonic, cpl = 0, setup, address = AREA, result }) => {
    const b = bench(0x207, cpl)
    setup?.(b)
    expect(b.outcome(mnemonic, { address })).toBe(result)
  })
})

describe('XRSTOR of the compacted form, and XRSTORS (SDM vol. 1, "Operation of XRSTOR", "Operation of XRSTORS")', () => {
  test.each(['XRSTOR64', 'XRSTORS64'])('%s gives back what XSAVEC took, and initialises the rest', (mnemonic) => {
    const b = saved()
    b.s.set(S_XMM + 64, 0)
    b.s.set(S_XMM + 128 + 16, 0)
    b.s.set(S_PKRU, 0)
    b.s.set(S_FCW, 0x27f)
    b.s.set(S_MXCSR, 0x1fa0)
    expect(b.outcome(mnemonic, { size: 8, address: AREA })).toBe('ok')
    expect([S_XMM + 64, S_XMM + 128 + 16, S_PKRU, S_FCW, S_MXCSR].map((at) => b.s.get(at))).toEqual([
      0x1111_1111, 0x2222_2222, 0x55, 0x37f, 0x1f80,
    ])
  })

  test('SSE that is not in the area takes MXCSR back to 1F80H with it', ({ written: b }) => {
    b.cpu.view.setUint32(AREA + 512, 0x204, true)
    b.cpu.view.setUint32(AREA + 24, 0xffff_ffff, true)
    b.s.set(S_MXCSR, 0x1fa0)
    expect(b.outcome('XRSTOR64', { size: 8, address: AREA })).toBe('ok')
    expect([b.s.get(S_MXCSR), b.s.get(S_XMM + 64)]).toEqual([0x1f80, 0])
  })

  test('AVX asked for without SSE leaves MXCSR alone', ({ written: b }) => {
    b.s.set(S_MXCSR, 0x1fa0)
    b.s.setGpr(0, 4, 4)
    expect(b.outcome('XRSTOR64', { size: 8, address: AREA })).toBe('ok')
    expect(b.s.get(S_MXCSR)).toBe(0x1fa0)
  })

  const set = (at: number, value: number) => (b: Bench) => b.cpu.view.setUint32(AREA + at, value, true)
  test.each([
    { what: 'XSTATE_BV with a bit that XCOMP_BV has not', setup: set(512, 0x20e) },
    { what: 'XSTATE_BV with bit 63', setup: set(516, COMPACTED) },
    { what: 'XCOMP_BV with a bit that XCR0 has not', setup: set(520, 0x20f) },
    { what: 'XCOMP_BV with bit 62', setup: set(524, 0xc000_0000) },
    { what: 'bytes 16 to 23 of the header', setup: set(528, 1) },
    { what: 'the last byte of the header', setup: set(572, 0x100_0000) },
    { what: 'a reserved bit of MXCSR', setup: set(24, 0x1_0000) },
  ])('$what: #GP(0), nothing changed', ({ setup }) => {
    for (const mnemonic of ['XRSTOR64', 'XRSTORS64']) {
      const b = saved()
      setup(b)
      b.s.set(S_PKRU, 1)
      const before = b.cpu.u8.slice(S_XMM, S_XMM + 1024)
      expect(b.outcome(mnemonic, { size: 8, address: AREA }), mnemonic).toBe('#GP(0)')
      expect([b.cpu.u8.slice(S_XMM, S_XMM + 1024), b.s.get(S_PKRU)]).toEqual([before, 1])
    }
  })

  test('the standard form: XRSTOR takes it, XRSTORS does not', ({ b }) => {
    b.cpu.bytes.fill(0, AREA + 512, AREA + 576)
    expect(b.outcome('XSAVE64', { size: 8, address: AREA })).toBe('ok')
    expect([b.u32(AREA + 512), b.u32(AREA + 832)]).toEqual([0x206, 0x55])
    expect(b.outcome('XRSTOR64', { size: 8, address: AREA })).toBe('ok')
    expect(b.outcome('XRSTORS64', { size: 8, address: AREA })).toBe('#GP(0)')
  })

  test('a change of PKRU drops what keys have lost', ({ written: b }) => {
    b.s.set(S_PKRU, 0x51)
    b.cpu.droppedKeys.length = 0
    expect(b.outcome('XRSTOR64', { size: 8, address: AREA })).toBe('ok')
    // 51H to 55H: key 1 loses access.
    expect(b.cpu.droppedKeys).toEqual([1 << 17])
  })
})

describe('XGETBV with ECX = 1, IA32_XSS', () => {
  test('tells the components in use', ({ b }) => {
    b.s.setGpr(1, 4, 1)
    expect(b.outcome('XGETBV')).toBe('ok')
    expect([b.s.gpr(0), b.s.gpr(2)]).toEqual([0x206, 0])
    b.cpu.processor = new Processor(cpuModel('max,-xgetbv1'))
    expect(b.outcome('XGETBV')).toBe('#GP(0)')
  })

  test('has no bits, and is there with XSAVES', () => {
    const access = (cpu: string, mnemonic: string, value: number): string => {
      const b = bench()
      b.cpu.processor = new Processor(cpuModel(cpu))
      b.s.setGpr(1, 4, 0xda0)
      b.s.setGpr(0, 4, value)
      b.s.setGpr(2, 4, 0)
      return b.outcome(mnemonic)
    }
    expect([access('max', 'RDMSR', 0), access('max', 'WRMSR', 0), access('max', 'WRMSR', 0x800)]).toEqual([
      'ok',
      'ok',
      '#GP(0)',
    ])
    expect(access('max,-xsaves', 'RDMSR', 0)).toBe('#GP(0)')
  })
})
