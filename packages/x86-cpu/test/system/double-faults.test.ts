import { describe, expect } from 'vitest'
import { IDTR, S_CR2, S_DR, S_GPR, S_RIP } from '../../src/state/state-layout.ts'
import { isDoubleFault } from '../../src/system/events.ts'
import { setTableRegister } from '../../src/system/segments/segment-cache.ts'
import { ACTIVITY_HALTED, ACTIVITY_RUNNING, ACTIVITY_SHUTDOWN, S_ACTIVITY } from '../../src/state/system-state.ts'
import { Bench, CODE0_SEL, FREE_SEL, STACK0, STATUS_EXIT, descriptor, event, exception, gate } from './bench.ts'
import { test } from './with-bench.ts'

const interrupt = (vector: number): ReturnType<typeof event> => event((e) => e.setInterrupt(0, vector, false))

describe('double and triple faults (SDM vol. 3A, "Interrupt 8—Double Fault Exception")', () => {
  const benign = [1, 2, 3, 6, 7, 16, 17]
  const contributory = [0, 10, 11, 12, 13]
  test('the table', () => {
    for (const first of [...benign, ...contributory, 14]) {
      for (const second of [...benign, ...contributory, 14]) {
        const expected =
          (contributory.includes(first) && contributory.includes(second)) ||
          (first === 14 && (second === 14 || contributory.includes(second)))
        expect([first, second, isDoubleFault(first, second)]).toEqual([first, second, expected])
      }
    }
  })

  test('a missing gate makes #GP with EXT; a missing #GP gate a double fault with error code 0', ({
    protected32: b,
  }) => {
    b.idt(13, gate(CODE0_SEL, 0x9000, 0x8e))
    b.deliver(interrupt(0x20))
    expect(b.pushed(4, 2)).toEqual([0x103, 0x4000])
    const c = Bench.protected32()
    c.idt(8, gate(CODE0_SEL, 0x9008, 0x8e))
    c.deliver(exception(13, 0))
    expect(c.pushed(4, 2)).toEqual([0, 0x4000])
    expect(c.rip).toBe(0x9008)
  })

  test('a page fault while a page fault is delivered: CR2 is the second one’s', ({ user32: b }) => {
    b.idt(14, gate(CODE0_SEL, 0x9000, 0x8e))
    b.gdt(FREE_SEL, descriptor(0, 0xffff_ffff, 0xc093))
    b.cpu.absent.add((STACK0 - 4) >> 12)
    b.deliver(exception(14, 4))
    expect(b.s.get(S_ACTIVITY)).toBe(ACTIVITY_SHUTDOWN)
    expect(b.s.get(S_CR2)).toBe(STACK0 - 4)
  })

  test('a benign exception that cannot be delivered is followed by the second, not by a double fault', ({
    protected32: b,
  }) => {
    b.idt(11, gate(CODE0_SEL, 0x9000, 0x8e))
    b.idt(6, gate(CODE0_SEL, 0x9000, 0x0e))
    b.deliver(exception(6))
    expect(b.pushed(4, 2)).toEqual([6 * 8 + 3, 0x4000])
  })

  test('without any gate the processor shuts down', ({ protected32: b }) => {
    expect(b.deliver(exception(13, 0))).toBe(STATUS_EXIT)
    expect(b.s.get(S_ACTIVITY)).toBe(ACTIVITY_SHUTDOWN)
    expect(b.rip).toBe(0x4000)
  })

  test('in real mode an IDT limit of zero does the same', () => {
    const b = Bench.real()
    setTableRegister(b.s, IDTR, 0, 0, 0)
    b.deliver(exception(6))
    expect(b.s.get(S_ACTIVITY)).toBe(ACTIVITY_SHUTDOWN)
  })
})

describe('other effects of delivery', () => {
  test('HLT ends, #DB sets DR6 and clears DR7.GD', ({ protected32: b }) => {
    b.idt(1, gate(CODE0_SEL, 0x9000, 0x8e))
    b.s.set(S_ACTIVITY, ACTIVITY_HALTED)
    b.s.set(S_DR + 56, 0x2400)
    b.s.set(S_DR + 48, 0xffff_0ff2)
    b.deliver(event((e) => e.setDebug(0x4001)))
    expect(b.s.get(S_DR + 48)).toBe(0xffff_4ff1)
    expect(b.s.get(S_DR + 56)).toBe(0x400)
    expect(b.s.get(S_ACTIVITY)).toBe(ACTIVITY_RUNNING)
    expect(b.pushed(4, 3)[2]).toBe(0x202)
  })

  test('BOUND raises #BR outside the bounds only', ({ protected32: b }) => {
    b.cpu.view.setInt32(0x5000, -5, true)
    b.cpu.view.setInt32(0x5004, 5, true)
    const bound = (value: number): string => {
      b.s.set(S_GPR, value)
      return b.outcome('BOUND', { offsets: [S_GPR], address: 0x5000 })
    }
    expect([-6, -5, 5, 6].map(bound)).toEqual(['#BR', 'ok', 'ok', '#BR'])
    expect(b.s.get(S_RIP)).toBe(0x4000)
  })
})
