/** What registers keep of what is written to them while the controller stands (xHCI 1.2, §5.4 and §5.5.2). */
import { describe, expect, test } from 'vitest'
import { XhciDriver } from './support/xhci-driver.ts'

const ALL = 0xffff_ffff

describe.each([0, 1, 2, 3])('interrupter %i', (index) => {
  const base = 0x1020 + 32 * index
  test.each([
    { register: 'IMAN', at: 0x00, keeps: 0x0000_0002 },
    { register: 'IMOD', at: 0x04, keeps: ALL },
    { register: 'ERSTSZ', at: 0x08, keeps: 0x0000_ffff },
    { register: 'a reserved one', at: 0x0c, keeps: 0 },
    { register: 'ERSTBA', at: 0x10, keeps: 0xffff_ffc0 },
    { register: 'the upper half of ERSTBA', at: 0x14, keeps: ALL },
    // Bit 3 is cleared by writing it.
    { register: 'ERDP', at: 0x18, keeps: 0xffff_fff7 },
    { register: 'the upper half of ERDP', at: 0x1c, keeps: ALL },
  ])('$register', ({ at, keeps }) => {
    const { machine } = new XhciDriver()
    const before = Array.from({ length: 8 }, (_, i) => machine.read(base + 4 * i))
    for (const value of [ALL, 0x5a5a_5a5a, 0]) {
      machine.write(base + at, value)
      expect(machine.read(base + at)).toBe((value & keeps) >>> 0)
    }
    // The others stay.
    machine.write(base + at, before[at / 4]!)
    machine.write(base + at, ALL)
    const after = Array.from({ length: 8 }, (_, i) => machine.read(base + 4 * i))
    expect(after).toEqual(before.map((value, i) => (4 * i === at ? keeps : value)))
  })
})

describe('operational registers', () => {
  test.each([
    { register: 'DNCTRL', at: 0x54, keeps: 0x0000_ffff },
    { register: 'DCBAAP', at: 0x70, keeps: 0xffff_ffc0 },
    { register: 'the upper half of DCBAAP', at: 0x74, keeps: ALL },
    // The pointer of CRCR reads as 0.
    { register: 'CRCR', at: 0x58, keeps: 0 },
    { register: 'the upper half of CRCR', at: 0x5c, keeps: 0 },
  ])('$register', ({ at, keeps }) => {
    const { machine } = new XhciDriver()
    for (const value of [ALL, 0x5a5a_5a5a, 0]) {
      machine.write(at, value)
      expect(machine.read(at)).toBe((value & keeps) >>> 0)
    }
  })
})
