import { GuestTables } from '../memory/guest-tables.ts'
import type { SystemManagementMemory } from './system-management.ts'

const ONE_MIB = 0x10_0000

/** A physical address with line 20 low. */
export const withoutA20 = (gpa: number): number => (Math.floor(gpa / ONE_MIB) % 2 === 1 ? gpa - ONE_MIB : gpa)

/** The page tables of a PC's guest, which may lie in system-management memory, behind address line 20. */
export class PcTables extends GuestTables {
  /** Memory that is seen in place of what the guest's map has; null for none. */
  managed: SystemManagementMemory | null = null
  /** Whether address line 20 is held low. */
  a20Masked = false

  protected override onBus(gpa: number): number {
    return this.a20Masked ? withoutA20(gpa) : gpa
  }

  protected override inFront(gpa: number): number {
    return this.managed === null ? -1 : this.managed.machineAddress(gpa)
  }
}
