import { describe, expect, test } from 'vitest'
import * as fc from 'fast-check'
import * as index from '../src/index.ts'
import { type LocalApic } from '../src/index.ts'
import { makeFabric } from './machine.ts'

const vectorsIn = (apic: LocalApic, register: number): number[] =>
  Array.from({ length: 256 }, (_, v) => v).filter((v) => (apic.read(register + (v >> 5) * 16) >>> (v & 31)) & 1)

describe('registers after power-on (SDM vol. 3A, "Local APIC State After Power-Up or Reset")', () => {
  test.each([
    { name: 'ID', offset: index.APIC_ID, value: 0x0300_0000 },
    { name: 'version', offset: index.APIC_VERSION, value: 0x0105_0014 },
    { name: 'TPR', offset: index.APIC_TPR, value: 0 },
    { name: 'APR', offset: index.APIC_APR, value: 0 },
    { name: 'PPR', offset: index.APIC_PPR, value: 0 },
    { name: 'LDR', offset: index.APIC_LDR, value: 0 },
    { name: 'DFR', offset: index.APIC_DFR, value: 0xffff_ffff },
    { name: 'SVR', offset: index.APIC_SVR, value: 0xff },
    { name: 'ISR', offset: index.APIC_ISR, value: 0 },
    { name: 'TMR', offset: index.APIC_TMR + 0x70, value: 0 },
    { name: 'IRR', offset: index.APIC_IRR + 0x10, value: 0 },
    { name: 'ESR', offset: index.APIC_ESR, value: 0 },
    { name: 'ICR', offset: index.APIC_ICR, value: 0 },
    { name: 'ICR high', offset: index.APIC_ICR2, value: 0 },
    { name: 'LVT timer', offset: index.APIC_LVT_TIMER, value: 0x10000 },
    { name: 'LVT thermal', offset: index.APIC_LVT_THERMAL, value: 0x10000 },
    { name: 'LVT performance', offset: index.APIC_LVT_PMC, value: 0x10000 },
    { name: 'LVT LINT0', offset: index.APIC_LVT_LINT0, value: 0x10000 },
    { name: 'LVT LINT1', offset: index.APIC_LVT_LINT1, value: 0x10000 },
    { name: 'LVT error', offset: index.APIC_LVT_ERROR, value: 0x10000 },
    { name: 'initial count', offset: index.APIC_TMICT, value: 0 },
    { name: 'current count', offset: index.APIC_TMCCT, value: 0 },
    { name: 'divide configuration', offset: index.APIC_TDCR, value: 0 },
  ])('$name', ({ offset, value }) => {
    const { fabric } = makeFabric({ cpus: 4 }, false)
    expect(fabric.localApic(3).read(offset)).toBe(value)
  })

  test.each([
    { name: 'ID is read-only', offset: index.APIC_ID, write: 0xffff_ffff, read: 0 },
    { name: 'version is read-only', offset: index.APIC_VERSION, write: 0, read: 0x0105_0014 },
    { name: 'TPR has 8 bits', offset: index.APIC_TPR, write: 0xffff_ff5a, read: 0x5a },
    { name: 'LDR has its high byte', offset: index.APIC_LDR, write: 0x12ff_ffff, read: 0x1200_0000 },
    { name: 'DFR has its high nibble', offset: index.APIC_DFR, write: 0, read: 0x0fff_ffff },
    { name: 'SVR', offset: index.APIC_SVR, write: 0xffff_ffff, read: 0x11ff },
    { name: 'ISR is read-only', offset: index.APIC_ISR, write: 1, read: 0 },
    { name: 'IRR is read-only', offset: index.APIC_IRR, write: 1, read: 0 },
    { name: 'ICR high has its high byte', offset: index.APIC_ICR2, write: 0xffff_ffff, read: 0xff00_0000 },
    { name: 'ICR has no delivery status', offset: index.APIC_ICR, write: 0xffff_f7ff & ~0x700, read: 0x000c_c0ff },
    { name: 'LVT timer', offset: index.APIC_LVT_TIMER, write: 0xffff_ffff, read: 0x700ff },
    { name: 'LVT thermal', offset: index.APIC_LVT_THERMAL, write: 0xffff_ffff, read: 0x107ff },
    { name: 'LVT performance', offset: index.APIC_LVT_PMC, write: 0xffff_ffff, read: 0x107ff },
    { name: 'LVT LINT0', offset: index.APIC_LVT_LINT0, write: 0xffff_ffff, read: 0x1a7ff },
    { name: 'LVT LINT1', offset: index.APIC_LVT_LINT1, write: 0xffff_ffff, read: 0x1a7ff },
    { name: 'LVT error', offset: index.APIC_LVT_ERROR, write: 0xffff_ffff, read: 0x100ff },
    { name: 'divide configuration', offset: index.APIC_TDCR, write: 0xffff_ffff, read: 0xb },
    { name: 'current count is read-only', offset: index.APIC_TMCCT, write: 5, read: 0 },
  ])('$name', ({ offset, write, read }) => {
    const { apic } = makeFabric()
    apic.write(offset, write)
    expect(apic.read(offset)).toBe(read)
  })

  test('an address between registers reads 0; one of no register is an error (ESR bit 7)', () => {
    const { apic } = makeFabric()
    expect([apic.read(index.APIC_VERSION + 4), apic.read(0x3f4)]).toEqual([0, 0])
    apic.write(index.APIC_ESR, 0)
    expect(apic.read(index.APIC_ESR)).toBe(0)
    for (const offset of [0x000, 0x040, 0x290, 0x3f0, index.APIC_LVT_CMCI]) {
      expect(apic.read(offset)).toBe(0)
      apic.write(index.APIC_ESR, 0)
      expect(apic.read(index.APIC_ESR)).toBe(0x80)
    }
  })
})

describe('priorities (SDM vol. 3A, "Task and Processor Priorities")', () => {
  test('CR8 is TPR[7:4]', () => {
    const { apic } = makeFabric()
    apic.cr8 = 9
    expect([apic.read(index.APIC_TPR), apic.cr8]).toEqual([0x90, 9])
    apic.write(index.APIC_TPR, 0x5a)
    expect(apic.cr8).toBe(5)
    apic.accept(0x55, false)
    expect(apic.hasInterrupt()).toBe(false)
    apic.cr8 = 4
    expect(apic.hasInterrupt()).toBe(true)
  })

  test('an acknowledgement with nothing pending gives the spurious vector, and nothing is in service', () => {
    const { apic } = makeFabric()
    apic.write(index.APIC_SVR, 0x1ef)
    apic.accept(0x31, false)
    apic.write(index.APIC_TPR, 0x30)
    expect(apic.acknowledge()).toBe(0xef)
    expect(vectorsIn(apic, index.APIC_ISR)).toEqual([])
    expect(vectorsIn(apic, index.APIC_IRR)).toEqual([0x31])
  })

  test('agrees with a naive model of IRR, ISR and TPR', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('accept' as const), value: fc.integer({ min: 16, max: 255 }) }),
      fc.record({ kind: fc.constant('tpr' as const), value: fc.nat(255) }),
      fc.record({ kind: fc.constant('eoi' as const), value: fc.constant(0) }),
      fc.record({ kind: fc.constant('ack' as const), value: fc.constant(0) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const { apic } = makeFabric()
        const irr = new Set<number>()
        const isr = new Set<number>()
        let tpr = 0
        const top = (set: Set<number>): number => Math.max(-1, ...set)
        for (const { kind, value } of steps) {
          if (kind === 'accept') {
            irr.add(value)
            apic.accept(value, false)
          } else if (kind === 'tpr') {
            tpr = value
            apic.write(index.APIC_TPR, value)
          } else if (kind === 'eoi') {
            isr.delete(top(isr))
            apic.write(index.APIC_EOI, 0)
          } else {
            const highest = top(irr)
            const limit = Math.max(tpr >> 4, top(isr) >> 4)
            const vector = highest >> 4 > limit ? highest : 0xff
            if (vector !== 0xff || highest === 0xff) {
              if (highest >> 4 > limit) {
                irr.delete(highest)
                isr.add(highest)
              }
            }
            expect(apic.acknowledge()).toBe(vector)
          }
          const limit = Math.max(tpr >> 4, top(isr) >> 4)
          const isDeliverable = top(irr) >> 4 > limit
          expect([apic.hasInterrupt(), apic.peek()]).toEqual([isDeliverable, isDeliverable ? top(irr) : -1])
          expect(apic.read(index.APIC_PPR)).toBe(tpr >> 4 >= top(isr) >> 4 ? tpr : top(isr) & 0xf0)
          expect(vectorsIn(apic, index.APIC_IRR)).toEqual([...irr].toSorted((a, b) => a - b))
          expect(vectorsIn(apic, index.APIC_ISR)).toEqual([...isr].toSorted((a, b) => a - b))
        }
      }),
      { numRuns: 150 },
    )
  })
})

describe('software disable (SVR bit 8)', () => {
  test('masks every LVT entry, and none can be unmasked', () => {
    const { apic } = makeFabric()
    apic.write(index.APIC_LVT_TIMER, 0x40)
    apic.write(index.APIC_SVR, 0xff)
    expect(apic.read(index.APIC_LVT_TIMER)).toBe(0x10040)
    apic.write(index.APIC_LVT_LINT1, 0x400)
    expect(apic.read(index.APIC_LVT_LINT1)).toBe(0x10400)
    apic.write(index.APIC_SVR, 0x1ff)
    expect(apic.read(index.APIC_LVT_TIMER)).toBe(0x10040)
  })

  test('refuses fixed interrupts, keeps what is pending, and takes NMI, SMI, INIT and SIPI', () => {
    const { apic } = makeFabric()
    apic.accept(0x50, false)
    apic.write(index.APIC_SVR, 0xff)
    expect(apic.accept(0x60, false)).toBe(false)
    expect(apic.hasInterrupt()).toBe(false)
    expect(vectorsIn(apic, index.APIC_IRR)).toEqual([0x50])
    apic.nmi()
    apic.smi()
    apic.init()
    apic.sipi(0x9a)
    expect([apic.takeNmi(), apic.takeSmi(), apic.takeInit(), apic.takeSipi()]).toEqual([true, true, true, 0x9a])
    apic.write(index.APIC_SVR, 0x1ff)
  })
})

describe('latched events', () => {
  test.each([
    { name: 'NMI', raise: (a: LocalApic) => a.nmi(), take: (a: LocalApic) => a.takeNmi(), event: index.EVENT_NMI },
    { name: 'SMI', raise: (a: LocalApic) => a.smi(), take: (a: LocalApic) => a.takeSmi(), event: index.EVENT_SMI },
  ])('$name: two before it is taken are one; it wakes the vCPU', ({ raise, take, event }) => {
    const { apic, woken } = makeFabric()
    expect(take(apic)).toBe(false)
    raise(apic)
    raise(apic)
    expect(woken).toEqual([0, 0])
    expect(apic.events()).toBe(event)
    expect([take(apic), take(apic)]).toEqual([true, false])
    expect(apic.events()).toBe(0)
  })

  test('INIT resets all but base and ID; it overtakes an earlier SIPI and not a later one', () => {
    const { apic } = makeFabric()
    apic.write(index.APIC_LDR, 0x0100_0000)
    apic.write(index.APIC_TPR, 0x40)
    apic.accept(0x80, false)
    apic.sipi(1)
    apic.init()
    apic.sipi(2)
    expect(apic.takeInit()).toBe(true)
    expect(apic.takeSipi()).toBe(2)
    expect([
      apic.read(index.APIC_TPR),
      apic.read(index.APIC_LDR),
      apic.read(index.APIC_SVR),
      apic.hasInterrupt(),
    ]).toEqual([0, 0, 0xff, false])
    expect(apic.apicBaseLo).toBe(0xfee0_0900)
    apic.sipi(1)
    apic.init()
    apic.takeInit()
    expect(apic.takeSipi()).toBe(-1)
  })
})

describe('errors (SDM vol. 3A, "Error Handling")', () => {
  test.each([
    { name: 'sending an illegal vector', act: (a: LocalApic) => a.write(index.APIC_ICR, 0x0004_000f), esr: 0x20 },
    { name: 'receiving an illegal vector', act: (a: LocalApic) => void a.accept(15, false), esr: 0x40 },
    { name: 'an illegal register', act: (a: LocalApic) => void a.read(0x10), esr: 0x80 },
  ])('$name sets ESR to $esr, once it is written, and interrupts', ({ act, esr }) => {
    const { apic } = makeFabric()
    apic.write(index.APIC_LVT_ERROR, 0xfe)
    act(apic)
    expect(apic.read(index.APIC_ESR)).toBe(0)
    expect(apic.acknowledge()).toBe(0xfe)
    apic.write(index.APIC_ESR, 0)
    expect(apic.read(index.APIC_ESR)).toBe(esr)
    apic.write(index.APIC_ESR, 0)
    expect(apic.read(index.APIC_ESR)).toBe(0)
  })

  test('an error entry with an illegal vector does not feed on itself', () => {
    const { apic } = makeFabric()
    apic.write(index.APIC_LVT_ERROR, 5)
    apic.accept(3, false)
    apic.write(index.APIC_ESR, 0)
    expect(apic.read(index.APIC_ESR)).toBe(0x40)
  })
})

describe('an error entry with an illegal vector (SDM vol. 3A, "Error Handling": Received Illegal Vector)', () => {
  test.each([
    { name: 'an illegal register', act: (a: LocalApic) => void a.read(0x10), esr: 0xc0 },
    { name: 'sending an illegal vector', act: (a: LocalApic) => a.write(index.APIC_ICR, 0x0004_000f), esr: 0x60 },
    { name: 'receiving an illegal vector', act: (a: LocalApic) => void a.accept(15, false), esr: 0x40 },
  ])('$name: ESR has both errors, and nothing is requested', ({ act, esr }) => {
    const { apic } = makeFabric()
    apic.write(index.APIC_LVT_ERROR, 0x0f)
    act(apic)
    apic.write(index.APIC_ESR, 0)
    expect([apic.read(index.APIC_ESR), apic.hasInterrupt()]).toEqual([esr, false])
    // A masked entry generates no interrupt.
    apic.write(index.APIC_LVT_ERROR, 0x1000f)
    act(apic)
    apic.write(index.APIC_ESR, 0)
    expect(apic.read(index.APIC_ESR)).toBe(esr === 0x40 ? 0x40 : esr & ~0x40)
  })
})

describe('local interrupt pins', () => {
  test('LINT1 as NMI, on the rising edge only', () => {
    const { apic } = makeFabric()
    apic.write(index.APIC_LVT_LINT1, 0x400)
    apic.setLint(1, true)
    expect(apic.takeNmi()).toBe(true)
    apic.setLint(1, true)
    apic.setLint(1, false)
    expect(apic.takeNmi()).toBe(false)
    apic.write(index.APIC_LVT_LINT1, 0x10400)
    apic.setLint(1, true)
    expect(apic.takeNmi()).toBe(false)
  })

  test.each([
    { name: 'fixed, edge', lvt: 0x0044, events: index.EVENT_INTERRUPT },
    { name: 'SMI', lvt: 0x0200, events: index.EVENT_SMI },
    { name: 'ExtINT', lvt: 0x0700, events: index.EVENT_EXTINT },
    { name: 'masked', lvt: 0x10044, events: 0 },
  ])('LINT0, $name', ({ lvt, events }) => {
    const { apic } = makeFabric()
    apic.write(index.APIC_LVT_LINT0, lvt)
    apic.setLint(0, true)
    expect(apic.events()).toBe(events)
  })

  test('ExtINT follows the wire and the mask', () => {
    const { apic } = makeFabric()
    apic.setLint(0, true)
    expect(apic.hasInterrupt()).toBe(false)
    apic.write(index.APIC_LVT_LINT0, 0x700)
    expect(apic.hasInterrupt()).toBe(true)
    apic.write(index.APIC_LVT_LINT0, 0x10700)
    expect(apic.hasInterrupt()).toBe(false)
    apic.write(index.APIC_LVT_LINT0, 0x700)
    apic.setLint(0, false)
    expect(apic.hasInterrupt()).toBe(false)
  })

  test('ExtINT is not subject to the task priority', () => {
    const { apic } = makeFabric()
    apic.write(index.APIC_TPR, 0xff)
    apic.write(index.APIC_LVT_LINT0, 0x700)
    apic.setLint(0, true)
    expect(apic.hasInterrupt()).toBe(true)
  })

  test('LINT0 fixed and level-triggered: remote IRR holds it until its EOI, then the line counts again', () => {
    const { apic } = makeFabric()
    apic.write(index.APIC_LVT_LINT0, 0x8044)
    apic.setLint(0, true)
    expect(apic.read(index.APIC_LVT_LINT0)).toBe(0xc044)
    expect(apic.acknowledge()).toBe(0x44)
    expect(apic.hasInterrupt()).toBe(false)
    apic.write(index.APIC_EOI, 0)
    expect(apic.acknowledge()).toBe(0x44)
    apic.setLint(0, false)
    apic.write(index.APIC_EOI, 0)
    expect([apic.hasInterrupt(), apic.read(index.APIC_LVT_LINT0)]).toEqual([false, 0x8044])
  })

  test('the EOI of another level-triggered vector leaves its remote IRR', () => {
    const { apic } = makeFabric()
    const entries = (): number[] => [apic.read(index.APIC_LVT_LINT0), apic.read(index.APIC_LVT_LINT1)]
    const ends: number[][] = []
    apic.write(index.APIC_LVT_LINT0, 0x8044)
    apic.write(index.APIC_LVT_LINT1, 0x8055)
    for (const pin of [0, 1] as const) {
      apic.setLint(pin, true)
      expect(apic.acknowledge()).toBe([0x44, 0x55][pin])
      apic.setLint(pin, false)
    }
    for (let left = 2; left > 0; left--) {
      apic.write(index.APIC_EOI, 0)
      ends.push(entries())
    }
    expect(ends).toEqual([
      [0xc044, 0x8055],
      [0x8044, 0x8055],
    ])
  })

  test('an APIC that is off leaves the pins to the processor: INTR and NMI', () => {
    const { apic } = makeFabric()
    expect(apic.setApicBase(0xfee0_0100, 0)).toBe(true)
    apic.setLint(0, true)
    apic.setLint(1, true)
    expect([apic.hasInterrupt(), apic.takeNmi()]).toEqual([true, true])
  })

  test('a performance-counter overflow masks its own entry', () => {
    const { apic } = makeFabric()
    apic.write(index.APIC_LVT_PMC, 0x400)
    apic.signalLvt('performance')
    expect(apic.takeNmi()).toBe(true)
    expect(apic.read(index.APIC_LVT_PMC)).toBe(0x10400)
    apic.write(index.APIC_LVT_THERMAL, 0xf3)
    apic.signalLvt('thermal')
    expect(apic.acknowledge()).toBe(0xf3)
    expect(apic.read(index.APIC_LVT_THERMAL)).toBe(0xf3)
  })
})

describe('timer (SDM vol. 3A, "APIC Timer"), at 1 GHz', () => {
  const DIVIDES = { 0: 2, 1: 4, 2: 8, 3: 16, 8: 32, 9: 64, 10: 128, 11: 1 }
  test.each(Object.entries(DIVIDES))('divide configuration %s divides by %i', (code, divide) => {
    const { apic, advance } = makeFabric()
    apic.write(index.APIC_LVT_TIMER, 0x30)
    apic.write(index.APIC_TDCR, Number(code))
    apic.write(index.APIC_TMICT, 100)
    advance(10 * divide)
    expect(apic.read(index.APIC_TMCCT)).toBe(90)
    advance(90 * divide - 1)
    expect([apic.read(index.APIC_TMCCT), apic.hasInterrupt()]).toEqual([1, false])
    advance(1)
    expect([apic.read(index.APIC_TMCCT), apic.acknowledge()]).toEqual([0, 0x30])
  })

  test.each([0, 1 << 17])(
    'a count that is read at its end has interrupted, however late the machine is; LVT %i',
    (mode) => {
      const { apic, queue } = makeFabric()
      apic.write(index.APIC_TDCR, 0xb)
      apic.write(index.APIC_LVT_TIMER, 0x30 | mode)
      apic.write(index.APIC_TMICT, 50)
      queue.time = 49
      expect([apic.read(index.APIC_TMCCT), apic.hasInterrupt()]).toEqual([1, false])
      queue.time = 60
      expect([apic.read(index.APIC_TMCCT), apic.hasInterrupt()]).toEqual([mode === 0 ? 0 : 40, true])
      expect([apic.acknowledge(), queue.next]).toEqual([0x30, mode === 0 ? Infinity : 100])
      queue.advance(0)
      expect(apic.hasInterrupt()).toBe(false)
    },
  )

  test('one-shot fires once; a masked one runs but does not interrupt', () => {
    const { apic, queue, advance } = makeFabric()
    apic.write(index.APIC_TDCR, 0xb)
    apic.write(index.APIC_LVT_TIMER, 0x10030)
    apic.write(index.APIC_TMICT, 50)
    advance(100)
    apic.write(index.APIC_LVT_TIMER, 0x30)
    expect(apic.hasInterrupt()).toBe(false)
    apic.write(index.APIC_TMICT, 50)
    advance(1000)
    expect(apic.acknowledge()).toBe(0x30)
    apic.write(index.APIC_EOI, 0)
    advance(1000)
    expect([apic.hasInterrupt(), queue.next]).toEqual([false, Infinity])
  })

  test('periodic reloads, keeps its phase, and a machine that slept gets one interrupt', () => {
    const { apic, queue, advance } = makeFabric()
    apic.write(index.APIC_TDCR, 0xb)
    apic.write(index.APIC_LVT_TIMER, 0x20030)
    apic.write(index.APIC_TMICT, 100)
    advance(250)
    expect(apic.read(index.APIC_TMCCT)).toBe(50)
    expect(apic.acknowledge()).toBe(0x30)
    apic.write(index.APIC_EOI, 0)
    queue.oversleep(1010)
    expect(apic.read(index.APIC_TMCCT)).toBe(40)
    expect(queue.next).toBe(1300)
    expect(apic.acknowledge()).toBe(0x30)
    apic.write(index.APIC_EOI, 0)
    expect(apic.hasInterrupt()).toBe(false)
  })

  test('an initial count of 0 stops it', () => {
    const { apic, queue } = makeFabric()
    apic.write(index.APIC_LVT_TIMER, 0x20030)
    apic.write(index.APIC_TMICT, 100)
    apic.write(index.APIC_TMICT, 0)
    expect([queue.next, apic.read(index.APIC_TMCCT)]).toEqual([Infinity, 0])
  })

  test('the count goes on from where it is when the divider changes', () => {
    const { apic, advance, queue } = makeFabric()
    apic.write(index.APIC_TDCR, 0xb)
    apic.write(index.APIC_LVT_TIMER, 0x30)
    apic.write(index.APIC_TMICT, 100)
    advance(40)
    apic.write(index.APIC_TDCR, 0)
    expect([apic.read(index.APIC_TMCCT), queue.next]).toEqual([60, 160])
  })

  test.each([
    {
      from: 0x20030,
      to: 0x00030,
      name: 'periodic to one-shot: the period that runs is the last',
      next: [300, Infinity],
    },
    { from: 0x00030, to: 0x20030, name: 'one-shot to periodic: the count that runs is the first', next: [100, 200] },
  ])('$name', ({ from, to, next }) => {
    const { apic, advance, queue } = makeFabric()
    apic.write(index.APIC_TDCR, 0xb)
    apic.write(index.APIC_LVT_TIMER, from)
    apic.write(index.APIC_TMICT, 100)
    advance(from === 0x30 ? 50 : 250)
    apic.write(index.APIC_LVT_TIMER, to)
    expect(queue.next).toBe(next[0])
    advance(next[0]! - queue.now())
    expect(queue.next).toBe(next[1])
  })

  test('a one-shot count that has run out stays run out when the mode changes, noticed or not', () => {
    for (const noticed of [true, false]) {
      const { apic, advance, queue } = makeFabric()
      apic.write(index.APIC_TDCR, 0xb)
      apic.write(index.APIC_LVT_TIMER, 0x30)
      apic.write(index.APIC_TMICT, 100)
      if (noticed) advance(150)
      else queue.time = 150
      apic.write(index.APIC_LVT_TIMER, 0x20030)
      expect([queue.next, apic.read(index.APIC_TMCCT)]).toEqual([Infinity, 0])
      expect(apic.acknowledge()).toBe(0x30)
      apic.write(index.APIC_EOI, 0)
      advance(1000)
      expect(apic.hasInterrupt()).toBe(false)
    }
  })

  test.each([
    { name: 'is masked', change: (a: LocalApic) => a.write(index.APIC_LVT_TIMER, 0x1_0030) },
    { name: 'gets another vector', change: (a: LocalApic) => a.write(index.APIC_LVT_TIMER, 0x31) },
    { name: 'becomes a deadline', change: (a: LocalApic) => a.write(index.APIC_LVT_TIMER, 0x4_0031) },
    { name: 'is started again', change: (a: LocalApic) => a.write(index.APIC_TMICT, 100) },
    { name: 'is stopped', change: (a: LocalApic) => a.write(index.APIC_TMICT, 0) },
    { name: 'is divided otherwise', change: (a: LocalApic) => a.write(index.APIC_TDCR, 0) },
  ])('an expiry that is due is delivered before the timer $name', ({ change }) => {
    const { apic, queue } = makeFabric()
    apic.write(index.APIC_TDCR, 0xb)
    apic.write(index.APIC_LVT_TIMER, 0x30)
    apic.write(index.APIC_TMICT, 100)
    queue.time = 150
    change(apic)
    expect([apic.acknowledge(), apic.hasInterrupt()]).toEqual([0x30, false])
  })

  test('TSC deadline: one in the past fires in the write, without a look of the machine at its timers', () => {
    const { apic, queue } = makeFabric()
    queue.time = 5000
    apic.write(index.APIC_LVT_TIMER, 0x40031)
    for (const deadline of [1, 4999, 5000]) {
      apic.setTscDeadline(deadline, 0)
      expect([apic.hasInterrupt(), apic.tscDeadlineLo, queue.next]).toEqual([true, 0, Infinity])
      expect(apic.acknowledge()).toBe(0x31)
      apic.write(index.APIC_EOI, 0)
    }
    apic.setTscDeadline(5001, 0)
    expect([apic.hasInterrupt(), queue.next]).toEqual([false, 5001])
    // The TSC jumps: the deadline has passed.
    queue.time = 6000
    apic.tscChanged()
    expect(apic.acknowledge()).toBe(0x31)
  })

  test('TSC deadline: fires when the TSC has reached it, then reads 0', () => {
    const { apic, advance, queue } = makeFabric({ tscHz: 2e9 })
    apic.write(index.APIC_LVT_TIMER, 0x40031)
    apic.setTscDeadline(2001, 0)
    expect([queue.next, apic.tscDeadlineLo]).toEqual([1001, 2001])
    apic.write(index.APIC_TMICT, 5)
    expect([apic.read(index.APIC_TMICT), apic.read(index.APIC_TMCCT)]).toEqual([0, 0])
    advance(1001)
    expect([apic.acknowledge(), apic.tscDeadlineLo, apic.tscDeadlineHi]).toEqual([0x31, 0, 0])
  })

  test('TSC deadline: one in the past fires at once; 0 disarms; another mode ignores the MSR', () => {
    const { apic, advance, queue } = makeFabric()
    advance(5000)
    apic.setTscDeadline(9000, 0)
    expect([queue.next, apic.tscDeadlineLo]).toEqual([Infinity, 0])
    apic.write(index.APIC_LVT_TIMER, 0x40031)
    apic.setTscDeadline(100, 0)
    advance(0)
    expect(apic.acknowledge()).toBe(0x31)
    apic.setTscDeadline(0x10, 1)
    expect([queue.next, apic.tscDeadlineHi]).toEqual([2 ** 32 + 16, 1])
    apic.setTscDeadline(0, 0)
    expect(queue.next).toBe(Infinity)
    apic.setTscDeadline(6000, 0)
    apic.write(index.APIC_LVT_TIMER, 0x00031)
    expect([queue.next, apic.tscDeadlineLo]).toEqual([Infinity, 0])
  })
})

describe('state', () => {
  test('a restored APIC is the same one, its timer included', () => {
    const a = makeFabric()
    a.apic.write(index.APIC_TDCR, 0xb)
    a.apic.write(index.APIC_LVT_TIMER, 0x20030)
    a.apic.write(index.APIC_TMICT, 100)
    a.apic.accept(0x77, true)
    a.apic.write(index.APIC_TPR, 0x20)
    a.apic.nmi()
    a.advance(130)
    const saved = structuredClone(a.apic.save())
    const b = makeFabric()
    b.queue.time = 130
    b.apic.restore(saved)
    expect(b.queue.next).toBe(200)
    expect(b.apic.events()).toBe(a.apic.events())
    for (let offset = 0x20; offset < 0x3f0; offset += 16) expect(b.apic.read(offset)).toBe(a.apic.read(offset))
    expect([b.apic.takeNmi(), b.apic.acknowledge()]).toEqual([true, 0x77])
    expect(() => b.apic.restore({ ...saved, version: 2 })).toThrow(/version 2: expected 3/)
    const short = { ...saved, vectors: { ...(saved['vectors'] as object), requests: [] } }
    expect(() => b.apic.restore(short)).toThrow(/vectors\.requests of the saved state has 0 elements: expected 8/)
  })

  test('a saved state names its fields, and a state that has been restored saves the same', () => {
    const { apic, queue } = makeFabric()
    apic.write(index.APIC_LVT_TIMER, 0x40031)
    apic.setTscDeadline(0x1234, 7)
    apic.write(index.APIC_LVT_LINT1, 0x400)
    apic.write(index.APIC_ICR2, 0x0700_0000)
    apic.accept(0x77, true)
    apic.acknowledge()
    apic.setLint(0, true)
    apic.sipi(0x9a)
    apic.smi()
    apic.extInt()
    apic.read(0x10)
    const saved = apic.save()
    expect(saved).toMatchObject({
      version: 3,
      spuriousVector: 0x1ff,
      errors: 0x80,
      commandHi: 0x0700_0000,
      vectors: { inService: [0, 0, 0, 1 << 0x17, 0, 0, 0, 0] },
      lvt: { timer: 0x40031, lint1: 0x400, pins: [true, false] },
      timer: { deadlineLo: 0x1234, deadlineHi: 7, done: false },
      events: { nmi: false, smi: true, init: false, startup: 0x9a, extInt: true },
    })
    const other = makeFabric().apic
    other.restore(structuredClone(saved))
    expect(other.save()).toEqual(saved)
    expect(queue.next).toBe(7 * 2 ** 32 + 0x1234)
  })

  test('lives in the machine memory that it is given', () => {
    const buffer = new SharedArrayBuffer(8192)
    const { fabric } = makeFabric({ cpus: 2, state: { buffer, byteOffset: 4096 } })
    fabric.localApic(1).write(index.APIC_TPR, 0x5a)
    expect(new Uint8Array(buffer, 4096).includes(0x5a)).toBe(true)
    expect(new Uint8Array(buffer, 0, 4096).every((b) => b === 0)).toBe(true)
    expect(() => makeFabric({ cpus: 20, state: { buffer, byteOffset: 4096 } })).toThrow(/fit/)
  })
})

describe('the vCPU is told', () => {
  const act = (run: (apic: LocalApic) => void, before: (apic: LocalApic) => void = () => {}): number => {
    const { apic, woken } = makeFabric()
    before(apic)
    apic.events()
    woken.length = 0
    run(apic)
    return woken.length
  }
  const nested = (apic: LocalApic): void => {
    apic.accept(0x50, false)
    apic.acknowledge()
    apic.accept(0x40, false)
  }
  test.each([
    { name: 'of an interrupt that arrives', run: (a: LocalApic) => void a.accept(0x40, false), told: true },
    {
      name: 'of one that an EOI uncovers',
      before: nested,
      run: (a: LocalApic) => a.write(index.APIC_EOI, 0),
      told: true,
    },
    {
      name: 'of one that a lower task priority uncovers',
      before: (a: LocalApic) => {
        a.cr8 = 15
        a.accept(0x40, false)
      },
      run: (a: LocalApic) => a.write(index.APIC_TPR, 0),
      told: true,
    },
    {
      name: 'of one that a higher task priority covers',
      before: (a: LocalApic) => void a.accept(0x40, false),
      run: (a: LocalApic) => (a.cr8 = 8),
      told: true,
    },
    {
      name: 'of an i8259 that takes its request back',
      before: (a: LocalApic) => {
        a.write(index.APIC_LVT_LINT0, 0x700)
        a.setLint(0, true)
      },
      run: (a: LocalApic) => a.setLint(0, false),
      told: true,
    },
    {
      name: 'of a reset that drops what was pending',
      before: (a: LocalApic) => void a.accept(0x40, false),
      run: (a: LocalApic) => a.reset(),
      told: true,
    },
    {
      name: 'of an EOI that uncovers nothing: not',
      before: (a: LocalApic) => {
        a.accept(0x50, false)
        a.acknowledge()
      },
      run: (a: LocalApic) => a.write(index.APIC_EOI, 0),
      told: false,
    },
    { name: 'of a task priority that covers nothing: not', run: (a: LocalApic) => (a.cr8 = 8), told: false },
    {
      name: 'of its own acknowledgement: not',
      before: (a: LocalApic) => void a.accept(0x50, false),
      run: (a: LocalApic) => void a.acknowledge(),
      told: false,
    },
  ])('$name', ({ run, before, told }) => {
    expect(act(run, before) > 0).toBe(told)
  })
})
