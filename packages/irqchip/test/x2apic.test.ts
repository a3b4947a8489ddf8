import { describe, expect, test } from 'vitest'
import { APIC_LDR, APIC_TPR, MSR_X2APIC_FIRST } from '../src/index.ts'
import { makeFabric } from './machine.ts'

const into = { lo: 0, hi: 0 }
const EN = 1 << 11
const EXTD = 1 << 10
const BASE = 0xfee0_0000

describe('IA32_APIC_BASE (SDM vol. 3A, "x2APIC State Transitions")', () => {
  const states = { disabled: [0], xapic: [EN], x2apic: [EN, EN | EXTD] } as const
  const rows: { from: keyof typeof states; to: number; ok: boolean }[] = [
    { from: 'disabled', to: 0, ok: true },
    { from: 'disabled', to: EN, ok: true },
    { from: 'disabled', to: EXTD, ok: false },
    { from: 'disabled', to: EN | EXTD, ok: false },
    { from: 'xapic', to: 0, ok: true },
    { from: 'xapic', to: EN, ok: true },
    { from: 'xapic', to: EXTD, ok: false },
    { from: 'xapic', to: EN | EXTD, ok: true },
    { from: 'x2apic', to: 0, ok: true },
    { from: 'x2apic', to: EN, ok: false },
    { from: 'x2apic', to: EXTD, ok: false },
    { from: 'x2apic', to: EN | EXTD, ok: true },
  ]
  test.each(rows)('$from → EN/EXTD $to: $ok', ({ from, to, ok }) => {
    const { apic } = makeFabric()
    for (const step of states[from]) expect(apic.setApicBase(BASE + step, 0)).toBe(true)
    const before = apic.apicBaseLo
    expect(apic.setApicBase(BASE + to, 0)).toBe(ok)
    expect(apic.apicBaseLo).toBe(ok ? BASE + to : before)
  })

  test.each([
    { lo: BASE | EN | 1, hi: 0, ok: false },
    { lo: BASE | EN | (1 << 9), hi: 0, ok: false },
    { lo: BASE | EN | (1 << 8), hi: 0, ok: true },
    { lo: BASE | EN, hi: 0xff, ok: true },
    { lo: BASE | EN, hi: 0x100, ok: false },
  ])('reserved bits: $lo $hi', ({ lo, hi, ok }) => {
    const { apic } = makeFabric()
    expect(apic.setApicBase(lo >>> 0, hi)).toBe(ok)
  })

  test('EXTD is reserved without x2APIC', () => {
    const { apic } = makeFabric({ x2apic: false })
    expect(apic.setApicBase(BASE + EN + EXTD, 0)).toBe(false)
  })

  test('the page moves with the base, and is gone in x2APIC mode', () => {
    const { apic } = makeFabric()
    expect([apic.pageEnabled, apic.pageAddress]).toEqual([true, BASE])
    apic.setApicBase(0x8000_0000 + EN, 0x12)
    expect(apic.pageAddress).toBe(0x12_8000_0000)
    apic.setApicBase(0x8000_0000 + EN + EXTD, 0x12)
    expect([apic.pageEnabled, apic.x2apic]).toEqual([false, true])
  })

  test.each([
    { base: 0xfee0_0000 + EN, hi: 0, gpa: 0xfee0_0000, decoded: true },
    { base: 0xfee0_0000 + EN, hi: 0, gpa: 0xfee0_0fff, decoded: true },
    { base: 0xfee0_0000 + EN, hi: 0, gpa: 0xfedf_ffff, decoded: false },
    { base: 0xfee0_0000 + EN, hi: 0, gpa: 0xfee0_1000, decoded: false },
    { base: 0xfee0_0000 + EN, hi: 0, gpa: 0x7ee0_0000, decoded: false },
    { base: 0xfee0_0000 + EN, hi: 0, gpa: 0x12_fee0_0000, decoded: false },
    { base: 0x7000_1000 + EN, hi: 0, gpa: 0x7000_1020, decoded: true },
    { base: 0x8000_0000 + EN, hi: 0x12, gpa: 0x12_8000_0020, decoded: true },
    { base: 0x8000_0000 + EN, hi: 0x12, gpa: 0x8000_0020, decoded: false },
    { base: 0x8000_0000 + EN, hi: 0x12, gpa: 0x13_8000_0020, decoded: false },
    { base: 0xfee0_0000 + EN + EXTD, hi: 0, gpa: 0xfee0_0020, decoded: false },
    { base: 0xfee0_0000, hi: 0, gpa: 0xfee0_0020, decoded: false },
  ])('$gpa with base $hi:$base: decoded is $decoded', ({ base, hi, gpa, decoded }) => {
    const { apic } = makeFabric()
    expect(apic.setApicBase(base, hi)).toBe(true)
    expect(apic.decodes(gpa)).toBe(decoded)
  })

  test('only the first processor has the bootstrap bit after power-on', () => {
    const { fabric } = makeFabric({ cpus: 3 })
    expect(fabric.localApics.map((a) => (a.apicBaseLo >>> 8) & 1)).toEqual([1, 0, 0])
  })

  test('switching off loses the registers; x2APIC mode survives INIT', () => {
    const { apic } = makeFabric()
    apic.write(APIC_TPR, 0x50)
    apic.setApicBase(BASE, 0)
    apic.setApicBase(BASE + EN, 0)
    expect(apic.read(APIC_TPR)).toBe(0)
    apic.write(APIC_LDR, 0x0100_0000)
    apic.setApicBase(BASE + EN + EXTD, 0)
    apic.init()
    apic.takeInit()
    expect([apic.x2apic, apic.readMsr(0x80d, into), into.lo]).toEqual([true, true, 1])
  })
})

describe('x2APIC MSRs (SDM vol. 3A, "x2APIC Register Address Space")', () => {
  const x2 = () => {
    const { apic } = makeFabric()
    apic.setApicBase(BASE + EN + EXTD, 0)
    return apic
  }
  const readable = [
    0x802, 0x803, 0x808, 0x80a, 0x80d, 0x80f, 0x810, 0x811, 0x812, 0x813, 0x814, 0x815, 0x816, 0x817, 0x818, 0x819,
    0x81a, 0x81b, 0x81c, 0x81d, 0x81e, 0x81f, 0x820, 0x821, 0x822, 0x823, 0x824, 0x825, 0x826, 0x827, 0x828, 0x830,
    0x832, 0x833, 0x834, 0x835, 0x836, 0x837, 0x838, 0x839, 0x83e,
  ]
  const writable = [0x808, 0x80b, 0x80f, 0x828, 0x830, 0x832, 0x833, 0x834, 0x835, 0x836, 0x837, 0x838, 0x83e, 0x83f]
  test('exactly the documented ones can be read and written', () => {
    for (let index = MSR_X2APIC_FIRST; index < 0x900; index++) {
      const apic = x2()
      expect([index, apic.readMsr(index, into)]).toEqual([index, readable.includes(index)])
      expect([index, apic.writeMsr(index, 0, 0)]).toEqual([index, writable.includes(index)])
    }
  })

  test('none can in xAPIC mode', () => {
    const { apic } = makeFabric()
    for (let index = MSR_X2APIC_FIRST; index < 0x900; index++) {
      expect(apic.readMsr(index, into) || apic.writeMsr(index, 0, 0)).toBe(false)
    }
  })

  test.each([
    { name: 'TPR bit 8', index: 0x808, lo: 0x100, hi: 0, ok: false },
    { name: 'TPR', index: 0x808, lo: 0xff, hi: 0, ok: true },
    { name: 'TPR high word', index: 0x808, lo: 0, hi: 1, ok: false },
    { name: 'EOI of anything but 0', index: 0x80b, lo: 1, hi: 0, ok: false },
    { name: 'ESR of anything but 0', index: 0x828, lo: 1, hi: 0, ok: false },
    { name: 'SVR bit 9', index: 0x80f, lo: 0x200, hi: 0, ok: false },
    { name: 'SVR bit 12', index: 0x80f, lo: 0x1100, hi: 0, ok: true },
    { name: 'ICR, delivery status', index: 0x830, lo: 0x1050, hi: 5, ok: true },
    { name: 'ICR bit 13', index: 0x830, lo: 0x2050, hi: 0, ok: false },
    { name: 'ICR bit 20', index: 0x830, lo: 0x10_0050, hi: 0, ok: false },
    { name: 'LVT timer bit 8', index: 0x832, lo: 0x100, hi: 0, ok: false },
    { name: 'LVT timer, read-only delivery status', index: 0x832, lo: 0x1030, hi: 0, ok: true },
    { name: 'LVT LINT0, polarity and trigger', index: 0x835, lo: 0xa700, hi: 0, ok: true },
    { name: 'LVT error bit 10', index: 0x837, lo: 0x400, hi: 0, ok: false },
    { name: 'initial count, 32 bits', index: 0x838, lo: 0xffff_ffff, hi: 0, ok: true },
    { name: 'divide configuration bit 2', index: 0x83e, lo: 4, hi: 0, ok: false },
    { name: 'self IPI bit 8', index: 0x83f, lo: 0x151, hi: 0, ok: false },
  ])('$name: $ok', ({ index, lo, hi, ok }) => {
    expect(x2().writeMsr(index, lo, hi)).toBe(ok)
  })

  test('the ICR is one 64-bit register', () => {
    const apic = x2()
    apic.writeMsr(0x830, 0x4051, 0x1234_5678)
    apic.readMsr(0x830, into)
    expect(into).toEqual({ lo: 0x4051, hi: 0x1234_5678 })
  })
})

test.each([
  { id: 0x07, ldr: 0x0000_0080 },
  { id: 0x08, ldr: 0x0000_0100 },
  { id: 0x2b, ldr: 0x0002_0800 },
  { id: 0xff, ldr: 0x000f_8000 },
])('LDR of APIC ID $id (SDM vol. 3A, "Deriving Logical x2APIC ID from the Local x2APIC ID")', ({ id, ldr }) => {
  const { apic } = makeFabric({ apicIds: [id] })
  expect(apic.setApicBase(BASE + EN + EXTD, 0)).toBe(true)
  expect(apic.read(APIC_LDR)).toBe(ldr)
})
