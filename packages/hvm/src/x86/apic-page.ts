/** A local APIC's page of registers: 32 bits each, at multiples of 16 (SDM vol. 3A, "Local APIC Registers"). */
import { APIC_TPR, type LocalApic } from '@retrap/irqchip'
import { STATUS_DONE, type RegisterPage, type Words } from '@retrap/x86-cpu'

const APIC_PAGE_BYTES = 0x1000

/** Accesses to the page, counted for statistics. */
export interface ApicPageCounts {
  apicAccesses: number
  taskPriorityAccesses: number
}

/** Reads from the page; an access that is narrower or not aligned sees part of a register. */
export function readApicPage(
  apic: LocalApic,
  counts: ApicPageCounts,
  gpa: number,
  size: number,
  into: Words,
): typeof STATUS_DONE {
  const offset = gpa & (APIC_PAGE_BYTES - 1)
  count(counts, offset)
  into.hi = 0
  into.lo = (offset & 0xf) === 0 && size >= 4 ? apic.read(offset) : readPart(apic, offset, size)
  return STATUS_DONE
}

function readPart(apic: LocalApic, offset: number, size: number): number {
  const value = apic.read(offset & ~0xf)
  const shift = (offset & 0xf) * 8
  if (shift >= 32) return 0
  const part = value >>> shift
  return size === 1 ? part & 0xff : size === 2 ? part & 0xffff : part
}

/** Writes to the page: aligned 32-bit stores alone are architectural, and narrower ones are dropped. */
export function writeApicPage(
  apic: LocalApic,
  counts: ApicPageCounts,
  gpa: number,
  size: number,
  lo: number,
): typeof STATUS_DONE {
  const offset = gpa & (APIC_PAGE_BYTES - 1)
  count(counts, offset)
  if ((offset & 0xf) === 0 && size >= 4) apic.write(offset, lo >>> 0)
  return STATUS_DONE
}

/** Describes the page, most registers of which are words in machine memory. @returns false for another page */
export function describeApicPage(apic: LocalApic, gpa: number, into: RegisterPage): boolean {
  if (!apic.decodes(gpa)) return false
  const { byteOffset, lo, hi } = apic.storedRegisters
  into.ma = byteOffset
  into.storedLo = lo
  into.storedHi = hi
  return true
}

function count(counts: ApicPageCounts, offset: number): void {
  counts.apicAccesses++
  if (offset === APIC_TPR) counts.taskPriorityAccesses++
}
