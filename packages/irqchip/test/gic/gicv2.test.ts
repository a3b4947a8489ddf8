/** What QEMU's GICv2 does otherwise than the manual, or not at all: Arm IHI 0048. */
import { expect, test } from 'vitest'
import { GicV2, type GicV2Options } from '../../src/gic/index.ts'

const CTLR = 0x00
const PMR = 0x04
const IAR = 0x0c
const EOIR = 0x10
const RPR = 0x14
const HPPIR = 0x18
const AIAR = 0x20
const AEOIR = 0x24
const AHPPIR = 0x28
const SGIR = 0xf00

/** A GIC with everything enabled, in group 0, for all processors. */
function makeGic(cpus: number, options: Partial<GicV2Options> = {}): GicV2 {
  const gic = new GicV2({ cpus, signal: () => undefined, ...options })
  gic.writeDistributor(0, CTLR, 4, 3)
  for (let n = 1; n <= 8; n++) gic.writeDistributor(0, 0x100 + 4 * n, 4, 0xffff_ffff)
  for (let intid = 32; intid < 288; intid++) gic.writeDistributor(0, 0x800 + intid, 1, 0xff)
  for (let cpu = 0; cpu < cpus; cpu++) {
    gic.writeDistributor(cpu, 0x100, 4, 0xffff_ffff)
    gic.writeInterface(cpu, PMR, 4, 0xff)
    gic.writeInterface(cpu, CTLR, 4, 3)
  }
  return gic
}

const interrupted = (gic: GicV2): number[] =>
  Array.from({ length: gic.cpus }, (_, cpu) => cpu).filter((cpu) => gic.irqPending(cpu))

test('a shared interrupt with several targets is taken by one of them (3.2.3 "1-N model")', () => {
  const gic = makeGic(4)
  gic.writeDistributor(0, 0x828, 1, 0b1011)
  gic.setLine(40, true)
  expect(interrupted(gic)).toEqual([0, 1, 3])
  expect(gic.readInterface(1, IAR, 4)).toBe(40)
  expect([interrupted(gic), gic.readInterface(0, IAR, 4)]).toEqual([[], 1023])
  gic.writeInterface(1, EOIR, 4, 40)
  expect(interrupted(gic)).toEqual([0, 1, 3])
})

test('an SGI comes once from each sender, the lowest first, and HPPIR names it', () => {
  const gic = makeGic(8)
  for (const cpu of [6, 2]) gic.writeDistributor(cpu, SGIR, 4, (1 << 19) | 5)
  expect(gic.readDistributor(3, 0xf14, 4)).toBe(0x44_00)
  expect(gic.readInterface(3, HPPIR, 4)).toBe((2 << 10) | 5)
  expect(gic.readInterface(3, IAR, 4)).toBe((2 << 10) | 5)
  expect(gic.readInterface(3, IAR, 4)).toBe(1023)
  gic.writeInterface(3, EOIR, 4, (2 << 10) | 5)
  expect(gic.readInterface(3, IAR, 4)).toBe((6 << 10) | 5)
  gic.writeInterface(3, EOIR, 4, (6 << 10) | 5)
  expect(interrupted(gic)).toEqual([])
})

test('registers of group 1 take only its interrupts', () => {
  const gic = makeGic(1)
  gic.writeDistributor(0, 0x84, 4, 1 << 8)
  gic.writeDistributor(0, 0x428, 1, 0x40)
  gic.setLine(40, true)
  expect([gic.readInterface(0, HPPIR, 4), gic.readInterface(0, IAR, 4)]).toEqual([1022, 1022])
  expect([gic.readInterface(0, AHPPIR, 4), gic.readInterface(0, AIAR, 4)]).toEqual([40, 40])
  gic.writeDistributor(0, 0x422, 1, 0)
  gic.setLine(34, true)
  expect([gic.readInterface(0, AHPPIR, 4), gic.readInterface(0, AIAR, 4)]).toEqual([1023, 1023])
  expect(gic.readInterface(0, IAR, 4)).toBe(34)
  gic.writeInterface(0, AEOIR, 4, 34)
  expect(gic.readInterface(0, RPR, 4)).toBe(0)
  gic.writeInterface(0, EOIR, 4, 34)
  gic.writeInterface(0, AEOIR, 4, 40)
  expect(gic.readInterface(0, RPR, 4)).toBe(0xff)
})

test('a group that the distributor does not forward keeps nothing back', () => {
  const gic = makeGic(1)
  gic.writeDistributor(0, 0x84, 4, 1 << 8)
  gic.writeDistributor(0, 0x428, 1, 0x40)
  gic.setLine(34, true)
  gic.setLine(40, true)
  gic.writeDistributor(0, CTLR, 4, 2)
  expect(gic.readInterface(0, AIAR, 4)).toBe(40)
})

test('with one vCPU there are no targets, and its interrupts are its own', () => {
  const gic = new GicV2({ cpus: 1, signal: () => undefined })
  gic.writeDistributor(0, 0x820, 4, 0x0101_0101)
  expect([gic.readDistributor(0, 0x800, 4), gic.readDistributor(0, 0x820, 4)]).toEqual([0, 0])
  gic.writeDistributor(0, CTLR, 4, 1)
  gic.writeDistributor(0, 0x104, 4, 1)
  gic.writeInterface(0, PMR, 4, 0xff)
  gic.writeInterface(0, CTLR, 4, 1)
  gic.setLine(32, true)
  expect(gic.readInterface(0, IAR, 4)).toBe(32)
})

test.each([1, 2, 8])('an access of %i bytes to a register of words reads 0 and changes nothing', (size) => {
  const gic = makeGic(2)
  gic.writeInterface(0, PMR, size, 0)
  gic.writeDistributor(0, 0x184, size, 1)
  expect([gic.readInterface(0, PMR, size), gic.readDistributor(0, 0x104, size)]).toEqual([0, 0])
  expect([gic.readInterface(0, PMR, 4), gic.readDistributor(0, 0x104, 4)]).toEqual([0xf8, 0xffff_ffff])
})

test('a restored state goes on as the saved one', () => {
  const first = makeGic(3)
  first.writeDistributor(2, SGIR, 4, (1 << 17) | 9)
  first.setLine(50, true)
  first.readInterface(0, IAR, 4)
  const second = new GicV2({ cpus: 3, signal: () => undefined })
  second.restore(JSON.parse(JSON.stringify(first.save())))
  expect(second.save()).toEqual(first.save())
  expect([interrupted(second), second.readInterface(1, IAR, 4)]).toEqual([[1], (2 << 10) | 9])
  second.writeInterface(0, EOIR, 4, 50)
  expect(second.irqPending(0)).toBe(true)
  second.reset()
  expect([interrupted(second), second.readDistributor(1, 0xf18, 4)]).toEqual([[], 0])
})
