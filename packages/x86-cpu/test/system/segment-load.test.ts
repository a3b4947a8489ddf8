import { describe, expect } from 'vitest'
import * as S from '../../src/state/state-layout.ts'
import { setSegment, setTableRegister } from '../../src/system/segments/segment-cache.ts'
import { Bench, DATA32, DPL3, FREE_SEL, GDT, descriptor, gprOffset, segmentOffset, STATUS_EXIT } from './bench.ts'
import { test } from './with-bench.ts'

/** MOV Sreg, AX on a machine whose free GDT entry holds `attributes`. */
function load(b: Bench, segment: number, selector: number): string {
  b.s.set(S.S_GPR, selector)
  return b.outcome('MOV', {
    offsets: [segmentOffset(segment), gprOffset(0)],
    operands: [
      { kind: 'system', size: 2 },
      { kind: 'reg', size: 2 },
    ],
  })
}

describe('MOV to a data segment register (SDM vol. 2B, "MOV")', () => {
  test.each([
    { cpl: 0, attributes: DATA32, selector: FREE_SEL, result: 'ok' },
    { cpl: 0, attributes: DATA32, selector: FREE_SEL | 3, result: '#GP(38)', why: 'RPL above DPL' },
    { cpl: 3, attributes: DATA32, selector: FREE_SEL, result: '#GP(38)', why: 'CPL above DPL' },
    { cpl: 3, attributes: DATA32 | DPL3, selector: FREE_SEL, result: 'ok' },
    { cpl: 0, attributes: 0xc09a, selector: FREE_SEL, result: 'ok', why: 'readable code' },
    { cpl: 0, attributes: 0xc098, selector: FREE_SEL, result: '#GP(38)', why: 'execute-only code' },
    { cpl: 3, attributes: 0xc09e, selector: FREE_SEL | 3, result: 'ok', why: 'conforming readable code of any DPL' },
    { cpl: 0, attributes: 0x0082, selector: FREE_SEL, result: '#GP(38)', why: 'a system segment' },
    { cpl: 0, attributes: DATA32 & ~0x80, selector: FREE_SEL, result: '#NP(38)', why: 'not present' },
    { cpl: 0, attributes: DATA32, selector: 0x100, result: '#GP(100)', why: 'beyond the table' },
    { cpl: 0, attributes: DATA32, selector: 0x3c, result: '#GP(3c)', why: 'in a missing local table' },
    { cpl: 0, attributes: DATA32, selector: 3, result: 'ok', why: 'null' },
  ])('at CPL $cpl selector $selector of $attributes: $result', ({ cpl, attributes, selector, result }) => {
    const b = Bench.protected32(cpl)
    b.gdt(FREE_SEL, descriptor(0x1234_5000, 0xf_ffff, attributes))
    expect(load(b, S.DS, selector)).toBe(result)
    if (result === 'ok') expect(b.selector(S.DS)).toBe(selector)
  })

  test.each([
    { cpl: 0, attributes: DATA32, selector: FREE_SEL, result: 'ok' },
    { cpl: 0, attributes: DATA32, selector: 0, result: '#GP(0)', why: 'null' },
    { cpl: 0, attributes: DATA32, selector: FREE_SEL | 3, result: '#GP(38)', why: 'RPL ≠ CPL' },
    { cpl: 0, attributes: DATA32 | DPL3, selector: FREE_SEL, result: '#GP(38)', why: 'DPL ≠ CPL' },
    { cpl: 0, attributes: 0xc091, selector: FREE_SEL, result: '#GP(38)', why: 'read-only' },
    { cpl: 0, attributes: 0xc09b, selector: FREE_SEL, result: '#GP(38)', why: 'code' },
    { cpl: 0, attributes: DATA32 & ~0x80, selector: FREE_SEL, result: '#SS(38)', why: 'not present' },
    { cpl: 3, attributes: DATA32 | DPL3, selector: FREE_SEL | 3, result: 'ok' },
  ])('SS at CPL $cpl, selector $selector of $attributes: $result', ({ cpl, attributes, selector, result }) => {
    const b = Bench.protected32(cpl)
    b.gdt(FREE_SEL, descriptor(0, 0xf_ffff, attributes))
    expect(load(b, S.SS, selector)).toBe(result)
  })

  test.each([
    { cpl: 0, selector: 0, result: 'ok' },
    { cpl: 0, selector: 3, result: '#GP(0)' },
    { cpl: 3, selector: 3, result: '#GP(0)' },
  ])('a null SS in 64-bit mode at CPL $cpl with RPL $selector: $result', ({ cpl, selector, result }) => {
    const b = Bench.long64(cpl)
    expect(load(b, S.SS, selector)).toBe(result)
    expect(b.s.cpl).toBe(cpl)
  })

  test('loading SS holds interrupts off for one instruction and ends the run', ({ protected32: b }) => {
    b.s.set(S.S_GPR, 0x10)
    const operands = [
      { kind: 'system', size: 2 },
      { kind: 'reg', size: 2 },
    ] as const
    expect(b.run('MOV', { offsets: [segmentOffset(S.SS), gprOffset(0)], operands })).toBe(STATUS_EXIT)
    expect(b.s.get(S.S_SHADOW)).toBe(2)
    expect(b.rip).toBe(0x4002)
  })

  test('the accessed bit is set in the table, once', ({ protected32: b }) => {
    b.gdt(FREE_SEL, descriptor(0, 0xf_ffff, 0xc092))
    expect(load(b, S.ES, FREE_SEL)).toBe('ok')
    expect(b.cpu.bytes[GDT + FREE_SEL + 5]).toBe(0x93)
    b.cpu.readOnly.add(GDT >> 12)
    expect(load(b, S.ES, FREE_SEL)).toBe('ok')
  })

  test('a read-only table whose accessed bit is clear faults, as a supervisor write', ({ user32: b }) => {
    b.gdt(FREE_SEL, descriptor(0, 0xf_ffff, 0xc0f2))
    b.cpu.readOnly.add(GDT >> 12)
    expect(load(b, S.ES, FREE_SEL)).toBe('#PF(3)')
  })

  test.for([
    { attributes: 0xc093, limit: 0xfffff, low: 0, high: 0xfffff, rights: 3 },
    { attributes: 0x4093, limit: 0xfff, low: 0, high: 0xfff, rights: 3 },
    { attributes: 0xc097, limit: 0xffff, low: 0x1_0000, high: 0xffff_ffff, rights: 3 },
    { attributes: 0x0097, limit: 0xfff, low: 0x1000, high: 0xffff, rights: 3 },
    { attributes: 0xc095, limit: 0xffff, low: 0x1_0000, high: 0xffff_ffff, rights: 1 },
    { attributes: 0xc097, limit: 0xffff_ffff, low: 1, high: 0, rights: 3 },
    { attributes: 0xc09b, limit: 0xfff, low: 0, high: 0xfff, rights: 1 },
  ])(
    'attributes $attributes and limit $limit allow offsets $low to $high',
    ({ attributes, limit, low, high, rights }, { protected32: b }) => {
      b.gdt(FREE_SEL, descriptor(0x8765_4321, limit, attributes))
      expect(load(b, S.DS, FREE_SEL)).toBe('ok')
      expect(b.s.segmentField(S.DS, S.SEG_BASE)).toBe(0x8765_4321)
      expect([
        b.s.segmentField(S.DS, S.SEG_LOW),
        b.s.segmentField(S.DS, S.SEG_HIGH),
        b.s.segmentField(S.DS, S.SEG_RIGHTS),
      ]).toEqual([low, high, rights])
    },
  )

  test('real mode keeps the limit and changes base and selector', () => {
    const b = Bench.real()
    setSegment(b.s, S.DS, 0, 0, 0, 0xffff_ffff, 0xc093)
    expect(load(b, S.DS, 0x1234)).toBe('ok')
    expect(b.s.segmentField(S.DS, S.SEG_BASE)).toBe(0x1_2340)
    expect(b.s.segmentField(S.DS, S.SEG_LIMIT)).toBe(0xffff_ffff)
  })

  test('virtual-8086 mode sets a 64 KiB segment', () => {
    const b = Bench.v86(3)
    expect(load(b, S.DS, 0x1234)).toBe('ok')
    expect(b.s.segmentField(S.DS, S.SEG_BASE)).toBe(0x1_2340)
    expect(b.s.segmentField(S.DS, S.SEG_HIGH)).toBe(0xffff)
  })

  test('a null FS or GS has base zero', ({ long64: b }) => {
    setSegment(b.s, S.GS, 0x10, 0x1000, 0xffff_8000, 0xffff_ffff, DATA32)
    expect(load(b, S.GS, 0)).toBe('ok')
    expect(b.s.segmentField(S.GS, S.SEG_BASE)).toBe(0)
    expect(b.s.segmentField(S.GS, S.SEG_BASE + 4)).toBe(0)
  })
})

describe('PUSH and POP of segment registers, LDS and its siblings', () => {
  test('a 32-bit PUSH writes two bytes and moves ESP by four', ({ protected32: b }) => {
    b.cpu.view.setUint32(b.rsp - 4, 0xaaaa_bbbb, true)
    const before = b.rsp
    expect(
      b.outcome('PUSH', { size: 4, offsets: [segmentOffset(S.DS)], operands: [{ kind: 'system', size: 2 }] }),
    ).toBe('ok')
    expect(b.rsp).toBe(before - 4)
    expect(b.u32(b.rsp)).toBe(0xaaaa_0010)
  })

  test('POP releases the stack only when the load succeeds', ({ protected32: b }) => {
    b.push(4, 0x100)
    const before = b.rsp
    const pop = { size: 4, offsets: [segmentOffset(S.FS)], operands: [{ kind: 'system', size: 2 }] } as const
    expect(b.outcome('POP', pop)).toBe('#GP(100)')
    expect(b.rsp).toBe(before)
    b.cpu.view.setUint32(before, 0x10, true)
    expect(b.outcome('POP', pop)).toBe('ok')
    expect(b.rsp).toBe(before + 4)
    expect(b.selector(S.FS)).toBe(0x10)
  })

  test.for([
    { mnemonic: 'LES', segment: S.ES },
    { mnemonic: 'LDS', segment: S.DS },
    { mnemonic: 'LFS', segment: S.FS },
    { mnemonic: 'LGS', segment: S.GS },
    { mnemonic: 'LSS', segment: S.SS },
  ])('$mnemonic loads the register and the segment, or neither', ({ mnemonic, segment }, { protected32: b }) => {
    b.cpu.view.setUint32(0x5000, 0x1234_5678, true)
    b.cpu.view.setUint16(0x5004, 0x100, true)
    const far = { size: 4, offsets: [gprOffset(3)], address: 0x5000 }
    expect(b.outcome(mnemonic, far)).toBe('#GP(100)')
    expect(b.s.gpr(3)).toBe(0)
    b.cpu.view.setUint16(0x5004, 0x10, true)
    expect(b.outcome(mnemonic, far)).toBe('ok')
    expect(b.s.gpr(3)).toBe(0x1234_5678)
    expect(b.selector(segment)).toBe(0x10)
  })
})

describe('LAR, LSL, VERR, VERW and ARPL', () => {
  const rows = [
    { attributes: DATA32, cpl: 0, rpl: 0, lar: true, lsl: true, verr: true, verw: true },
    { attributes: DATA32, cpl: 3, rpl: 3, lar: false, lsl: false, verr: false, verw: false },
    { attributes: 0xc091, cpl: 0, rpl: 0, lar: true, lsl: true, verr: true, verw: false },
    { attributes: 0xc09e, cpl: 3, rpl: 3, lar: true, lsl: true, verr: true, verw: false },
    { attributes: 0xc099, cpl: 0, rpl: 0, lar: true, lsl: true, verr: false, verw: false },
    { attributes: 0x0089, cpl: 0, rpl: 0, lar: true, lsl: true, verr: false, verw: false },
    { attributes: 0x0082, cpl: 0, rpl: 0, lar: true, lsl: true, verr: false, verw: false },
    { attributes: 0x008c, cpl: 0, rpl: 0, lar: true, lsl: false, verr: false, verw: false },
    { attributes: 0x0085, cpl: 0, rpl: 0, lar: true, lsl: false, verr: false, verw: false },
    { attributes: 0x008e, cpl: 0, rpl: 0, lar: false, lsl: false, verr: false, verw: false },
    { attributes: 0x0013, cpl: 0, rpl: 0, lar: true, lsl: true, verr: true, verw: true },
  ]
  test.each(rows)('attributes $attributes at CPL $cpl', ({ attributes, cpl, rpl, lar, lsl, verr, verw }) => {
    const b = Bench.protected32(cpl)
    b.gdt(FREE_SEL, descriptor(0, 0x1_ffff, attributes))
    const zf = (mnemonic: string): boolean => {
      b.s.set(S.S_GPR + 8, FREE_SEL | rpl)
      b.s.set(S.S_GPR, 0xdead_beef)
      const two = mnemonic[0] === 'L'
      const operands = two
        ? ([
            { kind: 'reg', size: 4 },
            { kind: 'reg', size: 4 },
          ] as const)
        : ([{ kind: 'reg', size: 2 }] as const)
      expect(b.outcome(mnemonic, { offsets: two ? [gprOffset(0), gprOffset(1)] : [gprOffset(1)], operands })).toBe('ok')
      return (b.flags & 0x40) !== 0
    }
    expect({ lar: zf('LAR'), lsl: zf('LSL'), verr: zf('VERR'), verw: zf('VERW') }).toEqual({ lar, lsl, verr, verw })
    if (lar && zf('LAR'))
      expect(b.s.gpr(0)).toBe(((attributes & 0xf0ff) << 8) | ((attributes & 0x8000) === 0 ? 0x1_0000 : 0))
    if (lsl && zf('LSL')) expect(b.s.gpr(0)).toBe(0x1_ffff)
  })

  test('they are undefined outside protected mode', () => {
    for (const b of [Bench.real(), Bench.v86(3)]) {
      for (const mnemonic of ['LAR', 'LSL', 'VERR', 'VERW', 'ARPL', 'LLDT', 'LTR', 'SLDT', 'STR']) {
        expect(b.outcome(mnemonic)).toBe('#UD')
      }
    }
  })

  test.for([
    { destination: 0x10, source: 3, result: 0x13, zf: true },
    { destination: 0x13, source: 1, result: 0x13, zf: false },
  ])('ARPL $destination, $source', ({ destination, source, result, zf }, { user32: b }) => {
    b.s.set(S.S_GPR, destination)
    b.s.set(S.S_GPR + 8, source)
    const operands = [
      { kind: 'reg', size: 2 },
      { kind: 'reg', size: 2 },
    ] as const
    expect(b.outcome('ARPL', { offsets: [gprOffset(0), gprOffset(1)], operands })).toBe('ok')
    expect(b.s.gpr(0)).toBe(result)
    expect((b.flags & 0x40) !== 0).toBe(zf)
  })
})

describe('table registers', () => {
  const register = [{ kind: 'reg', size: 2 }] as const
  test.each([
    { mnemonic: 'LLDT', attributes: 0x82, selector: FREE_SEL, result: 'ok' },
    { mnemonic: 'LLDT', attributes: 0x82, selector: 0, result: 'ok' },
    { mnemonic: 'LLDT', attributes: 0x89, selector: FREE_SEL, result: '#GP(38)' },
    { mnemonic: 'LLDT', attributes: 0x02, selector: FREE_SEL, result: '#NP(38)' },
    { mnemonic: 'LLDT', attributes: 0x82, selector: FREE_SEL | 4, result: '#GP(3c)' },
    { mnemonic: 'LTR', attributes: 0x89, selector: FREE_SEL, result: 'ok' },
    { mnemonic: 'LTR', attributes: 0x81, selector: FREE_SEL, result: 'ok' },
    { mnemonic: 'LTR', attributes: 0x8b, selector: FREE_SEL, result: '#GP(38)' },
    { mnemonic: 'LTR', attributes: 0x09, selector: FREE_SEL, result: '#NP(38)' },
    { mnemonic: 'LTR', attributes: 0x89, selector: 0, result: '#GP(0)' },
  ])('$mnemonic $selector of type $attributes: $result', ({ mnemonic, attributes, selector, result }) => {
    const b = Bench.protected32()
    b.gdt(FREE_SEL, descriptor(0x5000, 0x67, attributes))
    b.s.set(S.S_GPR, selector)
    expect(b.outcome(mnemonic, { offsets: [gprOffset(0)], operands: register })).toBe(result)
    if (mnemonic === 'LTR' && result === 'ok') expect(b.cpu.bytes[GDT + FREE_SEL + 5]).toBe(attributes | 2)
  })

  test('in 64-bit mode a TSS descriptor has 16 bytes and a 64-bit base', ({ long64: b }) => {
    b.gdt(FREE_SEL, descriptor(0x1234_5000, 0x67, 0x89))
    b.gdt(FREE_SEL + 8, 0xffff_8001n)
    b.s.set(S.S_GPR, FREE_SEL)
    expect(b.outcome('LTR', { offsets: [gprOffset(0)], operands: register })).toBe('ok')
    expect([b.s.segmentField(7, S.SEG_BASE), b.s.segmentField(7, S.SEG_BASE + 4)]).toEqual([0x1234_5000, 0xffff_8001])
    b.gdt(FREE_SEL, descriptor(0x1234_5000, 0x67, 0x89))
    b.gdt(FREE_SEL + 8, 0x0000_0100_ffff_8001n)
    expect(b.outcome('LTR', { offsets: [gprOffset(0)], operands: register })).toBe('#GP(38)')
    b.gdt(FREE_SEL, descriptor(0x1234_5000, 0x67, 0x81))
    expect(b.outcome('LTR', { offsets: [gprOffset(0)], operands: register })).toBe('#GP(38)')
  })

  test.each([
    { mnemonic: 'LLDT', type: 0x82, upper: 0x8000n, result: '#GP(38)' },
    { mnemonic: 'LTR', type: 0x89, upper: 0x8000n, result: '#GP(38)' },
    { mnemonic: 'LLDT', type: 0x82, upper: 0xffff_8000n, result: 'ok' },
    { mnemonic: 'LTR', type: 0x89, upper: 0x7fffn, result: 'ok' },
  ])('$mnemonic of a base with $upper above bit 31: $result (AMD APM vol. 3)', ({ mnemonic, type, upper, result }) => {
    const b = Bench.long64()
    b.gdt(FREE_SEL, descriptor(0x5000, 0x67, type))
    b.gdt(FREE_SEL + 8, upper)
    b.s.setGpr(0, 4, FREE_SEL)
    const before = b.cpu.view.getBigUint64(GDT + FREE_SEL, true)
    expect(b.outcome(mnemonic, { offsets: [gprOffset(0)], operands: [{ kind: 'reg', size: 2 }] })).toBe(result)
    if (result !== 'ok') expect(b.cpu.view.getBigUint64(GDT + FREE_SEL, true)).toBe(before)
  })

  test.each([
    { last: 0x38 + 15, result: 'ok' },
    { last: 0x38 + 14, result: '#GP(38)' },
    { last: 0x38 + 8, result: '#GP(38)' },
    { last: 0x38 + 7, result: '#GP(38)' },
  ])('a 16-byte descriptor in a table whose limit is $last: $result', ({ last, result }) => {
    for (const [mnemonic, type] of [
      ['LLDT', 0x82],
      ['LTR', 0x89],
    ] as const) {
      const b = Bench.long64()
      b.gdt(FREE_SEL, descriptor(0x5000, 0x67, type))
      b.gdt(FREE_SEL + 8, 0n)
      setTableRegister(b.s, S.GDTR, GDT, 0, last)
      b.s.setGpr(0, 4, FREE_SEL)
      expect(b.outcome(mnemonic, { offsets: [gprOffset(0)], operands: [{ kind: 'reg', size: 2 }] })).toBe(result)
    }
  })

  test('LGDT and SGDT: 24-bit base with 16-bit operands, 64-bit base in 64-bit mode', ({ protected32: b }) => {
    b.cpu.view.setUint16(0x5000, 0x1ff, true)
    b.cpu.view.setUint32(0x5002, 0xab12_3456, true)
    expect(b.outcome('LGDT', { size: 2, address: 0x5000 })).toBe('ok')
    expect(b.s.segmentField(8, S.SEG_BASE)).toBe(0x12_3456)
    expect(b.outcome('LGDT', { size: 4, address: 0x5000 })).toBe('ok')
    expect(b.s.segmentField(8, S.SEG_BASE)).toBe(0xab12_3456)
    expect(b.outcome('SGDT', { size: 2, address: 0x5010 })).toBe('ok')
    expect([b.u16(0x5010), b.u32(0x5012)]).toEqual([0x1ff, 0xab12_3456])
    const long = Bench.long64()
    long.cpu.view.setUint32(0x5006, 0x8000_0000, true)
    expect(long.outcome('LIDT', { size: 8, address: 0x5000 })).toBe('#GP(0)')
    long.cpu.view.setUint32(0x5006, 0xffff_8000, true)
    expect(long.outcome('LIDT', { size: 8, address: 0x5000 })).toBe('ok')
  })

  test('CR4.UMIP keeps SGDT, SIDT, SLDT, STR and SMSW from programs', ({ user32: b }) => {
    for (const mnemonic of ['SGDT', 'SIDT', 'SLDT', 'STR', 'SMSW']) {
      b.s.set(S.S_CR4, 0)
      const one = { address: 0x5000, operands: [{ kind: 'mem', size: 2 }] } as const
      expect(b.outcome(mnemonic, one)).toBe('ok')
      b.s.set(S.S_CR4, 1 << 11)
      expect(b.outcome(mnemonic, one)).toBe('#GP(0)')
    }
  })
})
