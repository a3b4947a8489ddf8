/**
 * Xen's interface for Arm guests.
 *
 * @packageDocumentation
 */
export { plugXenArm } from './paravirtual.ts'
export type { XenArmDomain } from './domain.ts'
