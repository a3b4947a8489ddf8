/** Registers that a hypervisor may read from memory: they are there as a read of the page has them. */
import { expect, test } from 'vitest'
import * as fc from 'fast-check'
import * as index from '../src/index.ts'
import { interruptFabricBytes } from '../src/index.ts'
import { makeFabric } from './machine.ts'

const CPUS = 2
const REGISTERS = Array.from({ length: 64 }, (_, i) => i << 4)

function isStored({ lo, hi }: { lo: number; hi: number }, offset: number): boolean {
  const i = offset >> 4
  return (((i < 32 ? lo : hi) >>> (i & 31)) & 1) === 1
}

test('those are stored that no computation precedes', () => {
  const { storedRegisters } = makeFabric().apic
  const stored = (offset: number): boolean => isStored(storedRegisters, offset)
  expect(
    [index.APIC_ID, index.APIC_DFR, index.APIC_IRR, index.APIC_ICR, index.APIC_LVT_ERROR, index.APIC_TMICT].map(stored),
  ).not.toContain(false)
  expect([0, 0x3f0, index.APIC_TPR, index.APIC_PPR, index.APIC_EOI, index.APIC_TMCCT].map(stored)).not.toContain(true)
})

test('their words are what reads return, whatever was written before', () => {
  const write = fc.record({ offset: fc.constantFrom(...REGISTERS), value: fc.integer(), cpu: fc.nat(CPUS - 1) })
  fc.assert(
    fc.property(fc.array(write, { maxLength: 40, size: 'max' }), fc.nat(1e6), (writes, ns) => {
      const state = { buffer: new ArrayBuffer(0x4000), byteOffset: 0x1000 }
      const { fabric, advance } = makeFabric({ cpus: CPUS, state })
      for (const { offset, value, cpu } of writes) fabric.localApic(cpu).write(offset, value >>> 0)
      advance(ns)
      for (const apic of fabric.localApics) {
        const words = new DataView(state.buffer, apic.storedRegisters.byteOffset)
        const offsets = REGISTERS.filter((offset) => isStored(apic.storedRegisters, offset))
        const found = offsets.map((offset) => words.getUint32(offset >> 2, true))
        expect(found).toEqual(offsets.map((offset) => apic.read(offset)))
      }
    }),
  )
  expect(interruptFabricBytes(CPUS)).toBeLessThan(0x3000)
})
