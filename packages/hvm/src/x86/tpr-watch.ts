import type { TprAccess } from '@retrap/vapic'

/** Where a vCPU reports accesses to its task priority register, and what else a TPR patcher takes. */
export interface TprWatch {
  /** Whether accesses are reported at all. */
  readonly reporting: boolean
  /** Whether an access must be reported. */
  watches(gpa: number): boolean
  /** Notes an access that is made in a logged pass. */
  accessed(access: TprAccess, gpa: number): void
  /** Takes a write to the patcher's port. @returns a `STATUS_*` of `@retrap/x86-cpu` */
  portWrite(size: number, value: number, logged: boolean): number
  /** Takes a hypercall. @returns false for one that is not the patcher's */
  hypercall(): boolean
  /** Hands the patcher what was noted, when the vCPU has come back to its domain. */
  settle(): void
}
