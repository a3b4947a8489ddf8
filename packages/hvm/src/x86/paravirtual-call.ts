import { STATUS_FAULT } from '@retrap/x86-cpu'
import type { Invalidations } from '../memory/invalidation.ts'
import type { X86Paravirtual } from './paravirtual.ts'

/**
 * Makes a hypercall of a vCPU. Frames that it takes from the map count as this vCPU's doing: all device models let go of
 * them before its next instruction.
 *
 * @param paravirtual - null: there is no such interface, and the instruction faults
 */
export function paravirtualCall(
  paravirtual: X86Paravirtual | null,
  invalidations: Invalidations,
  vcpu: number,
): number {
  if (paravirtual === null) return STATUS_FAULT
  const before = invalidations.enter(vcpu)
  try {
    return paravirtual.hypercall(vcpu)
  } finally {
    invalidations.leave(before)
  }
}
