/**
 * Xen's interface for Arm guests.
 *
 * @packageDocumentation
 */
export { plugXenArm } from './paravirtual.ts'
export type { XenArmCalls, XenArmDomain, XenArmPlaces, XenArmVcpu } from './domain.ts'
