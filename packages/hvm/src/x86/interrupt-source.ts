import type { X86Domain } from './domain.ts'

/** Masks an entry of the I/O APIC or of a local vector table. */
const MASKED = 1 << 16
/** Of ICW2 of an i8259: the vector of its first interrupt. */
const BASE = 0xf8
/** Entries of the local vector table, by what signals them. */
const LOCAL_SOURCES = ['timer', 'lint0', 'lint1', 'performance', 'thermal', 'cmci', 'error'] as const

/**
 * Says what has raised the interrupt that a vCPU has just acknowledged, for people.
 *
 * The controllers keep no record of it: it is found by the vector, which two sources may share. Then the first one is named
 * of: the hypervisor, the i8259 pair, the local APIC, inputs of the I/O APIC, and last messages of devices or processors.
 *
 * @returns such as `APIC timer`, `I/O APIC input 4`, `i8259 interrupt 0`, `message`
 */
export function interruptSource(domain: X86Domain, vcpu: number, vector: number): string {
  const { interrupts, paravirtual } = domain
  const apic = interrupts.localApic(vcpu).save()
  const inService = ((apic.vectors.inService[vector >>> 5]! >>> (vector & 31)) & 1) !== 0
  // A callback of Xen's and the i8259's interrupts leave no trace in the local APIC.
  if (!inService) return paravirtual === null ? `i8259 interrupt ${isaInterrupt(domain, vector)}` : 'Xen, or i8259'
  const matches = (entry: number): boolean => (entry & MASKED) === 0 && (entry & 0xff) === vector
  const local = LOCAL_SOURCES.find((name) => matches(apic.lvt[name]))
  if (local !== undefined) return `APIC ${local}`
  const pin = interrupts.ioApic.save().entries.findIndex(({ low }) => matches(low))
  return pin < 0 ? 'message' : `I/O APIC input ${pin}`
}

/** The ISA interrupt that a vector of the i8259 pair stands for: which of the two has it, the vectors' bases tell. */
function isaInterrupt({ interrupts }: X86Domain, vector: number): number {
  const { master, slave } = interrupts.i8259.save()
  const isSlave = (slave.icw2 & BASE) === (vector & BASE) && (master.icw2 & BASE) !== (vector & BASE)
  return (vector & 7) + (isSlave ? 8 : 0)
}
