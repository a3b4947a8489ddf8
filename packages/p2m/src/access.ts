import { describeArgument } from '@retrap/basics'
import { P2mError } from './errors.ts'
import { P2M_EXECUTE, P2M_READ, P2M_WRITE } from './types.ts'

/**
 * Accesses that a monitor leaves a frame, whatever its type is: the second mask on rights.
 *
 * The numbers are those of `xenmem_access_t` (xen/include/public/memory.h).
 */
export const P2mAccess = {
  N: 0,
  R: 1,
  W: 2,
  RW: 3,
  X: 4,
  RX: 5,
  WX: 6,
  RWX: 7,
  /** Read and execute; the first write makes it RW, permanently. */
  RX2RW: 8,
  /** Nothing; the first access makes it RWX, and is reported. */
  N2RWX: 9,
  /** Read, and written by the processor's page walks alone. */
  R_PW: 10,
} as const

/** One of the `P2mAccess` numbers. */
export type P2mAccess = (typeof P2mAccess)[keyof typeof P2mAccess]

/** By access. */
const RIGHTS: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7, P2M_READ | P2M_EXECUTE, 0, P2M_READ]

/** Rights that an access leaves over. A processor cannot have W without R (SDM, "EPT Misconfigurations"). */
export function rightsOfAccess(access: number): number {
  const rights = RIGHTS[access] ?? 0
  return (rights & P2M_READ) === 0 ? rights & ~P2M_WRITE : rights
}

/** Refuses what is none. */
export function checkAccess(access: number): void {
  if (typeof access === 'number' && access in RIGHTS) return
  throw new P2mError('ERR_TYPE', `access ${describeArgument(access)}: expected one of P2mAccess`, { access })
}
