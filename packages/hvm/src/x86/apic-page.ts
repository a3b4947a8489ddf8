/** A local APIC's page of registers: 32 bits each, at multiples of 16 (SDM vol. 3A, "Local APIC Registers"). */
import type { LocalApic } from '@retrap/irqchip'
import type { Words } from '@retrap/x86-cpu'

/** Reads from the page; an access that is narrower or not aligned sees part of a register. */
export function readApicPage(apic: LocalApic, offset: number, size: number, into: Words): void {
  into.hi = 0
  into.lo = (offset & 0xf) === 0 && size >= 4 ? apic.read(offset) : readPart(apic, offset, size)
}

function readPart(apic: LocalApic, offset: number, size: number): number {
  const value = apic.read(offset & ~0xf)
  const shift = (offset & 0xf) * 8
  if (shift >= 32) return 0
  const part = value >>> shift
  return size === 1 ? part & 0xff : size === 2 ? part & 0xffff : part
}

/** Writes to the page: aligned 32-bit stores alone are architectural, and narrower ones are dropped. */
export function writeApicPage(apic: LocalApic, offset: number, size: number, lo: number): void {
  if ((offset & 0xf) === 0 && size >= 4) apic.write(offset, lo >>> 0)
}
