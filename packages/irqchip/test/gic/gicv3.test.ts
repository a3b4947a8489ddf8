/** What QEMU's GIC cannot show: it has no interrupts for any processor, and forwards interrupts to one that sleeps. */
import { numbers } from '@retrap/tooling/random'
import type { Rng } from '@retrap/tooling/soak'
import { describe, expect, test } from 'vitest'
import * as G from '../../src/gic/index.ts'
import { OurBoard } from './operations.ts'
import { RandomGicV3 } from './random-gicv3.ts'

const ROUTER = 0x6000
const ANY = 0x8000_0000

/** A GIC with all of group 1, everything enabled, all processors awake. */
function makeGic(cpus: number, signal: (cpu: number) => void = () => undefined): G.GicV3 {
  const gic = new G.GicV3({ cpus, signal })
  gic.distributor.write(0, 4, 3)
  for (let n = 1; n <= 8; n++) {
    gic.distributor.write(0x80 + 4 * n, 4, 0xffff_ffff)
    gic.distributor.write(0x100 + 4 * n, 4, 0xffff_ffff)
  }
  for (let cpu = 0; cpu < cpus; cpu++) {
    const frame = 0x2_0000 * cpu
    gic.redistributors.write(frame + 0x14, 4, 0)
    gic.redistributors.write(frame + 0x1_0080, 4, 0xffff_ffff)
    gic.redistributors.write(frame + 0x1_0100, 4, 0xffff_ffff)
    gic.writeSystemRegister(cpu, G.ICC_PMR_EL1, 0xff, 0)
    gic.writeSystemRegister(cpu, G.ICC_IGRPEN1_EL1, 1, 0)
  }
  return gic
}

function acknowledge(gic: G.GicV3, cpu: number): number {
  const into = { lo: 0, hi: 0 }
  gic.readSystemRegister(cpu, G.ICC_IAR1_EL1, into)
  return into.lo
}

/** The processors whose IRQ is up. */
const interrupted = (gic: G.GicV3): number[] =>
  Array.from({ length: gic.cpus }, (_, cpu) => cpu).filter((cpu) => gic.irqPending(cpu))

test('a redistributor shows priorities of its 32 interrupts, and not those of SPIs (IHI 0069, "GICR_IPRIORITYR<n>")', () => {
  const gic = makeGic(1)
  gic.distributor.write(0x400 + 32, 4, 0xa0a0_a0a0)
  gic.redistributors.write(0x1_0000 + 0x400 + 31, 1, 0x50)
  gic.redistributors.write(0x1_0000 + 0x400 + 32, 1, 0x50)
  const shown = [31, 32].map((intid) => gic.redistributors.read(0x1_0000 + 0x400 + intid, 1))
  expect([...shown, gic.distributor.read(0x400 + 32, 1)]).toEqual([0x50, 0, 0xa0])
})

describe('an SPI for any processor (IHI 0069, 3.3 "1 of N model")', () => {
  test('goes to one of them, and stays there', () => {
    const gic = makeGic(4)
    for (const intid of [32, 33, 34, 35]) gic.distributor.write(ROUTER + 8 * intid, 4, ANY)
    gic.setLine(34, true)
    expect(interrupted(gic)).toEqual([2])
    gic.setLine(33, true)
    expect(interrupted(gic)).toEqual([1, 2])
    expect(acknowledge(gic, 2)).toBe(34)
    expect(interrupted(gic)).toEqual([1])
  })

  test('leaves a processor that does not take its group, and comes back', () => {
    const gic = makeGic(4)
    gic.distributor.write(ROUTER + 8 * 34, 4, ANY)
    gic.setLine(34, true)
    gic.writeSystemRegister(2, G.ICC_IGRPEN1_EL1, 0, 0)
    expect(interrupted(gic)).toEqual([3])
    gic.redistributors.write(3 * 0x2_0000 + 0x14, 4, 2)
    expect(interrupted(gic)).toEqual([0])
    gic.writeSystemRegister(2, G.ICC_IGRPEN1_EL1, 1, 0)
    expect(interrupted(gic)).toEqual([2])
  })
})

test('a processor that sleeps gets nothing until it wakes (IHI 0069, GICR_WAKER.ProcessorSleep)', () => {
  const signalled: number[] = []
  const gic = makeGic(2, (cpu) => signalled.push(cpu))
  gic.redistributors.write(0x14, 4, 2)
  expect(gic.redistributors.read(0x14, 4)).toBe(6)
  gic.setPpi(0, 27, true)
  expect([interrupted(gic), signalled]).toEqual([[], []])
  gic.redistributors.write(0x14, 4, 0)
  expect([interrupted(gic), signalled]).toEqual([[0], [0]])
})

test('the hypervisor connects a processor as secure firmware does, and disconnects it', () => {
  const gic = makeGic(2)
  gic.connect(0, false)
  expect(gic.redistributors.read(0x14, 4)).toBe(6)
  gic.setPpi(0, 27, true)
  expect(interrupted(gic)).toEqual([])
  gic.connect(0, true)
  expect([interrupted(gic), gic.redistributors.read(0x14, 4)]).toEqual([[0], 0])
  expect(() => gic.connect(2, true)).toThrow(expect.objectContaining({ code: 'ERR_INVALID' }))
})

test('64 processors are in clusters of 16, and an SGI names those of one', () => {
  const gic = makeGic(64)
  expect(gic.redistributorBytes).toBe(64 * 0x2_0000)
  const into = { lo: 0, hi: 0 }
  gic.redistributors.read64(63 * 0x2_0000 + 8, into)
  expect(into).toEqual({ lo: 0x0100_3f10, hi: 0x0000_030f })
  gic.writeSystemRegister(5, G.ICC_SGI1R_EL1, (7 << 24) | (2 << 16) | 0x8003, 0)
  expect(interrupted(gic)).toEqual([32, 33, 47])
  expect(acknowledge(gic, 47)).toBe(7)
  gic.writeSystemRegister(47, G.ICC_EOIR1_EL1, 7, 0)
  gic.writeSystemRegister(47, G.ICC_SGI1R_EL1, 7 << 24, 1 << 8)
  expect(interrupted(gic)).toHaveLength(63)
})

test('affinities of a board are those that routes and SGIs name', () => {
  const gic = new G.GicV3({ cpus: 2, affinities: [0x8001_0200, 0xff02_0301], signal: () => undefined })
  const into = { lo: 0, hi: 0 }
  gic.redistributors.read64(0x2_0008, into)
  expect(into.hi).toBe(0xff02_0301)
  gic.redistributors.write(0x2_0014, 4, 0)
  gic.redistributors.write(0x3_0080, 4, 0xffff_ffff)
  gic.redistributors.write(0x3_0100, 4, 0xffff_ffff)
  gic.distributor.write(0, 4, 3)
  gic.writeSystemRegister(1, G.ICC_PMR_EL1, 0xff, 0)
  gic.writeSystemRegister(1, G.ICC_IGRPEN1_EL1, 1, 0)
  gic.writeSystemRegister(0, G.ICC_SGI1R_EL1, (3 << 24) | (3 << 16) | 2, (0xff << 16) | 2)
  expect(acknowledge(gic, 1)).toBe(3)
  gic.distributor.write64(ROUTER + 8 * 40, 0x0002_0301, 0xff)
  gic.distributor.write(0x84, 4, 0xffff_ffff)
  gic.distributor.write(0x104, 4, 0xffff_ffff)
  gic.distributor.write(0x428, 1, 0)
  gic.writeSystemRegister(1, G.ICC_EOIR1_EL1, 3, 0)
  gic.setLine(40, true)
  expect(acknowledge(gic, 1)).toBe(40)
})

test('1020 is no interrupt: a GIC with 988 SPIs has as many', () => {
  const gic = new G.GicV3({ cpus: 1, spis: 988, signal: () => undefined })
  expect(gic.distributor.read(4, 4) & 31).toBe(31)
  gic.distributor.write(0x100 + 4 * 31, 4, 0xffff_ffff)
  expect(gic.distributor.read(0x100 + 4 * 31, 4)).toBe(0x0fff_ffff)
  gic.distributor.write(0x400 + 1016, 4, 0xffff_ffff)
  gic.distributor.write(0x400 + 1020, 4, 0xffff_ffff)
  expect([gic.distributor.read(0x400 + 1016, 4), gic.distributor.read(0x400 + 1020, 4)]).toEqual([0xf8f8_f8f8, 0])
})

test('a reset keeps the inputs, and lowers IRQ', () => {
  const signalled: number[] = []
  const gic = makeGic(1, (cpu) => signalled.push(cpu))
  gic.setLine(40, true)
  gic.reset()
  expect([interrupted(gic), signalled]).toEqual([[], [0, 0]])
  expect(gic.distributor.read(0x204, 4)).toBe(1 << 8)
})

/** Draws as a soak's generator does. */
function generator(seed: number): Rng {
  const below = numbers(seed)
  return {
    below,
    u32: () => below(2 ** 32),
    between: (low: number, high: number) => low + below(high - low + 1),
    chance: (numerator = 1, denominator = 2) => below(denominator) < numerator,
    pick: <T>(list: readonly T[]) => list[below(list.length)]!,
  } as Rng
}

test('a state that is saved and restored behaves as the one it was made of', () => {
  for (let seed = 0; seed < 30; seed++) {
    const make = () => ({ gic: new G.GicV3({ cpus: 3, signal: () => undefined }) })
    const [first, second] = [new OurBoard(make), new OurBoard(make)]
    first.perform(new RandomGicV3(generator(seed), 3).operations())
    second.parts.gic.restore(JSON.parse(JSON.stringify(first.parts.gic.save())))
    expect(second.parts.gic.save()).toEqual(first.parts.gic.save())
    const more = new RandomGicV3(generator(seed + 1000), 3).operations()
    expect(second.perform(more)).toEqual(first.perform(more))
  }
})

test('its state is in the machine memory that it was given, and two views of that agree', () => {
  const bytes = G.gicV3StateBytes(2)
  const state = { buffer: new SharedArrayBuffer(bytes + 8), byteOffset: 8 }
  const gic = new G.GicV3({ cpus: 2, signal: () => undefined, state })
  gic.distributor.write(0x104, 4, 0x1234)
  expect(new Int32Array(state.buffer).includes(0x1234)).toBe(true)
})
