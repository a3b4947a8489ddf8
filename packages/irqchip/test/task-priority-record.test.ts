import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { APIC_EOI, APIC_PPR, APIC_TPR, type TaskPriorityRecord } from '../src/index.ts'
import { makeFabric } from './machine.ts'

const SEED = 20_261_121

/** A record as a guest's memory has it. */
class Memory implements TaskPriorityRecord {
  taskPriority = 0
  inService = 0
  pending = 0

  read(): number {
    return this.taskPriority
  }
  write(taskPriority: number): void {
    this.taskPriority = taskPriority
  }
  publish(inService: number, pending: number): void {
    this.inService = inService
    this.pending = pending
  }
}

function withRecord() {
  const { fabric, apic, woken } = makeFabric()
  const memory = new Memory()
  apic.useRecord(memory)
  return { fabric, apic, woken, memory }
}

describe('a task priority that the guest keeps in its memory', () => {
  test('takes over the value of the register, and gives it back', () => {
    const { apic } = makeFabric()
    apic.write(APIC_TPR, 0x35)
    const memory = new Memory()
    apic.useRecord(memory)
    expect(memory.taskPriority).toBe(0x35)
    memory.taskPriority = 0x72
    apic.useRecord(null)
    memory.taskPriority = 0
    expect(apic.read(APIC_TPR)).toBe(0x72)
  })

  test('register, CR8, PPR and record agree, whoever writes', () => {
    const { apic, memory } = withRecord()
    const all = (): number[] => [apic.read(APIC_TPR), apic.cr8, apic.read(APIC_PPR), memory.taskPriority]
    memory.taskPriority = 0x4a
    expect(all()).toEqual([0x4a, 4, 0x4a, 0x4a])
    apic.cr8 = 9
    expect(all()).toEqual([0x90, 9, 0x90, 0x90])
    apic.write(APIC_TPR, 0x21)
    expect(all()).toEqual([0x21, 2, 0x21, 0x21])
    expect(apic.save().taskPriority).toBe(0x21)
  })

  test('what is in service and pending is in the record as soon as someone looks', () => {
    const { apic, memory } = withRecord()
    memory.taskPriority = 0x80
    apic.accept(0x63, false)
    expect(apic.events()).toBe(0)
    expect([memory.inService, memory.pending]).toEqual([0, 0x63])
    memory.taskPriority = 0x10
    expect(apic.hasInterrupt()).toBe(true)
    expect(apic.acknowledge()).toBe(0x63)
    apic.events()
    expect([memory.inService, memory.pending]).toEqual([0x60, 0])
    apic.accept(0x64, false)
    apic.events()
    expect([memory.inService, memory.pending]).toEqual([0x60, 0x64])
    apic.write(APIC_EOI, 0)
    expect([memory.inService, memory.pending]).toEqual([0, 0x64])
  })

  test('an interrupt that could be taken no longer can after the guest has raised its priority', () => {
    const { apic, memory } = withRecord()
    apic.accept(0x50, false)
    expect(apic.hasInterrupt()).toBe(true)
    memory.taskPriority = 0x50
    expect([apic.hasInterrupt(), apic.peek()]).toEqual([false, -1])
  })

  test('INIT makes it 0; power-on forgets the record', () => {
    const { apic, memory } = withRecord()
    memory.taskPriority = 0x90
    apic.init()
    expect(apic.takeInit()).toBe(true)
    expect([memory.taskPriority, apic.record]).toEqual([0, memory])
    memory.taskPriority = 0x90
    apic.reset()
    expect([apic.read(APIC_TPR), apic.record]).toEqual([0, null])
    expect(memory.taskPriority).toBe(0x90)
  })

  test('a saved state brings its priority into the record', () => {
    const { apic, memory } = withRecord()
    memory.taskPriority = 0x33
    const saved = apic.save()
    memory.taskPriority = 0
    apic.restore(saved)
    expect(memory.taskPriority).toBe(0x33)
  })

  test(`behaves as the register does, with a poll where the record says so (seed ${SEED})`, () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('priority' as const), value: fc.nat(255) }),
      fc.record({ kind: fc.constant('accept' as const), value: fc.integer({ min: 16, max: 255 }) }),
      fc.record({ kind: fc.constantFrom('acknowledge' as const, 'end' as const), value: fc.constant(0) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const plain = makeFabric().apic
        const { apic, memory } = withRecord()
        let deliverable = false
        for (const { kind, value } of steps) {
          if (kind === 'priority') {
            plain.write(APIC_TPR, value)
            memory.taskPriority = value
            // The helper's test: what it does not poll for cannot be deliverable anew.
            if (memory.pending > Math.max(value, memory.inService)) deliverable = apic.hasInterrupt()
            else expect(plain.hasInterrupt() && !deliverable).toBe(false)
          } else if (kind === 'accept') {
            plain.accept(value, false)
            apic.accept(value, false)
          } else if (kind === 'end') {
            plain.write(APIC_EOI, 0)
            apic.write(APIC_EOI, 0)
          } else if (plain.hasInterrupt()) {
            expect(apic.acknowledge()).toBe(plain.acknowledge())
          }
          if (kind !== 'priority') deliverable = apic.hasInterrupt()
          expect([apic.hasInterrupt(), apic.peek(), apic.read(APIC_PPR)]).toEqual([
            plain.hasInterrupt(),
            plain.peek(),
            plain.read(APIC_PPR),
          ])
          deliverable = apic.hasInterrupt()
        }
      }),
      { seed: SEED, numRuns: 500 },
    )
  })
})
